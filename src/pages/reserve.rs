//! Makes the reservation at start: its parts, its banks, and the part of it that is usable and read at once.
//!
//! With memory by node each bank prefers one node: the kernel takes pages of that node while it has any. So a run
//! always belongs to the node of its bank, whichever thread touches it, and no run needs a record of its node.
//!
//! # Invariants
//! - All of this happens before any commit, except those of a pool.

use super::area::Area;
use super::bank::{Bank, Further, Part};
use super::huge::{HUGE_BYTES, Huge};
use super::map::{ENTRY_BYTES, Window};
use super::metadata::METADATA_MAX;
use super::placement::{Placement, Wish};
use super::shadow::{GRANULE_SHIFT, Shadow, Unit};
use super::space::Space;
use super::tree::RECORD_BYTES;
use crate::base::units::{KIB, LARGE_MAX, MIB, REGION_BYTES, REGION_SHIFT, Region};
use crate::sys::atomic::{AtomicUsize, Ordering};
use crate::sys::{call, memory};

/// Below this there is no use in a reservation.
pub(super) const RESERVE_MIN: usize = 4 * MIB;
/// With a limit on address space, this share of it is reserved; the rest is the program's, and libc's when ours runs
/// out.
const LIMITED_SHARE: usize = 2;
/// A reservation starts at a multiple of this, so that huge pages fit it.
const ALIGN: usize = HUGE_BYTES;
/// Of a reservation, one part in this many holds metadata.
const METADATA_SHARE: usize = 16;
/// The metadata area is divided in multiples of this, if pages are no larger.
const UNIT: usize = 64 * KIB;
/// Bytes of metadata before the words of the map: the first ones of both become usable by one system call.
const HEAD: usize = UNIT;
/// Far from where the kernel puts programs, libraries, heaps and stacks by itself.
const FIXED_ADDRESS: usize = 0x2000_0000_0000;
const FIXED_BYTES: usize = 0x1000_0000_0000;
/// Beyond this many bytes a region number no longer fits its type.
const DATA_MAX: usize = (u32::MAX as usize) << (REGION_SHIFT - 1);
/// A bank has a multiple of so many regions: then its records and its words of the map begin with a page as those of
/// the first do.
const STEP: u32 = 2 * (LARGE_MAX / REGION_BYTES) as u32;

/// The metadata of a bank begins at a multiple of so many bytes, as that of the first does.
const METADATA_STEP: usize = 64 * KIB;

const _: () = assert!(METADATA_STEP.is_multiple_of(METADATA_MAX));

const REFUSED: &str = "the kernel refuses; the process's policy places the pages";

impl Space {
    /// Reserves up to `wanted` bytes, halving until the kernel agrees; `None` if it never does.
    pub(crate) fn reserve(wanted: usize, page: usize) -> Option<Self> {
        Self::reserve_aligned(wanted, page, ALIGN)
    }

    /// As [`Space::reserve`], but always at the same address, and at most as much as fits there; `None` if anything
    /// else is there.
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

    /// The space with a shadow of such units, which is cut from the front of the data area; `None` if too little of
    /// that would be left, and for a pool, all of which is in use. Comes before any commit.
    pub(crate) fn with_shadow(self, unit: Unit) -> Option<Self> {
        if self.fixed {
            return None;
        }
        let Part { data, records, words, metadata, .. } = self.first;
        let (start, page, unit) = (data.base(), self.page, unit as usize);
        // A page more, for the granule behind the last block.
        let len = (data.len() >> GRANULE_SHIFT) * unit + page;
        let data = data.without_first(len).filter(|data| data.len() >= RESERVE_MIN)?;
        Some(Self {
            stride: (data.len() / REGION_BYTES) as u32,
            shadow: Shadow::at(start, data.base(), unit),
            first: Part::new(data, records, words, metadata).with_shadow(Area::new(start, len, page)),
            ..self
        })
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
            shadow: Shadow::none(),
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
        let space =
            Self { fixed: true, self_contained: true, ..Self::divide(base, bytes & !(ALIGN - 1), 0, page, ALIGN) };
        let committed = space.areas().into_iter().all(Area::ensure_all);
        space.first.set_usable(space.stride);
        committed.then_some(space)
    }

