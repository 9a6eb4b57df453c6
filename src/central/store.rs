#![expect(unsafe_code, reason = "defers blocks")]
//! The central store: everything that heaps share, each part behind its own lock.

use super::batch::{Batch, Stack};
use super::bill::{Apart, LargeBills};
use super::central_list::{CentralList, Returned};
use super::deferred::Deferred;
use super::direct::DirectBlocks;
use super::large::with_room;
use super::span::{Span, State, header};
use super::spans::Next;
use super::spread::{SPACED_MIN, Spread};
use crate::base::class::{self, Class, Geometry};
use crate::base::units::{REGION_BYTES, Region};
use crate::pages::{Bank, Entry, Pages, Run, Work};
use crate::sys::atomic::{AtomicBool, AtomicUsize, Ordering};
use crate::sys::lock::{Lock, Patience, Rank};

/// The central store.
pub(crate) struct Central {
    pub(crate) pages: Pages,
    pub(super) classes: [ClassStore; class::COUNT],
    pub(super) direct: DirectBlocks,
    pub(super) apart: Apart,
    batches: Lock<Stack>,
    pub(super) bills: LargeBills,
    /// Most bytes that a transfer cache keeps. Written at start, read by any thread.
    cache_bytes: AtomicUsize,
    /// Blocks freed where they could not return to a span: inside the allocator, or without memory for a batch.
    deferred: Deferred,
    /// How many more guard regions there may be: none unless asked for. Any thread takes and gives back.
    guards: AtomicUsize,
    /// How fetches take blocks of spans.
    pub(super) spread: Spread,
}

pub(super) struct ClassStore {
    pub(super) list: Lock<CentralList>,
    /// Whether the list may have something: written under its lock, read by any thread as a hint.
    stocked: AtomicBool,
    /// Spans made because the list had none; any thread adds.
    pub(super) made: AtomicUsize,
    /// How many times a heap's count of refills by received blocks turned over; any thread adds.
    pub(super) received_turns: AtomicUsize,
}

impl ClassStore {
    const fn new() -> Self {
        Self {
            list: Lock::new(Rank::CentralList, CentralList::new()),
            stocked: AtomicBool::new(false),
            made: AtomicUsize::new(0),
            received_turns: AtomicUsize::new(0),
        }
    }
}

/// Bytes that a transfer cache keeps at most until the options are read.
const CACHE_BYTES: usize = 256 << 10;

impl Central {
    /// An empty store; `pages.open` must be called before any use.
    pub(crate) const fn new() -> Self {
        Self {
            pages: Pages::new(),
            classes: [const { ClassStore::new() }; class::COUNT],
            direct: DirectBlocks::new(),
            apart: Apart::new(),
            batches: Lock::new(Rank::Batches, Stack::new()),
            bills: LargeBills::new(),
            cache_bytes: AtomicUsize::new(CACHE_BYTES),
            deferred: Deferred::new(),
            guards: AtomicUsize::new(0),
            spread: Spread::none(),
        }
    }

    /// Leaves a block to be freed by the next slow call of any thread, where no heap may be touched and no lock taken.
    ///
    /// # Safety
    /// - `block` has at least eight writable bytes, aligned to eight, and is no longer in use.
    pub(crate) unsafe fn defer_free(&self, block: *mut u8) {
        // SAFETY: the block is writable, aligned and given up, as this function asks.
        unsafe { self.deferred.push(block) };
        self.pages.pending.set(Work::DEFERRED_FREES);
    }

    /// Calls `free` with each block that waits. A block that the program freed twice there, if there is one.
    #[must_use]
    pub(crate) fn take_deferred(&self, free: impl FnMut(*mut u8)) -> Option<*mut u8> {
        if self.pages.pending.take(Work::DEFERRED_FREES) { self.deferred.take(free) } else { None }
    }

    /// Sets how many bytes of blocks the transfer cache of each class may keep.
    pub(crate) fn set_cache_bytes(&self, bytes: usize) {
        // Relaxed: any value is valid at any time.
        self.cache_bytes.store(bytes, Ordering::Relaxed);
    }

    /// Has the next `count` large blocks lie between regions without access, and direct mappings all, so that a write
    /// that runs on from one, or begins before it, does not reach the next. Each may cost the process three mappings.
    /// Part of the start.
    pub(crate) fn allow_guards(&self, count: usize) {
        // Relaxed: published by the start barrier.
        self.guards.store(count, Ordering::Relaxed);
        self.direct.set_guard(if count > 0 { REGION_BYTES } else { 0 });
    }

    /// Whether large blocks lie between guards, as far as there are any left.
    #[inline]
    pub(super) fn has_guards(&self) -> bool {
        // Relaxed: a number; what is guarded is handed over by locks.
        self.guards.load(Ordering::Relaxed) > 0
    }

    /// Whether fetches from some spans are spread.
    #[inline]
    fn is_spread(&self) -> bool {
        // Relaxed: published by the start barrier.
        self.spread.spans.load(Ordering::Relaxed) != 0
    }

