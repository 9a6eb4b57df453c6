//! What a heap counts of itself, off the fast path, and what of it statistics may see from other threads.
//!
//! A heap counts from when it was placed, for all the threads that have had it.

use core::cell::Cell;
use core::mem::offset_of;

use crate::base::class::{self, Class};
use crate::sys::atomic::{AtomicU32, AtomicUsize, Ordering};

/// See the module. Written by the heap's thread, read by anyone, who may see them a moment old. All-zero bytes are a start.
pub(super) struct Counters {
    /// By class: bins refilled and flushed.
    pub(super) refills: [AtomicU32; class::COUNT],
    pub(super) flushes: [AtomicU32; class::COUNT],
    /// Batches sent and received, and the blocks in them.
    pub(super) sent: AtomicU32,
    pub(super) received: AtomicU32,
    pub(super) sent_blocks: AtomicUsize,
    pub(super) received_blocks: AtomicUsize,
    /// Checks made, and the class that was refilled or flushed last, counted from 1.
    #[cfg(debug_assertions)]
    checks: Cell<u32>,
    #[cfg(debug_assertions)]
    last: Cell<usize>,
    /// Bytes of blocks of this heap's spans that are out. Scratch of who takes a snapshot, under the registry's lock.
    pub(super) out: Cell<usize>,
}

/// Batches of remote frees and the blocks in them.
#[derive(Clone, Copy, Default, Debug)]
pub struct Traffic {
    /// Batches sent to other heaps and to the depot.
    pub sent: u64,
    /// Blocks in them.
    pub sent_blocks: u64,
    /// Batches taken from the inbox.
    pub received: u64,
    /// Blocks in them.
    pub received_blocks: u64,
}

/// Adds one to a counter that only this thread writes.
fn count(counter: &AtomicU32) {
    // Relaxed: one writer; readers only count.
    counter.store(counter.load(Ordering::Relaxed).wrapping_add(1), Ordering::Relaxed);
}

fn add(counter: &AtomicUsize, more: usize) {
    // Relaxed: as in `count`.
    counter.store(counter.load(Ordering::Relaxed).wrapping_add(more), Ordering::Relaxed);
}

impl Counters {
    /// Offsets of refills, flushes, batches sent and received (four bytes each), blocks sent and received.
    pub(super) const OFFSETS: [usize; 6] = [
        offset_of!(Self, refills),
        offset_of!(Self, flushes),
        offset_of!(Self, sent),
        offset_of!(Self, received),
        offset_of!(Self, sent_blocks),
        offset_of!(Self, received_blocks),
    ];

    /// Counts a check; how many there were before.
    #[cfg(debug_assertions)]
    pub(super) fn next_check(&self) -> u32 {
        self.checks.replace(self.checks.get().wrapping_add(1))
    }

    /// The class that was refilled or flushed last.
    #[cfg(debug_assertions)]
    pub(super) fn last(&self) -> Option<Class> {
        self.last.get().checked_sub(1).and_then(Class::from_index)
    }

    /// Counts a refill of the bin of `class`.
    pub(super) fn refilled(&self, class: Class) {
        self.note(class);
        if let Some(counter) = self.refills.get(class.index()) {
            count(counter);
        }
    }

    /// Counts a flush of the bin of `class`.
    pub(super) fn flushed(&self, class: Class) {
        self.note(class);
        if let Some(counter) = self.flushes.get(class.index()) {
            count(counter);
        }
    }

    #[cfg(debug_assertions)]
    fn note(&self, class: Class) {
        self.last.set(class.index() + 1);
    }

    #[cfg(not(debug_assertions))]
    const fn note(&self, _: Class) {}

    /// Counts a batch of `blocks` that was sent.
    pub(super) fn sent(&self, blocks: usize) {
        count(&self.sent);
        add(&self.sent_blocks, blocks);
    }

    /// Counts a batch of `blocks` that was received.
    pub(super) fn received(&self, blocks: usize) {
        count(&self.received);
        add(&self.received_blocks, blocks);
    }

    /// Batches sent so far.
    pub(super) fn batches_sent(&self) -> u32 {
        // Relaxed: see `count`.
        self.sent.load(Ordering::Relaxed)
    }
}
