#![expect(unsafe_code, reason = "places heaps in memory")]
//! A heap, as it lies in memory: the front, which the fast path reads, and everything else.
//!
//! # Invariants
//! - Heaps are never unmapped: an address that was a heap once can be dereferenced for ever.
//! - All but the inbox belongs to the heap's thread, except for fields that say otherwise. Its spans and their lists belong to who
//!   holds them.

use core::cell::Cell;
use core::ops::Deref;

use lock_api::{GuardSend, RawMutex};

use super::counters::Counters;
use super::fast_path::FastHeap;
use super::generation;
use super::offer::{AGAIN, Offer};
use super::remote::inbox::Inbox;
use super::remote::outbox::Outbox;
use crate::base::class::{self, Class};
use crate::central::{Batch, Spans};
use crate::pages::map::HEAP_ALIGN;
use crate::pages::{Bank, Entry, Pages, Space};
use crate::sys::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};
use crate::sys::cell::{Relaxed, StaticRef};
use crate::sys::lock::Futex;
use crate::sys::memory;

/// See the module.
#[repr(C, align(8192))]
pub(crate) struct Heap {
    fast: FastHeap,
    /// Whether the heap is being worked on: a call that finds it so came from inside. Written by the heap's thread; read by the child
    /// of a fork, too.
    busy: AtomicBool,
    /// What waits for the thread's next slow call: [`OFFER`], [`AGAIN`]. Written by the holder of the spans.
    pending_work: AtomicU32,
    pub(super) offer: Offer,
    /// Whether deferred frees are being made.
    pub(super) defers: Cell<bool>,
    /// What `tls::fast_heap` is set to while the heap is not busy: the heap, or the inert one where every call is to be seen. Any
    /// thread may change it; the heap's thread follows when it is busy next.
    pub(crate) visible: AtomicUsize,
    /// Whether the thread is inside a function of the program's that serves a call.
    pub(crate) in_provider: Cell<bool>,
    /// Rounds of the C library's thread exit that have passed.
    pub(crate) exit_rounds: Cell<u8>,
    /// Most bytes of blocks in a bin.
    pub(super) bin_bytes: Cell<usize>,
    /// The bank of the node on which the thread ran when that was last asked, and the one where the heap's own memory lies.
    pub(super) bank: Cell<Bank>,
    pub(super) own_bank: Cell<Bank>,
    /// Its spans, by class.
    spans_by_class: [Spans; class::COUNT],
    pub(super) outbox: Outbox,
    /// Batches taken from the inbox and not yet looked at. Belongs to who holds the spans.
    pub(super) pending: Cell<*mut Batch>,
    /// Slow events since the bins were last looked over.
    pub(super) events: Cell<u32>,
    pub(super) counters: Counters,
    /// The thread that has this heap, by the kernel's number.
    pub(crate) thread: Relaxed<AtomicU32>,
    /// The stack for handlers of signals that comes with this heap; null if there is none.
    pub(crate) handler_stack: Cell<*mut u8>,
    /// The switch of the sampling that the heap followed last, the mean gap it asked for, and where the random numbers stand.
    pub(super) sampling_epoch: Cell<u32>,
    pub(super) sampling_mean: Cell<usize>,
    pub(super) random: Cell<u64>,
    /// Held by whoever works on the heap's spans: its thread while the heap is busy, or another one that takes home what waits in the
    /// inbox of a thread that does not. The fast path needs no spans.
    spans: Futex,
    /// The next heap of the registry, and whether a thread has this one. Guarded by the registry's lock.
    pub(super) next: StaticRef<Heap>,
    pub(super) taken: Relaxed<AtomicBool>,
    /// The next heap without a thread. Guarded by the registry's lock.
    pub(super) next_free: StaticRef<Heap>,
    /// The generation of the process in which a thread got this heap; see [`super::orphan`]. Written with the registry's lock held, read
    /// by any thread.
    pub(super) generation: AtomicU32,
    pub(super) inbox: Inbox,
}

