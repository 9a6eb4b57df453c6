#![expect(unsafe_code, reason = "places heaps in memory")]
//! A heap, as it lies in memory: the fast heap, which the fast path reads, and everything else.
//!
//! # Invariants
//! - Heaps are never unmapped: the address of a heap can be dereferenced forever.
//! - Only the heap's thread writes and reads a field, unless its comment says otherwise.
//! - Only the thread that holds the lock of the heap's spans uses the spans and their lists.

use core::cell::Cell;
use core::ops::Deref;

use lock_api::{GuardSend, RawMutex};

use super::counters::Counters;
use super::fast_path::FastHeap;
use super::generation;
use super::named::Named;
use super::offer::{AGAIN, Offer};
use super::remote::inbox::Inbox;
use super::remote::outbox::Outbox;
use crate::base::class::{self, Class, FAST_MAX};
use crate::base::units::REGION_BYTES;
use crate::central::{Batch, Bill, Central, Spans};
use crate::pages::map::HEAP_ALIGN;
use crate::pages::{Bank, Entry, Finder, Pages, Space};
use crate::sys::atomic::{AtomicBool, AtomicPtr, AtomicU32, AtomicUsize, Ordering};
use crate::sys::cell::{Relaxed, StaticRef};
use crate::sys::lock::{Futex, Patience};

#[repr(C, align(8192))]
pub(crate) struct Heap {
    fast: FastHeap,
    /// Whether a call of the heap's thread is inside the heap; a call that finds it entered came from inside. Written
    /// by the heap's thread; read by that thread and by the child of a fork.
    entered: AtomicBool,
    /// Work that waits for the thread's next slow call: [`OFFER`], [`AGAIN`], [`NAME`]. Written and read by the thread
    /// that holds the spans.
    pending_work: AtomicU32,
    pub(super) offer: Offer,
    /// Whether the heap frees deferred blocks now, which bypass the bins.
    pub(super) defers: Cell<bool>,
    /// The value of `tls::fast_heap` while the heap is not entered: the heap, or the inert one where the mode sees
    /// every call. Written by any thread; the heap's thread reads it at the end of its next slow call.
    pub(crate) visible: AtomicUsize,
    /// Most bytes of blocks in a bin. Written under the registry's lock, before a thread has the heap.
    pub(super) bin_bytes: Cell<usize>,
    /// The bank of the node on which the thread ran when [`Heap::current_bank`] last asked.
    pub(super) bank: Cell<Bank>,
    /// The bank of the heap's own memory. Written when the heap is made; read under the registry's lock.
    pub(super) own_bank: Cell<Bank>,
    /// Where records are. Written when the heap is prepared.
    pub(super) finder: Cell<Finder>,
    /// The heap's spans, by class. Belong to the thread that holds the spans.
    spans_by_class: [Spans; class::COUNT],
    pub(super) outbox: Outbox,
    /// Batches taken from the inbox and not yet returned to spans. Belongs to the thread that holds the spans.
    pub(super) pending: Cell<*mut Batch>,
    /// Slow events since the heap last drained its idle bins.
    pub(super) events: Cell<u32>,
    pub(super) counters: Counters,
    pub(crate) thread: ThreadState,
    /// The epoch of the sampling that the heap followed last, its mean gap, and the state of the random numbers.
    pub(super) sampling_epoch: Cell<u32>,
    pub(super) sampling_mean: Cell<usize>,
    pub(super) random: Cell<u64>,
    /// The lock of the spans. Held by the heap's thread while the heap is entered, or by another thread that receives
    /// from the inbox, drains the heap or purges its spans. The fast path needs no spans.
    spans: Futex,
    /// The next heap of the registry, and whether a thread has this one. Written under the registry's lock; read by any
    /// thread.
    pub(super) next: StaticRef<Heap>,
    pub(super) taken: Relaxed<AtomicBool>,
    /// The next heap without a thread. Guarded by the registry's lock.
    pub(super) next_free: StaticRef<Heap>,
    /// The generation of the process in which a thread got this heap. Written under the registry's lock, or by the only
    /// thread of a fork's child; read by any thread.
    pub(super) generation: AtomicU32,
    pub(super) named: Named,
    pub(super) inbox: Inbox,
}

