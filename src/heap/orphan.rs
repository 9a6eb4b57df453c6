//! Orphans: heaps whose threads a fork lost, anywhere in their work.
//!
//! A heap belongs to the generation of the process in which a thread got it ([`super::generation`]), so a fork makes
//! orphans of all other heaps without reading them. Until they are adopted no thread works on their spans; blocks that
//! are freed for them stay in their inboxes.
//!
//! The lost thread may have been in the middle of any change, so adoption trusts little of an orphan. It finds spans by
//! the page map, not by the heap's lists, and takes their counts from the bitmaps. It trusts bins and batches only if
//! the heap was not entered: then at most one block was between two places, and only the lost thread had it. A heap
//! that was entered may list a block in two places. So the blocks of its bins and batches stay marked as in use: the
//! child loses some memory, and no block is handed out twice.
//!
//! Adoption works in steps, each within a budget, and in three stages, each for all orphans: blocks of bins and batches
//! return to their spans; the spans go to the central list; the blocks in the inboxes return to the central list. After
//! each step every block is in one place, because the child may fork before the next step.

use core::cell::Cell;

use super::bin::Bin;
use super::generation;
use super::layout::Heap;
use super::refill::SLOTS_MAX;
use super::registry::{Adoption, AdoptionStage, Registry, Shared, heaps_from};
use super::remote::send;
use crate::base::class::Class;
use crate::base::units::Region;
use crate::central::{Batch, Place};
use crate::pages::Entry;
use crate::sys::atomic::Ordering;

/// The budget of a step, in units of about a tenth of a microsecond, and the costs of its parts.
const BUDGET: u32 = 1024;
const BLOCK: u32 = 1;
const REGION: u32 = 1;
const SPAN: u32 = 8;
/// A heap costs reads of all its bins, and copies of two pages that the parent has, too.
const HEAP: u32 = 64;

/// The rest of the budget of a step.
struct Budget(Cell<u32>);

impl Budget {
    /// Spends `cost`; false if nothing is left.
    fn spend(&self, cost: u32) -> bool {
        let left = self.0.get().saturating_sub(cost);
        self.0.set(left);
        left > 0
    }
}

impl Adoption {
    /// Begins to adopt every heap that does not belong to the process; `first` is the registry's first. If another
    /// adoption was under way, this one finds the heaps which that one left.
    pub(super) fn begin(&self, first: Option<&'static Heap>) {
        self.generation.set(generation::current());
        self.enter(AdoptionStage::Bins, first);
    }

    fn enter(&self, stage: AdoptionStage, first: Option<&'static Heap>) {
        self.stage.set(stage);
        self.heap.set(first);
        self.region.set(Region::NONE);
        self.closed.set(false);
    }