// SAFETY: cells are touched by the heap's thread or under the lock they name; the rest is atomic.
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
    /// Whether anything waits for the thread's next slow call. The caller holds the spans, as for all of these.
    #[inline(always)]
    pub(crate) fn has_pending(&self) -> bool {
        // Relaxed: the lock of the spans orders it.
        self.pending_work.load(Ordering::Relaxed) != 0
    }

    fn wants(&self, work: u32) -> bool {
        // Relaxed: as above.
        self.pending_work.load(Ordering::Relaxed) & work != 0
    }

    /// Adds `work` to what waits, or takes it off.
    pub(super) fn set_pending(&self, work: u32, wanted: bool) {
        // Relaxed: as above.
        let before = self.pending_work.load(Ordering::Relaxed);
        // Relaxed: as above.
        self.pending_work.store(if wanted { before | work } else { before & !work }, Ordering::Relaxed);
    }

    /// Takes `work` off; whether it waited.
    pub(super) fn take_pending(&self, work: u32) -> bool {
        let waits = self.wants(work);
        self.set_pending(work, false);
        waits
    }

    /// A new heap, whose memory the calling thread touches first; `None` if there is no metadata for one.
    pub(super) fn make(pages: &Pages) -> Option<&'static Self> {
        let piece = pages.acquire_metadata(size_of::<Self>())?;
        // SAFETY: the piece has these bytes, and nothing else uses them.
        unsafe { memory::zero(piece, size_of::<Self>()) };
        // SAFETY: all-zero bytes are a heap whose bins are not readied, whose lists are empty and whose inbox is open. Pieces are aligned to
        // their size, and metadata is never unmapped.
        Some(unsafe { &*piece.cast::<Self>() })
    }

    /// What the thread's word is to be while the heap is not busy.
    #[inline]
    pub(crate) fn word_at_rest(&self) -> usize {
        if self.wants(AGAIN) {
            FastHeap::inert_address()
        } else {
            // Relaxed: an address of what never goes away.
            self.visible.load(Ordering::Relaxed)
        }
    }

    /// Readies the heap for a thread.
    pub(super) fn ready(&self, space: &Space, bin_bytes: usize) {
        self.fast.ready(space);
        self.bin_bytes.set(bin_bytes);
    }

    /// Whether there may be batches to receive.
    #[inline]
    pub(super) fn may_receive(&self) -> bool {
        !self.pending.get().is_null() || !self.inbox.is_empty()
    }

    /// The bank from which the thread is to have memory now. Asks the kernel where memory is kept by node.
    pub(crate) fn locate(&self, space: &Space) -> Bank {
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
        // SAFETY: the caller vouches; heaps are never unmapped.
        unsafe { &*core::ptr::with_exposed_provenance::<Self>(address) }
    }

    /// The heap that owns spans with `entry`, which has a class and is not the depot's.
    pub(crate) fn of_entry(entry: Entry) -> &'static Self {
        // SAFETY: such an entry names a heap, and heaps are never unmapped.
        unsafe { Self::at(entry.owner()) }
    }

    /// The map entry of this heap's spans of `class`.
    pub(super) fn entry(&self, class: Class) -> Entry {
        Entry::small(self.address(), class)
    }

    /// The spans of `class`.
    pub(super) fn spans(&self, class: Class) -> &Spans {
        // SAFETY: a class is below the number of lists.
        unsafe { self.spans_by_class.get_unchecked(class.index()) }
    }

    /// Forgets bins, lists and batches, whatever they hold.
    pub(super) fn forget(&self) {
        for class in Class::all() {
            self.bin(class).forget();
            self.spans(class).clear();
        }
        self.outbox.forget();
        self.pending.set(core::ptr::null_mut());
        self.events.set(0);
        self.forget_offers();
        self.defers.set(false);
        self.set_entered(false);
        self.in_provider.set(false);
        self.free_spans();
    }

    /// Whether a call that finds the heap so came from inside.
    pub(crate) fn is_entered(&self) -> bool {
        // Acquire pairs with the Release in `set_entered`.
        self.busy.load(Ordering::Acquire)
    }

    /// See [`Heap::is_entered`].
    pub(crate) fn set_entered(&self, busy: bool) {
        // Release pairs with the Acquire in `is_entered`.
        self.busy.store(busy, Ordering::Release);
    }

    /// Takes the spans, waiting for another thread that works on them.
    #[inline]
    pub(crate) fn hold_spans(&self) {
        // The marker has no destructor: the spans stay held until `free_spans`.
        let _marker = self.spans.lock();
    }

    /// As [`Heap::hold_spans`], but gives up rather than wait. Nobody gets the spans of an orphan.
    pub(super) fn try_hold_spans(&self) -> bool {
        self.belongs_to_process() && self.spans.try_lock().is_some()
    }

    /// Ends [`Heap::hold_spans`].
    #[inline]
    pub(crate) fn free_spans(&self) {
        // SAFETY: callers hold the spans, or nobody can work on them, and the next one may.
        unsafe { self.spans.unlock(GuardSend::new()) };
    }

    /// Whether its thread is, or was, one of this process's.
    pub(super) fn belongs_to_process(&self) -> bool {
        // Relaxed: a thread that finds the heap in the map sees what was written before the heap had spans.
        self.generation.load(Ordering::Relaxed) == generation::current()
    }

    /// Gives the heap, which is the calling thread's and has no other one at work on it, to this generation.
    pub(super) fn belong_to_process(&self) {
        // Relaxed: as above.
        self.generation.store(generation::current(), Ordering::Relaxed);
    }
}
