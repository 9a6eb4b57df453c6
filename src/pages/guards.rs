#![expect(unsafe_code, reason = "takes access to regions away")]
//! Runs between guards: regions without access, so that an access that runs on from the run, or begins before it,
//! faults. Must not know what the run is used for.

use super::bank::Bank;
use super::runs::Run;
use super::store::Pages;
use crate::base::units::{REGION_BYTES, Region};
use crate::sys::memory;

impl Pages {
    /// As [`Pages::acquire`], with an inaccessible region before the run and one behind it; `None` also where the
    /// kernel refuses these.
    pub(crate) fn acquire_guarded(&self, bank: Bank, count: u32, align: usize) -> Option<Run> {
        // As many regions before as keep the run aligned; the last of them is the guard.
        let before = u32::try_from(align.max(REGION_BYTES) / REGION_BYTES).ok()?;
        let whole = self.acquire(bank, before.checked_add(count)?.checked_add(1)?, align)?;
        let run = Run { region: whole.region.plus(before), count, ..whole };
        if before > 1 {
            self.release(whole.region, before - 1);
        }
        if [before_of(run.region), run.region.plus(count)].iter().all(|&guard| self.close(guard)) {
            return Some(run);
        }
        self.release_guarded(run.region, count);
        None
    }

    /// Takes back a run of [`Pages::acquire_guarded`].
    pub(crate) fn release_guarded(&self, region: Region, count: u32) {
        // If the kernel refuses, a guard stays without access, and is lost.
        let before = u32::from(self.open_guard(before_of(region)));
        let behind = u32::from(self.open_guard(region.plus(count)));
        self.release(Region(region.0 - before), before + count + behind);
    }

    /// Has the run of `old` regions at `region`, which has guards, end behind `new` regions, which are more; false, and
    /// nothing is changed, if the memory behind is in use.
    pub(crate) fn grow_guarded(&self, region: Region, old: u32, new: u32) -> bool {
        let (from, to) = (region.plus(old), region.plus(new));
        let Some(extra) = self.acquire_behind(from.plus(1), new - old) else { return false };
        if self.close(to) {
            if self.open_guard(from) {
                return true;
            }
            if !self.open_guard(to) {
                self.release(extra.region, extra.count - 1);
                return false;
            }
        }
        self.release(extra.region, extra.count);
        false
    }

    /// Takes all access to a region away; false if the kernel refuses.
    fn close(&self, guard: Region) -> bool {
        // SAFETY: callers pass a region of a run that they have and that nothing uses.
        unsafe { memory::protect(self.space().address(guard), REGION_BYTES) }.is_ok()
    }

    /// Ends [`Pages::close`].
    fn open_guard(&self, guard: Region) -> bool {
        // SAFETY: the region is part of a run of the caller's.
        unsafe { memory::commit(self.space().address(guard), REGION_BYTES) }.is_ok()
    }
}

/// The region before one that is not the first.
const fn before_of(region: Region) -> Region {
    Region(region.0 - 1)
}
