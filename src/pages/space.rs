#![expect(unsafe_code, reason = "turns reserved addresses into records")]
//! The one reservation and how it is divided: words of the map, records, metadata, the shadow, data.
//!
//! # Invariants
//! - Region `i` of the data area has entry `i` of the window and record `i`; all three are committed together, in each
//!   bank up to a border.
//! - Nothing is ever unmapped or split: the number of mappings is a small constant, for each bank.
//! - The first `reach` words of the map can be read. Those behind them cannot, and no free looks there.

use super::area::Area;
use super::bank::{Bank, Further, PARTS, Part, Trees};
use super::huge::{HUGE_BYTES, Huge};
use super::map::{ENTRY_BYTES, Entry, Window, Word};
use super::metadata::Metadata;
use super::placement::Placement;
use super::shadow::Shadow;
use super::tree::{Node, Nodes, RECORD_BYTES};
use crate::base::units::{REGION_BYTES, REGION_SHIFT, Region};
use crate::sys::atomic::{AtomicUsize, Ordering};
use crate::sys::memory;

/// The reservation.
pub(crate) struct Space {
    /// The first bank, which is all of the data area where there is no other.
    pub(super) first: Part,
    pub(super) further: &'static [Further],
    /// Regions of each bank.
    pub(super) stride: u32,
    pub(super) window: Window,
    /// How many words of the map can be read. Written under the lock of the runs, and only grows; read by any thread,
    /// which may see an old value and then finds fewer regions.
    pub(super) reach: AtomicUsize,
    pub(super) page: usize,
    /// Whether all of it was taken at start, and no system call for memory may follow.
    pub(super) fixed: bool,
    /// Whether blocks of any size come from the reservation, and none has a mapping of its own.
    pub(super) self_contained: bool,
    pub(super) huge: Huge,
    pub(super) placement: Placement,
    pub(super) shadow: Shadow,
}

impl Space {
    /// Where the entries and records of its regions begin.
    pub(super) fn tables(&self) -> [usize; 2] {
        [self.window.address(), self.first.records.base()]
    }

    /// Whether all memory was taken at start.
    pub(crate) fn is_fixed(&self) -> bool {
        self.fixed
    }

    /// Whether blocks of any size come from the reservation.
    pub(crate) fn is_self_contained(&self) -> bool {
        self.self_contained
    }

    /// All parts of a pool.
    pub(super) fn areas(&self) -> [&Area; PARTS] {
        self.first.areas()
    }

    /// Locks in memory what is committed; false if the kernel refuses.
    pub(crate) fn lock(&self) -> bool {
        self.areas().into_iter().all(|area| memory::lock(area.base(), area.committed()).is_ok())
    }

    /// Bytes within which a purge must not begin or end; those of a page where it may anywhere.
    pub(crate) fn purge_unit(&self) -> usize {
        match self.first.data.explicit() {
            Some(explicit) => explicit.bytes(),
            None if self.huge.is_on() => HUGE_BYTES,
            None => self.page,
        }
    }

    /// Whether the kernel has refused explicit huge pages since the last time this was asked.
    pub(super) fn take_refusal(&self) -> bool {
        self.first.data.explicit().is_some_and(|explicit| explicit.take_refusal())
    }

    /// Where pages are placed.
    pub(crate) fn placement(&self) -> &Placement {
        &self.placement
    }

    /// The state of huge pages.
    pub(crate) fn huge(&self) -> &Huge {
        &self.huge
    }

    /// Where the data area begins, and the map's word of its first region.
    pub(crate) fn window(&self) -> [usize; 2] {
        [self.first.data.base(), self.window.address()]
    }

    /// How many words of the map can be read, from the first one on.
    #[inline]
    pub(crate) fn reach(&self) -> usize {
        // Acquire pairs with the Release in `widen` and `open_window`: those words can be read.
        self.reach.load(Ordering::Acquire)
    }

    /// Has the map reach as far as its words are committed.
    pub(super) fn widen(&self) {
        if !self.is_divided() {
            // Release pairs with the Acquire in `reach`.
            self.reach.store(self.first.words.committed() / ENTRY_BYTES, Ordering::Release);
        }
    }

    /// Bytes of a page of the kernel's.
    pub(crate) fn page_bytes(&self) -> usize {
        self.page
    }

