#![expect(unsafe_code, reason = "reads registers and stacks")]
//! A thread's registers and its stack. Words of a stack are read where it certainly is, or where the kernel says that
//! something can be read.
//!
//! The ends of two kinds of stacks are known without a system call: that of the process's first stack from ld.so, and
//! that of a thread that glibc made, because its control block lies there. Must not know what the words mean.

use core::arch::asm;

use gimli::{Register, X86_64};

use crate::sys::atomic::{AtomicU64, Ordering};
use crate::sys::{call, startup};

/// Where a thread is in its code and on its stack.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Registers {
    /// The instruction pointer.
    pub(super) rip: usize,
    /// The stack pointer.
    pub(super) rsp: usize,
    /// The frame pointer, or any other value that the code keeps in the register.
    pub(super) rbp: usize,
}

impl Registers {
    pub(super) const RBP: Register = X86_64::RBP;
    pub(super) const RSP: Register = X86_64::RSP;
    pub(super) const RIP: Register = X86_64::RA;

    /// The present ones.
    #[inline(always)]
    pub(super) fn here() -> Self {
        let (rip, rsp, rbp);
        // SAFETY: copies three registers, changes none.
        unsafe {
            asm!("lea {}, [rip]", "mov {}, rsp", "mov {}, rbp", out(reg) rip, out(reg) rsp, out(reg) rbp,
                options(nomem, nostack, preserves_flags));
        }
        Self { rip, rsp, rbp }
    }

    /// The value of one of the three; `None` for others.
    pub(super) fn get(&self, number: Register) -> Option<usize> {
        match number {
            Self::RBP => Some(self.rbp),
            Self::RSP => Some(self.rsp),
            Self::RIP => Some(self.rip),
            _ => None,
        }
    }
}

/// The kernel keeps at least 128 MiB of address space below the end of the first stack free of other mappings.
const FIRST_STACK_MAX: usize = 100 << 20;
/// Most bytes between a stack pointer and the control block of its thread; if there are more, the stack is not glibc's.
const THREAD_STACK_MAX: usize = 1 << 30;
/// No kernel has smaller pages.
const PAGE: usize = 4096;
const WORD: usize = size_of::<usize>();
/// Control blocks whose stacks are remembered; a power of two.
const KNOWN: usize = 256;
/// Most pages for which the kernel is asked, between a stack pointer and the control block of its thread.
const ASKED_MAX: usize = 2048;
/// Bits of a word of [`REACHES`] that count pages.
const COUNT_BITS: u32 = 24;

/// The number of a control block's page, and in the lower bits how many pages before it are readable. Any thread writes
/// and reads. The answer also holds for the next thread with a control block there, because glibc gives it the same
/// stack.
static REACHES: [AtomicU64; KNOWN] = [const { AtomicU64::new(0) }; KNOWN];

/// The word for the control block in `page`.
fn reach_of(page: usize) -> Option<&'static AtomicU64> {
    REACHES.get((page ^ page >> KNOWN.trailing_zeros()) % KNOWN)
}

/// How many pages before `page`, that of a control block, are known to be readable.
fn known_reach(page: usize) -> usize {
    // Relaxed: the word publishes no other memory; after an old one the kernel is asked again.
    let word = reach_of(page).map_or(0, |known| known.load(Ordering::Relaxed)) as usize;
    if word >> COUNT_BITS == page { word & ((1 << COUNT_BITS) - 1) } else { 0 }
}

/// The readable part of a stack.
///
/// # Invariants
/// - The memory between `start` and `end` is mapped and readable, and stays so while its thread runs.
pub(super) struct Stack {
    start: usize,
    end: usize,
    /// How many whole words lie between the two.
    words: usize,
    /// The last page elsewhere that the kernel found readable; 0 if there is none.
    asked: usize,
}

fn control_block() -> usize {
    let address: usize;
    // SAFETY: the first word of the control block is its own address (x86-64 ABI).
    unsafe { asm!("mov {}, fs:[0]", out(reg) address, options(pure, readonly, nostack, preserves_flags)) };
    address
}

impl Stack {
    /// The stack that `pointer` is in.
    #[inline]
    pub(super) fn around(pointer: usize) -> Self {
        let start = pointer & !(WORD - 1);
        let first = startup::stack_end();
        if first > start && first - start <= FIRST_STACK_MAX {
            return Self::between(start, first);
        }
        let block = control_block();
        if block <= start || block - start > THREAD_STACK_MAX {
            return Self::between(start, start);
        }
        let (here, last) = (start / PAGE, block / PAGE);
        let reach = known_reach(last);
        let known = last - here <= reach || Self::explore(here, last, reach);
        Self::between(start, if known { block } else { start })
    }

    #[inline]
    fn between(start: usize, end: usize) -> Self {
        Self { start, end, words: (end - start) / WORD, asked: 0 }
    }

    /// Whether the `bytes` from `start` on, both multiples of a word, are known to be readable without a question to
    /// the kernel.
    #[inline(always)]
    pub(super) fn holds(&self, start: usize, bytes: usize) -> bool {
        start >= self.start && start <= self.end && bytes <= self.end - start
    }

    /// The word at `address`.
    ///
    /// # Safety
    /// - `address` is a multiple of a word, and [`Stack::holds`] that word.
    #[inline(always)]
    pub(super) unsafe fn word_unchecked(&self, address: usize) -> usize {
        // SAFETY: the word is a readable one of the stack, as the caller says.
        unsafe { core::ptr::with_exposed_provenance::<usize>(address).read_volatile() }
    }

    /// Asks the kernel whether the pages from `here` on are readable, up to the `reach` known ones before `last`, and
    /// remembers a yes.
    #[cold]
    fn explore(here: usize, last: usize, reach: usize) -> bool {
        let unknown = here..last - reach;
        if unknown.len() > ASKED_MAX || !unknown.clone().all(|page| call::is_readable(page * PAGE)) {
            return false;
        }
        if let Some(known) = reach_of(last) {
            // Relaxed: as in `known_reach`.
            known.store((last << COUNT_BITS | (last - here)) as u64, Ordering::Relaxed);
        }
        true
    }

    /// The word at `address`; `None` if nothing can be read there.
    #[inline(always)]
    pub(super) fn word(&mut self, address: usize) -> Option<usize> {
        // One comparison for alignment and bounds: `start` is a multiple of a word, so the low bits of a distance that
        // is none become its highest.
        let distance = address.wrapping_sub(self.start).rotate_right(WORD.trailing_zeros());
        if distance >= self.words && !self.ask(address) {
            return None;
        }
        // SAFETY: aligned, so it lies in one page: of the stack (see the invariants), or one that the kernel found
        // readable.
        Some(unsafe { core::ptr::with_exposed_provenance::<usize>(address).read_volatile() })
    }

    #[cold]
    fn ask(&mut self, address: usize) -> bool {
        if !address.is_multiple_of(WORD) {
            return false;
        }
        let page = address & !(PAGE - 1);
        if page != self.asked && call::is_readable(address) {
            self.asked = page;
        }
        page == self.asked && page != 0
    }
}