    /// Makes the first words of the map readable, and leaves what is only reserved out of core dumps. Called before
    /// all other commits, except those of a pool. If the kernel refuses, the map covers no region and every free takes
    /// the slow path until a commit succeeds; and dumps are larger than they need be.
    pub(super) fn open_window(&self) {
        if self.is_divided() {
            self.open_window_of_banks();
        } else if !self.fixed {
            self.open_first();
        }
        self.widen();
    }

    fn open_first(&self) {
        let Part { words, records, metadata, shadow, data, .. } = &self.first;
        let head = metadata.head_len();
        metadata.commit_head_with(words, UNIT.min(words.len()));
        // The rest of the metadata lies between records and data, and so does the shadow.
        for (area, end) in [(words, records.base()), (records, data.base()), (data, data.base() + data.len())] {
            let start = area.base() + area.first_kept();
            if start < end && memory::leave_out_of_dumps(start, end - start).is_ok() {
                area.set_kept(area.first_kept());
                if core::ptr::eq(area, records) {
                    metadata.set_kept(head);
                    shadow.set_kept(0);
                }
            }
        }
    }

    #[cold]
    fn open_window_of_banks(&self) {
        let (first, last) = (self.window.address(), self.address(self.end_region(Bank(self.further.len() as u32))));
        if memory::leave_out_of_dumps(first, last - first).is_ok() {
            self.banks().flat_map(|bank| self.part(bank).areas()).for_each(|area| area.set_kept(0));
        }
        self.open_shadow_of_banks();
        // The words of each bank are committed from its start on, and a free looks at those of all banks.
        let last = self.further.last().map_or(&self.first, |further| &further.part);
        if self.first.words.make_readable_to(&last.words) {
            let bytes = (1 + self.further.len()) * self.stride as usize * ENTRY_BYTES;
            // Release pairs with the Acquire in `reach`.
            self.reach.store(bytes / ENTRY_BYTES, Ordering::Release);
        }
    }

    /// Makes the shadow of all banks readable, where there are several; false if the kernel refuses, and then the
    /// shadow reaches nothing. Comes before any commit.
    pub(super) fn open_shadow_of_banks(&self) -> bool {
        let last = self.further.last().map_or(&self.first, |further| &further.part);
        let all = last.shadow.base() + last.shadow.len() - self.first.shadow.base();
        let done = all > 0 && self.first.shadow.make_readable_to(&last.shadow);
        if done {
            self.shadow.widen(all);
        }
        done
    }

