#![expect(unsafe_code, reason = "purges pages and releases metadata")]
//! Pages as the layers above see them: runs and metadata behind their locks, and the purge.
//!
//! # Invariants
//! - No system call but a commit is made under a lock.

use super::age::AGE_MAX;
use super::bank::Bank;
use super::limits::Limits;
use super::metadata::Metadata;
use super::pending::Pending;
use super::prefault::Way;
use super::runs::{Run, Runs};
use super::space::Space;
use crate::base::units::{REGION_BYTES, Region};
use crate::config::Prefault;
use crate::sys::atomic::{AtomicU32, AtomicUsize, Ordering};
use crate::sys::cell::SetOnce;
use crate::sys::lock::{Lock, Patience, Rank};
use crate::sys::{call, memory};

/// Runs given back to the kernel in one go, so that no single free pays for all of them.
const PURGE_RUNS: usize = 16;
/// The delay that means "never".
const NEVER: u32 = u32::MAX;

/// What is known of whether a purge zeroes.
const UNKNOWN: u32 = 0;
const ZEROES: u32 = 1;
const DOES_NOTHING: u32 = 2;

/// See the module.
pub(crate) struct Pages {
    space: SetOnce<Space>,
    pub(super) runs: Lock<Runs>,
    /// That of the first bank; others have theirs with them, guarded by the same lock.
    pub(super) metadata: Lock<Metadata>,
    /// Milliseconds before a dirty run is purged. Written at start; read by any thread.
    delay: AtomicU32,
    pub(super) prefault: Way,
    /// What may be held.
    pub(crate) limits: Limits,
    /// What waits for a slow call.
    pub(crate) pending: Pending,
    /// Whether purged pages read as zero, once that is known. Any thread finds out, all find the same.
    zeroing: AtomicU32,
    /// Regions in dirty runs: written under the lock of the runs, read by anyone as a hint.
    dirty_hint: AtomicU32,
    /// Purges made and bytes given back; any thread adds.
    pub(super) purges: AtomicUsize,
    pub(super) purged_bytes: AtomicUsize,
}

/// What the pages look like at one moment, in bytes.
#[derive(Clone, Copy, Default, Debug)]
pub struct PageFigures {
    /// Data regions ever used.
    pub used: usize,
    /// In dirty free runs.
    pub dirty: usize,
    /// In clean free runs.
    pub clean: usize,
    /// Metadata in use.
    pub metadata: usize,
    /// Address space of the reservation.
    pub reserved: usize,
    /// Of it readable and writable: all of its parts.
    pub committed: usize,
    /// Where huge pages were asked for or set aside.
    pub huge: usize,
    /// Purges made.
    pub purges: usize,
    /// Bytes purged in all.
    pub purged: usize,
}

/// Whether a purge gave anything back.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[must_use]
pub(crate) enum Purged {
    /// There was nothing to give.
    Nothing,
    /// A run went, or the part of it that could.
    Some,
    /// A run had its turn, but keeps its pages: the kernel refuses, or all of it lies in huge pages that hold something.
    Kept,
}

impl Pages {
    /// Pages still to be opened.
    pub(crate) const fn new() -> Self {
        Self {
            space: SetOnce::new(),
            runs: Lock::new(Rank::Runs, Runs::new()),
            metadata: Lock::new(Rank::Metadata, Metadata::new()),
            delay: AtomicU32::new(NEVER),
            prefault: Way::off(),
            limits: Limits::new(),
            pending: Pending::new(),
            zeroing: AtomicU32::new(UNKNOWN),
            dirty_hint: AtomicU32::new(0),
            purges: AtomicUsize::new(0),
            purged_bytes: AtomicUsize::new(0),
        }
    }

    /// Starts to work on `space`; a purge comes `delay` milliseconds after a free, `None` for never.
    ///
    /// # Safety
    /// - Called once, before anything else on this value.
    pub(crate) unsafe fn open(&self, space: Space, delay: Option<u64>) {
        space.open_window();
        // SAFETY: the caller vouches that nobody else looks yet.
        unsafe { self.space.set(space) };
        let delay = delay.map_or(NEVER, |delay| u32::try_from(delay).unwrap_or(AGE_MAX).min(AGE_MAX));
        // Relaxed: published with everything else by the start barrier.
        self.delay.store(delay, Ordering::Relaxed);
    }

