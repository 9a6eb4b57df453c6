#![expect(unsafe_code, reason = "touches memory that was just acquired")]
//! Obtaining pages: runs and mappings, within the limits, present where that was asked for.
//!
//! # Invariants
//! - What is refused has changed nothing: a run taken past the hard limit is back before anyone sees it.

use super::bank::Bank;
use super::limits::UNLIMITED;
use super::pending::Work;
use super::prefault::Way;
use super::runs::{Run, Runs};
use super::store::{Pages, Purged};
use crate::base::units::{REGION_BYTES, Region};
use crate::config::Prefault;
use crate::diag::{self, Code};

/// Runs purged in one go where a limit presses: bounds the time it takes.
const RELIEF_RUNS: usize = 1024;

impl Pages {
    /// A run of `count` regions at a multiple of `align` bytes, in `bank` if there are any; `None` where space, memory or the hard limit is used up.
    pub(crate) fn acquire(&self, bank: Bank, count: u32, align: usize) -> Option<Run> {
        self.obtain(|runs| runs.acquire(self.space(), bank, count, align))
    }

    /// `extra` more regions behind a run that ends before `end`.
    pub(crate) fn acquire_behind(&self, end: Region, extra: u32) -> Option<Run> {
        self.obtain(|runs| runs.acquire_behind(self.space(), end, extra))
    }

    fn obtain(&self, take: impl Fn(&mut Runs) -> Option<Run>) -> Option<Run> {
        let run = match self.try_take(&take) {
            Ok(run) => run,
            Err(()) => {
                self.purge_all();
                self.try_take(&take).unwrap_or_else(|()| {
                    self.pending.set(Work::HARD_LIMIT);
                    None
                })
            }
        };
        self.tell_refusal();
        self.receive_for();
        self.make_present(run)
    }

    /// An error where the hard limit forbids what `take` took; it is back then.
    fn try_take(&self, take: impl Fn(&mut Runs) -> Option<Run>) -> Result<Option<Run>, ()> {
        let mut runs = self.runs.lock();
        let run = take(&mut runs);
        let forbidden = run.filter(|run| !run.dirty && self.limits.forbids(self.held(&runs)));
        if let Some(run) = forbidden {
            runs.release(self.space(), run, 0);
        }
        self.note(&runs);
        if forbidden.is_some() { Err(()) } else { Ok(run) }
    }

    /// Counts a mapping of `bytes` that is about to be made; false if the hard limit forbids it.
    pub(crate) fn admit_mapping(&self, bytes: usize) -> bool {
        let admit = || {
            let runs = self.runs.lock();
            let forbidden = self.limits.forbids(self.held(&runs).saturating_add(bytes));
            if !forbidden {
                self.limits.add_mapped(bytes);
            }
            !forbidden
        };
        if admit() {
            return true;
        }
        self.purge_all();
        let admitted = admit();
        if !admitted {
            self.pending.set(Work::HARD_LIMIT);
        }
        admitted
    }

    /// Counts out a mapping of `bytes` that is gone, or was not made.
    pub(crate) fn dismiss_mapping(&self, bytes: usize) {
        let _runs = self.runs.lock();
        self.limits.drop_mapped(bytes);
    }

    /// Bytes that count against the limits.
    pub(crate) fn held_bytes(&self) -> usize {
        self.held(&self.runs.lock())
    }

    fn held(&self, runs: &Runs) -> usize {
        let regions = runs.touched() - runs.clean_regions();
        regions as usize * REGION_BYTES + self.limits.mapped()
    }

    /// Purges everything if more is held than the soft limit allows.
    pub(super) fn receive_for(&self) {
        if self.limits.get().0 != UNLIMITED && self.limits.presses(self.held_bytes(), &self.pending) {
            self.purge_all();
        }
    }

    /// Gives all free runs back, the oldest first, as far as their number allows.
    pub(crate) fn purge_all(&self) {
        for _ in 0..RELIEF_RUNS {
            if self.purge_oldest() == Purged::Nothing {
                return;
            }
        }
    }

    /// Makes the pages of the whole pool present, the allocator's own included.
    pub(crate) fn make_pool_present(&self, way: Prefault) {
        let once = Way::off();
        once.set(way);
        for area in self.space().areas() {
            // SAFETY: nothing of the pool has been used yet, and only the caller knows of it.
            unsafe { once.make_present(area.base(), area.committed(), self.space().page_bytes()) };
        }
    }

    /// Makes the pages of a fresh mapping present, where that was asked for.
    pub(crate) fn make_mapping_present(&self, address: usize, bytes: usize) {
        // SAFETY: callers pass a fresh mapping of ours that nobody else has.
        unsafe { self.prefault.make_present(address, bytes, self.space().page_bytes()) };
    }

    fn make_present(&self, run: Option<Run>) -> Option<Run> {
        if let Some(run) = run
            && !run.dirty
        {
            let space = self.space();
            let bytes = run.count as usize * REGION_BYTES;
            // SAFETY: the run was just acquired, reads as zero, and nobody else has it.
            unsafe { self.prefault.make_present(space.address(run.region), bytes, space.page_bytes()) };
        }
        run
    }

    /// Says, outside of the lock, that the kernel has no explicit huge pages left.
    fn tell_refusal(&self) {
        if self.space().take_refusal() {
            let what = b"the kernel has no huge page left to reserve; ordinary pages are used from here on";
            diag::line(Code::HugePagePolicy, &[what]);
        }
    }
}