    /// Takes `count` blocks of `span`, at most those available, as [`Span::take`] does. `few`: the heap has no full
    /// span of the class.
    ///
    /// # Safety
    /// - As for [`Span::take`].
    #[inline]
    pub(crate) unsafe fn take(&self, span: &Span, geometry: &Geometry, few: bool, count: usize, slot: *mut *mut u8) {
        if self.is_spread() {
            // SAFETY: the caller's.
            return unsafe { self.take_spread(span, geometry, few, count, slot) };
        }
        // SAFETY: as above.
        unsafe { span.take(geometry, self.pages.space().address(span.first()), count, slot) };
    }

    /// A run of `regions` regions; of more, with a guard on either side, if these are to be had.
    pub(super) fn acquire_run(&self, bank: Bank, regions: u32, align: usize) -> Option<Run> {
        // Relaxed: a number; what is guarded is handed over by locks.
        let left = self.guards.load(Ordering::Relaxed);
        if left > 0 && self.guards.compare_exchange(left, left - 1, Ordering::Relaxed, Ordering::Relaxed).is_ok() {
            if let Some(run) = self.pages.acquire_guarded(bank, with_room(regions), align) {
                header(self.pages.space(), run.region).guarded.set(true);
                return Some(run);
            }
            // Relaxed: as above.
            self.guards.fetch_add(1, Ordering::Relaxed);
        }
        self.pages.acquire_large(bank, regions, align)
    }

    /// Gives back a run of `regions` regions, and its guards.
    pub(super) fn release_run(&self, region: Region, regions: u32) {
        if !header(self.pages.space(), region).guarded.replace(false) {
            return self.pages.release(region, regions);
        }
        self.pages.release_guarded(region, regions);
        // Relaxed: as in `acquire_run`.
        self.guards.fetch_add(1, Ordering::Relaxed);
    }

    /// The header of a region of a span.
    pub(crate) fn span(&self, region: Region) -> &Span {
        header(self.pages.space(), region)
    }

    /// A new span of `class` for the owner whose map entry is `entry`, in `bank` if it has room.
    pub(crate) fn new_span(&self, class: Class, entry: Entry, bank: Bank) -> Option<Region> {
        let regions = class.geometry().regions;
        let spaced = self.is_spread() && class.geometry().size >= SPACED_MIN;
        let run = self.pages.acquire(bank, regions, REGION_BYTES)?;
        if !Span::make(&self.pages, run.region, class, spaced) {
            self.release_run(run.region, regions);
            return None;
        }
        self.pages.space().set_entries(run.region, regions, entry);
        if let Some(shared) = self.of_class(class) {
            // Relaxed: a counter.
            shared.made.fetch_add(1, Ordering::Relaxed);
        }
        Some(run.region)
    }

    /// Releases an empty span that its owner took out of its lists.
    pub(crate) fn release_span(&self, class: Class, region: Region) {
        let regions = class.geometry().regions;
        self.pages.space().set_entries(region, regions, Entry::NONE);
        self.span(region).unmake(&self.pages, class);
        self.release_run(region, regions);
    }

    /// Releases a span whatever it holds, because its owner goes with all blocks.
    pub(crate) fn destroy_span(&self, class: Class, region: Region) {
        let regions = class.geometry().regions;
        self.pages.space().set_entries(region, regions, Entry::NONE);
        self.span(region).unmake(&self.pages, class);
        (0..regions).for_each(|step| self.span(region.plus(step)).state.set(State::Destroyed as u8));
        self.pages.release_later(region, regions);
    }

    /// A span of the central list with free blocks, for the owner whose map entry is `entry`; one of `bank`, or of any
    /// where none is named.
    pub(crate) fn adopt_span(&self, class: Class, entry: Entry, bank: Option<Bank>) -> Option<Region> {
        self.stocked(class)?;
        self.adopt_stocked(class, entry, bank)
    }

    #[inline(never)]
    fn adopt_stocked(&self, class: Class, entry: Entry, bank: Option<Bank>) -> Option<Region> {
        self.with_list(class, |list| list.adopt(self.pages.space(), class, entry, bank))
    }

    /// Hands the span at `region` to the owner whose map entry is `entry`, in no list; false if the central list does
    /// not own it.
    pub(crate) fn claim_span(&self, class: Class, region: Region, entry: Entry) -> bool {
        self.with_list(class, |list| list.claim(self.pages.space(), class, region, entry))
    }

    /// Hands a span that is in no list to the central list, or releases it if it is empty.
    pub(crate) fn surrender_span(&self, class: Class, region: Region) {
        match Next::of_given_up(self.span(region)) {
            Next::Release => self.release_span(class, region),
            Next::Keep => self.with_list(class, |list| list.accept(self.pages.space(), class, region)),
        }
    }

    /// Puts the count of a span right whose owner a fork caught at work, then surrenders it.
    pub(crate) fn surrender_orphan(&self, class: Class, region: Region) {
        self.span(region).recount(class.geometry());
        self.surrender_span(class, region);
    }

    /// A batch of blocks of `class` from the transfer cache, for a heap that needs them.
    pub(crate) fn serve_batch(&self, class: Class) -> Option<&Batch> {
        self.batch_by(class, CentralList::serve_batch)
    }

