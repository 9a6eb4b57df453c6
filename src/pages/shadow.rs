#![expect(unsafe_code, reason = "views side memory as atomics")]
//! The shadow: side memory of the data area, a unit of one byte or one word of four for each granule of 16 bytes, for
//! modes that record something about each block. The mode in force uses the unit at the start of a block; its address
//! follows from the block's address alone, without the page map and the record of a span. Must not know what a mode
//! writes there.
//!
//! # Invariants
//! - The shadow of a committed region, and of one region more, can be read; that of a committed region can be written.
//!   So the granules of a block's neighbours can be read, on both sides: the first region of a bank has no blocks.
//! - Units are zero until a mode writes them. A purge of their region may make them zero again, so zero means that no
//!   block starts there.

use core::ops::Range;

use crate::base::units::REGION_BYTES;
use crate::sys::atomic::{AtomicU8, AtomicU32, AtomicUsize, Ordering};
use crate::sys::processor;

/// log2 of the bytes of a granule.
pub(super) const GRANULE_SHIFT: u32 = 4;
pub(crate) const REGION_GRANULES: usize = REGION_BYTES >> GRANULE_SHIFT;

/// Bytes of shadow for each granule.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Unit {
    Byte = 1,
    /// A word of four bytes.
    Word = 4,
}

/// Where the shadow is. Without one its reach is 0.
pub(crate) struct Shadow {
    /// Where the data area begins.
    data: usize,
    /// Where the unit of its first granule is.
    start: usize,
    /// Where the unit of the granule at address 0 would be.
    origin: usize,
    /// Bytes of a unit.
    unit: usize,
    /// The granules whose units can be read, from the start of the data area on. Written under the lock of the runs,
    /// and only grows; read by any thread, which may see an old value and then finds fewer.
    reach: AtomicUsize,
}

impl Shadow {
    /// No shadow.
    pub(super) const fn none() -> Self {
        Self { data: 0, start: 0, origin: 0, unit: 0, reach: AtomicUsize::new(0) }
    }

    /// The shadow that starts at `start`, of the data area at `data`.
    pub(super) fn at(start: usize, data: usize, unit: usize) -> Self {
        let origin = start.wrapping_sub((data >> GRANULE_SHIFT) * unit);
        Self { data, start, origin, unit, reach: AtomicUsize::new(0) }
    }

    /// The number of the granule that starts at `address`, counted from the start of the data area. For an address at
    /// which no granule starts, and for one outside of the data area, it is more than any reach.
    #[inline(always)]
    pub(crate) fn granule(&self, address: usize) -> usize {
        address.wrapping_sub(self.data).rotate_right(GRANULE_SHIFT)
    }

    /// How many granules have units that can be read, from the first one on.
    #[inline(always)]
    pub(crate) fn reach(&self) -> usize {
        // Relaxed: those units could be read before the number was written, and no others are read by it. They come
        // from the kernel, so no thread wrote what another one could miss.
        self.reach.load(Ordering::Relaxed)
    }

    /// Whether a block can start at `address`, so that its unit can be read.
    #[inline(always)]
    pub(crate) fn reaches(&self, address: usize) -> bool {
        self.granule(address) < self.reach()
    }

