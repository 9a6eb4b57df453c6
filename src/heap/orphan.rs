//! Orphans: heaps whose threads were lost in a fork, caught anywhere in their work.
//!
//! A process counts its *generations*: it is one older than the one it was forked from. A heap belongs to the generation in which a thread
//! got it, so a fork makes orphans of all others without a look at them. Until they are adopted nobody works on their spans; what is freed
//! for them waits in their inboxes.
//!
//! Nothing of such a heap but its inbox was ever meant to be read by others, so little is believed. Spans are found by the region
//! map, not by the heap's lists, and their counts are taken from the bitmaps. Bins and batches are believed only if the thread was
//! not at work inside the allocator: then at most one block is between two places, and it was nobody's but the lost thread's. A heap
//! that was busy may have listed a block in two places, so what its bins and batches hold stays out: some memory is lost to the
//! child, and nothing is handed out twice.
//!
//! All of it is done in portions, in three stages, each for all orphans: blocks in bins and batches come to their spans; the spans come to
//! the depot; what waits in the inboxes comes to the depot. A portion leaves nothing in two places, for the child may fork before the next.

use core::cell::Cell;

use super::bin::Bin;
use super::generation;
use super::layout::Heap;
use super::refill::SLOTS_MAX;
use super::registry::{Adoption, Registry, Shared, Stage, heaps_from};
use super::remote::send;
use crate::base::class::Class;
use crate::base::units::Region;
use crate::central::{Batch, Place};
use crate::pages::Entry;
use crate::sys::atomic::Ordering;

/// What a portion may cost, in units of about a tenth of a microsecond; what its parts cost.
const PORTION: u32 = 1024;
const BLOCK: u32 = 1;
const REGION: u32 = 1;
const SPAN: u32 = 8;
/// All bins are looked at, and two pages written that the parent has, too.
const HEAP: u32 = 64;

/// What is left of a portion.
struct Portion(Cell<u32>);

impl Portion {
    /// Takes from it; false if nothing is left.
    fn spend(&self, cost: u32) -> bool {
        let left = self.0.get().saturating_sub(cost);
        self.0.set(left);
        left > 0
    }
}

impl Adoption {
    /// Begins to adopt every heap that does not belong to the process; `first` is the registry's first. If another adoption was under way,
    /// this one finds what that left.
    pub(super) fn begin(&self, first: Option<&'static Heap>) {
        self.generation.set(generation::current());
        self.enter(Stage::Bins, first);
    }

    fn enter(&self, stage: Stage, first: Option<&'static Heap>) {
        self.stage.set(stage);
        self.heap.set(first);
        self.region.set(Region::NONE);
        self.closed.set(false);
    }

