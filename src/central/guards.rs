#![expect(unsafe_code, reason = "takes access to regions away")]
//! Guard regions: where they are wanted, a span or large block is followed by a region without access, so that a write that runs on from
//! one does not reach the next. Each may cost the process two mappings, so there are only so many at a time. Must not know the mode.

use super::span::header;
use super::store::Central;
use crate::base::units::{REGION_BYTES, Region};
use crate::pages::{Bank, Run};
use crate::sys::atomic::{AtomicUsize, Ordering};
use crate::sys::memory;

/// How many more guards there may be: none unless asked for. Any thread takes and gives back.
pub(crate) struct Guards(AtomicUsize);

impl Guards {
    /// None.
    pub(crate) const fn new() -> Self {
        Self(AtomicUsize::new(0))
    }

    /// Allows `count` of them.
    pub(crate) fn allow(&self, count: usize) {
        // Relaxed: published by the start barrier.
        self.0.store(count, Ordering::Relaxed);
    }

    fn take(&self) -> bool {
        // Relaxed: a number; what is guarded is handed over by locks.
        let left = self.0.load(Ordering::Relaxed);
        left > 0 && self.0.compare_exchange(left, left - 1, Ordering::Relaxed, Ordering::Relaxed).is_ok()
    }

    fn give_back(&self) {
        // Relaxed: as in `take`.
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

impl Central {
    /// A run of `regions` regions, with a guard behind it if one is to be had.
    pub(super) fn acquire_run(&self, bank: Bank, regions: u32, align: usize) -> Option<Run> {
        if self.guards.take() {
            if let Some(run) = self.acquire_guarded(bank, regions, align) {
                return Some(run);
            }
            self.guards.give_back();
        }
        self.pages.acquire(bank, regions, align)
    }

    fn acquire_guarded(&self, bank: Bank, regions: u32, align: usize) -> Option<Run> {
        let run = self.pages.acquire(bank, regions + 1, align)?;
        let space = self.pages.space();
        let guard = run.region.plus(regions);
        // SAFETY: the region is part of a run that nobody else has.
        if unsafe { memory::protect(space.address(guard), REGION_BYTES) }.is_ok() {
            header(space, run.region).guarded.set(true);
            return Some(run);
        }
        self.pages.release(run.region, regions + 1);
        None
    }

    /// Gives back a run of `regions` regions, and its guard.
    pub(super) fn release_run(&self, region: Region, regions: u32) {
        let space = self.pages.space();
        let span = header(space, region);
        if !span.guarded.get() {
            return self.pages.release(region, regions);
        }
        span.guarded.set(false);
        let guard = space.address(region.plus(regions));
        // SAFETY: the guard was part of the run. If the kernel refuses, it stays what it is, and is nobody's.
        let opened = unsafe { memory::commit(guard, REGION_BYTES) }.is_ok();
        self.pages.release(region, regions + u32::from(opened));
        self.guards.give_back();
    }
}
