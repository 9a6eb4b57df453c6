//! What a heap counts of itself, off the fast path, and what of it statistics may see from other threads.
//!
//! A heap counts from when it was placed, for all the threads that have had it.

use core::cell::Cell;
use core::mem::offset_of;

use super::layout::Heap;
use crate::base::class::{self, Class};
use crate::heap::remote::inbox;
use crate::sys::atomic::{AtomicU32, AtomicUsize, Ordering};

/// See the module. Written by the heap's thread, read by anyone, who may see them a moment old. All-zero bytes are a start.
pub(super) struct Counters {
    /// By class: bins refilled and flushed.
    refills: [AtomicU32; class::COUNT],
    flushes: [AtomicU32; class::COUNT],
    /// Batches sent and received, and the blocks in them.
    sent: AtomicU32,
    received: AtomicU32,
    sent_blocks: AtomicUsize,
    received_blocks: AtomicUsize,
    /// Checks made, and the class that was refilled or flushed last, counted from 1.
    #[cfg(debug_assertions)]
    checks: Cell<u32>,
    #[cfg(debug_assertions)]
    last: Cell<usize>,
    /// Bytes of blocks of this heap's spans that are out. Scratch of who takes a snapshot, under the registry's lock.
    out: Cell<usize>,
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

impl Heap {
    /// Blocks of `class` in the bin, for statistics; a moment old when asked from another thread.
    pub(crate) fn binned(&self, class: Class) -> usize {
        self.bin(class).len()
    }

    /// Whether the block at `address` is in the bin of `class`. For signal handlers: the bin's thread may change it meanwhile.
    pub(crate) fn bin_holds(&self, class: Class, address: usize) -> bool {
        let bin = self.bin(class);
        let len = bin.len().min(bin.capacity());
        (1..=len).any(|index| bin.block(index).addr() == address)
    }

    /// Refills and flushes of the bin of `class` so far.
    pub(crate) fn events_of(&self, class: Class) -> [u64; 2] {
        let counters = &self.counters;
        // Relaxed: counters.
        [&counters.refills, &counters.flushes]
            .map(|counts| counts.get(class.index()).map_or(0, |count| u64::from(count.load(Ordering::Relaxed))))
    }

    /// Batches of remote frees so far.
    pub(crate) fn traffic(&self) -> Traffic {
        let counters = &self.counters;
        // Relaxed: counters.
        Traffic {
            sent: u64::from(counters.sent.load(Ordering::Relaxed)),
            sent_blocks: counters.sent_blocks.load(Ordering::Relaxed) as u64,
            received: u64::from(counters.received.load(Ordering::Relaxed)),
            received_blocks: counters.received_blocks.load(Ordering::Relaxed) as u64,
        }
    }

    /// The scratch of who takes a snapshot: bytes of blocks that are out of this heap's spans.
    pub(crate) fn out(&self) -> &Cell<usize> {
        &self.counters.out
    }

    /// Whether a thread has this heap. Under the registry's lock.
    pub(crate) fn is_taken(&self) -> bool {
        self.taken.get()
    }

    /// Calls `see` with each block that is on its way home, in the outbox or before this heap's door; false if it cannot be told,
    /// because another thread is just at work here.
    pub(crate) fn each_in_flight(&self, mut see: impl FnMut(*mut u8)) -> bool {
        // The caller's own heap is held already.
        let own = self.is_entered() && self.address() == crate::sys::tls::own_heap();
        if !own && !self.try_hold_spans() {
            return false;
        }
        let mut see_all = |batch: &crate::central::Batch| batch.blocks().iter().for_each(|&block| see(block));
        self.outbox.batches().for_each(&mut see_all);
        // SAFETY of the chains: who holds the spans is the only one to take batches off them.
        for chain in [self.pending.get(), self.inbox.peek()] {
            let chain = Cell::new(chain);
            while let Some(batch) = inbox::pop(&chain) {
                see_all(batch);
            }
        }
        if !own {
            self.free_spans();
        }
        true
    }
}