    /// Sets how pages are made present. Comes after `open`.
    pub(crate) fn set_prefault(&self, way: Prefault) {
        self.prefault.set(way);
    }

    /// The reservation.
    #[inline]
    pub(crate) fn space(&self) -> &Space {
        // SAFETY: every path here comes after the start barrier, and so after `open`.
        unsafe { self.space.get() }
    }

    /// Takes back a run whose pages may hold something; then purges what is due.
    pub(crate) fn release(&self, region: Region, count: u32) {
        let run = Run { region, count, dirty: true };
        // Relaxed: see `open`.
        match self.delay.load(Ordering::Relaxed) {
            0 => drop(self.purge_run(run)),
            NEVER => self.put(run, 0),
            delay => {
                let now = call::milliseconds() as u32;
                self.put(run, now);
                self.purge_due(now, delay);
            }
        }
        self.receive_for();
    }

    /// Whether there is anything that time could purge. A hint.
    #[inline]
    pub(crate) fn is_dirty(&self) -> bool {
        // Relaxed: a late answer only purges later.
        self.dirty_hint.load(Ordering::Relaxed) != 0
    }

    /// Purges what at `now` has waited long enough.
    pub(crate) fn purge_waiting(&self, now: u32) {
        if let Some(delay) = self.delay() {
            self.purge_due(now, delay);
        }
    }

    /// Milliseconds before a dirty run is purged; `None` for never.
    pub(crate) fn delay(&self) -> Option<u32> {
        // Relaxed: see `open`.
        Some(self.delay.load(Ordering::Relaxed)).filter(|&delay| delay != NEVER)
    }

    /// Whether a part of what is in use can be given back without harm to huge pages.
    pub(crate) fn has_holes(&self) -> bool {
        let space = self.space();
        !space.is_fixed() && space.purge_unit() == space.page_bytes()
    }

    /// Purges the run that was freed longest ago, however fresh it is.
    pub(crate) fn purge_oldest(&self) -> Purged {
        if self.space().is_fixed() {
            return Purged::Nothing;
        }
        let oldest = self.runs.lock().expire(self.space(), call::milliseconds() as u32, 0);
        match oldest {
            Some(run) => self.purge_run(run),
            None => Purged::Nothing,
        }
    }

    /// A piece of metadata of at least `bytes`, near to where the calling thread runs; may hold old contents.
    pub(crate) fn acquire_metadata(&self, bytes: usize) -> Option<*mut u8> {
        let space = self.space();
        let near = space.bank_here();
        let first = self.metadata.lock();
        let acquire = |bank: Bank| space.metadata(bank).unwrap_or(&first).acquire(&space.part(bank).metadata, bytes);
        acquire(near).or_else(|| space.other_banks(near).find_map(acquire))
    }

    /// Takes back a piece of metadata.
    ///
    /// # Safety
    /// - `piece` came from `acquire_metadata` with the same `bytes`, and nobody uses it.
    pub(crate) unsafe fn release_metadata(&self, piece: *mut u8, bytes: usize) {
        let space = self.space();
        let first = self.metadata.lock();
        let metadata = space.metadata(space.bank_of_metadata(piece.addr())).unwrap_or(&first);
        // SAFETY: the caller vouches for the piece, and its address says whose it is.
        unsafe { metadata.release(piece, bytes) };
    }

