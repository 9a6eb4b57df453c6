#![expect(unsafe_code, reason = "places and follows heaps")]
//! The registry: all heaps there ever were, those without a thread ready for the next one.
//!
//! Heaps without a thread wait in free lists, one for each bank, so that a thread that starts looks at none but the heap that it gets.

use core::cell::Cell;

use super::descriptor::HeapDescriptor;
use super::idle::state::Idle;
use super::layout::Heap;
use super::sampling::Sampling;
use crate::base::units::Region;
use crate::central::Central;
use crate::pages::{Bank, Pages};
use crate::sys::atomic::AtomicBool;
use crate::sys::lock::{Lock, Patience, Rank};

/// Free lists; banks beyond as many share them, and then a heap may come from another bank.
const FREE_LISTS: usize = 64;

/// See the module.
pub(crate) struct Registry {
    pub(super) list: Lock<List>,
    /// Whether a fork left heaps without their threads, and nobody is adopting them just now. Set by the child; the adopting thread clears it,
    /// and sets it again if something is left.
    pub(super) orphans: AtomicBool,
    /// What heaps follow at their next slow event.
    pub(crate) sampling: Sampling,
    pub(super) idle: Idle,
}

/// What is being done.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Stage {
    Bins,
    Spans,
    Inboxes,
}

/// How far the adoption has come. Guarded by the registry's lock.
pub(super) struct Adoption {
    pub(super) stage: Cell<Stage>,
    /// Heaps of earlier generations are adopted.
    pub(super) generation: Cell<u32>,
    /// The next heap, the next region.
    pub(super) heap: Cell<*const Heap>,
    pub(super) region: Cell<Region>,
    /// Whether the inbox of that heap is closed.
    pub(super) closed: Cell<bool>,
}

impl Adoption {
    /// None.
    const fn new() -> Self {
        Self {
            stage: Cell::new(Stage::Bins),
            generation: Cell::new(0),
            heap: Cell::new(core::ptr::null()),
            region: Cell::new(Region::NONE),
            closed: Cell::new(false),
        }
    }
}

/// The central store and the registry: what remote frees need to find their way.
#[derive(Clone, Copy)]
pub(crate) struct Shared<'a> {
    pub(crate) central: &'a Central,
    pub(crate) registry: &'a Registry,
}

pub(super) struct List {
    pub(super) first: Cell<*const Heap>,
    /// Heaps without a thread, by bank; the one that was released last comes first.
    free: [Cell<*const Heap>; FREE_LISTS],
    /// How many heaps have a thread, or had one that a fork left behind.
    pub(super) taken: Cell<usize>,
    pub(super) adoption: Adoption,
}

// SAFETY: heaps are shared; the lists' links, and the adoption, are guarded by the lock around them.
unsafe impl Send for List {}

impl Registry {
    /// A registry of no heaps.
    pub(crate) const fn new() -> Self {
        Self {
            list: Lock::new(Rank::Registry, List::new()),
            orphans: AtomicBool::new(false),
            sampling: Sampling::new(),
            idle: Idle::new(),
        }
    }

    /// Where heaps are, for tools that read them from outside.
    pub(crate) fn layout(&self) -> HeapDescriptor {
        HeapDescriptor::of(self.list.value_address() + core::mem::offset_of!(List, first))
    }

