//! Counters of a heap, kept off the fast path; statistics read some of them from other threads.
//!
//! A heap counts from its creation on, for all the threads that have had it.

use core::cell::Cell;
use core::mem::offset_of;

use crate::base::class::{self, Class};
use crate::sys::atomic::{AtomicU8, AtomicU32, AtomicUsize};
use crate::sys::cell::Relaxed;

/// The counters of one heap. Written by the thread that holds the heap's spans; read by any thread, which may see
/// values a moment old. All-zero bytes are a valid start.
pub(super) struct Counters {
    /// Refills and flushes, by class.
    pub(super) refills: [Relaxed<AtomicU32>; class::COUNT],
    pub(super) flushes: [Relaxed<AtomicU32>; class::COUNT],
    /// Refills that blocks from other threads served, by class. A heap has no room for more than their lowest byte;
    /// each time one turns over, the central store counts a turn.
    pub(super) received_refills: [Relaxed<AtomicU8>; class::COUNT],
    /// Blocks, and their bytes, that came into bins from elsewhere than the program, less those that left bins for
    /// elsewhere; and those that the program got or freed past the bins, as if they had passed through one. Less the
    /// blocks in the bins that is how many the program got from this heap, less how many it freed here. So the fast
    /// path, which moves blocks between bins and program, counts nothing. May be below zero, and wraps.
    pub(super) given_blocks: Relaxed<AtomicUsize>,
    pub(super) given_bytes: Relaxed<AtomicUsize>,
    /// As these, of blocks that never pass a bin, as far as a mode counts them. Written by the heap's thread alone.
    pub(super) own_blocks: Relaxed<AtomicUsize>,
    pub(super) own_bytes: Relaxed<AtomicUsize>,
    /// Batches sent and received, and the blocks in them.
    pub(super) sent: Relaxed<AtomicU32>,
    pub(super) received: Relaxed<AtomicU32>,
    pub(super) sent_blocks: Relaxed<AtomicUsize>,
    pub(super) received_blocks: Relaxed<AtomicUsize>,
    /// Checks made, and the class that was refilled or flushed last, counted from 1. Written and read by the heap's
    /// thread.
    #[cfg(debug_assertions)]
    checks: Cell<u32>,
    #[cfg(debug_assertions)]
    last: Cell<usize>,
    /// Bytes of blocks of this heap's spans that are out. Scratch space of the thread that takes a snapshot, guarded by
    /// the registry's lock.
    pub(super) out: Cell<usize>,
}

/// Batches of remote frees and the blocks in them.
#[derive(Clone, Copy, Default, Debug)]
pub struct Traffic {
    /// Batches sent to other heaps and to the central list.
    pub sent: u64,
    /// Blocks in them.
    pub sent_blocks: u64,
    /// Batches taken from the inbox.
    pub received: u64,
    /// Blocks in them.
    pub received_blocks: u64,
}

impl Counters {
    /// Offsets of refills and flushes (four bytes each), refills by received blocks (one byte each), batches sent and
    /// received (four bytes each), blocks sent and received.
    pub(super) const OFFSETS: [usize; 7] = [
        offset_of!(Self, refills),
        offset_of!(Self, flushes),
        offset_of!(Self, received_refills),
        offset_of!(Self, sent),
        offset_of!(Self, received),
        offset_of!(Self, sent_blocks),
        offset_of!(Self, received_blocks),
    ];

    /// Counts a check. Returns how many came before it.
    #[cfg(debug_assertions)]
    pub(super) fn next_check(&self) -> u32 {
        self.checks.replace(self.checks.get().wrapping_add(1))
    }

    /// The class that was refilled or flushed last.
    #[cfg(debug_assertions)]
    pub(super) fn last(&self) -> Option<Class> {
        self.last.get().checked_sub(1).and_then(Class::from_index)
    }

    /// Notes which class was refilled or flushed, for the check.
    #[cfg(debug_assertions)]
    pub(super) fn note(&self, class: Class) {
        self.last.set(class.index() + 1);
    }

    /// Does nothing: without debug assertions there are no checks.
    #[cfg(not(debug_assertions))]
    pub(super) const fn note(&self, _: Class) {}
}
