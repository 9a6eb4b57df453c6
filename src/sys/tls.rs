#![expect(unsafe_code, reason = "initial-exec TLS needs assembly on stable Rust")]
//! The thread's words, initial-exec: reading one is a load of its offset and a load; no call, no lazy allocation, no destructor.
//!
//! `hot` is the heap on which the fast path works. It starts as the inert heap (the heap layer defines the symbol and that initial
//! value), so the fast path needs no test for "not ready". `home` is the thread's own state word. Must not know what a heap is.

use core::arch::{asm, global_asm};

global_asm!(
    ".pushsection .tbss.spandrel, \"awT\", @nobits",
    ".balign 8",
    ".hidden spandrel_tls_home",
    ".globl spandrel_tls_home",
    ".type spandrel_tls_home, @object",
    "spandrel_tls_home: .zero 8",
    ".size spandrel_tls_home, 8",
    ".hidden spandrel_tls_locks",
    ".globl spandrel_tls_locks",
    ".type spandrel_tls_locks, @object",
    "spandrel_tls_locks: .zero 8",
    ".size spandrel_tls_locks, 8",
    ".popsection",
);

#[cfg(debug_assertions)]
global_asm!(
    ".pushsection .tbss.spandrel, \"awT\", @nobits",
    ".hidden spandrel_tls_ranks",
    ".globl spandrel_tls_ranks",
    ".type spandrel_tls_ranks, @object",
    "spandrel_tls_ranks: .zero 8",
    ".size spandrel_tls_ranks, 8",
    ".popsection",
);

macro_rules! read {
    ($symbol:literal) => {{
        let value: usize;
        // SAFETY: reads a word of this thread; the symbol is defined in this library.
        unsafe {
            asm!(
                concat!("mov {0}, qword ptr [rip + ", $symbol, "@GOTTPOFF]"),
                "mov {0}, qword ptr fs:[{0}]",
                out(reg) value,
                options(pure, readonly, nostack, preserves_flags),
            );
        }
        value
    }};
}

/// As `read`, for a word that changes between two reads of one function.
macro_rules! read_changing {
    ($symbol:literal) => {{
        let value: usize;
        // SAFETY: reads a word of this thread; the symbol is defined in this library.
        unsafe {
            asm!(
                concat!("mov {0}, qword ptr [rip + ", $symbol, "@GOTTPOFF]"),
                "mov {0}, qword ptr fs:[{0}]",
                out(reg) value,
                options(readonly, nostack, preserves_flags),
            );
        }
        value
    }};
}

macro_rules! change {
    ($symbol:literal, $instruction:literal) => {{
        // SAFETY: changes a word of this thread; the symbol is defined in this library.
        unsafe {
            asm!(
                concat!("mov {0}, qword ptr [rip + ", $symbol, "@GOTTPOFF]"),
                concat!($instruction, " qword ptr fs:[{0}]"),
                out(reg) _,
                options(nostack),
            );
        }
    }};
}

macro_rules! write {
    ($symbol:literal, $value:expr) => {{
        let value: usize = $value;
        // SAFETY: writes a word of this thread; the symbol is defined in this library.
        unsafe {
            asm!(
                concat!("mov {0}, qword ptr [rip + ", $symbol, "@GOTTPOFF]"),
                "mov qword ptr fs:[{0}], {1}",
                out(reg) _,
                in(reg) value,
                options(nostack, preserves_flags),
            );
        }
    }};
}

/// The address of the heap that this thread's fast path uses.
#[inline(always)]
pub(crate) fn fast_heap() -> usize {
    read!("spandrel_tls_fast")
}

/// Sets [`hot`].
#[inline(always)]
pub(crate) fn set_fast_heap(heap: usize) {
    write!("spandrel_tls_fast", heap);
}

/// Where this thread keeps [`hot`]: an address that no other thread of the process has.
pub(crate) fn word_address() -> usize {
    let address: usize;
    // SAFETY: the first word of the thread's control block is that block's own address.
    unsafe {
        asm!(
            "mov {0}, qword ptr [rip + spandrel_tls_fast@GOTTPOFF]",
            "add {0}, qword ptr fs:[0]",
            out(reg) address,
            options(pure, readonly, nostack),
        );
    }
    address
}

/// The thread's state word; 0 in a new thread.
#[inline(always)]
pub(crate) fn own_heap() -> usize {
    read!("spandrel_tls_home")
}

/// Sets [`home`].
#[inline(always)]
pub(crate) fn set_own_heap(state: usize) {
    write!("spandrel_tls_home", state);
}

/// How many locks this thread holds, is about to take, or has just given back. Each change is one instruction, so a signal handler sees
/// one number or the next.
#[inline(always)]
pub(crate) fn locks() -> usize {
    read_changing!("spandrel_tls_locks")
}

/// Counts a lock that is about to be taken.
#[inline(always)]
pub(crate) fn count_lock() {
    change!("spandrel_tls_locks", "inc");
}

/// Counts a lock that was given back.
#[inline(always)]
pub(crate) fn count_unlock() {
    change!("spandrel_tls_locks", "dec");
}

/// The ranks of the locks this thread holds, one bit each; used by debug builds alone.
#[cfg(all(debug_assertions, not(loom)))]
pub(crate) fn held_ranks() -> usize {
    read!("spandrel_tls_ranks")
}

/// Sets [`held_ranks`].
#[cfg(all(debug_assertions, not(loom)))]
pub(crate) fn set_held_ranks(ranks: usize) {
    write!("spandrel_tls_ranks", ranks);
}

/// The current stack pointer.
pub(crate) fn stack_pointer() -> usize {
    let value: usize;
    // SAFETY: reads a register.
    unsafe { asm!("mov {0}, rsp", out(reg) value, options(nomem, nostack, preserves_flags)) };
    value
}

/// Adds `DELTA` to a word in one instruction: a signal handler or a copy by fork sees it before or after, never between. That does
/// not make the steps around it one.
///
/// # Safety
/// - `word` is readable and writable, and no other thread writes it.
#[inline(always)]
pub(crate) unsafe fn step<const DELTA: isize>(word: *mut usize) {
    // SAFETY: the caller vouches for the word.
    unsafe { asm!("add qword ptr [{0}], {1}", in(reg) word, const DELTA, options(nostack)) };
}

/// As [`step`], for the word `offset` bytes behind `base`: the processor adds the two, which saves an instruction.
///
/// # Safety
/// - As for [`step`].
#[inline(always)]
pub(crate) unsafe fn step_at<const DELTA: isize>(base: *const u8, offset: usize) {
    // SAFETY: the caller vouches for the word.
    unsafe { asm!("add qword ptr [{0} + {1}], {2}", in(reg) base, in(reg) offset, const DELTA, options(nostack)) };
}

/// Whether `value` is below the word `OFFSET` bytes behind `base`, which other threads may write: the comparison reads memory by itself,
/// which saves the instruction that an atomic load would be.
///
/// # Safety
/// - An aligned word is there.
#[inline(always)]
pub(crate) unsafe fn is_below<const OFFSET: usize>(value: usize, base: *const u8) -> bool {
    // SAFETY: the caller vouches for the word. The processor reads an aligned word as a whole, so this is a relaxed load.
    unsafe {
        asm!("cmp {0}, qword ptr [{1} + {2}]", "jae {3}", in(reg) value, in(reg) base, const OFFSET, label { return false },
            options(readonly, nostack));
    }
    true
}
