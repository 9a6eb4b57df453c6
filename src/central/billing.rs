#![expect(unsafe_code, reason = "headers name bills")]
//! Large blocks on bills: which they are, how they come there and go.
//!
//! # Invariants
//! - Large blocks with a bill are linked through their headers: a header with a bill is in that bill's list. The lock
//!   [`super::bill::LargeBills`] guards lists and headers' bills.

use super::bill::Bill;
use super::large::{Fresh, with_room};
use super::span::{Span, header};
use super::store::Central;
use crate::base::units::{REGION_BYTES, Region, regions_for};
use crate::pages::{Bank, Space};

/// In the word of a large block's ticket: the next word names its bill.
pub(super) const BILLED: u64 = 1 << 32;

/// The bill in the header of a large block.
impl Span {
    /// Whether the block is sampled or on a bill, so that more is to be done when it is freed than to give back its run.
    pub(super) fn is_marked(&self) -> bool {
        self.inline.first().is_some_and(|word| word.get() != 0)
    }

    /// Whether a large block is on a bill. A hint for threads that do not have it.
    pub(super) fn is_billed(&self) -> bool {
        self.inline.first().is_some_and(|word| word.get() & BILLED != 0)
    }

    /// The bill of a large block.
    pub(crate) fn bill(&self) -> Option<&'static Bill> {
        let [_, word, ..] = &self.inline;
        // SAFETY: a header that is marked so names a bill, and bills lie in memory that stays.
        self.is_billed().then(|| unsafe { &*core::ptr::with_exposed_provenance::<Bill>(word.get() as usize) })
    }

    /// Sets the bill. The caller holds the lock of large bills.
    pub(super) fn set_bill(&self, bill: Option<&'static Bill>) {
        let [mark, word, ..] = &self.inline;
        mark.set(mark.get() & !BILLED | if bill.is_some() { BILLED } else { 0 });
        word.set(bill.map_or(0, |bill| core::ptr::from_ref(bill).expose_provenance() as u64));
    }
}

impl Central {
    /// As [`Central::alloc_large`], on `bill` where there is one. Such a block is always a run of regions.
    pub(crate) fn alloc_billed(
        &self,
        bytes: usize,
        align: usize,
        bank: Bank,
        bill: Option<&'static Bill>,
    ) -> Option<Fresh> {
        match bill {
            None => self.alloc_large(bytes, align, bank),
            Some(bill) => self.on_bill(bytes.max(1), bill, |bytes| self.alloc_run(bytes, align, bank)),
        }
    }

    /// A large block in spite of its size: of `bytes` usable bytes, no more, as a block of a class has. On `bill` where there
    /// is one.
    pub(crate) fn alloc_small_apart(
        &self,
        bytes: usize,
        align: usize,
        bank: Bank,
        bill: Option<&'static Bill>,
    ) -> Option<Fresh> {
        match bill {
            None => self.alloc_regions(bytes, align, bank),
            Some(bill) => self.on_bill(bytes, bill, |bytes| self.alloc_regions(bytes, align, bank)),
        }
    }

    fn on_bill(&self, bytes: usize, bill: &'static Bill, alloc: impl FnOnce(usize) -> Option<Fresh>) -> Option<Fresh> {
        let regions = u32::try_from(regions_for(bytes)).ok()?;
        let admitted = if self.has_guards() { with_room(regions) } else { regions } as usize * REGION_BYTES;
        if !bill.admit(admitted, &self.pages.pending) {
            return None;
        }
        let fresh = alloc(bytes);
        let region = fresh.as_ref().and_then(|fresh| self.pages.space().region_of(fresh.address()));
        let Some(region) = region else {
            bill.give_back(admitted);
            return None;
        };
        // Without a guard left the run has no room to spare.
        let taken = self.span(region).large_regions() as usize * REGION_BYTES;
        bill.give_back(admitted.saturating_sub(taken));
        self.put_on_bill(region, bill);
        fresh
    }

    /// Counts a block of `bytes` that a mode places outside of spans, runs and direct mappings, on `bill` where there is
    /// one; false, and nothing is counted, if its limit forbids that. Takes no lock.
    pub(crate) fn admit_apart(&self, bytes: usize, bill: Option<&'static Bill>) -> bool {
        let admitted = bill.is_none_or(|bill| bill.admit_apart(bytes, &self.pages.pending));
        if admitted {
            self.apart.add(bytes);
        }
        admitted
    }

    /// Ends [`Central::admit_apart`].
    pub(crate) fn dismiss_apart(&self, bytes: usize, bill: Option<&'static Bill>) {
        self.apart.subtract(bytes);
        if let Some(bill) = bill {
            bill.give_back_apart(bytes);
        }
    }

    /// Puts the large block at `region`, whose bytes `bill` admitted, on that bill.
    pub(crate) fn put_on_bill(&self, region: Region, bill: &'static Bill) {
        let (space, span) = (self.pages.space(), self.span(region));
        let _lock = self.bills.0.lock();
        bill.add_large(bytes_of(span));
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
            bill.drop_large(more(old - regions));
            bill.give_back(more(old - regions));
            return true;
        }
        let admitted = bill.admit(more(regions - old), &self.pages.pending);
        if admitted {
            bill.add_large(more(regions - old));
        }
        admitted
    }

    /// Undoes [`Central::admit_change`] to more regions: the run stays as it is.
    pub(super) fn undo_change(&self, span: &Span, regions: u32) {
        if let Some(bill) = span.bill() {
            let bytes = (regions - span.large_regions()) as usize * REGION_BYTES;
            bill.drop_large(bytes);
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
    bill.drop_large(bytes_of(span));
}