    fn batch_by(
        &self,
        class: Class,
        take: impl FnOnce(&mut CentralList) -> Option<&'static Batch>,
    ) -> Option<&'static Batch> {
        self.stocked(class)?;
        self.with_list(class, take)
    }

    /// Puts a batch into the transfer cache of `class`; false if that is full, or memory is kept by node: a batch has
    /// none.
    pub(crate) fn put_batch(&self, class: Class, batch: &Batch) -> bool {
        if self.pages.space().is_divided() {
            return false;
        }
        self.with_list(class, |list| list.put_batch(class, batch, self.cache_bytes.load(Ordering::Relaxed)))
    }

    /// Returns a block to its span, which the central list owns.
    pub(crate) fn give_back(&self, class: Class, region: Region, address: usize) -> Returned {
        let returned = self.with_list(class, |list| list.give_back(self.pages.space(), class, region, address));
        if let Returned::Emptied(region) = returned {
            self.release_from_central(class, region);
        }
        returned
    }

    /// Returns blocks to spans of `class` that the central list owns. Calls `other` for blocks whose span another owner
    /// has adopted, and for blocks that the span refuses.
    pub(crate) fn give_back_all(&self, class: Class, blocks: &[*mut u8], mut other: impl FnMut(*mut u8)) {
        let mut rest = blocks.iter();
        while !rest.as_slice().is_empty() {
            // One lock for as many as need nothing that has to wait until it is released.
            let stopped = self.with_list(class, |list| {
                rest.find_map(|&block| match self.give_back_to(list, class, block) {
                    Returned::Taken => None,
                    stop => Some((block, stop)),
                })
            });
            match stopped {
                Some((_, Returned::Emptied(region))) => self.release_from_central(class, region),
                Some((block, _)) => other(block),
                None => {}
            }
        }
    }

    fn give_back_to(&self, list: &mut CentralList, class: Class, block: *mut u8) -> Returned {
        let space = self.pages.space();
        match space.region_of(block.addr()) {
            Some(region) => list.give_back(space, class, self.span(region).first(), block.addr()),
            None => Returned::Moved,
        }
    }

    fn release_from_central(&self, class: Class, region: Region) {
        self.span(region).unmake(&self.pages, class);
        self.release_run(region, class.geometry().regions);
    }

    /// An empty batch.
    pub(crate) fn acquire_batch(&self, key: usize) -> Option<&Batch> {
        let kept = self.batches.lock().pop();
        match kept {
            Some(batch) => batch.clear(key),
            None => return Batch::make(&self.pages, key),
        }
        kept
    }

    /// Takes back an empty batch.
    pub(crate) fn release_batch(&self, batch: &Batch) {
        self.batches.lock().push(batch);
    }

    /// A batch of blocks of `class` from the transfer cache, to empty that.
    pub(crate) fn take_batch(&self, class: Class) -> Option<&Batch> {
        self.batch_by(class, CentralList::take_batch)
    }

    /// Calls `see` with the header, entry and number of every region that has an entry.
    pub(crate) fn each_span(&self, mut see: impl FnMut(&Span, Entry, Region)) {
        let space = self.pages.space();
        for region in self.pages.regions() {
            let entry = space.entry(region);
            if entry != Entry::NONE {
                see(header(space, region), entry, region);
            }
        }
    }

    /// Takes all locks for a fork, in order of rank.
    pub(crate) fn lock_for_fork(&self, patience: &Patience) {
        for shared in &self.classes {
            shared.list.lock_for_fork(patience);
        }
        self.direct.lock_for_fork(patience);
        self.bills.lock.lock_for_fork(patience);
        self.pages.lock_runs_for_fork(patience);
        self.batches.lock_for_fork(patience);
        self.pages.lock_metadata_for_fork(patience);
    }

    /// Ends `lock_for_fork`.
    pub(crate) fn unlock_after_fork(&self) {
        self.pages.unlock_after_fork();
        self.batches.unlock_after_fork();
        self.bills.lock.unlock_after_fork();
        self.direct.unlock_after_fork();
        for shared in &self.classes {
            shared.list.unlock_after_fork();
        }
    }

    /// Spans of `class` made so far.
    pub(super) fn made(&self, class: Class) -> usize {
        // Relaxed: a counter.
        self.of_class(class).map_or(0, |shared| shared.made.load(Ordering::Relaxed))
    }

    pub(super) fn of_class(&self, class: Class) -> Option<&ClassStore> {
        self.classes.get(class.index())
    }

    fn stocked(&self, class: Class) -> Option<()> {
        // Relaxed: a hint; a late answer only takes memory from elsewhere.
        self.of_class(class)?.stocked.load(Ordering::Relaxed).then_some(())
    }

    pub(super) fn with_list<R>(&self, class: Class, work: impl FnOnce(&mut CentralList) -> R) -> R {
        // A class is below their number; the index that cannot fail keeps panics out.
        let shared = self.of_class(class).unwrap_or(&self.classes[0]);
        let mut list = shared.list.lock();
        let result = work(&mut list);
        // Relaxed: see `stocked`.
        shared.stocked.store(!list.is_bare(), Ordering::Relaxed);
        result
    }
}
