//! The registry of all heaps. A heap whose thread ended stays in it for the next thread.
//!
//! Heaps without a thread are in free lists, one for each bank, so that a thread that starts reads only the heap that
//! it gets.

use core::cell::Cell;

use super::descriptor::HeapDescriptor;
use super::idle::state::Idle;
use super::layout::Heap;
use super::sampling::Sampling;
use super::second_path::{DEFAULT, SecondPath};
use crate::base::class::Class;
use crate::base::units::{KIB, MIB, Region};
use crate::central::Central;
use crate::pages::{Bank, Pages};
use crate::sys::atomic::AtomicBool;
use crate::sys::cell::{Relaxed, StaticRef};
use crate::sys::lock::{Lock, Patience, Rank};

/// Free lists; banks beyond as many share them, and then a heap may come from another bank.
const FREE_LISTS: usize = 64;

/// Heaps that serve each class with blocks of its own from the start; those of further threads merge classes
/// ([`Heap::choose_class`]).
const MERGED_FROM: usize = 8;
/// All bins of a class together may hold so many bytes: a thread that starts beside many others gets smaller bins.
const BINS_BYTES_MAX: usize = 8 * MIB;
/// A bin may hold so many bytes beside however many others.
const BIN_BYTES_MIN: usize = 4 * KIB;

/// The functions that a mode has for blocks on their way from heap to heap, and for those that it holds back.
pub(crate) struct Transit {
    /// A block that was free already is about to be sent.
    pub(crate) leaves: fn(*mut u8),
    /// A block has arrived at the heap, whose spans the calling thread holds; the last argument is whether that is the
    /// heap's thread. Returns the block that goes to bins and spans in its place; null for none.
    pub(crate) arrives: fn(&Heap, *mut u8, bool) -> *mut u8,
    /// The block of that number and class that the mode holds back in a heap, null for none; `None` behind the last
    /// one. Such a block is all zeroes, unless the program wrote to it. The calling thread holds the spans of the heap.
    pub(crate) held_back: fn(&Heap, Class, usize) -> Option<*mut u8>,
    /// The process is idle: gives back the memory of a large block that the mode holds back; whether there is another.
    pub(crate) purge_one: fn() -> bool,
}

/// All heaps, and the state that they share.
pub(crate) struct Registry {
    /// All heaps, the newest first. Written with the lock of the lists held, read by any thread: heaps stay, and so do
    /// their links.
    pub(super) first: StaticRef<Heap>,
    pub(super) lists: Lock<Lists>,
    /// Whether a fork left orphans that no thread adopts just now. Written by the child of the fork, and by the
    /// adopting thread under the lock of the lists; read by any thread as a hint.
    pub(super) orphans: Relaxed<AtomicBool>,
    /// The sampling, which heaps follow at their next slow event.
    pub(crate) sampling: Sampling,
    /// The second path of the mode in force; none in modes without one of their own. Written by the thread that puts a
    /// mode into force; read by threads that open a heap, and then those of other threads close it again
    /// (`process::thread::follow_mode`).
    pub(crate) second: StaticRef<SecondPath>,
    /// The functions of the mode in force for blocks between heaps; none in modes that do nothing. Written at start.
    pub(crate) transit: StaticRef<Transit>,
    pub(super) idle: Idle,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum AdoptionStage {
    Bins,
    Spans,
    Inboxes,
}

/// The progress of an adoption. Guarded by the registry's lock.
pub(super) struct Adoption {
    pub(super) stage: Cell<AdoptionStage>,
    /// Heaps of earlier generations than this one are adopted.
    pub(super) generation: Cell<u32>,
    /// The next heap, the next region.
    pub(super) heap: StaticRef<Heap>,
    pub(super) region: Cell<Region>,
    /// Whether the inbox of that heap is closed.
    pub(super) closed: Cell<bool>,
}

impl Adoption {
    /// No adoption.
    const fn new() -> Self {
        Self {
            stage: Cell::new(AdoptionStage::Bins),
            generation: Cell::new(0),
            heap: StaticRef::none(),
            region: Cell::new(Region::NONE),
            closed: Cell::new(false),
        }
    }
}

/// The central store and the registry: all that heaps share.
#[derive(Clone, Copy)]
pub(crate) struct Shared<'a> {
    pub(crate) central: &'a Central,
    pub(crate) registry: &'a Registry,
}

impl Shared<'_> {
    /// The second path of open heaps in the mode in force.
    pub(super) fn second(self) -> &'static SecondPath {
        self.registry.second.get().unwrap_or(&DEFAULT)
    }
}

/// Heaps without a thread, and the current adoption.
pub(super) struct Lists {
    /// Heaps without a thread, by bank; the one that was released last comes first.
    free: [StaticRef<Heap>; FREE_LISTS],
    /// How many heaps have a thread, or had one that a fork left behind.
    pub(super) taken: Cell<usize>,
    pub(super) adoption: Adoption,
}

impl Registry {
    /// A registry of no heaps.
    pub(crate) const fn new() -> Self {
        Self {
            first: StaticRef::none(),
            lists: Lock::new(Rank::Registry, Lists::new()),
            orphans: Relaxed::<AtomicBool>::new(false),
            sampling: Sampling::new(),
            second: StaticRef::none(),
            transit: StaticRef::none(),
            idle: Idle::new(),
        }
    }