    /// Makes the regions of a bank below `end` usable, with their entries and records. The caller holds the lock of the
    /// runs.
    pub(crate) fn commit(&self, bank: Bank, end: Region) -> bool {
        let part = self.part(bank);
        let count = (end.0 - self.first_region(bank).0) as usize;
        let fresh = part.data.committed();
        let done = part.records.ensure(count * RECORD_BYTES)
            && part.words.ensure(count * ENTRY_BYTES)
            && self.commit_shadow(part, count)
            && part.data.ensure(count * REGION_BYTES);
        self.huge.advise(&part.advised, part.data.base(), fresh, part.data.committed());
        self.widen();
        if done {
            part.set_usable(end.0);
        }
        done
    }

    #[inline(always)]
    pub(crate) fn shadow(&self) -> &Shadow {
        &self.shadow
    }

    /// Makes the shadow of the first `count` regions of a bank usable, and that of one more. The caller holds the lock
    /// of the runs. False if the kernel refuses.
    fn commit_shadow(&self, part: &Part, count: usize) -> bool {
        if part.shadow.len() == 0 {
            return true;
        }
        let done = part.shadow.ensure(self.shadow.bytes_of(count + 1).min(part.shadow.len()));
        if !self.is_divided() {
            self.shadow.widen(part.shadow.committed());
        }
        done
    }

    /// Where `region` starts.
    #[inline]
    pub(crate) fn address(&self, region: Region) -> usize {
        self.first.data.base() + region.0 as usize * REGION_BYTES
    }

    /// The region of `address`; `None` outside of the usable part.
    #[inline]
    pub(crate) fn region_of(&self, address: usize) -> Option<Region> {
        let index = address.wrapping_sub(self.first.data.base()) >> REGION_SHIFT;
        if index < self.first.usable() as usize { Some(Region(index as u32)) } else { self.region_further(index) }
    }

    /// A copy of what [`Finder`] needs.
    #[inline(always)]
    pub(crate) fn finder(&self) -> Finder {
        let first = self.first.data.base() >> REGION_SHIFT;
        Finder {
            entries: self.window.address().wrapping_sub(first * ENTRY_BYTES),
            records: (self.first.records.base() + size_of::<Node>()).wrapping_sub(first * RECORD_BYTES),
        }
    }

    /// Bytes of the reservation's data area, committed or not.
    pub(crate) fn data_bytes(&self) -> usize {
        self.first.data.len() * (1 + self.further.len())
    }

    /// Whether `address` lies in the reservation's data area, committed or not.
    pub(crate) fn reserves(&self, address: usize) -> bool {
        address.wrapping_sub(self.first.data.base()) < self.data_bytes()
    }

    /// The map's entry of a committed region.
    #[inline]
    pub(crate) fn entry(&self, region: Region) -> Entry {
        debug_assert!(self.is_committed(region, 1));
        // SAFETY: regions come from `region_of` or the runs, which hand out committed ones.
        unsafe { self.window.get(region) }.entry()
    }

    /// Sets the entries of `count` committed regions, which are the caller's to hand to an owner: all those of a span,
    /// or of no span.
    pub(crate) fn set_entries(&self, region: Region, count: u32, entry: Entry) {
        debug_assert!(self.is_committed(region, count));
        // SAFETY: the regions are the caller's, so committed.
        unsafe { self.window.set(region, count, Word::of_span(entry, self.address(region))) };
    }

    /// Clears the entry of a committed region if it is `expected`; of several callers one gets true.
    pub(crate) fn clear_entry(&self, region: Region, expected: Entry) -> bool {
        // SAFETY: the region was committed when it got its entry.
        unsafe { self.window.clear(region, expected) }
    }

    /// All banks.
    pub(crate) fn banks(&self) -> impl Iterator<Item = Bank> + use<> {
        (0..=self.further.len() as u32).map(Bank)
    }

    /// All banks but `bank`.
    #[cold]
    pub(super) fn other_banks(&self, bank: Bank) -> impl Iterator<Item = Bank> + use<> {
        self.banks().filter(move |&other| other != bank)
    }

    /// Bytes of address space of all parts, and what of them is committed.
    pub(super) fn sizes(&self) -> [usize; 2] {
        let areas = || self.banks().map(|bank| self.part(bank)).flat_map(Part::areas);
        [areas().map(|area| area.len()).sum(), areas().map(|area| area.committed()).sum()]
    }

    /// Bytes of the data area for which huge pages were asked, or that are made of explicit ones.
    pub(super) fn huge_bytes(&self) -> usize {
        match self.first.data.explicit() {
            Some(explicit) => explicit.end().min(self.first.data.committed()),
            None => self.banks().map(|bank| self.huge.bytes(&self.part(bank).advised)).sum(),
        }
    }

    /// Whether memory is kept by node.
    #[inline]
    pub(crate) fn is_divided(&self) -> bool {
        !self.further.is_empty()
    }