/// State of the layers above that lies with the heap of a thread. The heap itself does not use it.
pub(crate) struct ThreadState {
    /// The kernel's number of the thread. Written by that thread; read by any thread.
    pub(crate) id: Relaxed<AtomicU32>,
    /// Whether the thread is inside a provider, a function of the program that serves a call.
    pub(crate) in_provider: Cell<bool>,
    /// Rounds of the C library's thread exit that are over.
    pub(crate) exit_rounds: Cell<u8>,
    /// Metadata that the mode in force has for this heap; null if there is none. Written by the heap's thread;
    /// read by any thread.
    pub(crate) mode: AtomicPtr<u8>,
    /// The stack for signal handlers that comes with this heap; null if there is none.
    pub(crate) handler_stack: Cell<*mut u8>,
}

// SAFETY: cells are used by the heap's thread or under the lock they name; the rest is atomic.
unsafe impl Sync for Heap {}

const _: () = assert!(size_of::<Heap>() == HEAP_ALIGN && core::mem::offset_of!(Heap, fast) == 0);

impl Deref for Heap {
    type Target = FastHeap;

    #[inline(always)]
    fn deref(&self) -> &FastHeap {
        &self.fast
    }
}

impl Heap {
    /// Whether work waits for the thread's next slow call. The caller holds the spans, as for all that concerns pending
    /// work.
    #[inline(always)]
    pub(crate) fn has_pending(&self) -> bool {
        // Relaxed: the lock of the spans orders it.
        self.pending_work.load(Ordering::Relaxed) != 0
    }

    fn wants(&self, work: u32) -> bool {
        // Relaxed: as above.
        self.pending_work.load(Ordering::Relaxed) & work != 0
    }

    /// Adds `work` to the pending work, or removes it.
    pub(super) fn set_pending(&self, work: u32, wanted: bool) {
        // Relaxed: as above.
        let before = self.pending_work.load(Ordering::Relaxed);
        // Relaxed: as above.
        self.pending_work.store(if wanted { before | work } else { before & !work }, Ordering::Relaxed);
    }

    /// Removes `work` from the pending work; whether it was there.
    pub(super) fn take_pending(&self, work: u32) -> bool {
        let waits = self.wants(work);
        self.set_pending(work, false);
        waits
    }

