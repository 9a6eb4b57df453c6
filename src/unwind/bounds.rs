#![expect(unsafe_code, reason = "reads stacks")]
//! How far a stack goes: words of it are read only where it certainly is, or where the kernel says that something can be read.
//!
//! Two ends are known without asking: the process's first stack ends where ld.so found it, and glibc puts the control block of a
//! thread it makes at the end of that thread's stack. Must not know what the words mean.

use core::arch::asm;

use crate::sys::atomic::{AtomicU64, Ordering};
use crate::sys::{call, startup};

/// The kernel keeps at least 128 MiB of address space below the end of the first stack free of other mappings.
const FIRST_STACK_MAX: usize = 100 << 20;
/// A thread's stack is not believed to be larger than this.
const THREAD_STACK_MAX: usize = 1 << 30;
/// No kernel has smaller pages.
const PAGE: usize = 4096;
const WORD: usize = size_of::<usize>();
/// A power of two.
const KNOWN: usize = 256;
/// Most pages that are asked for to join a thread's stack pointer with the end of its stack.
const ASKED_MAX: usize = 2048;
/// Bits of a count of pages.
const COUNT_BITS: u32 = 24;

/// The page of a control block, and below it the number of pages before it that could be read. Any thread writes. What is found for one
/// control block holds for the next thread that has its own there: it stands on the same stack.
static REACHES: [AtomicU64; KNOWN] = [const { AtomicU64::new(0) }; KNOWN];

/// The place for what is known of the control block in `page`.
fn reach_of(page: usize) -> Option<&'static AtomicU64> {
    REACHES.get((page ^ page >> KNOWN.trailing_zeros()) % KNOWN)
}

/// How many pages before `page`, that of a control block, are known to be readable.
fn known_reach(page: usize) -> usize {
    // Relaxed: a word that is right by itself.
    let word = reach_of(page).map_or(0, |known| known.load(Ordering::Relaxed)) as usize;
    if word >> COUNT_BITS == page { word & ((1 << COUNT_BITS) - 1) } else { 0 }
}

/// See the module.
pub(super) struct Bounds {
    start: usize,
    end: usize,
    /// The last page that the kernel said can be read.
    asked: usize,
}

fn control_block() -> usize {
    let address: usize;
    // SAFETY: the first word of the control block is its own address (x86-64 ABI).
    unsafe { asm!("mov {}, fs:[0]", out(reg) address, options(pure, readonly, nostack, preserves_flags)) };
    address
}

impl Bounds {
    /// The stack that `pointer` is in.
    #[inline]
    pub(super) fn around(pointer: usize) -> Self {
        let start = pointer & !(WORD - 1);
        let first = startup::stack_end();
        if first > start && first - start <= FIRST_STACK_MAX {
            return Self { start, end: first, asked: 0 };
        }
        let block = control_block();
        if block <= start || block - start > THREAD_STACK_MAX {
            return Self { start, end: start, asked: 0 };
        }
        let (here, last) = (start / PAGE, block / PAGE);
        let reach = known_reach(last);
        if last - here <= reach || Self::explore(here, last, reach) {
            Self { start, end: block, asked: 0 }
        } else {
            Self { start, end: start, asked: 0 }
        }
    }

    /// Asks the kernel for the pages from `here` on up to what is known of those before `last`, and notes the answer.
    #[cold]
    fn explore(here: usize, last: usize, reach: usize) -> bool {
        let unknown = here..last - reach;
        if unknown.len() > ASKED_MAX || !unknown.clone().all(|page| call::is_readable(page * PAGE)) {
            return false;
        }
        if let Some(known) = reach_of(last) {
            // Relaxed: see `known_reach`.
            known.store((last << COUNT_BITS | (last - here)) as u64, Ordering::Relaxed);
        }
        true
    }

    /// The word at `address`; `None` if nothing can be read there.
    #[inline]
    pub(super) fn word(&mut self, address: usize) -> Option<usize> {
        if !address.is_multiple_of(WORD) {
            return None;
        }
        if address.wrapping_sub(self.start) >= self.end.wrapping_sub(self.start) && !self.ask(address) {
            return None;
        }
        // SAFETY: within the stack, or just found readable; aligned, so it lies in one page.
        Some(unsafe { core::ptr::with_exposed_provenance::<usize>(address).read_volatile() })
    }

    #[cold]
    fn ask(&mut self, address: usize) -> bool {
        let page = address & !(PAGE - 1);
        if page != self.asked && call::is_readable(address) {
            self.asked = page;
        }
        page == self.asked && page != 0
    }
}