    /// Places pages as `placement` says; an error, and nothing changed, if that cannot be. Comes before any commit.
    pub(crate) fn place(&mut self, placement: Placement) -> Result<(), &'static str> {
        if placement.wish() == Wish::ByNode && placement.nodes() > 1 {
            self.divide_by_node(placement.nodes(), |bank, area| placement.apply_of(bank, area.base(), area.len()))?;
        } else if !placement.apply(self.first.data.base(), self.first.data.len()) {
            return Err(REFUSED);
        }
        self.placement = placement;
        Ok(())
    }

    /// Makes `banks` banks; `place` has the kernel place what belongs to one, and says whether it could.
    fn divide_by_node(&mut self, banks: u32, place: impl Fn(Bank, &Area) -> bool) -> Result<(), &'static str> {
        if self.first.data.explicit().is_some() {
            return Err("the process's policy places explicit huge pages");
        }
        let stride = self.stride / banks / STEP * STEP;
        if stride == 0 {
            return Err("the reservation is too small to be divided; the process's policy places the pages");
        }
        let metadata = self.first.metadata.without_head().len() / banks as usize / METADATA_STEP * METADATA_STEP;
        let part = |bank: Bank| {
            let shadow = self.cut_shadow(bank, stride as usize, bank.0 + 1 == banks);
            self.cut(bank, stride, metadata).with_shadow(shadow)
        };
        let placed = (0..banks).map(Bank).all(|bank| {
            let Part { data, records, metadata, shadow, .. } = part(bank);
            [data, records, metadata, shadow].iter().all(|area| area.len() == 0 || place(bank, area))
        });
        let further = |index: usize| {
            let bank = Bank(index as u32 + 1);
            Further::new(part(bank), Region(bank.0 * stride))
        };
        let further = if placed { memory::map_values(banks as usize - 1, further) } else { None };
        let further = further.ok_or(REFUSED)?;
        self.first = part(Bank::FIRST);
        self.further = further;
        self.stride = stride;
        Ok(())
    }

    /// `bank` of banks of `stride` regions and `metadata_len` bytes of metadata.
    fn cut(&self, bank: Bank, stride: u32, metadata_len: usize) -> Part {
        let (bank, count) = (bank.0 as usize, stride as usize);
        let start = bank * count;
        let Part { data, records, words, metadata, .. } = &self.first;
        Part::new(
            data.part(start * REGION_BYTES, count * REGION_BYTES),
            records.part(start * RECORD_BYTES, count * RECORD_BYTES),
            words.part(start * ENTRY_BYTES, count * ENTRY_BYTES),
            metadata.without_head().part(bank * metadata_len, metadata_len),
        )
    }

    /// The shadow of `bank`, of banks of `stride` regions; that of the last one has the page at the end.
    pub(super) fn cut_shadow(&self, bank: Bank, stride: usize, is_last: bool) -> Area {
        let len = self.shadow.bytes_of(stride);
        let end = if is_last { self.page.min(self.first.shadow.len()) } else { 0 };
        self.first.shadow.part(bank.index() * len, len + end)
    }
}

#[cfg(test)]
impl Space {
    /// A space of `banks` banks of `bytes` each, on a machine that need not have the nodes.
    pub(crate) fn reserve_banks(banks: u32, bytes: usize) -> Self {
        Self::reserve_banks_with(banks, bytes, None)
    }