    /// Adopts a portion; true if nothing is left. Each heap that holds nothing any more is given to `release`.
    pub(super) fn go_on(&self, shared: Shared<'_>, first: Option<&'static Heap>, release: impl Fn(&'static Heap)) -> bool {
        let portion = Portion(Cell::new(PORTION));
        loop {
            let is_through = match self.stage.get() {
                Stage::Bins => self.empty_heaps(shared, &portion),
                Stage::Spans => self.surrender_spans(shared, &portion),
                Stage::Inboxes => self.close_heaps(shared, &portion, &release),
            };
            match (is_through, self.stage.get()) {
                (false, _) => return false,
                (true, Stage::Bins) => self.enter(Stage::Spans, first),
                (true, Stage::Spans) => self.enter(Stage::Inboxes, first),
                (true, Stage::Inboxes) => return true,
            }
        }
    }

    fn is_orphan(&self, heap: &Heap) -> bool {
        // Relaxed: the registry's lock orders it.
        heap.taken.get() && heap.generation.load(Ordering::Relaxed) < self.generation.get()
    }

    /// Whether the map says that an orphan owns the span.
    fn owns(&self, entry: Entry) -> bool {
        !entry.is_central() && self.is_orphan(Heap::of_entry(entry))
    }

    /// Calls `work` with each orphan from where the last portion ended, until it says that the portion is used up.
    fn each_orphan(&self, portion: &Portion, work: impl Fn(&'static Heap) -> bool) -> bool {
        for heap in heaps_from(self.heap.get()) {
            self.heap.set(Some(heap));
            if self.is_orphan(heap) && !work(heap) {
                return false;
            }
            self.heap.set(heap.next.get());
            if !portion.spend(HEAP) {
                return false;
            }
        }
        true
    }

    /// While the map still names the lost owners nobody else touches their spans, so blocks can go straight into the bitmaps.
    fn empty_heaps(&self, shared: Shared<'_>, portion: &Portion) -> bool {
        self.each_orphan(portion, |heap| {
            heap.is_entered()
                || (Class::all().all(|class| self.empty_bin(shared, heap, class, portion))
                    && self.empty_batches(shared, || heap.outbox.take_batch(), portion)
                    && self.empty_batches(shared, || crate::heap::remote::inbox::pop(&heap.pending), portion))
        })
    }

    fn empty_bin(&self, shared: Shared<'_>, heap: &Heap, class: Class, portion: &Portion) -> bool {
        let bin = heap.bin(class);
        for len in (1..=bin.orphaned_len()).rev() {
            let block = bin.block(len);
            bin.set_len(len - 1);
            self.rescue(shared, block);
            if !portion.spend(BLOCK) {
                return false;
            }
        }
        true
    }

    fn empty_batches<'a>(&self, shared: Shared<'_>, take: impl Fn() -> Option<&'a Batch>, portion: &Portion) -> bool {
        while let Some(batch) = take() {
            batch.blocks().iter().for_each(|&block| self.rescue(shared, block));
            if !portion.spend(BLOCK * batch.len() as u32) {
                return false;
            }
        }
        true
    }

    /// Brings a block to its span. What is free already is passed over in silence.
    fn rescue(&self, shared: Shared<'_>, block: *mut u8) {
        match shared.central.resolve(block.addr()) {
            Place::Small { span, class, entry, offset } if self.owns(entry) => {
                let _ = span.give_back(class.geometry(), offset);
            }
            _ => {
                let _ = send::deliver_block(shared, block);
            }
        }
    }

    fn surrender_spans(&self, shared: Shared<'_>, portion: &Portion) -> bool {
        let central = shared.central;
        for region in central.pages.regions_from(self.region.get()) {
            let entry = central.pages.space().entry(region);
            // A span that was being made when the fork came may not know its first region yet; it is passed over.
            let class = entry.class().filter(|_| self.owns(entry) && central.span(region).first() == region);
            if let Some(class) = class {
                central.surrender_orphan(class, region);
            }
            if !portion.spend(if class.is_some() { SPAN } else { REGION }) {
                self.region.set(region.plus(1));
                return false;
            }
        }
        true
    }

    fn close_heaps(&self, shared: Shared<'_>, portion: &Portion, release: impl Fn(&'static Heap)) -> bool {
        self.each_orphan(portion, |heap| {
            if !self.closed.replace(true) {
                heap.forget();
                heap.pending.set(heap.inbox.close());
            }
            while let Some(batch) = crate::heap::remote::inbox::pop(&heap.pending) {
                batch.blocks().iter().for_each(|&block| self.rescue(shared, block));
                let is_left = portion.spend(BLOCK * batch.len() as u32);
                shared.central.release_batch(batch);
                if !is_left {
                    return false;
                }
            }
            self.closed.set(false);
            release(heap);
            true
        })
    }
}

impl Registry {
    /// In the child of a fork: every heap but `own` has lost its thread. No other heap is looked at, so a child that only calls exec pays
    /// nothing for them; the rest is done when memory is next needed.
    pub(crate) fn orphan_all_but(&self, own: Option<&Heap>) {
        self.idle.reset();
        let lists = self.lists.lock();
        self.leave_others(own);
        if lists.taken.get() > usize::from(own.is_some()) {
            lists.adoption.begin(self.first.get());
            self.orphans.set(true);
        }
    }

    /// In the child of a fork whose thread, which has the heap `own`, may be at work on the heaps of others: these are left as they are,
    /// for good.
    pub(crate) fn leave_others(&self, own: Option<&Heap>) {
        generation::begin();
        if let Some(heap) = own {
            heap.belong_to_process();
        }
    }

    /// Hands a part of what orphaned heaps hold to the central list, unless another thread is about it.
    #[cold]
    pub(super) fn adopt_orphans(&self, shared: Shared<'_>) {
        let Some(lists) = self.lists.try_lock() else { return };
        if !self.orphans.get() {
            return;
        }
        // Blocks that are delivered on the way may lead back here.
        self.orphans.set(false);
        let done = lists.adoption.go_on(shared, self.first.get(), |heap| lists.put_free(heap));
        self.orphans.set(!done);
    }
}

impl Bin {
    /// The bounds of the bin as found after a fork, if they make sense: blocks 1 to the number returned can be read.
    pub(super) fn orphaned_len(&self) -> usize {
        let len = self.len();
        if len <= SLOTS_MAX && len <= self.capacity() { len } else { 0 }
    }
}
