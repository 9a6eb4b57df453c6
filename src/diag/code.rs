//! The table of stable codes. `docs/diagnostics.md` is made from it.
//!
//! A code, once released, keeps its name and meaning. Must not know who reports it.

use crate::base::text::Inline;

/// The most bytes of a name.
const NAME_MAX: usize = 30;

/// A row of the table, for documentation.
pub struct CodeInfo {
    /// The stable name, as printed.
    pub code: &'static str,
    /// The event it stands for.
    pub meaning: &'static str,
    /// Spandrel's reaction.
    pub action: &'static str,
}

macro_rules! codes {
    ($($variant:ident $code:literal: $meaning:literal => $action:literal;)+) => {
        /// Everything that can go wrong, one variant per stable code.
        #[derive(Clone, Copy, PartialEq, Eq, Debug)]
        pub enum Code {
            $(#[doc = $meaning] $variant,)+
        }

        impl Code {
            /// The stable name, as printed.
            pub fn name(self) -> &'static str {
                static NAMES: [Inline<NAME_MAX>; CODES.len()] = [$(Inline::of($code)),+];
                NAMES.get(self as usize).map_or("", Inline::text)
            }
        }

        /// All codes, for documentation and tools.
        pub const CODES: &[CodeInfo] = &[$(CodeInfo { code: $code, meaning: $meaning, action: $action },)+];
    };
}