    /// Where heaps are, for tools that read them from outside.
    pub(crate) fn layout(&self) -> HeapDescriptor {
        HeapDescriptor::of(core::ptr::from_ref(&self.first).addr())
    }

    /// A heap for the calling thread, its memory near to where the thread runs; `None` if there is no metadata for one.
    pub(crate) fn acquire(&self, pages: &Pages, bin_bytes: usize) -> Option<&'static Heap> {
        let bank = pages.space().bank_here();
        let lists = self.lists.lock();
        let near = take_first(lists.free_of(bank)).or_else(|| self.add(pages, bank));
        let heap = near.or_else(|| lists.take_any())?;
        if !heap.belongs_to_process() {
            // A thread that held its spans was lost in a fork.
            heap.unlock_spans();
        }
        heap.belong_to_process();
        heap.inbox.open();
        heap.bank.set(bank);
        heap.merge(lists.taken.get() >= MERGED_FROM);
        let share = BINS_BYTES_MAX / (lists.taken.get() + 1);
        heap.bin_bytes.set(bin_bytes.min(share.max(BIN_BYTES_MIN)));
        heap.taken.set(true);
        lists.taken.set(lists.taken.get() + 1);
        heap.follow_sampling(&self.sampling);
        Some(heap)
    }

    /// Takes back a heap that was retired.
    pub(crate) fn release(&self, heap: &'static Heap) {
        self.lists.lock().put_free(heap);
    }

    /// How many heaps have a thread, or had one that a fork left behind.
    pub(crate) fn taken(&self) -> usize {
        self.lists.lock().taken.get()
    }

    /// Calls `see` with each heap that has a thread.
    pub(crate) fn each(&self, see: impl FnMut(&'static Heap)) {
        let _lists = self.lists.lock();
        self.heaps().filter(|heap| heap.taken.get()).for_each(see);
    }

    /// The first heap that has a thread and of which `is_it` is true. Takes no lock, for signal handlers.
    pub(crate) fn find_unlocked(&self, is_it: impl Fn(&Heap) -> bool) -> Option<&'static Heap> {
        self.heaps().find(|heap| heap.taken.get() && is_it(heap))
    }

    /// Checks the list of heaps.
    #[cfg(debug_assertions)]
    pub(super) fn check(&self) -> crate::central::Verdict {
        const HEAPS_MAX: usize = 1 << 20;
        let count = self.heaps().take(HEAPS_MAX).count();
        crate::central::must(count < HEAPS_MAX, "the list of heaps has no end")
    }

    /// Calls `see` with each heap there ever was.
    pub(crate) fn each_ever(&self, see: impl FnMut(&'static Heap)) {
        let _lists = self.lists.lock();
        self.heaps().for_each(see);
    }

    /// The state of idle return.
    pub(crate) fn idle(&self) -> &Idle {
        &self.idle
    }

    /// The heap that comes after `heap`, or the first, whether or not a thread has it.
    pub(crate) fn after(&self, heap: Option<&'static Heap>) -> Option<&'static Heap> {
        heap.map_or(&self.first, |heap| &heap.next).get()
    }

    /// All heaps there ever were, the newest first.
    fn heaps(&self) -> impl Iterator<Item = &'static Heap> + use<> {
        heaps_from(self.first.get())
    }

    /// Adds a new heap. The caller holds the lock of the lists.
    fn add(&self, pages: &Pages, bank: Bank) -> Option<&'static Heap> {
        let heap = Heap::make(pages)?;
        heap.ready(pages.space());
        heap.own_bank.set(bank);
        heap.next.set(self.first.get());
        self.first.set(Some(heap));
        Some(heap)
    }

    /// Takes the lock for a fork.
    pub(crate) fn lock_for_fork(&self, patience: &Patience) {
        self.lists.lock_for_fork(patience);
    }

    /// Ends `lock_for_fork`.
    pub(crate) fn unlock_after_fork(&self) {
        self.lists.unlock_after_fork();
    }
}

impl Lists {
    const fn new() -> Self {
        Self { free: [const { StaticRef::none() }; FREE_LISTS], taken: Cell::new(0), adoption: Adoption::new() }
    }

    /// Adds a heap to those without a thread.
    pub(super) fn put_free(&self, heap: &'static Heap) {
        heap.forget_name();
        heap.taken.set(false);
        self.taken.set(self.taken.get() - 1);
        let free = self.free_of(heap.own_bank.get());
        heap.next_free.set(free.get());
        free.set(Some(heap));
    }

    /// Takes a heap without a thread, of any bank.
    #[cold]
    #[inline(never)]
    fn take_any(&self) -> Option<&'static Heap> {
        self.free.iter().find_map(take_first)
    }

    fn free_of(&self, bank: Bank) -> &StaticRef<Heap> {
        // The remainder is below the number of lists; `get` keeps a panic out of the library.
        self.free.get(bank.index() % FREE_LISTS).unwrap_or(&self.free[0])
    }
}

fn take_first(free: &StaticRef<Heap>) -> Option<&'static Heap> {
    let heap = free.get()?;
    free.set(heap.next_free.get());
    Some(heap)
}

/// The heaps from `next` on, in the order of the registry.
pub(super) fn heaps_from(next: Option<&'static Heap>) -> impl Iterator<Item = &'static Heap> + use<> {
    core::iter::successors(next, |heap| heap.next.get())
}
