#![expect(unsafe_code, reason = "places and follows heaps")]
//! The registry: all heaps there ever were, those without a thread ready for the next one.

use core::cell::Cell;

use super::idle::Idle;
use super::layout::{Heap, HeapLive};
use super::outbox::Shared;
use super::sampling::Sampling;
use crate::pages::{Bank, Pages};
use crate::sys::atomic::{AtomicBool, Ordering};
use crate::sys::lock::{Lock, Rank};

/// See the module.
pub(crate) struct Registry {
    list: Lock<List>,
    /// Whether a fork left heaps without their threads. Set by the child, cleared when they are adopted.
    orphans: AtomicBool,
    /// What heaps follow at their next slow event.
    pub(crate) sampling: Sampling,
    pub(super) idle: Idle,
}

struct List {
    first: Cell<*const Heap>,
}

// SAFETY: heaps are shared; the list's links are guarded by the lock around it.
unsafe impl Send for List {}

impl Registry {
    /// A registry of no heaps.
    pub(crate) const fn new() -> Self {
        Self {
            list: Lock::new(Rank::Registry, List { first: Cell::new(core::ptr::null()) }),
            orphans: AtomicBool::new(false),
            sampling: Sampling::new(),
            idle: Idle::new(),
        }
    }

    /// Where heaps are, for tools that read them from outside.
    pub(crate) fn layout(&self) -> HeapLive {
        HeapLive::of(self.list.value_address() + core::mem::offset_of!(List, first))
    }

    /// A heap for the calling thread, its memory near to where the thread runs; `None` if there is no metadata for one.
    pub(crate) fn acquire(&self, pages: &Pages, bin_bytes: usize) -> Option<&'static Heap> {
        let bank = pages.space().bank_here();
        let list = self.list.lock();
        let near = list.idle().find(|heap| heap.home.get() == bank);
        let heap = near.or_else(|| list.add(pages, bank, bin_bytes)).or_else(|| list.idle().next())?;
        heap.inbox.open();
        heap.bank.set(bank);
        heap.taken.set(true);
        heap.follow_sampling(&self.sampling);
        Some(heap)
    }

    /// Takes back a heap that was retired.
    pub(crate) fn release(&self, heap: &Heap) {
        let _list = self.list.lock();
        heap.taken.set(false);
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
        let start = heap.map_or(list.first.get(), |heap| heap.next.get());
        List { first: Cell::new(start) }.heaps().next()
    }

    /// In the child of a fork: every heap but `own` has lost its thread. Their inboxes close; the rest is done when memory is
    /// next needed, so that a child that only calls exec pays nothing for it.
    pub(crate) fn orphan_all_but(&self, own: Option<&Heap>) {
        self.idle.reset();
        let list = self.list.lock();
        let own = own.map_or(0, |heap| heap.address());
        for heap in list.heaps().filter(|heap| heap.address() != own) {
            // A thread that is gone may have held them.
            heap.free_spans();
            if !heap.taken.get() {
                continue;
            }
            // Until it is adopted.
            heap.hold_spans();
            heap.orphan.set(true);
            // Relaxed: the child has one thread; threads it starts later see everything from before.
            self.orphans.store(true, Ordering::Relaxed);
        }
    }

    /// Hands what orphaned heaps hold to the depot. Does nothing, quickly, where there are none.
    pub(super) fn adopt_orphans(&self, shared: Shared<'_>) {
        // Relaxed: only one thread gets true.
        if !self.orphans.load(Ordering::Relaxed) || !self.orphans.swap(false, Ordering::Relaxed) {
            return;
        }
        let list = self.list.lock();
        super::orphan::adopt(shared, &|see| list.heaps().filter(|heap| heap.orphan.get()).for_each(see));
        for heap in list.heaps().filter(|heap| heap.orphan.get()) {
            heap.orphan.set(false);
            heap.taken.set(false);
        }
    }

    /// Takes the lock for a fork.
    pub(crate) fn lock_for_fork(&self) {
        self.list.lock_for_fork();
    }

    /// Ends `lock_for_fork`.
    ///
    /// # Safety
    /// - This thread, or the one it was copied from, called `lock_for_fork`.
    pub(crate) unsafe fn unlock_after_fork(&self) {
        // SAFETY: the caller vouches.
        unsafe { self.list.unlock_after_fork() };
    }
}

impl List {
    /// A new heap, whose memory the calling thread touches first.
    fn add(&self, pages: &Pages, bank: Bank, bin_bytes: usize) -> Option<&'static Heap> {
        let piece = pages.acquire_metadata(size_of::<Heap>())?;
        // SAFETY: the piece has the size of a heap and is aligned to it; metadata stays for ever.
        let heap = unsafe { Heap::place(piece) };
        heap.ready(pages.space(), bin_bytes);
        heap.home.set(bank);
        heap.next.set(self.first.get());
        self.first.set(heap);
        Some(heap)
    }

    fn idle(&self) -> impl Iterator<Item = &'static Heap> + use<> {
        self.heaps().filter(|heap| !heap.taken.get())
    }

    fn heaps(&self) -> impl Iterator<Item = &'static Heap> + use<> {
        let mut next = self.first.get();
        core::iter::from_fn(move || {
            // SAFETY: the links are null or point to heaps, which are never unmapped.
            let heap = unsafe { next.as_ref() }?;
            next = heap.next.get();
            Some(heap)
        })
    }
}
