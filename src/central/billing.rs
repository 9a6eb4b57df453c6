//! Large blocks on bills: which they are, how they come there and go.
//!
//! # Invariants
//! - Large blocks with a bill are linked through their headers: a header with a bill is in that bill's list. The lock
//!   [`super::bill::LargeBills`] guards lists and headers' bills.

use super::bill::{Bill, FindBill};
use super::large::{Fresh, with_room};
use super::span::{Span, header};
use super::store::Central;
use crate::base::units::{REGION_BYTES, Region, regions_for};
use crate::pages::{Bank, Space};

/// The bill in the header of a large block: the place of its holder's record, 0 for none.
impl Span {
    /// Whether the block is sampled or on a bill, so that more is to be done when it is freed than to give back its
    /// run.
    pub(super) fn is_marked(&self) -> bool {
        let [place, ticket, ..] = &self.inline;
        place.get() | ticket.get() != 0
    }

    /// Whether a large block is on a bill. A hint for threads that do not have it.
    pub(crate) fn is_billed(&self) -> bool {
        let [place, ..] = &self.inline;
        place.get() != 0
    }

    /// Sets the bill. The caller holds the lock of large bills.
    fn set_bill(&self, bill: Option<&'static Bill>) {
        let [place, ..] = &self.inline;
        place.set(bill.map_or(0, Bill::place) as u64);
    }
}

impl Central {
    /// Has bills be found by `find`, before there is one.
    pub(crate) fn find_bills_by(&self, find: &'static FindBill) {
        self.bills.find.set(Some(find));
    }

    /// The bill of a large block. A hint for threads that neither have the block nor hold the lock of large bills.
    pub(crate) fn bill_of(&self, span: &Span) -> Option<&'static Bill> {
        let [place, ..] = &span.inline;
        self.bills.at(place.get() as usize)
    }

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

    /// A large block in spite of its size: of `bytes` usable bytes, no more, as a block of a class has. On `bill` where
    /// there is one.
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

    /// Counts a block of `bytes` that a mode places outside of spans, runs and direct mappings, on `bill` where there
    /// is one; false, and nothing is counted, if its limit forbids that. Takes no lock.
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
        let _lock = self.bills.lock.lock();
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
        // Another thread may take the block off as well, and its run may be another block's once this one is freed: so
        // the bytes are given back under the lock.
        let _lock = self.bills.lock.lock();
        let Some(bill) = self.bill_of(span) else { return };
        unlink(self.pages.space(), bill, span, region);
        bill.give_back(bytes_of(span));
    }

    /// Takes some large block off `bill`: its first region.
    pub(crate) fn pop_off_bill(&self, bill: &'static Bill) -> Option<Region> {
        let _lock = self.bills.lock.lock();
        let region = Region(Some(bill.first.get()).filter(|&first| first != 0)?);
        let span = self.span(region);
        unlink(self.pages.space(), bill, span, region);
        bill.give_back(bytes_of(span));
        Some(region)
    }

    /// Changes the run of the large block at `span`, of `old` regions, to one of `regions` by `change`; false, and
    /// nothing is changed, if that fails or the block's bill forbids it. No other thread takes the block off its bill
    /// meanwhile.
    pub(super) fn change_run(&self, span: &Span, regions: u32, change: impl FnOnce() -> bool) -> bool {
        if !span.is_billed() {
            return change();
        }
        let _lock = self.bills.lock.lock();
        let Some(bill) = self.bill_of(span) else { return change() };
        let (before, after) = (bytes_of(span), regions as usize * REGION_BYTES);
        let more = after.saturating_sub(before);
        if more > 0 && !bill.admit(more, &self.pages.pending) {
            return false;
        }
        let changed = change();
        if changed {
            bill.add_large(more);
            bill.drop_large(before.saturating_sub(after));
        }
        bill.give_back(if changed { before.saturating_sub(after) } else { more });
        changed
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
