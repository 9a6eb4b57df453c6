//! Bills: how many bytes of spans and large blocks someone holds, and the limits that bound them. A bill says when
//! memory may be taken and when a limit was met; it must not know who holds the memory.
//!
//! # Invariants
//! - `held` is the bytes of the regions of all spans and large blocks that were admitted and not given back. Where a hard
//!   limit is set, an admission never takes it above.
//! - Large blocks with a bill are linked through their headers: a header with a bill is in that bill's list. The lock
//!   [`LargeBills`] guards lists and headers' bills.

use core::cell::Cell;
use core::mem::offset_of;

use super::span::{Span, header};
use super::store::Central;
use crate::base::units::{REGION_BYTES, Region};
use crate::pages::{Space, Work};
use crate::sys::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};
use crate::sys::cell::Relaxed;
use crate::sys::lock::{Lock, Rank};

/// The soft limit is told again only after this share of it was free meanwhile.
const FREED_SHARE: usize = 8;

/// One bill. All-zero bytes are one of a closed account, which admits nothing.
pub(crate) struct Bill {
    /// Bytes held. Any thread adds and subtracts.
    held: AtomicUsize,
    /// The part of them that is large blocks. Written as `held`.
    large: AtomicUsize,
    /// The most that was held. Any thread raises it.
    peak: AtomicUsize,
    /// The limits, in bytes; [`crate::pages::limits::UNLIMITED`] for none. Written by the program, read by any thread.
    soft: Relaxed<AtomicUsize>,
    hard: Relaxed<AtomicUsize>,
    /// Requests that the hard limit refused. Any thread adds.
    refusals: AtomicUsize,
    /// Whether more than the soft limit is held, and was told. Any thread reads and writes it.
    over: AtomicBool,
    /// The limits that were met and not told yet: [`SOFT`], [`HARD`]. Any thread sets and takes.
    met: AtomicU32,
    /// The first of its large blocks, by region; 0 for none. Guarded by the lock of large bills.
    first: Cell<u32>,
}

// SAFETY: the cell is used under the lock that its comment names; the rest is atomic.
#[expect(unsafe_code, reason = "a cell that a lock elsewhere guards")]
unsafe impl Sync for Bill {}

/// Limits that were met.
pub(crate) const SOFT: u32 = 1;
pub(crate) const HARD: u32 = 2;

/// The lock of the lists of large blocks, of all bills.
pub(super) struct LargeBills(pub(super) Lock<()>);

impl LargeBills {
    pub(super) const fn new() -> Self {
        Self(Lock::new(Rank::Bills, ()))
    }
}

// Relaxed throughout: each word is valid by itself at any time, and memory is handed over by other means.
impl Bill {
    /// Offsets of what is held, its large part, the peak, the soft and the hard limit, and the refusals.
    pub(crate) const OFFSETS: [usize; 6] = [
        offset_of!(Self, held),
        offset_of!(Self, large),
        offset_of!(Self, peak),
        offset_of!(Self, soft),
        offset_of!(Self, hard),
        offset_of!(Self, refusals),
    ];

    /// Sets both limits, in bytes; [`crate::pages::limits::UNLIMITED`] for none.
    pub(crate) fn set_limits(&self, soft: usize, hard: usize) {
        self.soft.set(soft);
        self.hard.set(hard);
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
        self.over.store(false, Ordering::Relaxed);
        self.met.store(0, Ordering::Relaxed);
    }

    /// Bytes held.
    pub(crate) fn held(&self) -> usize {
        self.held.load(Ordering::Relaxed)
    }

