#![expect(unsafe_code, reason = "a cell that a lock elsewhere guards")]
//! Bills: how many bytes of spans and large blocks someone holds, and the limits that bound them. A bill says when
//! memory may be taken and when a limit was met; it must not know who holds the memory.
//!
//! # Invariants
//! - `held` is the bytes of the regions of all spans and large blocks that were admitted and not given back. Where a hard
//!   limit is set, an admission never takes it above.

use core::cell::Cell;
use core::mem::offset_of;

use crate::pages::limits::UNLIMITED;
use crate::pages::{Pending, Work};
use crate::sys::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};
use crate::sys::cell::{Relaxed, StaticRef};
use crate::sys::lock::{Lock, Rank};

/// The soft limit is reported again only after this share of it was free.
const FREED_SHARE: usize = 8;

/// One bill. All-zero bytes are one of a closed account, which admits nothing.
pub(crate) struct Bill {
    /// Bytes held. Any thread adds and subtracts.
    held: AtomicUsize,
    /// The part of them that is large blocks. Written as `held`.
    large: AtomicUsize,
    /// The large blocks that are no runs of regions. Written as `held`.
    apart: Apart,
    /// The most that was held. Any thread raises it.
    peak: AtomicUsize,
    /// The limits, in bytes; [`crate::pages::limits::UNLIMITED`] for none. Written by the program, read by any thread.
    soft: Relaxed<AtomicUsize>,
    hard: Relaxed<AtomicUsize>,
    /// Requests that the hard limit refused. Any thread adds.
    refusals: AtomicUsize,
    /// Admissions that the hard limit forbade, of which a request may try several. Any thread adds.
    denials: AtomicUsize,
    /// Whether more than the soft limit is held, and was reported. Any thread reads and writes it.
    over: AtomicBool,
    /// Whether the soft limit was met and is not reported yet. Any thread sets and takes it.
    met: AtomicBool,
    /// Where a holder's record is, counted from 1: large blocks name the bill so. Written before any block has the bill.
    place: Relaxed<AtomicU32>,
    /// Heaps of threads that are on this bill. Any thread adds and subtracts.
    heaps: AtomicUsize,
    /// The first of its large blocks, by region; 0 for none. Guarded by the lock of large bills.
    pub(super) first: Cell<u32>,
}

/// Blocks *apart*: those that a mode places outside of spans, runs of regions and direct mappings. How many, and their
/// bytes; any thread adds and subtracts.
pub(super) struct Apart([AtomicUsize; 2]);

// Relaxed throughout: figures, of which each is valid by itself.
impl Apart {
    pub(super) const fn new() -> Self {
        Self([const { AtomicUsize::new(0) }; 2])
    }

    pub(super) fn add(&self, bytes: usize) {
        let Self([blocks, sum]) = self;
        blocks.fetch_add(1, Ordering::Relaxed);
        sum.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(super) fn subtract(&self, bytes: usize) {
        let Self([blocks, sum]) = self;
        blocks.fetch_sub(1, Ordering::Relaxed);
        sum.fetch_sub(bytes, Ordering::Relaxed);
    }

    pub(super) fn get(&self) -> [usize; 2] {
        self.0.each_ref().map(|figure| figure.load(Ordering::Relaxed))
    }
}

// SAFETY: the cell is used under the lock that its comment names; the rest is atomic.
unsafe impl Sync for Bill {}

/// The function that finds a bill by its place.
pub(crate) type FindBill = fn(usize) -> Option<&'static Bill>;

/// The lock of the lists of large blocks, of all bills; and how a bill is found. A header may be read at any moment, also
/// when it has become that of something else: a number that is none of a place leads to no bill, an address would lead
/// anywhere.
pub(super) struct LargeBills {
    pub(super) lock: Lock<()>,
    pub(super) find: StaticRef<FindBill>,
}

impl LargeBills {
    pub(super) const fn new() -> Self {
        Self { lock: Lock::new(Rank::Bills, ()), find: StaticRef::none() }
    }

    /// The bill at a place; `None` for 0, and where there is none.
    pub(super) fn at(&self, place: usize) -> Option<&'static Bill> {
        if place == 0 { None } else { self.find.get().and_then(|find| find(place)) }
    }
}

// Relaxed throughout: each word is valid by itself at any time, and memory is handed over by other means.
impl Bill {
    /// Offsets of what is held, its large part, the peak, the soft and the hard limit, the refusals, and the figures of
    /// the blocks that are no runs.
    pub(crate) const OFFSETS: [usize; 7] = [
        offset_of!(Self, held),
        offset_of!(Self, large),
        offset_of!(Self, peak),
        offset_of!(Self, soft),
        offset_of!(Self, hard),
        offset_of!(Self, refusals),
        offset_of!(Self, apart),
    ];

    /// Sets both limits, in bytes; [`crate::pages::limits::UNLIMITED`] for none.
    pub(crate) fn set_limits(&self, soft: usize, hard: usize) {
        self.soft.set(soft);
        self.hard.set(hard);
        // A new limit is reported anew, and the old one no more.
        self.over.store(false, Ordering::Relaxed);
        self.met.store(false, Ordering::Relaxed);
    }

    /// Sets where the record of the holder is, counted from 1.
    pub(crate) fn set_place(&self, place: usize) {
        self.place.set(place as u32);
    }

    /// Where the record of the holder is.
    pub(super) fn place(&self) -> usize {
        self.place.get() as usize
    }

    /// Whether there is a hard limit.
    pub(crate) fn is_limited(&self) -> bool {
        self.hard.get() != UNLIMITED
    }

    /// Whether the hard limit would admit `bytes` more.
    pub(crate) fn has_room(&self, bytes: usize) -> bool {
        self.held().checked_add(bytes).is_some_and(|now| now <= self.hard.get())
    }

