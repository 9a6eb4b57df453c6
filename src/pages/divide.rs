//! The space as banks: how it is divided among NUMA nodes, and what bank a region is in.
//!
//! Each bank prefers one node: the kernel takes pages of that node while it has any. So a run belongs to its node for ever, whoever
//! touches it, and no run needs a note of where it is.
//!
//! # Invariants
//! - Dividing comes before any commit.
//! - Without nodes there is one bank, and every question here is answered by one comparison.

use super::area::Area;
use super::bank::{self, Bank, Further, Part, Trees};
use super::metadata::{METADATA_MAX, Metadata};
use super::node::{Placement, Wish};
use super::record::RECORD_BYTES;
use super::space::Space;
use crate::base::units::{KIB, LARGE_MAX, REGION_BYTES, Region};
use crate::pages::map::ENTRY_BYTES;

/// A bank has a multiple of so many regions: then its records and its words of the map begin with a page as those of the first do.
const STEP: u32 = 2 * (LARGE_MAX / REGION_BYTES) as u32;

/// The metadata of a bank begins at a multiple of so many bytes, as that of the first does.
const METADATA_STEP: usize = 64 * KIB;

const _: () = assert!(METADATA_STEP.is_multiple_of(METADATA_MAX));

const REFUSED: &str = "the kernel refuses; pages go where the process's policy says";

impl Space {
    /// Has pages placed as `placement` says; an error, and nothing changed, if that cannot be. Comes before any commit.
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
            return Err("explicit huge pages go where the process's policy says");
        }
        let stride = self.stride / banks / STEP * STEP;
        if stride == 0 {
            return Err("the reservation is too small to be divided; pages go where the process's policy says");
        }
        let metadata = self.first.metadata.without_head().len() / banks as usize / METADATA_STEP * METADATA_STEP;
        let part = |bank: Bank| self.cut(bank, stride, metadata);
        let placed = (0..banks).map(Bank).all(|bank| {
            let Part { data, records, metadata, .. } = part(bank);
            [data, records, metadata].iter().all(|area| place(bank, area))
        });
        let further = |bank: Bank| Further::new(part(bank), Region(bank.0 * stride));
        let further = if placed { bank::further(banks - 1, further) } else { None };
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
            None => self.banks().map(|bank| self.huge().advised(self.part(bank))).sum(),
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
}

#[cfg(test)]
impl Space {
    /// A space of `banks` banks of `bytes` each, on a machine that need not have the nodes.
    pub(crate) fn reserve_banks(banks: u32, bytes: usize) -> Self {
        let bank = STEP as usize * REGION_BYTES;
        // What describes the data is less than an eighth of it.
        let wanted = banks as usize * bytes.next_multiple_of(bank) / 7 * 8 + bank;
        let mut space = Self::reserve(wanted, 4096).expect("address space");
        space.divide_by_node(banks, |_, _| true).expect("room for the banks");
        space
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::units::MIB;
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
        let pieces: Vec<usize> =
            (0..2 * METADATA_STEP / METADATA_MAX).map(|_| metadata.acquire(area, METADATA_MAX).expect("memory").addr()).collect();
        let (before, behind) = pieces.split_at(METADATA_STEP / METADATA_MAX);
        assert_eq!(before.last().map(|last| last + METADATA_MAX), Some(words));
        let [data, _] = space.window();
        assert!(behind.iter().all(|&piece| piece > words + space.reach() * ENTRY_BYTES && piece + METADATA_MAX <= data));
        assert_eq!(behind[1] - behind[0], METADATA_MAX);
        assert!(pieces.iter().all(|piece| piece.is_multiple_of(METADATA_MAX)));
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
