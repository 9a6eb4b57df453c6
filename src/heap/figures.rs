//! Figures of a heap for statistics and reports, from any thread.

use core::cell::Cell;

use super::counters::{Counters, Traffic};
use super::layout::Heap;
use super::registry::Shared;
use super::remote::inbox;
use crate::base::class::Class;
use crate::central::{Batch, Central, SpanList};
use crate::sys::atomic::{AtomicU8, AtomicU32, AtomicUsize};
use crate::sys::cell::Relaxed;
use crate::sys::lock::Patience;
use crate::sys::tls;

/// How long figures wait for a thread that is inside a part.
const WAIT_NANOSECONDS: u64 = 20_000_000;

impl Heap {
    /// Blocks of `class` in the bin; a moment old for other threads.
    pub(crate) fn binned(&self, class: Class) -> usize {
        self.bin(class).len()
    }

    /// Whether the block at `address` is in the bin of `class`. For signal handlers: the bin's thread may change it
    /// meanwhile.
    pub(crate) fn bin_holds(&self, class: Class, address: usize) -> bool {
        let bin = self.bin(class);
        let len = bin.len().min(bin.capacity());
        (1..=len).any(|index| bin.block(index).addr() == address)
    }

    /// Refills and flushes of the bin of `class` so far.
    pub(crate) fn events_of(&self, class: Class) -> [u64; 2] {
        let counters = &self.counters;
        let of_class = |counts: &[Relaxed<AtomicU32>]| counts.get(class.index()).map_or(0, |count| count.get().into());
        [&counters.refills, &counters.flushes].map(|counts| of_class(counts))
    }

    /// Refills of `class` that blocks from other threads served, modulo 256.
    pub(crate) fn received_refills(&self, class: Class) -> u8 {
        self.counters.received_refills.get(class.index()).map_or(0, Relaxed::<AtomicU8>::get)
    }

    /// Counts a refill of `class` that blocks from other threads served. The caller holds the spans.
    pub(super) fn count_received_refill(&self, central: &Central, class: Class) {
        if let Some(count) = self.counters.received_refills.get(class.index()) {
            count.set(count.get().wrapping_add(1));
            if count.get() == 0 {
                central.count_received_turn(class);
            }
        }
    }

    /// Notes that the bin of `class` got so many blocks from elsewhere than the program, or gave them away if it is
    /// below zero; or that the program got or freed them past the bin. The caller holds the spans.
    #[inline]
    pub(super) fn note_given(&self, class: Class, blocks: isize) {
        self.counters.given_blocks.add(blocks as usize);
        self.counters.given_bytes.add((blocks * class.size() as isize) as usize);
    }

    /// Notes that the program got these blocks and bytes, none of which a bin held, or freed them if they are below
    /// zero. For the heap's thread.
    #[inline(always)]
    pub(crate) fn note_own(&self, blocks: isize, bytes: isize) {
        self.counters.own_blocks.add(blocks as usize);
        self.counters.own_bytes.add(bytes as usize);
    }

    /// Blocks of classes, and their bytes, that the program got from this heap, less those that it freed here, and what
    /// [`Heap::note_own`] noted. Remote frees of the fast kind only where a mode notes them. A moment old for other
    /// threads.
    pub(crate) fn net(&self) -> [isize; 2] {
        let Counters { given_blocks, given_bytes, own_blocks, own_bytes, .. } = &self.counters;
        let sum = |[given, own]: [&Relaxed<AtomicUsize>; 2]| given.get().wrapping_add(own.get()) as isize;
        let noted = [[given_blocks, own_blocks], [given_bytes, own_bytes]].map(sum);
        Class::all().fold(noted, |[blocks, bytes], class| {
            let binned = self.binned(class);
            [blocks - binned as isize, bytes - (binned * class.size()) as isize]
        })
    }

    /// Batches of remote frees so far.
    pub(crate) fn traffic(&self) -> Traffic {
        let counters = &self.counters;
        Traffic {
            sent: u64::from(counters.sent.get()),
            sent_blocks: counters.sent_blocks.get() as u64,
            received: u64::from(counters.received.get()),
            received_blocks: counters.received_blocks.get() as u64,
        }
    }

    /// Scratch space of the thread that takes a snapshot: bytes of blocks that are out of this heap's spans.
    pub(crate) fn out(&self) -> &Cell<usize> {
        &self.counters.out
    }

    /// Whether a thread has this heap. Under the registry's lock.
    pub(crate) fn is_taken(&self) -> bool {
        self.taken.get()
    }

    /// Calls `see` with each block in the outbox and the inbox; false if another thread holds the spans, so that the
    /// batches cannot be read.
    pub(crate) fn each_in_flight(&self, mut see: impl FnMut(*mut u8)) -> bool {
        let held = self.is_held_here();
        if !held && !self.try_lock_spans() {
            return false;
        }
        let mut see_all = |batch: &Batch| batch.blocks().iter().for_each(|&block| see(block));
        self.outbox.batches().for_each(&mut see_all);
        // Only the thread that holds the spans takes batches off these chains.
        for chain in [self.pending.get(), self.inbox.peek()] {
            let chain = Cell::new(chain);
            while let Some(batch) = inbox::pop(&chain) {
                see_all(batch);
            }
        }
        if !held {
            self.unlock_spans();
        }
        true
    }

    /// Blocks that the program has from this heap's spans, and their bytes: those that are out of the spans, less those
    /// in its bins and its inbox. `None` if another thread holds the spans for long, as one that is stopped there.
    pub(crate) fn live(&self, shared: Shared<'_>) -> Option<[usize; 2]> {
        let held = self.is_held_here();
        if !held && !self.lock_spans_for(&Patience::of(WAIT_NANOSECONDS)) {
            return None;
        }
        let space = shared.central.pages.space();
        let mut live = [0_usize; 2];
        for class in Class::all() {
            let spans = self.spans(class);
            let used = |list: &SpanList| list.iter(space).map(|(_, span)| span.used() as usize).sum::<usize>();
            let out = (used(&spans.partial) + used(&spans.full)).saturating_sub(self.binned(class));
            live = [live[0] + out, live[1] + out * class.size()];
        }
        for chain in [self.pending.get(), self.inbox.peek()] {
            let chain = Cell::new(chain);
            while let Some(batch) = inbox::pop(&chain) {
                let own = batch.blocks().iter().filter_map(|block| self.class_of_own(shared.central, block.addr()));
                own.for_each(|class| {
                    live = [live[0].saturating_sub(1), live[1].saturating_sub(class.size())];
                });
            }
        }
        if !held {
            self.unlock_spans();
        }
        Some(live)
    }

    /// Whether the calling thread is inside this heap, its own, so that it holds the spans already.
    fn is_held_here(&self) -> bool {
        self.is_entered() && self.address() == tls::own_heap()
    }
}