    /// All regions that were ever used, bank by bank.
    pub(crate) fn regions(&self) -> impl Iterator<Item = Region> + '_ {
        self.regions_from(Region::NONE)
    }

    /// As [`Pages::regions`], without those before `start`.
    pub(crate) fn regions_from(&self, start: Region) -> impl Iterator<Item = Region> + '_ {
        let space = self.space();
        space.banks().flat_map(move |bank| {
            let border = self.runs.lock().border(space, bank);
            (start.0.max(space.first_region(bank).0 + 1)..border.0).map(Region)
        })
    }

    /// The figures of this moment.
    pub(crate) fn figures(&self) -> PageFigures {
        let space = self.space();
        let metadata = {
            let first = self.metadata.lock();
            space.banks().map(|bank| space.metadata(bank).unwrap_or(&first).live()).sum()
        };
        let [reserved, committed] = space.sizes();
        let runs = self.runs.lock();
        PageFigures {
            used: runs.touched() as usize * REGION_BYTES,
            dirty: runs.dirty_regions() as usize * REGION_BYTES,
            clean: runs.clean_regions() as usize * REGION_BYTES,
            metadata,
            reserved,
            committed,
            huge: space.huge_bytes(),
            // Relaxed: counters.
            purges: self.purges.load(Ordering::Relaxed),
            purged: self.purged_bytes.load(Ordering::Relaxed),
        }
    }

    /// Takes the lock of the runs for a fork.
    pub(crate) fn lock_runs_for_fork(&self, patience: &Patience) {
        self.runs.lock_for_fork(patience);
    }

    /// Takes the lock of the metadata for a fork.
    pub(crate) fn lock_metadata_for_fork(&self, patience: &Patience) {
        self.metadata.lock_for_fork(patience);
    }

    /// Ends both.
    ///
    /// # Safety
    /// - This thread, or the one it was copied from, took both.
    pub(crate) unsafe fn unlock_after_fork(&self) {
        // SAFETY: the caller vouches.
        unsafe { self.metadata.unlock_after_fork() };
        // SAFETY: the caller vouches.
        unsafe { self.runs.unlock_after_fork() };
    }

    /// Gives back whole pages inside a run that is in use.
    ///
    /// # Safety
    /// - As for `discard`.
    pub(crate) unsafe fn purge_hole(&self, address: usize, bytes: usize) {
        // SAFETY: the caller vouches for the range.
        if unsafe { self.discard(address, bytes) } {
            self.count_purge(bytes);
        }
    }

    fn count_purge(&self, bytes: usize) {
        // Relaxed: counters.
        self.purges.fetch_add(1, Ordering::Relaxed);
        // Relaxed: as above.
        self.purged_bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Purges the run that has waited longest, however long that is; false if there is none, or it keeps its pages.
    pub(crate) fn purge_one(&self, now: u32) -> bool {
        // The guard goes before the purge: no system call under the lock.
        let expired = self.runs.lock().expire(self.space(), now, 0);
        expired.is_some_and(|run| self.purge_run(run) == Purged::Some)
    }

    /// Purges what at `now` has waited for `delay` milliseconds.
    pub(crate) fn purge_due(&self, now: u32, delay: u32) {
        for _ in 0..PURGE_RUNS {
            // The guard goes before the purge: no system call under the lock.
            let expired = self.runs.lock().expire(self.space(), now, delay);
            let Some(run) = expired else { return };
            // A run that keeps its pages has had its turn; so would most others now.
            if self.purge_run(run) == Purged::Kept {
                return;
            }
        }
    }

    /// Purges a run that is in nobody's hands but the caller's, as far as huge pages allow, then makes it free again. What stays
    /// waits another delay.
    fn purge_run(&self, run: Run) -> Purged {
        let space = self.space();
        let now = call::milliseconds() as u32;
        let Some(part) = space.purgeable(run) else {
            self.put(run, now);
            return Purged::Kept;
        };
        let bytes = part.count as usize * REGION_BYTES;
        // SAFETY: the run was taken out, so nobody needs its contents.
        let dirty = !unsafe { self.discard(space.address(part.region), bytes) };
        if !dirty {
            self.count_purge(bytes);
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

    /// Gives pages back to the kernel; true if they read as zero now. The first time, that is seen and not believed.
    ///
    /// # Safety
    /// - `[address, address + bytes)` is page-aligned, ours, and nobody uses it or needs its contents.
    pub(crate) unsafe fn discard(&self, address: usize, bytes: usize) -> bool {
        if self.space().is_fixed() {
            return false;
        }
        // Relaxed: all threads find the same.
        match self.zeroing.load(Ordering::Relaxed) {
            // SAFETY: the caller vouches for the range.
            ZEROES => unsafe { memory::purge(address, bytes) }.is_ok(),
            DOES_NOTHING => false,
            _ => {
                // SAFETY: the caller vouches for the range.
                let Ok(zeroes) = (unsafe { memory::purge_and_see(address, bytes) }) else { return false };
                self.zeroing.store(if zeroes { ZEROES } else { DOES_NOTHING }, Ordering::Relaxed);
                zeroes
            }
        }
    }

    fn put(&self, run: Run, now: u32) {
        let mut runs = self.runs.lock();
        runs.release(self.space(), run, now);
        self.note(&runs);
    }

    pub(super) fn note(&self, runs: &Runs) {
        // Relaxed: a hint.
        self.dirty_hint.store(runs.dirty_regions(), Ordering::Relaxed);
    }
}