    /// As [`Space::reserve_banks`], with a shadow of such units.
    pub(crate) fn reserve_banks_with(banks: u32, bytes: usize, unit: Option<Unit>) -> Self {
        let bank = STEP as usize * REGION_BYTES;
        // The metadata takes less than an eighth of the data.
        let wanted = banks as usize * bytes.next_multiple_of(bank) / 7 * 8 + bank;
        let space = Self::reserve(wanted * (1 + unit.map_or(0, |unit| unit as usize)), 4096).expect("address space");
        let mut space = match unit {
            Some(unit) => space.with_shadow(unit).expect("room for the shadow"),
            None => space,
        };
        space.divide_by_node(banks, |_, _| true).expect("room for the banks");
        space
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::units::MIB;
    use crate::pages::metadata::Metadata;
    use crate::pages::runs::{Run, Runs};

    const TWO: u32 = 2;

    #[test]
    fn a_bank_hands_out_and_takes_back_its_own_runs() {
        let space = Space::reserve_banks(TWO, 64 * MIB);
        let mut runs = Runs::new();
        let [here, there] = [Bank(0), Bank(1)];
        let acquire = |runs: &mut Runs, bank| runs.acquire(&space, bank, 3, REGION_BYTES).expect("memory");
        let (first, second) = (acquire(&mut runs, here), acquire(&mut runs, there));
        assert_eq!([first, second].map(|run| space.bank_of(run.region)), [here, there]);
        runs.release(&space, Run { dirty: true, ..second }, 0);
        let third = acquire(&mut runs, here);
        assert_eq!((space.bank_of(third.region), third.dirty), (here, false), "what is dirty elsewhere is left there");
        assert_eq!(acquire(&mut runs, there), Run { dirty: true, ..second });
    }

    #[test]
    fn a_full_bank_has_the_others_help_out() {
        let space = Space::reserve_banks(TWO, 64 * MIB);
        let mut runs = Runs::new();
        let all = space.stride - 1;
        for bank in [1, 0] {
            let run = runs.acquire(&space, Bank(1), all, REGION_BYTES).expect("memory");
            assert_eq!((space.bank_of(run.region), run.region), (Bank(bank), space.first_region(Bank(bank)).plus(1)));
        }
        assert_eq!(runs.acquire(&space, Bank(1), 1, REGION_BYTES), None);
        let end = space.end_region(Bank(0));
        assert_eq!(runs.acquire_behind(&space, end, 1), None, "a run does not grow into the next bank");
    }

    #[test]
    fn regions_are_found_by_address_in_every_bank() {
        let space = Space::reserve_banks(3, 64 * MIB);
        let mut runs = Runs::new();
        for bank in space.banks() {
            let first = space.first_region(bank);
            assert_eq!(space.region_of(space.address(first)), None, "nothing is committed yet");
            let run = runs.acquire(&space, bank, 2, REGION_BYTES).expect("memory");
            assert_eq!(space.region_of(space.address(run.region) + 1), Some(run.region));
            assert_eq!(space.region_of(space.address(run.region.plus(2))), None);
            assert!(space.reserves(space.address(run.region)));
        }
        let end = space.address(space.end_region(Bank(2)));
        assert_eq!((space.region_of(end), space.reserves(end)), (None, false));
    }

    #[test]
    fn metadata_begins_before_the_words_of_the_map_and_goes_on_behind_the_records() {
        let space = Space::reserve(64 * MIB, 4096).expect("address space");
        space.open_window();
        assert!(space.reach() > 0);
        let (area, metadata) = (&space.first.metadata, Metadata::new());
        let [_, words] = space.window();
        let pieces: Vec<usize> = (0..2 * METADATA_STEP / METADATA_MAX)
            .map(|_| metadata.acquire(area, METADATA_MAX).expect("memory").addr())
            .collect();
        let (before, behind) = pieces.split_at(METADATA_STEP / METADATA_MAX);
        assert_eq!(before.last().map(|last| last + METADATA_MAX), Some(words));
        let [data, _] = space.window();
        assert!(
            behind.iter().all(|&piece| piece > words + space.reach() * ENTRY_BYTES && piece + METADATA_MAX <= data)
        );
        assert_eq!(behind[1] - behind[0], METADATA_MAX);
        assert!(pieces.iter().all(|piece| piece.is_multiple_of(METADATA_MAX)));
    }

    #[test]
    fn small_metadata_fills_what_alignment_leaves_out() {
        let space = Space::reserve(64 * MIB, 4096).expect("address space");
        let (area, metadata) = (&space.first.metadata, Metadata::new());
        let acquire = |bytes: usize| metadata.acquire(area, bytes).expect("memory").addr()..;
        let (small, large) = (acquire(64).start, acquire(8192).start);
        assert!([256, 32, 64, 4096].iter().all(|&bytes| (small..large).contains(&acquire(bytes).start)));
        let mut pieces: Vec<(usize, usize)> = (0..400)
            .map(|index: usize| 32 << (index * index % 11))
            .map(|bytes| (acquire(bytes).start, bytes))
            .collect();
        pieces.sort_unstable();
        assert!(pieces.iter().all(|&(start, bytes)| start.is_multiple_of(bytes) && start > small));
        assert!(pieces.windows(2).all(|pair| pair[0].0 + pair[0].1 <= pair[1].0), "two pieces overlap");
    }

    #[test]
    fn what_cannot_be_divided_stays_whole() {
        let mut space = Space::reserve(8 * MIB, 4096).expect("address space");
        assert!(space.divide_by_node(TWO, |_, _| true).is_err_and(|what| what.contains("too small")));
        let mut space = Space::reserve_explicit(1024 * MIB, 4096, 2 * MIB).expect("address space");
        assert!(space.divide_by_node(TWO, |_, _| true).is_err_and(|what| what.contains("explicit huge pages")));
        let mut space = Space::reserve(1024 * MIB, 4096).expect("address space");
        assert_eq!(space.divide_by_node(TWO, |bank, _| bank == Bank::FIRST), Err(REFUSED));
        assert!(!space.is_divided());
    }
}
