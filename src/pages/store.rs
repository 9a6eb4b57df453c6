#![expect(unsafe_code, reason = "purges pages and releases metadata")]
//! Pages as the layers above see them: runs and metadata behind their locks, and the purge.
//!
//! # Invariants
//! - No system call but a commit is made under a lock.

use super::bank::Bank;
use super::limits::Limits;
use super::metadata::Metadata;
use super::pending::Pending;
use super::runs::{AGE_MAX, Run, Runs};
use super::space::Space;
use crate::base::units::{REGION_BYTES, Region};
use crate::config::Prefault;
use crate::sys::atomic::{AtomicU32, AtomicUsize, Ordering};
use crate::sys::cell::SetOnce;
use crate::sys::lock::{Lock, Patience, Rank};

/// The delay that means "never".
pub(super) const NEVER: u32 = u32::MAX;

/// What is known of whether a purge zeroes.
pub(super) const UNKNOWN: u32 = 0;
pub(super) const ZEROES: u32 = 1;
pub(super) const DOES_NOTHING: u32 = 2;

/// See the module.
pub(crate) struct Pages {
    space: SetOnce<Space>,
    pub(super) runs: Lock<Runs>,
    /// That of the first bank; others have theirs with them, guarded by the same lock.
    pub(super) metadata: Lock<Metadata>,
    /// Milliseconds before a dirty run is purged. Written at start; read by any thread.
    pub(super) delay: AtomicU32,
    /// How pages are made present, a [`Prefault`](crate::config::Prefault). Written at start, and again when the kernel turns out not to know
    /// a call; read by any thread.
    pub(super) prefault: AtomicU32,
    /// What may be held.
    pub(crate) limits: Limits,
    /// What waits for a slow call.
    pub(crate) pending: Pending,
    /// Whether purged pages read as zero, once that is known. Any thread finds out, all find the same.
    pub(super) zeroing: AtomicU32,
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

impl Pages {
    /// Pages still to be opened.
    pub(crate) const fn new() -> Self {
        Self {
            space: SetOnce::new(),
            runs: Lock::new(Rank::Runs, Runs::new()),
            metadata: Lock::new(Rank::Metadata, Metadata::new()),
            delay: AtomicU32::new(NEVER),
            prefault: AtomicU32::new(Prefault::Off as u32),
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

    /// The reservation.
    #[inline]
    pub(crate) fn space(&self) -> &Space {
        // SAFETY: every path here comes after the start barrier, and so after `open`.
        unsafe { self.space.get() }
    }

    /// Whether there is anything that time could purge. A hint.
    #[inline]
    pub(crate) fn is_dirty(&self) -> bool {
        // Relaxed: a late answer only purges later.
        self.dirty_hint.load(Ordering::Relaxed) != 0
    }

    /// Milliseconds before a dirty run is purged; `None` for never.
    pub(crate) fn delay(&self) -> Option<u32> {
        // Relaxed: see `open`.
        Some(self.delay.load(Ordering::Relaxed)).filter(|&delay| delay != NEVER)
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
    pub(crate) fn unlock_after_fork(&self) {
        self.metadata.unlock_after_fork();
        self.runs.unlock_after_fork();
    }

    pub(super) fn put(&self, run: Run, now: u32) {
        let mut runs = self.runs.lock();
        runs.release(self.space(), run, now);
        self.note(&runs);
    }

    pub(super) fn note(&self, runs: &Runs) {
        // Relaxed: a hint.
        self.dirty_hint.store(runs.dirty_regions(), Ordering::Relaxed);
    }
}