    /// The part of them that is large blocks.
    pub(crate) fn large(&self) -> usize {
        self.large.load(Ordering::Relaxed)
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

    /// Notes that the hard limit is about to refuse a request.
    pub(crate) fn meet_hard(&self) {
        self.met.fetch_or(HARD, Ordering::Relaxed);
    }

    /// Whether a limit was met that was not told yet.
    pub(crate) fn has_met(&self) -> bool {
        self.met.load(Ordering::Relaxed) != 0
    }

    /// Takes the limits that were met since the last time.
    pub(crate) fn take_met(&self) -> u32 {
        if self.met.load(Ordering::Relaxed) == 0 { 0 } else { self.met.swap(0, Ordering::Relaxed) }
    }

    /// Adds `bytes` that are about to be taken; false, and nothing is added, if the hard limit forbids them. Tells of the
    /// soft limit by pending work.
    pub(crate) fn admit(&self, bytes: usize, central: &Central) -> bool {
        let mut held = self.held();
        loop {
            let Some(now) = held.checked_add(bytes).filter(|&now| now <= self.hard.get()) else { return false };
            match self.held.compare_exchange_weak(held, now, Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => break self.note_more(now, central),
                Err(other) => held = other,
            }
        }
        true
    }

    /// As [`Bill::admit`], of bytes that are taken already, whatever the limit.
    pub(crate) fn add(&self, bytes: usize, central: &Central) {
        let now = self.held.fetch_add(bytes, Ordering::Relaxed) + bytes;
        self.note_more(now, central);
    }

    fn note_more(&self, now: usize, central: &Central) {
        if now > self.peak() {
            self.peak.fetch_max(now, Ordering::Relaxed);
        }
        if now > self.soft.get() && !self.over.swap(true, Ordering::Relaxed) {
            self.met.fetch_or(SOFT, Ordering::Relaxed);
            central.pages.pending.set(Work::BILL_LIMIT);
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

impl Central {
    /// Puts the large block at `region`, whose bytes `bill` admitted, on that bill.
    pub(crate) fn put_on_bill(&self, region: Region, bill: &'static Bill) {
        let (space, span) = (self.pages.space(), self.span(region));
        let _lock = self.bills.0.lock();
        bill.large.fetch_add(bytes_of(span), Ordering::Relaxed);
        span.previous.set(0);
        span.next.set(bill.first.replace(region.0));
        if span.next.get() != 0 {
            header(space, Region(span.next.get())).previous.set(region.0);
        }
        span.set_bill(Some(bill));
    }

    /// Takes the large block at `region` off its bill, if it has one.
    pub(crate) fn take_off_bill(&self, region: Region) {
        let span = self.span(region);
        if !span.is_billed() {
            return;
        }
        let lock = self.bills.0.lock();
        let Some(bill) = span.bill() else { return };
        unlink(self.pages.space(), bill, span, region);
        drop(lock);
        bill.give_back(bytes_of(span));
    }

    /// Takes some large block off `bill`: its first region.
    pub(crate) fn pop_off_bill(&self, bill: &'static Bill) -> Option<Region> {
        let lock = self.bills.0.lock();
        let region = Region(Some(bill.first.get()).filter(|&first| first != 0)?);
        let span = self.span(region);
        unlink(self.pages.space(), bill, span, region);
        drop(lock);
        bill.give_back(bytes_of(span));
        Some(region)
    }

    /// Has the bill of a large block, if it has one, admit a change of its run to `regions`; false if that is forbidden. Its
    /// thread calls this before it changes the run.
    pub(super) fn admit_change(&self, span: &Span, regions: u32) -> bool {
        let Some(bill) = span.bill() else { return true };
        let (old, more) = (span.large_regions(), |regions: u32| regions as usize * REGION_BYTES);
        if regions <= old {
            bill.large.fetch_sub(more(old - regions), Ordering::Relaxed);
            bill.give_back(more(old - regions));
            return true;
        }
        let admitted = bill.admit(more(regions - old), self);
        if admitted {
            bill.large.fetch_add(more(regions - old), Ordering::Relaxed);
        }
        admitted
    }

    /// Undoes [`Central::admit_change`] to more regions: the run stays as it is.
    pub(super) fn undo_change(&self, span: &Span, regions: u32) {
        if let Some(bill) = span.bill() {
            let bytes = (regions - span.large_regions()) as usize * REGION_BYTES;
            bill.large.fetch_sub(bytes, Ordering::Relaxed);
            bill.give_back(bytes);
        }
    }
}

fn bytes_of(span: &Span) -> usize {
    span.large_regions() as usize * REGION_BYTES
}

/// The caller holds the lock of large bills, and the block is in the list.
fn unlink(space: &Space, bill: &Bill, span: &Span, region: Region) {
    let (previous, next) = (span.previous.get(), span.next.get());
    debug_assert!(previous != 0 || bill.first.get() == region.0);
    match previous {
        0 => bill.first.set(next),
        previous => header(space, Region(previous)).next.set(next),
    }
    if next != 0 {
        header(space, Region(next)).previous.set(previous);
    }
    span.set_bill(None);
    bill.large.fetch_sub(bytes_of(span), Ordering::Relaxed);
}