    /// The unit of the granule in which `address` lies, in a shadow of bytes.
    ///
    /// # Safety
    /// - The shadow has bytes as units, and reaches the granule; a writer has a block in its region.
    #[inline(always)]
    pub(crate) unsafe fn byte(&self, address: usize) -> &'static AtomicU8 {
        let place = self.origin.wrapping_add(address >> GRANULE_SHIFT);
        // SAFETY: the shadow has one byte for each granule and reaches this one: it is mapped, stays so, and is only
        // accessed as an atomic.
        unsafe { &*core::ptr::with_exposed_provenance(place) }
    }

    /// The unit of the granule with number `granule`, in a shadow of bytes.
    ///
    /// # Safety
    /// - As for [`Shadow::byte`].
    #[inline(always)]
    pub(crate) unsafe fn byte_of(&self, granule: usize) -> &'static AtomicU8 {
        // SAFETY: as in `byte`.
        unsafe { &*core::ptr::with_exposed_provenance(self.start.wrapping_add(granule)) }
    }

    /// The value of the unit of the granule with number `granule` holds, in a shadow of bytes.
    ///
    /// # Safety
    /// - As for [`Shadow::byte`].
    #[inline(always)]
    pub(crate) unsafe fn load(&self, granule: usize) -> usize {
        // SAFETY: the byte can be read, as for `byte`.
        unsafe { processor::load_u8(core::ptr::with_exposed_provenance(self.start), granule) }
    }

    /// The unit of the granule in which `address` lies, in a shadow of words.
    ///
    /// # Safety
    /// - The shadow has words as units, and reaches the granule; a writer has a block in its region.
    #[inline(always)]
    pub(crate) unsafe fn word(&self, address: usize) -> &'static AtomicU32 {
        let place = self.origin.wrapping_add((address >> GRANULE_SHIFT) * size_of::<u32>());
        // SAFETY: as in `byte`; words are aligned, because the shadow starts at a page.
        unsafe { &*core::ptr::with_exposed_provenance(place) }
    }

    /// Bytes of the shadow of `count` regions.
    pub(super) const fn bytes_of(&self, count: usize) -> usize {
        count * REGION_GRANULES * self.unit
    }

    /// Where the whole pages of the shadow of `count` regions from `address` on begin and end; empty if there are none.
    pub(super) fn pages_of(&self, address: usize, count: usize, page: usize) -> Range<usize> {
        let start = self.origin.wrapping_add((address >> GRANULE_SHIFT) * self.unit);
        start.next_multiple_of(page)..(start + self.bytes_of(count)) & !(page - 1)
    }

    /// Notes that the units of so many bytes can be read.
    pub(super) fn widen(&self, bytes: usize) {
        if let Some(granules) = bytes.checked_div(self.unit) {
            // Relaxed: see `reach`.
            self.reach.store(granules, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::units::MIB;
    use crate::pages::bank::Bank;
    use crate::pages::purge::Purged;
    use crate::pages::runs::{Run, Runs};
    use crate::pages::space::Space;
    use crate::pages::store::Pages;

    const LAST: Ordering = Ordering::Relaxed;

    fn spaces(unit: Unit) -> [Space; 2] {
        let whole = Space::reserve(64 * MIB, 4096).and_then(|space| space.with_shadow(unit)).expect("address space");
        [whole, Space::reserve_banks_with(3, 64 * MIB, Some(unit))]
    }

    #[test]
    fn each_granule_of_a_run_and_of_its_neighbours_has_a_unit_that_is_zero_at_first() {
        for space in spaces(Unit::Byte).into_iter().chain(spaces(Unit::Word)) {
            space.open_window();
            let mut runs = Runs::new();
            for bank in space.banks() {
                let mut run = runs.acquire(&space, bank, 3, REGION_BYTES).expect("memory");
                while let Some(more) =
                    runs.acquire(&space, bank, 1, REGION_BYTES).filter(|more| space.bank_of(more.region) == bank)
                {
                    run = more;
                }
                let end = space.address(run.region.plus(run.count));
                let start = space.address(space.first_region(bank).plus(1));
                let mut last = 0;
                for address in (start - REGION_BYTES..=end).step_by(1 << GRANULE_SHIFT) {
                    assert!(space.shadow().reaches(address));
                    let (place, value) = look(&space, address);
                    assert!(place > last && !space.reserves(place), "units lie one behind the other, beside the data");
                    assert_eq!(value, 0);
                    last = place;
                    if (start..end).contains(&address) {
                        fill(&space, address);
                        assert_eq!(look(&space, address).1, if space.shadow.unit == 1 { 0xff } else { u32::MAX });
                    }
                }
            }
        }
    }

    /// Where the unit of a granule is, and what it holds.
    fn look(space: &Space, address: usize) -> (usize, u32) {
        if space.shadow.unit == 1 {
            // SAFETY: callers ask for granules that the shadow reaches.
            let unit = unsafe { space.shadow.byte(address) };
            (core::ptr::from_ref(unit).addr(), unit.load(LAST).into())
        } else {
            // SAFETY: as above.
            let unit = unsafe { space.shadow.word(address) };
            (core::ptr::from_ref(unit).addr(), unit.load(LAST))
        }
    }

    /// Sets all bits of a unit.
    fn fill(space: &Space, address: usize) {
        if space.shadow.unit == 1 {
            // SAFETY: callers name an address in a run of theirs.
            unsafe { space.shadow.byte(address) }.store(0xff, LAST);
        } else {
            // SAFETY: as above.
            unsafe { space.shadow.word(address) }.store(u32::MAX, LAST);
        }
    }

    #[test]
    fn what_is_misaligned_or_outside_is_out_of_reach() {
        for space in spaces(Unit::Byte) {
            space.open_window();
            let run = Runs::new().acquire(&space, Bank(0), 1, REGION_BYTES).expect("memory");
            let (address, shadow) = (space.address(run.region), space.shadow());
            assert!(shadow.reaches(address) && (1..16).all(|step| !shadow.reaches(address + step)));
            let last = space.address(space.end_region(Bank(space.further.len() as u32)));
            for outside in [0, 1, 16, shadow.data - 16, last + 4096 * 16, usize::MAX, 1 << 63, address | 1 << 60] {
                assert!(!shadow.reaches(outside), "{outside:x}");
            }
        }
        let without = Space::reserve(64 * MIB, 4096).expect("address space");
        without.open_window();
        let run = Runs::new().acquire(&without, Bank(0), 1, REGION_BYTES).expect("memory");
        assert!(!without.shadow().reaches(without.address(run.region)));
        assert!(Space::reserve(4 * MIB, 4096).and_then(|space| space.with_shadow(Unit::Word)).is_none());
    }

    #[test]
    fn a_purged_run_has_units_of_zero_and_its_neighbours_keep_theirs() {
        let space = Space::reserve(64 * MIB, 4096).and_then(|space| space.with_shadow(Unit::Byte));
        let pages = Pages::new();
        // SAFETY: the first call on this value.
        unsafe { pages.open(space.expect("address space"), Some(1_000_000)) };
        let acquire = || pages.acquire(Bank(0), 64, REGION_BYTES).expect("memory");
        let [left, run, right] = [acquire(), acquire(), acquire()];
        let unit = |run: Run, count| {
            // SAFETY: the run is committed.
            unsafe { pages.space().shadow().byte(pages.space().address(run.region) + count * REGION_BYTES) }
        };
        [unit(left, 63), unit(run, 32), unit(right, 0)].iter().for_each(|unit| unit.store(7, LAST));
        pages.release(run.region, run.count);
        assert_eq!(pages.purge_oldest(), Purged::Some);
        assert_eq!([unit(left, 63), unit(run, 32), unit(right, 0)].map(|unit| unit.load(LAST)), [7, 0, 7]);
    }
}