    /// Both limits, in bytes.
    pub(crate) fn limits(&self) -> (usize, usize) {
        (self.soft.get(), self.hard.get())
    }

    /// Opens the bill for another holder: nothing is held, and no limit was met.
    pub(crate) fn open(&self, soft: usize, hard: usize) {
        self.set_limits(soft, hard);
        self.peak.store(self.held(), Ordering::Relaxed);
        self.refusals.store(0, Ordering::Relaxed);
    }

    /// Bytes held.
    pub(crate) fn held(&self) -> usize {
        self.held.load(Ordering::Relaxed)
    }

    /// The part of them that is large blocks.
    pub(crate) fn large(&self) -> usize {
        self.large.load(Ordering::Relaxed)
    }

    /// Counts bytes of a large block among those held.
    pub(super) fn add_large(&self, bytes: usize) {
        self.large.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Ends [`Bill::add_large`].
    pub(super) fn drop_large(&self, bytes: usize) {
        self.large.fetch_sub(bytes, Ordering::Relaxed);
    }

    /// Of the large blocks those that are no runs of regions: how many, and their bytes.
    pub(crate) fn apart(&self) -> [usize; 2] {
        self.apart.get()
    }

    /// Adds a block of `bytes` that is no run of regions, as a large one; false, and nothing is added, if the hard limit
    /// forbids it. That is no refusal: a span that is admitted already may serve the request.
    pub(super) fn admit_apart(&self, bytes: usize, pending: &Pending) -> bool {
        let admitted = self.try_admit(bytes, pending);
        if admitted {
            self.add_large(bytes);
            self.apart.add(bytes);
        }
        admitted
    }

    /// Ends [`Bill::admit_apart`].
    pub(crate) fn give_back_apart(&self, bytes: usize) {
        self.apart.subtract(bytes);
        self.drop_large(bytes);
        self.give_back(bytes);
    }

    /// The most that was held.
    pub(crate) fn peak(&self) -> usize {
        self.peak.load(Ordering::Relaxed)
    }

    /// Requests that the hard limit refused.
    pub(crate) fn refusals(&self) -> usize {
        self.refusals.load(Ordering::Relaxed)
    }

    /// Counts a request that the hard limit refused.
    pub(crate) fn refuse(&self) {
        self.refusals.fetch_add(1, Ordering::Relaxed);
    }

    /// Whether the soft limit was met and is not reported yet.
    pub(crate) fn has_met_soft(&self) -> bool {
        self.met.load(Ordering::Relaxed)
    }

    /// As [`Bill::has_met_soft`]; the caller reports it.
    pub(crate) fn take_met_soft(&self) -> bool {
        self.met.swap(false, Ordering::Relaxed)
    }

    /// Admissions that the hard limit forbade so far. A thread whose attempt at a request failed, and that finds as many as
    /// before it, knows that memory was short elsewhere. That there is room now says nothing: other threads take and give
    /// back meanwhile.
    pub(crate) fn denials(&self) -> usize {
        self.denials.load(Ordering::Relaxed)
    }

    /// Adds `bytes` that are about to be taken; false, and nothing is added, if the hard limit forbids them. Where the soft
    /// limit is met, work is pending.
    pub(crate) fn admit(&self, bytes: usize, pending: &Pending) -> bool {
        let admitted = self.try_admit(bytes, pending);
        if !admitted {
            self.denials.fetch_add(1, Ordering::Relaxed);
        }
        admitted
    }

    fn try_admit(&self, bytes: usize, pending: &Pending) -> bool {
        let mut held = self.held();
        loop {
            let Some(now) = held.checked_add(bytes).filter(|&now| now <= self.hard.get()) else { return false };
            match self.held.compare_exchange_weak(held, now, Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => break self.note_more(now, pending),
                Err(other) => held = other,
            }
        }
        true
    }

    /// As [`Bill::admit`], of bytes that are taken already, whatever the limit.
    pub(crate) fn add(&self, bytes: usize, pending: &Pending) {
        let now = self.held.fetch_add(bytes, Ordering::Relaxed) + bytes;
        self.note_more(now, pending);
    }

    /// Adds the heap of a thread, which holds `bytes`, whatever the limit.
    pub(crate) fn add_heap(&self, bytes: usize, pending: &Pending) {
        self.heaps.fetch_add(1, Ordering::Relaxed);
        self.add(bytes, pending);
    }

    /// Takes off the heap of a thread, which holds `bytes`.
    pub(crate) fn drop_heap(&self, bytes: usize) {
        self.give_back(bytes);
        self.heaps.fetch_sub(1, Ordering::Relaxed);
    }

    /// Heaps of threads that are on this bill.
    pub(crate) fn heaps(&self) -> usize {
        self.heaps.load(Ordering::Relaxed)
    }

    fn note_more(&self, now: usize, pending: &Pending) {
        if now > self.peak() {
            self.peak.fetch_max(now, Ordering::Relaxed);
        }
        if now > self.soft.get() && !self.over.swap(true, Ordering::Relaxed) {
            self.met.store(true, Ordering::Relaxed);
            pending.set(Work::BILL_LIMIT);
        }
    }

    /// Takes off `bytes` that were admitted.
    pub(crate) fn give_back(&self, bytes: usize) {
        let now = self.held.fetch_sub(bytes, Ordering::Relaxed) - bytes;
        let soft = self.soft.get();
        if now <= soft - soft / FREED_SHARE && self.over.load(Ordering::Relaxed) {
            self.over.store(false, Ordering::Relaxed);
        }
    }
}

#[cfg(all(test, loom))]
mod models;
