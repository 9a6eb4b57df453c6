#![expect(unsafe_code, reason = "initial-exec TLS needs assembly on stable Rust")]
//! The thread's words, initial-exec: reading one is a load of its offset and a load; no call, no lazy allocation, no
//! destructor.
//!
//! `fast_heap` is the heap on which the fast path works. It starts as the inert heap (the heap layer defines the symbol
//! and that initial value), so the fast path needs no test for "not ready". `own_heap` is the thread's own state word.
//! Must not know what a heap is.

use core::arch::{asm, global_asm};

/// Defines a word that is 0 in a new thread.
macro_rules! define {
    ($symbol:literal) => {
        global_asm!(
            ".pushsection .tbss.spandrel, \"awT\", @nobits",
            ".balign 8",
            concat!(".hidden ", $symbol),
            concat!(".globl ", $symbol),
            concat!(".type ", $symbol, ", @object"),
            concat!($symbol, ": .zero 8"),
            concat!(".size ", $symbol, ", 8"),
            ".popsection",
        );
    };
}

define!("spandrel_tls_own");
define!("spandrel_tls_locks");
#[cfg(debug_assertions)]
define!("spandrel_tls_ranks");

/// One instruction with the offset of a word from the thread's control block, `fs`, in register `{0}`.
macro_rules! with_word {
    ($symbol:literal, $instruction:literal, $result:tt, [$($input:expr)?], $($option:ident),+) => {
        // SAFETY: reads or writes a word of this thread; the symbol is defined in this library.
        unsafe {
            asm!(
                concat!("mov {0}, qword ptr [rip + ", $symbol, "@GOTTPOFF]"),
                $instruction,
                out(reg) $result,
                $(in(reg) $input,)?
                options($($option),+),
            )
        }
    };
}

/// The address of the heap that this thread's fast path uses.
#[inline(always)]
pub(crate) fn fast_heap() -> usize {
    let heap: usize;
    with_word!("spandrel_tls_fast", "mov {0}, qword ptr fs:[{0}]", heap, [], pure, readonly, nostack, preserves_flags);
    heap
}

#[inline(always)]
pub(crate) fn set_fast_heap(heap: usize) {
    with_word!("spandrel_tls_fast", "mov qword ptr fs:[{0}], {1}", _, [heap], nostack, preserves_flags);
}

/// Where this thread keeps [`fast_heap`]: an address that no other thread of the process has.
pub(crate) fn word_address() -> usize {
    let address: usize;
    // The first word of the thread's control block is that block's own address.
    with_word!("spandrel_tls_fast", "add {0}, qword ptr fs:[0]", address, [], pure, readonly, nostack);
    address
}

/// The thread's state word; 0 in a new thread.
#[inline(always)]
pub(crate) fn own_heap() -> usize {
    let state: usize;
    with_word!("spandrel_tls_own", "mov {0}, qword ptr fs:[{0}]", state, [], pure, readonly, nostack, preserves_flags);
    state
}

#[inline(always)]
pub(crate) fn set_own_heap(state: usize) {
    with_word!("spandrel_tls_own", "mov qword ptr fs:[{0}], {1}", _, [state], nostack, preserves_flags);
}

/// How many locks this thread holds, is about to take, or has just given back. Each change is one instruction, so a
/// signal handler sees one number or the next.
#[inline(always)]
pub(crate) fn locks() -> usize {
    let locks: usize;
    // Not pure: the word changes between two reads of one function.
    with_word!("spandrel_tls_locks", "mov {0}, qword ptr fs:[{0}]", locks, [], readonly, nostack, preserves_flags);
    locks
}

/// Counts a lock that is about to be taken.
#[inline(always)]
pub(crate) fn count_lock() {
    with_word!("spandrel_tls_locks", "inc qword ptr fs:[{0}]", _, [], nostack);
}

/// Counts a lock that was given back.
#[inline(always)]
pub(crate) fn count_unlock() {
    with_word!("spandrel_tls_locks", "dec qword ptr fs:[{0}]", _, [], nostack);
}

/// The ranks of the locks this thread holds, one bit each; used by debug builds alone.
#[cfg(all(debug_assertions, not(loom)))]
pub(crate) fn held_ranks() -> usize {
    let ranks: usize;
    with_word!(
        "spandrel_tls_ranks",
        "mov {0}, qword ptr fs:[{0}]",
        ranks,
        [],
        pure,
        readonly,
        nostack,
        preserves_flags
    );
    ranks
}

#[cfg(all(debug_assertions, not(loom)))]
pub(crate) fn set_held_ranks(ranks: usize) {
    with_word!("spandrel_tls_ranks", "mov qword ptr fs:[{0}], {1}", _, [ranks], nostack, preserves_flags);
}