    /// A new heap, whose memory the calling thread touches first; `None` if there is no metadata for one.
    pub(super) fn make(pages: &Pages) -> Option<&'static Self> {
        let piece = pages.acquire_zeroed(size_of::<Self>())?;
        // SAFETY: all-zero bytes are a heap whose bins are not prepared, whose lists are empty and whose inbox is open.
        // Pieces are aligned to their size, and metadata is never unmapped.
        Some(unsafe { &*piece.cast::<Self>() })
    }

    /// A block for a request of `size` bytes; null if the fast path has none. For the heap's thread, which may
    /// use another heap.
    #[inline]
    pub(crate) fn pop_at_rest(&self, size: usize) -> *mut u8 {
        // SAFETY: the word is the address of a heap, or of the inert one.
        let heap = unsafe { FastHeap::at(self.word_at_rest()) };
        if size > FAST_MAX { heap.pop_medium(size) } else { heap.pop_fast(size) }
    }

    /// The value of the thread's word while the heap is not entered.
    #[inline]
    pub(crate) fn word_at_rest(&self) -> usize {
        if self.wants(AGAIN) {
            FastHeap::inert_address()
        } else {
            // Relaxed: the address of a heap, and heaps are never unmapped.
            self.visible.load(Ordering::Relaxed)
        }
    }

    /// Prepares the heap for a thread.
    pub(super) fn ready(&self, space: &Space) {
        self.fast.ready(space);
        self.finder.set(space.finder());
    }

    /// Whether there may be batches to receive.
    #[inline]
    pub(super) fn may_receive(&self) -> bool {
        !self.pending.get().is_null() || !self.inbox.is_empty()
    }

    /// The bank from which the thread should get memory now. Asks the kernel where memory is kept by node.
    pub(crate) fn current_bank(&self, space: &Space) -> Bank {
        let bank = space.bank_here();
        self.bank.set(bank);
        bank
    }

    /// The heap at `address`.
    ///
    /// # Safety
    /// - A heap is there, or was once: the address comes from a thread's word or from the owner of a map entry.
    #[inline(always)]
    pub(crate) unsafe fn at(address: usize) -> &'static Self {
        // SAFETY: by this function's contract a heap lies there or did, and heaps are never unmapped.
        unsafe { &*core::ptr::with_exposed_provenance::<Self>(address) }
    }

    /// The heap that owns spans with `entry`, which has a class and is not the central list's.
    pub(crate) fn of_entry(entry: Entry) -> &'static Self {
        // SAFETY: such an entry names a heap, and heaps are never unmapped.
        unsafe { Self::at(entry.owner()) }
    }

    /// The map entry of this heap's spans of `class`: the address of its bin.
    pub(super) fn entry(&self, class: Class) -> Entry {
        Entry::from_bits(core::ptr::from_ref(self.bin(class)).addr())
    }

    /// The spans of `class`.
    pub(super) fn spans(&self, class: Class) -> &Spans {
        // SAFETY: a class is below the number of lists.
        unsafe { self.spans_by_class.get_unchecked(class.index()) }
    }

    /// Resets bins, lists, batches and locks, whatever they hold. For orphans.
    pub(super) fn forget(&self) {
        for class in Class::all() {
            self.note_given(class, -(self.bin(class).len() as isize));
            self.bin(class).forget();
            self.spans(class).clear();
        }
        self.outbox.forget();
        self.pending.set(core::ptr::null_mut());
        self.events.set(0);
        self.forget_offers();
        self.defers.set(false);
        self.set_entered(false);
        self.thread.in_provider.set(false);
        self.unlock_spans();
    }

    /// Whether a call of the heap's thread is inside the heap.
    pub(crate) fn is_entered(&self) -> bool {
        // Acquire pairs with the Release in `set_entered`.
        self.entered.load(Ordering::Acquire)
    }

    /// Marks the heap as entered, or as left.
    pub(crate) fn set_entered(&self, entered: bool) {
        // Release pairs with the Acquire in `is_entered`.
        self.entered.store(entered, Ordering::Release);
    }

    /// Locks the spans; waits for another thread that holds them.
    #[inline]
    pub(crate) fn lock_spans(&self) {
        // The marker has no destructor: the spans stay held until `unlock_spans`.
        let _marker = self.spans.lock();
    }

    /// As [`Heap::lock_spans`], but fails rather than waits. Fails for every orphan.
    pub(super) fn try_lock_spans(&self) -> bool {
        self.belongs_to_process() && self.spans.try_lock().is_some()
    }

    /// As [`Heap::try_lock_spans`], but waits for so long.
    pub(super) fn lock_spans_for(&self, patience: &Patience) -> bool {
        self.belongs_to_process() && patience.lock(&self.spans)
    }

    /// Ends [`Heap::lock_spans`].
    #[inline]
    pub(crate) fn unlock_spans(&self) {
        // SAFETY: the caller holds the spans, or the thread that held them was lost in a fork.
        unsafe { self.spans.unlock(GuardSend::new()) };
    }

    /// Whether a thread holds the spans. A hint.
    pub(super) fn has_spans_locked(&self) -> bool {
        self.spans.is_locked()
    }

    /// Whether its thread is, or was, one of this process.
    pub(super) fn belongs_to_process(&self) -> bool {
        // Relaxed: a thread that finds the heap in the map sees what was written before the heap had spans.
        let generation = self.generation.load(Ordering::Relaxed);
        generation == generation::current() || generation == generation::ANY
    }

    /// Moves the heap to this generation. It is the calling thread's, and no other thread works on it.
    pub(super) fn belong_to_process(&self) {
        // Relaxed: as above.
        self.generation.store(generation::current(), Ordering::Relaxed);
    }
}

/// The bill of the heap ([`super::named`]).
impl Heap {
    /// The bill of the heap's memory, if it has one.
    #[inline]
    pub(crate) fn bill(&self) -> Option<&'static Bill> {
        self.named.bill.get()
    }

    /// Whether this is a part of a named heap.
    #[inline]
    pub(crate) fn is_part(&self) -> bool {
        self.handle() != 0
    }

    /// The handle of the named heap that this is a part of; 0 for heaps of threads.
    #[inline]
    pub(crate) fn handle(&self) -> usize {
        self.named.handle.get()
    }

    /// Has the bill admit another span of `class`; false if its limit forbids that.
    pub(super) fn admit_span(&self, central: &Central, class: Class) -> bool {
        self.bill().is_none_or(|bill| bill.admit(bytes_of(class), &central.pages.pending))
    }

    /// Takes a span of `class` off the bill.
    #[inline]
    pub(super) fn give_back_span(&self, class: Class) {
        if let Some(bill) = self.bill() {
            bill.give_back(bytes_of(class));
        }
    }
}

/// The bytes of a span of `class`.
pub(super) const fn bytes_of(class: Class) -> usize {
    class.geometry().regions as usize * REGION_BYTES
}