    /// The bank whose node is that of the processor on which the calling thread runs.
    #[inline]
    pub(crate) fn bank_here(&self) -> Bank {
        if self.is_divided() { self.placement.bank_here() } else { Bank::FIRST }
    }

    /// The bank of a region.
    #[inline]
    pub(crate) fn bank_of(&self, region: Region) -> Bank {
        if self.is_divided() { Bank(region.0 / self.stride) } else { Bank::FIRST }
    }

    /// The region with which a bank starts; it is never handed out.
    pub(crate) fn first_region(&self, bank: Bank) -> Region {
        Region(bank.0 * self.stride)
    }

    /// The end of the regions of a bank.
    pub(super) fn end_region(&self, bank: Bank) -> Region {
        self.first_region(bank).plus(self.stride)
    }

    /// The memory of a bank.
    pub(super) fn part(&self, bank: Bank) -> &Part {
        self.further(bank).map_or(&self.first, |further| &further.part)
    }

    /// The free runs of a bank other than the first.
    pub(super) fn trees(&self, bank: Bank) -> Option<&Trees> {
        self.further(bank).map(|further| &further.trees)
    }

    /// The bank in whose metadata `address` lies.
    pub(super) fn bank_of_metadata(&self, address: usize) -> Bank {
        if !self.is_divided() {
            return Bank::FIRST;
        }
        let area = &self.first.metadata;
        Bank(((address - area.base()) / area.len()) as u32)
    }

    /// The free metadata of a bank other than the first.
    pub(super) fn metadata(&self, bank: Bank) -> Option<&Metadata> {
        self.further(bank).map(|further| &further.metadata)
    }

    fn further(&self, bank: Bank) -> Option<&Further> {
        self.further.get((bank.0 as usize).checked_sub(1)?)
    }

    /// The region with number `index`, if it is in the usable part of a bank but the first.
    #[cold]
    pub(super) fn region_further(&self, index: usize) -> Option<Region> {
        let region = Region(u32::try_from(index).ok().filter(|_| self.is_divided())?);
        let further = self.further(self.bank_of(region))?;
        (region.0 < further.part.usable()).then_some(region)
    }

    /// Whether `count` regions from `region` on are committed.
    pub(super) fn is_committed(&self, region: Region, count: u32) -> bool {
        let bank = self.bank_of(region);
        let end = (region.0 + count - self.first_region(bank).0) as usize;
        end * REGION_BYTES <= self.part(bank).data.committed()
    }

    /// Whether the record of `region` is committed.
    pub(super) fn has_record(&self, region: Region) -> bool {
        let bank = self.bank_of(region);
        let end = (region.0 + 1 - self.first_region(bank).0) as usize;
        end * RECORD_BYTES <= self.part(bank).records.committed()
    }

    /// The user's part of the record of a committed region.
    #[inline]
    pub(crate) fn record(&self, region: Region) -> *const u8 {
        debug_assert!(self.has_record(region));
        let start = self.first.records.base() + region.0 as usize * RECORD_BYTES;
        core::ptr::with_exposed_provenance(start + size_of::<Node>())
    }
}

/// Finds entry and record of blocks that were handed out. A copy of two addresses, so that a loop keeps them in
/// registers: where entry and record of the region at address 0 would be.
#[derive(Clone, Copy)]
pub(crate) struct Finder {
    entries: usize,
    records: usize,
}

impl Finder {
    /// The map's word for the region of `block`.
    ///
    /// # Safety
    /// - The region is committed.
    #[inline(always)]
    pub(crate) unsafe fn word(&self, block: usize) -> Word {
        let word = self.entries.wrapping_add((block >> REGION_SHIFT) * ENTRY_BYTES);
        // SAFETY: the region is committed, so this is the address of its word.
        unsafe { Window::new(word).get(Region(0)) }
    }

    /// The user's part of the record of its region.
    #[inline(always)]
    pub(crate) fn record(&self, block: usize) -> *const u8 {
        core::ptr::with_exposed_provenance(self.records.wrapping_add((block >> REGION_SHIFT) * RECORD_BYTES))
    }
}

impl Nodes for Space {
    #[inline]
    fn node(&self, index: u32) -> &Node {
        debug_assert!(self.has_record(Region(index)));
        let start = self.first.records.base() + index as usize * RECORD_BYTES;
        // SAFETY: runs only name committed regions; their records are committed, zero-initialised (a valid node) and
        // stay.
        unsafe { &*core::ptr::with_exposed_provenance::<Node>(start) }
    }
}