codes! {
    InvalidPointer "ALLOCATOR_INVALID_POINTER":
        "The program freed, resized or measured a pointer that no allocator of this process handed out, or that points into a block."
        => "`SPANDREL_ON_ERROR` decides: the process is aborted, or the call does nothing, with or without this line.";
    DoubleFree "ALLOCATOR_DOUBLE_FREE":
        "The program freed a block that is free already."
        => "`SPANDREL_ON_ERROR` decides.";
    HeapOverflow "ALLOCATOR_HEAP_OVERFLOW":
        "The program wrote behind the bytes that it had requested for a block, or before them. Modes `hardened` and `guarded` find this."
        => "`SPANDREL_ON_ERROR` decides.";
    UseAfterFree "ALLOCATOR_USE_AFTER_FREE":
        "The program used a block after it was freed. Mode `hardened` finds writes before the block is used again, mode `guarded` any use of a sampled block."
        => "`SPANDREL_ON_ERROR` decides.";
    SizeMismatch "ALLOCATOR_SIZE_MISMATCH":
        "A sized free named a size that cannot be the requested size of the block."
        => "`SPANDREL_ON_ERROR` decides; if the process goes on, the block stays live.";
    CallMismatch "ALLOCATOR_CALL_MISMATCH":
        "A block was freed by the wrong function: a block of `new[]` by `free` or `delete`, one of `malloc` by `delete`. Mode `guarded` finds this."
        => "`SPANDREL_ON_ERROR` decides; if the process goes on, the block is freed.";
    GuardedSlots "ALLOCATOR_GUARDED_SLOTS":
        "In mode `guarded` with `SPANDREL_GUARDED_RATE=1`, all slots of `SPANDREL_GUARDED_SLOTS` hold live blocks. Printed once."
        => "Further requests are served as in the default mode until a block in a slot is freed.";
    BadOption "ALLOCATOR_BAD_OPTION":
        "An option, in the environment or in the file that `SPANDREL_CONF` names, is unknown, or its value does not have the accepted form."
        => "The option keeps its default. If the option sets a hard limit, or the file of options cannot be used, the process ends with status 127 before it runs.";
    HugePagePolicy "ALLOCATOR_HUGEPAGE_POLICY":
        "An option asks for huge pages in a profile that does not support them, or the kernel gives none."
        => "Ordinary pages are used.";
    PageExhaustion "ALLOCATOR_PAGE_EXHAUSTION":
        "There is no more memory, for a known reason: a pool or a hard limit is used up, or `vm.max_map_count` is reached. Printed once."
        => "With a pool or a hard limit the call fails with ENOMEM, and libc is not asked. Otherwise as for `ALLOCATOR_EXHAUSTION`.";
    ShutdownLeak "ALLOCATOR_SHUTDOWN_LEAK":
        "Blocks were live when the process ended, with `SPANDREL_LEAKS=1`: how many, and of which sizes; then how many of each named heap."
        => "A process that would have ended with status 0 ends with 23.";
    NumaPolicy "ALLOCATOR_NUMA_POLICY":
        "An option asks for placement on NUMA nodes in a profile that does not support it, or on a node that does not exist, or the kernel refuses it."
        => "The process's own policy places the pages.";
    PoolPolicy "ALLOCATOR_POOL_POLICY":
        "The kernel refuses to lock the pool of profile `realtime` in memory."
        => "The process goes on with the pool unlocked: its pages are present, but may be swapped out.";
    Exhaustion "ALLOCATOR_EXHAUSTION":
        "Spandrel's address space or metadata is used up, or the kernel refuses to commit more. Printed once."
        => "Small and large requests go to libc's allocator while Spandrel has no memory; if that fails too, the call fails with ENOMEM.";
    RemoteFreeOverflow "ALLOCATOR_REMOTE_FREE_OVERFLOW":
        "A thread freed a block of another thread's heap, and there was no memory for the batch in which such blocks travel. Printed once."
        => "The free is deferred: the next slow call of any thread tries again.";
    OtherTool "ALLOCATOR_OTHER_TOOL":
        "With `SPANDREL_DIAG`: valgrind runs this process, or AddressSanitizer is linked into it. If the tool serves the calls itself, as valgrind's memory checkers do, Spandrel serves none. If Spandrel serves them, the tool cannot check their blocks."
        => "The process goes on. docs/diagnosing.md says which tools serve the calls themselves.";
    Crash "ALLOCATOR_CRASH":
        "The process got SIGSEGV or SIGBUS, with `SPANDREL_CRASH_REPORT=1`: which blocks of Spandrel's lie at the faulting address and at the addresses in registers."
        => "The signal takes its previous action: the program's handler is called, or the process ends by the signal.";
    ReportOutput "ALLOCATOR_REPORT_OUTPUT":
        "A report cannot be written: the file cannot be created, the disk is full, or the program has a handler of its own for the signal. Printed once."
        => "The process goes on without that report; the next report is tried again.";
    NoBadAlloc "ALLOCATOR_NO_BAD_ALLOC":
        "`operator new` failed in a program without a C++ runtime that could throw."
        => "The process is aborted.";
    Corruption "ALLOCATOR_CORRUPTION":
        "A structure of the allocator contradicts itself: something wrote over it."
        => "The process is aborted.";
    NoExitKey "ALLOCATOR_NO_EXIT_KEY":
        "The C library has no key for thread-specific data left (`PTHREAD_KEYS_MAX`), whose destructor reports the end of a thread. Printed once."
        => "libc's allocator serves all threads but the first. With a pool, and in a fully static program, threads get heaps of their own, which are lost when they end.";
    LostLock "ALLOCATOR_LOST_LOCK":
        "The child of a fork needs a lock that a thread of the parent held, which does not exist in the child. The parent had several threads, and called `_Fork`, or forked in a signal handler that interrupted malloc."
        => "The child is aborted, because it would wait forever. Such a child may call `exec`, `_exit` and all other async-signal-safe functions.";
    HeapLimit "ALLOCATOR_HEAP_LIMIT":
        "A request in a named heap, or of a thread with an account, would exceed the hard limit; the line names the heap or account, the limit, the bytes held and the request. Or an account exceeded its soft limit. Printed once for each heap or account."
        => "At the hard limit the heap's callback is called; if the request still does not fit, the call fails with ENOMEM, and libc is not asked. At the soft limit of an account the process goes on.";
    HeapInUse "ALLOCATOR_HEAP_IN_USE":
        "A thread tried to use a named heap that another thread uses and that was not made with `SPANDREL_HEAP_SHARED`, or to destroy or delete a heap in use."
        => "The call fails with EBUSY.";
    HeapGone "ALLOCATOR_HEAP_GONE":
        "A call named a heap that was destroyed or deleted, or the program freed, resized or measured a block whose heap was destroyed."
        => "A call that names a heap fails with EINVAL. For a block `SPANDREL_ON_ERROR` decides.";
    FastPathBudget "ALLOCATOR_FAST_PATH_BUDGET":
        "Printed by `make allocator-fast-path-check` alone, never in a process: a flow takes more instructions or branches than its budget in `docs/evidence/fast-path.toml`, or the fast path has a call, a lock prefix or a system call."
        => "The check ends with status 1.";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_uniform() {
        for (position, row) in CODES.iter().enumerate() {
            assert!(row.code.starts_with("ALLOCATOR_"));
            assert!(CODES.iter().skip(position + 1).all(|other| other.code != row.code));
        }
        assert_eq!(Code::DoubleFree.name(), "ALLOCATOR_DOUBLE_FREE");
    }
}
