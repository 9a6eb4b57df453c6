#![expect(unsafe_code, reason = "turns reserved addresses into records")]
//! The one reservation and how it is divided: words of the map, records, metadata, data.
//!
//! # Invariants
//! - Region `i` of the data area has entry `i` of the window and record `i`; all three are committed together, in each bank up to a
//!   border.
//! - Nothing is ever unmapped or split: the number of mappings is a small constant, for each bank.
//! - The first `reach` words of the map can be read. Those behind them cannot, and no free looks there.

use super::area::Area;
use super::bank::{Bank, Further, Part};
use super::huge::{HUGE_BYTES, Huge};
use super::map::{ENTRY_BYTES, Entry, Window};
use super::node::Placement;
use super::record::{Node, RECORD_BYTES};
use super::runs::Run;
use super::tree::Nodes;
use crate::base::units::{KIB, MIB, REGION_BYTES, REGION_SHIFT, Region};
use crate::sys::atomic::{AtomicUsize, Ordering};
use crate::sys::{call, memory};

/// Below this there is no use in a reservation.
const RESERVE_MIN: usize = 4 * MIB;
/// With a limit on address space, this share of it is reserved; the rest is the program's, and libc's when ours runs out.
const LIMITED_SHARE: usize = 2;
/// A reservation starts at a multiple of this, so that huge pages fit it.
const ALIGN: usize = HUGE_BYTES;
/// Of a reservation, one part in this many holds metadata.
const METADATA_SHARE: usize = 16;
/// What describes the data is divided in multiples of this, if pages are no larger.
const UNIT: usize = 64 * KIB;
/// Bytes of metadata before the words of the map: the first ones of both become usable by one system call.
const HEAD: usize = UNIT;
/// Far from where the kernel puts programs, libraries, heaps and stacks by itself.
const FIXED_ADDRESS: usize = 0x2000_0000_0000;
const FIXED_BYTES: usize = 0x1000_0000_0000;
/// Beyond this many bytes a region number no longer fits its type.
const DATA_MAX: usize = (u32::MAX as usize) << (REGION_SHIFT - 1);

/// See the module.
pub(crate) struct Space {
    /// The first bank, which is all of the data area where there is no other.
    pub(super) first: Part,
    pub(super) further: &'static [Further],
    /// Regions of each bank.
    pub(super) stride: u32,
    window: Window,
    /// How many words of the map can be read. Written under the lock of the runs, and only grows; read by any thread, which may see
    /// an old value and then looks less far.
    reach: AtomicUsize,
    page: usize,
    /// Whether all of it was taken at start, and no system call for memory may follow.
    fixed: bool,
    /// Whether blocks of any size come from the reservation, and none has a mapping of its own.
    self_contained: bool,
    huge: Huge,
    pub(super) placement: Placement,
}

impl Space {
    /// Reserves up to `wanted` bytes, halving until the kernel agrees; `None` if it never does.
    pub(crate) fn reserve(wanted: usize, page: usize) -> Option<Self> {
        Self::reserve_aligned(wanted, page, ALIGN)
    }

    /// As [`Space::reserve`], but always at the same address, and at most as much as fits there; `None` if anything else is there.
    pub(crate) fn reserve_fixed_address(wanted: usize, page: usize) -> Option<Self> {
        let len = wanted.min(FIXED_BYTES) & !(ALIGN - 1);
        let base = memory::reserve_at(FIXED_ADDRESS, len).ok()?;
        Some(Self { self_contained: true, ..Self::divide(base, len, HEAD, page, ALIGN) })
    }

    /// As [`Space::reserve`], with the data area at a multiple of `align`, itself a multiple of a huge page.
    fn reserve_aligned(wanted: usize, page: usize, align: usize) -> Option<Self> {
        let limit = call::limit(libc::RLIMIT_AS).map(|limit| limit as usize / LIMITED_SHARE);
        let mut len = limit.map_or(wanted, |limit| wanted.min(limit)).min(DATA_MAX) & !(align - 1);
        while len >= RESERVE_MIN {
            if let Ok(address) = memory::reserve(len + align) {
                return Some(Self::divide(address, len + align, HEAD, page, align));
            }
            len = (len / 2) & !(align - 1);
        }
        None
    }

