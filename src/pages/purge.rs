#![expect(unsafe_code, reason = "gives up the contents of pages")]
//! Purge: pages of dirty free runs, and holes in runs that are in use, go back to the kernel.
//!
//! # Invariants
//! - A run is out of the free runs while it is purged, and the system call is made without their lock.

use super::runs::Run;
use super::space::Space;
use super::store::{DOES_NOTHING, Pages, ZEROES};
use crate::base::units::{REGION_BYTES, Region};
use crate::sys::atomic::Ordering;
use crate::sys::{call, memory};

/// Runs given back to the kernel in one go, so that no single free pays for all of them.
const PURGE_RUNS: usize = 16;
/// A purge of a run gives back its shadow, too, if that is so many pages; less is not worth a system call.
const SHADOW_PAGES_MIN: usize = 1;
/// Runs purged in one go where a limit is exceeded: bounds the time it takes.
const PRESSED_RUNS: usize = 1024;

/// Whether a purge gave anything back.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[must_use]
pub(crate) enum Purged {
    /// There was nothing to give.
    Nothing,
    /// A run went, or the part of it that could.
    Some,
    /// A run had its turn, but keeps its pages: the kernel refuses, or all of it lies in huge pages that hold
    /// something.
    Kept,
}

impl Pages {
    /// Whether a part of what is in use can be given back without harm to huge pages.
    pub(crate) fn has_holes(&self) -> bool {
        let space = self.space();
        !space.is_fixed() && space.purge_unit() == space.page_bytes()
    }

    /// Purges what at `now` has waited long enough.
    pub(crate) fn purge_waiting(&self, now: u32) {
        if let Some(delay) = self.delay() {
            self.purge_due(now, delay);
        }
    }

    /// Purges the run that was freed longest ago, however fresh it is.
    pub(crate) fn purge_oldest(&self) -> Purged {
        if self.space().is_fixed() {
            return Purged::Nothing;
        }
        self.drain_cache();
        let now = call::milliseconds() as u32;
        let oldest = self.runs.lock().expire(self.space(), now, 0, 0);
        match oldest {
            Some(run) => self.purge_run(run),
            None => Purged::Nothing,
        }
    }

    /// Gives all free runs back, the oldest first, as far as their number allows.
    pub(crate) fn purge_all(&self) {
        for _ in 0..PRESSED_RUNS {
            if self.purge_oldest() == Purged::Nothing {
                return;
            }
        }
    }

    /// Purges the run that has waited longest, however long that is; false if there is none, or it keeps its pages.
    pub(crate) fn purge_one(&self, now: u32) -> bool {
        self.drain_cache();
        // Drop the guard before the purge: no system call under the lock.
        let expired = self.runs.lock().expire(self.space(), now, 0, 0);
        expired.is_some_and(|run| self.purge_run(run) == Purged::Some)
    }

    /// Purges what at `now` has waited for `delay` milliseconds.
    pub(crate) fn purge_due(&self, now: u32, delay: u32) {
        // They have waited in the cache already, and so are due as soon as the older ones are gone.
        self.cache.sweep(now, delay, |run| self.put(run, now.wrapping_sub(delay)));
        for _ in 0..PURGE_RUNS {
            // Drop the guard before the purge: no system call under the lock.
            let expired = self.runs.lock().expire(self.space(), now, delay, self.cache.regions());
            let Some(run) = expired else { return };
            // A run that keeps its pages has had its turn; so would most others now.
            if self.purge_run(run) == Purged::Kept {
                return;
            }
        }
    }

    /// Purges a run that the caller took out of the free ones, as far as huge pages allow, then makes it free again.
    /// Pages that stay wait for another delay.
    pub(super) fn purge_run(&self, run: Run) -> Purged {
        let space = self.space();
        let now = call::milliseconds() as u32;
        let Some(part) = purgeable(space, run) else {
            self.put(run, now);
            return Purged::Kept;
        };
        let bytes = part.count as usize * REGION_BYTES;
        // SAFETY: the run was taken out, so nothing needs its contents.
        let dirty = !unsafe { self.discard(space.address(part.region), bytes) };
        if !dirty {
            self.count_purge(bytes);
            self.purge_shadow(part);
        }
        let (part_end, end) = (part.region.plus(part.count), run.region.plus(run.count));
        self.put(Run { dirty, ..part }, now);
        for (start, end) in [(run.region, part.region), (part_end, end)] {
            if start < end {
                self.put(Run { region: start, count: end.0 - start.0, dirty: true }, now);
            }
        }
        if dirty { Purged::Kept } else { Purged::Some }
    }