    /// A heap for the calling thread, its memory near to where the thread runs; `None` if there is no metadata for one.
    pub(crate) fn acquire(&self, pages: &Pages, bin_bytes: usize) -> Option<&'static Heap> {
        let bank = pages.space().bank_here();
        let list = self.list.lock();
        let near = list.take_free(bank).or_else(|| list.add(pages, bank, bin_bytes));
        let heap = near.or_else(|| list.take_any())?;
        if !heap.belongs_to_process() {
            // The thread that worked on them was lost in a fork.
            heap.free_spans();
        }
        heap.belong_to_process();
        heap.inbox.open();
        heap.bank.set(bank);
        heap.taken.set(true);
        list.taken.set(list.taken.get() + 1);
        heap.follow_sampling(&self.sampling);
        Some(heap)
    }

    /// Takes back a heap that was retired.
    pub(crate) fn release(&self, heap: &Heap) {
        self.list.lock().put_free(heap);
    }

    /// Calls `see` with each heap that has a thread.
    pub(crate) fn each(&self, see: impl FnMut(&'static Heap)) {
        self.list.lock().heaps().filter(|heap| heap.taken.get()).for_each(see);
    }

    /// The first heap that has a thread and of which `is_it` is true. Takes no lock, so the list may change meanwhile: for signal
    /// handlers.
    pub(crate) fn find_unlocked(&self, is_it: impl Fn(&Heap) -> bool) -> Option<&'static Heap> {
        // SAFETY: the address is that of the list, whose links are single words that lead to heaps, which stay.
        let list = unsafe { &*core::ptr::with_exposed_provenance::<List>(self.list.value_address()) };
        list.heaps().find(|heap| heap.taken.get() && is_it(heap))
    }

    /// What is wrong with the list, if anything is.
    #[cfg(debug_assertions)]
    pub(super) fn check(&self) -> crate::central::Verdict {
        const HEAPS_MAX: usize = 1 << 20;
        let count = self.list.lock().heaps().take(HEAPS_MAX).count();
        crate::central::must(count < HEAPS_MAX, "the list of heaps has no end")
    }

    /// Calls `see` with each heap there ever was.
    pub(crate) fn each_ever(&self, see: impl FnMut(&'static Heap)) {
        self.list.lock().heaps().for_each(see);
    }

    /// What is owed to a process that may go quiet.
    pub(crate) fn idle(&self) -> &Idle {
        &self.idle
    }

    /// The heap that comes after `heap`, or the first, whether or not a thread has it.
    pub(crate) fn after(&self, heap: Option<&'static Heap>) -> Option<&'static Heap> {
        let list = self.list.lock();
        heaps_from(heap.map_or(list.first.get(), |heap| heap.next.get())).next()
    }

    /// Takes the lock for a fork.
    pub(crate) fn lock_for_fork(&self, patience: &Patience) {
        self.list.lock_for_fork(patience);
    }

    /// Ends `lock_for_fork`.
    pub(crate) fn unlock_after_fork(&self) {
        self.list.unlock_after_fork();
    }
}

impl List {
    const fn new() -> Self {
        Self {
            first: Cell::new(core::ptr::null()),
            free: [const { Cell::new(core::ptr::null()) }; FREE_LISTS],
            taken: Cell::new(0),
            adoption: Adoption::new(),
        }
    }

    /// A new heap, whose memory the calling thread touches first.
    fn add(&self, pages: &Pages, bank: Bank, bin_bytes: usize) -> Option<&'static Heap> {
        let piece = pages.acquire_metadata(size_of::<Heap>())?;
        // SAFETY: the piece has the size of a heap and is aligned to it; metadata stays for ever.
        let heap = unsafe { Heap::place(piece) };
        heap.ready(pages.space(), bin_bytes);
        heap.own_bank.set(bank);
        heap.next.set(self.first.get());
        self.first.set(heap);
        Some(heap)
    }

    /// A heap without a thread in `bank`.
    fn take_free(&self, bank: Bank) -> Option<&'static Heap> {
        take_first(self.free_of(bank))
    }

    /// A heap without a thread, wherever it is.
    fn take_any(&self) -> Option<&'static Heap> {
        self.free.iter().find_map(take_first)
    }

    /// Adds a heap to those without a thread.
    pub(super) fn put_free(&self, heap: &Heap) {
        heap.taken.set(false);
        self.taken.set(self.taken.get() - 1);
        let free = self.free_of(heap.own_bank.get());
        heap.next_free.set(free.replace(heap));
    }

    fn free_of(&self, bank: Bank) -> &Cell<*const Heap> {
        // The remainder is below the number of lists; the index that cannot fail keeps panics out.
        self.free.get(bank.index() % FREE_LISTS).unwrap_or(&self.free[0])
    }

    fn heaps(&self) -> impl Iterator<Item = &'static Heap> + use<> {
        heaps_from(self.first.get())
    }
}

fn take_first(free: &Cell<*const Heap>) -> Option<&'static Heap> {
    // SAFETY: free lists hold heaps, which are never unmapped.
    let heap = unsafe { free.get().as_ref() }?;
    free.set(heap.next_free.get());
    Some(heap)
}

/// The heaps from `next` on, in the order of the registry.
pub(super) fn heaps_from(mut next: *const Heap) -> impl Iterator<Item = &'static Heap> + use<> {
    core::iter::from_fn(move || {
        // SAFETY: the links are null or point to heaps, which are never unmapped.
        let heap = unsafe { next.as_ref() }?;
        next = heap.next.get();
        Some(heap)
    })
}