    /// Divides the `len` bytes from `start`, with `head_len` bytes of metadata before all other parts.
    fn divide(start: usize, len: usize, head_len: usize, page: usize, align: usize) -> Self {
        let unit = UNIT.max(page);
        let base = (start + unit - 1) & !(unit - 1);
        let whole_units = |bytes: usize| (bytes / unit + 1) * unit;
        let regions = len / REGION_BYTES;
        let words = whole_units(regions * ENTRY_BYTES);
        let records = whole_units(regions * RECORD_BYTES);
        let metadata = (len / METADATA_SHARE) & !(unit - 1);
        let words_at = base + head_len;
        let records_at = words_at + words;
        // The data area starts at a multiple of the alignment.
        let data = (records_at + records + metadata + align - 1) & !(align - 1);
        let data_len = (start + len).saturating_sub(data) & !(REGION_BYTES - 1);
        let first = Part::new(
            Area::new(data, data_len, page),
            Area::new(records_at, records, page),
            Area::new(words_at, words, page),
            Area::new(records_at + records, metadata, page).behind(base, head_len),
        );
        Self {
            first,
            further: &[],
            stride: (data_len / REGION_BYTES) as u32,
            window: Window::new(words_at),
            reach: AtomicUsize::new(0),
            page,
            fixed: false,
            self_contained: false,
            huge: Huge::off(),
            placement: Placement::UNSAID,
        }
    }

    /// The space with huge pages as `huge` says. Comes before any commit.
    pub(crate) fn with_huge(self, huge: Huge) -> Self {
        let space = if huge.is_on() { self.with_data(|data| data.in_granules(HUGE_BYTES)) } else { self };
        Self { huge, ..space }
    }

    /// As [`Space::reserve`], for a data area made of explicit huge pages of `bytes`.
    pub(crate) fn reserve_explicit(wanted: usize, page: usize, bytes: usize) -> Option<Self> {
        let space = Self::reserve_aligned(wanted, page, bytes)?;
        Some(space.with_data(|data| data.in_granules(bytes).of_huge_pages(bytes)))
    }

    fn with_data(self, change: impl FnOnce(Area) -> Area) -> Self {
        Self { first: self.first.with_data(change), ..self }
    }

    /// A pool: `bytes` of memory, committed at once and for good; `None` if the kernel refuses.
    pub(crate) fn reserve_pool(bytes: usize, page: usize) -> Option<Self> {
        let address = memory::reserve(bytes + ALIGN).ok()?;
        let base = (address + ALIGN - 1) & !(ALIGN - 1);
        let space = Self { fixed: true, self_contained: true, ..Self::divide(base, bytes & !(ALIGN - 1), 0, page, ALIGN) };
        let committed = space.areas().into_iter().all(Area::ensure_all);
        space.first.set_usable(space.stride);
        committed.then_some(space)
    }

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
    pub(super) fn areas(&self) -> [&Area; 4] {
        self.first.areas()
    }

    /// Locks in memory what is committed; false if the kernel refuses.
    pub(crate) fn lock(&self) -> bool {
        // SAFETY: committed parts of an area are ours.
        self.areas().into_iter().all(|area| unsafe { memory::lock(area.base(), area.committed()) }.is_ok())
    }

    /// Bytes within which a purge must not begin or end; those of a page where it may anywhere.
    pub(crate) fn purge_unit(&self) -> usize {
        match self.first.data.explicit() {
            Some(explicit) => explicit.bytes(),
            None if self.huge.is_on() => HUGE_BYTES,
            None => self.page,
        }
    }

    /// The part of a free run that may be given back to the kernel; `None` if there is none.
    pub(super) fn purgeable(&self, run: Run) -> Option<Run> {
        if self.fixed {
            return None;
        }
        let Some(explicit) = self.first.data.explicit() else {
            return self.huge.purgeable(run, self.first_region(self.bank_of(run.region)));
        };
        let end = run.region.0 + run.count;
        let ordinary = u32::try_from(explicit.end() / REGION_BYTES).map_or(end, |first| first.clamp(run.region.0, end));
        (ordinary < end).then(|| Run { region: Region(ordinary), count: end - ordinary, ..run })
    }

    /// Whether the kernel has refused explicit huge pages since the last time this was asked.
    pub(super) fn take_refusal(&self) -> bool {
        self.first.data.explicit().is_some_and(|explicit| explicit.take_refusal())
    }

    /// Where pages are placed.
    pub(crate) fn placement(&self) -> &Placement {
        &self.placement
    }

    /// What is known of huge pages.
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

    /// Makes the first words of the map readable, and leaves what is only reserved out of core dumps. Comes before all other commits, but
    /// those of a pool. If the kernel refuses, the map reaches nowhere and every free is a slow one, until a commit succeeds; and dumps
    /// are larger than they need be.
    pub(super) fn open_window(&self) {
        if self.is_divided() {
            self.open_window_of_banks();
        } else if !self.fixed {
            self.open_first();
        }
        self.widen();
    }

    fn open_first(&self) {
        let Part { words, records, metadata, data, .. } = &self.first;
        let (head, first_words) = (metadata.head_len(), UNIT.min(words.len()));
        // SAFETY: the head of the metadata and the words lie in the reservation, one behind the other.
        if unsafe { memory::commit(metadata.at(0), head + first_words) }.is_ok() {
            metadata.set_committed(head);
            words.set_committed(first_words);
        }
        // The rest of the metadata lies between records and data.
        for (area, end) in [(words, records.base()), (records, data.base()), (data, data.base() + data.len())] {
            let start = area.base() + area.first_kept();
            // SAFETY: the range lies in the reservation.
            if start < end && unsafe { memory::leave_out_of_dumps(start, end - start) }.is_ok() {
                area.set_kept(area.first_kept());
                if core::ptr::eq(area, records) {
                    metadata.set_kept(head);
                }
            }
        }
    }