    /// Takes back a run as [`Pages::release`] does, but leaves what is due to the next release or look at the time: for
    /// callers that release many runs, and then call [`Pages::keep_soft_limit`].
    pub(crate) fn release_later(&self, region: Region, count: u32) {
        let run = Run { region, count, dirty: true };
        match self.delay() {
            Some(0) => drop(self.purge_run(run)),
            Some(_) => self.put(run, self.now()),
            None => self.put(run, 0),
        }
    }

    /// Makes a run free; `now` is the time in milliseconds.
    pub(super) fn put(&self, run: Run, now: u32) {
        let mut runs = self.runs.lock();
        runs.release(self.space(), run, now);
        self.note(&runs);
    }

    /// Takes back a run whose pages are gone, so that it reads as zero.
    pub(crate) fn release_zeroed(&self, region: Region, count: u32) {
        self.put(Run { region, count, dirty: false }, 0);
    }

    /// Gives back the whole pages of the shadow of a run that was just purged and that no other thread has.
    fn purge_shadow(&self, run: Run) {
        let (space, count) = (self.space(), run.count as usize);
        let pages = space.shadow().pages_of(space.address(run.region), count, space.page_bytes());
        if pages.len() >= SHADOW_PAGES_MIN * space.page_bytes() {
            // SAFETY: whole pages of the shadow of a run that the caller has, in which no block starts.
            let _ = unsafe { self.discard(pages.start, pages.len()) };
        }
    }

    /// Gives back whole pages inside a run that is in use; true if they read as zero now.
    ///
    /// # Safety
    /// - As for `discard`.
    pub(crate) unsafe fn purge_hole(&self, address: usize, bytes: usize) -> bool {
        // SAFETY: whole pages of ours whose contents are not needed, as for `discard`.
        let gone = unsafe { self.discard(address, bytes) };
        if gone {
            self.count_purge(bytes);
        }
        gone
    }

    /// Gives pages back to the kernel; true if they read as zero now. The first time, that is tried and not believed.
    ///
    /// # Safety
    /// - `[address, address + bytes)` is page-aligned, ours, and nothing uses it or needs its contents.
    pub(crate) unsafe fn discard(&self, address: usize, bytes: usize) -> bool {
        if self.space().is_fixed() {
            return false;
        }
        // Relaxed: all threads find the same.
        match self.zeroing.load(Ordering::Relaxed) {
            // SAFETY: whole pages of ours that nothing uses, and whose contents are not needed.
            ZEROES => unsafe { memory::purge(address, bytes) }.is_ok(),
            DOES_NOTHING => false,
            _ => {
                // SAFETY: as above.
                let Ok(zeroes) = (unsafe { memory::purge_and_see(address, bytes) }) else { return false };
                self.zeroing.store(if zeroes { ZEROES } else { DOES_NOTHING }, Ordering::Relaxed);
                zeroes
            }
        }
    }

    fn count_purge(&self, bytes: usize) {
        // Relaxed: counters.
        self.purges.fetch_add(1, Ordering::Relaxed);
        // Relaxed: as above.
        self.purged_bytes.fetch_add(bytes, Ordering::Relaxed);
    }
}

/// The part of a free run that may be given back to the kernel; `None` if there is none.
fn purgeable(space: &Space, run: Run) -> Option<Run> {
    if space.is_fixed() {
        return None;
    }
    let end = run.region.0 + run.count;
    let Some(explicit) = space.first.data.explicit() else {
        let part = space.huge().purgeable(run.region.0..end, space.first_region(space.bank_of(run.region)).0);
        return (!part.is_empty()).then(|| Run { region: Region(part.start), count: part.end - part.start, ..run });
    };
    let ordinary = u32::try_from(explicit.end() / REGION_BYTES).map_or(end, |first| first.clamp(run.region.0, end));
    (ordinary < end).then(|| Run { region: Region(ordinary), count: end - ordinary, ..run })
}
