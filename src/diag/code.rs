//! The table of stable codes. `docs/diagnostics.md` is made from it.
//!
//! A code, once released, keeps its name and meaning. Must not know who reports it.

/// A row of the table, for documentation.
pub struct CodeInfo {
    /// The stable name, as printed.
    pub code: &'static str,
    /// What happened.
    pub meaning: &'static str,
    /// What Spandrel does about it.
    pub action: &'static str,
}

macro_rules! codes {
    ($($variant:ident $code:literal: $meaning:literal => $action:literal;)+) => {
        /// What can go wrong, one variant per stable code.
        #[derive(Clone, Copy, PartialEq, Eq, Debug)]
        pub enum Code {
            $(#[doc = $meaning] $variant,)+
        }

        impl Code {
            /// The stable name, as printed.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $code,)+
                }
            }
        }

        /// All codes, for documentation and tools.
        pub const CODES: &[CodeInfo] = &[$(CodeInfo { code: $code, meaning: $meaning, action: $action },)+];
    };
}

codes! {
    InvalidPointer "ALLOCATOR_INVALID_POINTER":
        "A pointer was freed, resized or measured that no allocator of this process handed out, or that points into a block."
        => "Follows `SPANDREL_ON_ERROR`: abort, or report and do nothing, or do nothing.";
    DoubleFree "ALLOCATOR_DOUBLE_FREE":
        "A block was freed that is free already."
        => "Follows `SPANDREL_ON_ERROR`.";
    HeapOverflow "ALLOCATOR_HEAP_OVERFLOW":
        "Something wrote behind the bytes of a block that were asked for, or before them. Modes `hardened` and `guarded` find that."
        => "Follows `SPANDREL_ON_ERROR`.";
    UseAfterFree "ALLOCATOR_USE_AFTER_FREE":
        "Something used a block after it was freed. Mode `hardened` finds writes when the block is about to be used again, mode `guarded` any use of a sampled block."
        => "Follows `SPANDREL_ON_ERROR`.";
    SizeMismatch "ALLOCATOR_SIZE_MISMATCH":
        "A sized free named a size that the block cannot have been asked for with."
        => "Follows `SPANDREL_ON_ERROR`; where the process goes on, the block stays live.";
    BadOption "ALLOCATOR_BAD_OPTION":
        "An environment variable that begins with `SPANDREL_` has a value that is not of its form, or is unknown."
        => "The option keeps its default.";
    HugePagePolicy "ALLOCATOR_HUGEPAGE_POLICY":
        "Huge pages were asked for in a profile that has none, or the kernel gives none."
        => "Ordinary pages are used.";
    PageExhaustion "ALLOCATOR_PAGE_EXHAUSTION":
        "Pages ran out for a reason that can be named: a pool or a hard limit is used up, or `vm.max_map_count` is reached; said once."
        => "With a pool or a hard limit the call fails with ENOMEM, and libc is not asked. Otherwise as for `ALLOCATOR_EXHAUSTION`.";
    ShutdownLeak "ALLOCATOR_SHUTDOWN_LEAK":
        "Blocks were live when the process ended, with `SPANDREL_LEAKS=1`: how many, and of which sizes."
        => "A process that would have ended with status 0 ends with 23.";
    NumaPolicy "ALLOCATOR_NUMA_POLICY":
        "A placement on NUMA nodes was asked for in a profile that has none, or on a node that does not exist, or the kernel refuses it."
        => "Pages are placed by the process's own policy.";
    PoolPolicy "ALLOCATOR_POOL_POLICY":
        "The pool of profile `realtime` cannot be locked in memory."
        => "It is used unlocked; its pages are present, but may be swapped out.";
    Exhaustion "ALLOCATOR_EXHAUSTION":
        "Address space or memory of Spandrel's own ran out; said once."
        => "Small and large requests go to libc's allocator while Spandrel has none; if that fails too, the call fails with ENOMEM.";
    RemoteFreeOverflow "ALLOCATOR_REMOTE_FREE_OVERFLOW":
        "There was no memory for the batch in which a block goes home that another thread freed than the one it belongs to; said once."
        => "The block waits, and the next slow call of any thread tries again.";
    OtherTool "ALLOCATOR_OTHER_TOOL":
        "With `SPANDREL_DIAG`: valgrind runs this process, or AddressSanitizer is linked into it. A tool that serves the calls itself, as valgrind's memory checkers do, finds everything, and Spandrel serves nothing; blocks that Spandrel serves are seen by neither."
        => "Goes on. See docs/diagnosing.md for who serves the calls when.";
    Crash "ALLOCATOR_CRASH":
        "The process met SIGSEGV or SIGBUS, with `SPANDREL_CRASH_REPORT=1`: what the address that could not be used, and the registers that hold addresses of Spandrel's, have to do with its memory."
        => "What was to happen before: the handler of the program's is called, or the process ends by the signal.";
    ReportOutput "ALLOCATOR_REPORT_OUTPUT":
        "A report that was asked for cannot be written: the file cannot be made, the disk is full, or the signal that asks for it has a handler of the program's; said once."
        => "The process goes on without that report; the next one is tried again.";
    NoBadAlloc "ALLOCATOR_NO_BAD_ALLOC":
        "`operator new` failed in a program without a C++ runtime that could throw."
        => "The process is aborted.";
    Corruption "ALLOCATOR_CORRUPTION":
        "A structure of the allocator contradicts itself: something wrote where it must not."
        => "The process is aborted.";
    NoExitKey "ALLOCATOR_NO_EXIT_KEY":
        "The C library has no key left (`PTHREAD_KEYS_MAX`) by which it would tell of a thread's end; said once."
        => "libc's allocator serves all threads but the first. With a pool, and in a fully static program, threads get heaps of their own, which are lost when they end.";
    LostLock "ALLOCATOR_LOST_LOCK":
        "A child needs a lock that is held by a thread which it does not have: it was made by `_Fork`, or by a signal handler that forked while its thread was inside malloc, in a process with several threads."
        => "The child is aborted, for it could only wait for ever. Such a child may call `exec` and `_exit`, and whatever else is async-signal-safe.";
    FastPathBudget "ALLOCATOR_FAST_PATH_BUDGET":
        "Printed by `make allocator-fast-path-check` alone, never in a process: a flow takes more instructions or branches than its budget in `docs/evidence/fast-path.toml`, or the fast path has a call, a lock prefix or a system call."
        => "The check ends with 1.";
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