    fn open_window_of_banks(&self) {
        let (first, last) = (self.window.address(), self.address(self.end_region(Bank(self.further.len() as u32))));
        // SAFETY: from the words on all that follows is reserved, and nothing of it is committed yet.
        if unsafe { memory::leave_out_of_dumps(first, last - first) }.is_ok() {
            self.banks().flat_map(|bank| self.part(bank).areas()).for_each(|area| area.set_kept(0));
        }
        // The words of each bank are committed from its start on, and a free looks at those of all banks.
        let bytes = (1 + self.further.len()) * self.stride as usize * ENTRY_BYTES;
        // SAFETY: the words lie in the reservation, and nothing of it is committed yet.
        if unsafe { memory::make_readable(self.window.address(), bytes) }.is_ok() {
            // Release pairs with the Acquire in `reach`.
            self.reach.store(bytes / ENTRY_BYTES, Ordering::Release);
        }
    }

    /// Has the map reach as far as its words are committed.
    fn widen(&self) {
        if !self.is_divided() {
            // Release pairs with the Acquire in `reach`.
            self.reach.store(self.first.words.committed() / ENTRY_BYTES, Ordering::Release);
        }
    }

    /// Bytes of a page of the kernel's.
    pub(crate) fn page_bytes(&self) -> usize {
        self.page
    }

    /// Makes the regions of a bank below `end` usable, with their entries and records. The caller holds the lock of the runs.
    pub(crate) fn commit(&self, bank: Bank, end: Region) -> bool {
        let part = self.part(bank);
        let count = (end.0 - self.first_region(bank).0) as usize;
        let done = part.records.ensure(count * RECORD_BYTES)
            && part.words.ensure(count * ENTRY_BYTES)
            && part.data.ensure(count * REGION_BYTES);
        self.huge.follow(part);
        self.widen();
        if done {
            part.set_usable(end.0);
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

    /// See [`Finder`].
    #[inline(always)]
    pub(crate) fn finder(&self) -> Finder {
        let first = self.first.data.base() >> REGION_SHIFT;
        Finder {
            entries: self.window.address().wrapping_sub(first * ENTRY_BYTES),
            records: (self.first.records.base() + size_of::<Node>()).wrapping_sub(first * RECORD_BYTES),
        }
    }

    /// Whether `address` lies in the reservation's data area, committed or not.
    pub(crate) fn reserves(&self, address: usize) -> bool {
        address.wrapping_sub(self.first.data.base()) < self.first.data.len() * (1 + self.further.len())
    }

    /// The map's entry of a committed region.
    #[inline]
    pub(crate) fn entry(&self, region: Region) -> Entry {
        debug_assert!(self.is_committed(region, 1));
        // SAFETY: regions come from `region_of` or the runs, which hand out committed ones.
        unsafe { self.window.get(region) }
    }

    /// Sets the entries of `count` committed regions. The caller decides whose they are.
    pub(crate) fn set_entries(&self, region: Region, count: u32, entry: Entry) {
        debug_assert!(self.is_committed(region, count));
        // SAFETY: the regions are the caller's, so committed.
        unsafe { self.window.set(region, count, entry) };
    }

    /// Clears the entry of a committed region if it is `expected`; of several callers one gets true.
    pub(crate) fn clear_entry(&self, region: Region, expected: Entry) -> bool {
        // SAFETY: the region was committed when it got its entry.
        unsafe { self.window.clear(region, expected) }
    }

    /// The user's part of the record of a committed region.
    #[inline]
    pub(crate) fn record(&self, region: Region) -> *const u8 {
        debug_assert!(self.has_record(region));
        let start = self.first.records.base() + region.0 as usize * RECORD_BYTES;
        core::ptr::with_exposed_provenance(start + size_of::<Node>())
    }
}

/// Finds entry and record of blocks that were handed out. A copy of two addresses, so that a loop keeps them in registers: where
/// entry and record of the region at address 0 would be.
#[derive(Clone, Copy)]
pub(crate) struct Finder {
    entries: usize,
    records: usize,
}

impl Finder {
    /// The map's entry for a block that was handed out.
    #[inline(always)]
    pub(crate) fn entry(&self, block: usize) -> Entry {
        let word = self.entries.wrapping_add((block >> REGION_SHIFT) * ENTRY_BYTES);
        // SAFETY: the region of a block that was handed out is committed, so this is the address of its word.
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
        // SAFETY: runs only name committed regions; their records are committed, zero-initialised (a valid node) and stay.
        unsafe { &*core::ptr::with_exposed_provenance::<Node>(start) }
    }
}