    /// Does one step; true if nothing is left. Calls `release` with each heap that holds nothing any more.
    pub(super) fn go_on(
        &self,
        shared: Shared<'_>,
        first: Option<&'static Heap>,
        release: impl Fn(&'static Heap),
    ) -> bool {
        let budget = Budget(Cell::new(BUDGET));
        loop {
            let is_through = match self.stage.get() {
                AdoptionStage::Bins => self.empty_heaps(shared, &budget),
                AdoptionStage::Spans => self.give_spans_to_central(shared, &budget),
                AdoptionStage::Inboxes => self.close_heaps(shared, &budget, &release),
            };
            match (is_through, self.stage.get()) {
                (false, _) => return false,
                (true, AdoptionStage::Bins) => self.enter(AdoptionStage::Spans, first),
                (true, AdoptionStage::Spans) => self.enter(AdoptionStage::Inboxes, first),
                (true, AdoptionStage::Inboxes) => return true,
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

    /// Calls `work` with each orphan from where the last step ended, until the budget is spent.
    fn each_orphan(&self, budget: &Budget, work: impl Fn(&'static Heap) -> bool) -> bool {
        for heap in heaps_from(self.heap.get()) {
            self.heap.set(Some(heap));
            if self.is_orphan(heap) && !work(heap) {
                return false;
            }
            self.heap.set(heap.next.get());
            if !budget.spend(HEAP) {
                return false;
            }
        }
        true
    }

    /// Empties bins and batches. While the map still names the lost owners no other thread changes their spans, so
    /// blocks return straight to the bitmaps.
    fn empty_heaps(&self, shared: Shared<'_>, budget: &Budget) -> bool {
        self.each_orphan(budget, |heap| {
            heap.is_entered()
                || (Class::all().all(|class| self.empty_bin(shared, heap, class, budget))
                    && self.empty_batches(shared, || heap.outbox.take_batch(), budget)
                    && self.empty_batches(shared, || crate::heap::remote::inbox::pop(&heap.pending), budget))
        })
    }

    fn empty_bin(&self, shared: Shared<'_>, heap: &Heap, class: Class, budget: &Budget) -> bool {
        let bin = heap.bin(class);
        for len in (1..=bin.orphaned_len()).rev() {
            let block = bin.block(len);
            bin.set_len(len - 1);
            heap.note_given(class, -1);
            self.return_orphaned_block(shared, block);
            if !budget.spend(BLOCK) {
                return false;
            }
        }
        true
    }

    fn empty_batches<'a>(&self, shared: Shared<'_>, take: impl Fn() -> Option<&'a Batch>, budget: &Budget) -> bool {
        while let Some(batch) = take() {
            batch.blocks().iter().for_each(|&block| self.return_orphaned_block(shared, block));
            if !budget.spend(BLOCK * batch.len() as u32) {
                return false;
            }
        }
        true
    }

    /// Returns a block to its span. A block that is free already is skipped without a report.
    fn return_orphaned_block(&self, shared: Shared<'_>, block: *mut u8) {
        match shared.central.resolve(block.addr()) {
            Place::Small { span, class, entry, offset } if self.owns(entry) => {
                let _ = span.give_back(class.geometry(), offset);
            }
            _ => {
                let _ = send::deliver_block(shared, block);
            }
        }
    }

    fn give_spans_to_central(&self, shared: Shared<'_>, budget: &Budget) -> bool {
        let central = shared.central;
        for region in central.pages.regions_from(self.region.get()) {
            let entry = central.pages.space().entry(region);
            // A span that was being made when the fork came may not have its first region yet; it is skipped.
            let class = entry.class().filter(|_| self.owns(entry) && central.span(region).first() == region);
            if let Some(class) = class {
                Heap::of_entry(entry).give_back_span(class);
                central.surrender_orphan(class, region);
            }
            if !budget.spend(if class.is_some() { SPAN } else { REGION }) {
                self.region.set(region.plus(1));
                return false;
            }
        }
        true
    }

    fn close_heaps(&self, shared: Shared<'_>, budget: &Budget, release: impl Fn(&'static Heap)) -> bool {
        self.each_orphan(budget, |heap| {
            if !self.closed.replace(true) {
                heap.forget();
                heap.pending.set(heap.inbox.close());
            }
            while let Some(batch) = crate::heap::remote::inbox::pop(&heap.pending) {
                batch.blocks().iter().for_each(|&block| self.return_orphaned_block(shared, block));
                let is_left = budget.spend(BLOCK * batch.len() as u32);
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
    /// In the child of a fork: every heap but `own` has lost its thread. Reads no other heap, so a child that only
    /// calls exec pays nothing for them; adoption begins when memory is next needed.
    pub(crate) fn orphan_all_but(&self, own: Option<&'static Heap>) {
        self.idle.reset();
        let lists = self.lists.lock();
        self.leave_others(own);
        if lists.taken.get() > usize::from(own.is_some()) {
            lists.adoption.begin(self.first.get());
            self.orphans.set(true);
        }
    }

    /// In the child of a fork whose thread, which has the heap `own`, may be at work on other heaps: leaves these as
    /// they are, for good.
    pub(crate) fn leave_others(&self, own: Option<&'static Heap>) {
        generation::begin();
        let own = own.into_iter().flat_map(Heap::chain);
        own.filter(|heap| !heap.is_part()).for_each(Heap::belong_to_process);
    }

    /// Does one step of the adoption of orphans, unless another thread holds the registry's lock.
    #[cold]
    pub(super) fn adopt_orphans(&self, shared: Shared<'_>) {
        let Some(lists) = self.lists.try_lock() else { return };
        if !self.orphans.get() {
            return;
        }
        // Delivering a block may call this function again.
        self.orphans.set(false);
        let done = lists.adoption.go_on(shared, self.first.get(), |heap| lists.put_free(heap));
        self.orphans.set(!done);
    }
}

impl Bin {
    /// The length of an orphan's bin, or 0 if its bounds make no sense: blocks 1 to this number can be read.
    pub(super) fn orphaned_len(&self) -> usize {
        let len = self.len();
        if len <= SLOTS_MAX && len <= self.capacity() { len } else { 0 }
    }
}
