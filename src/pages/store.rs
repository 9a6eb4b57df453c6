#![expect(unsafe_code, reason = "hands out metadata and touches fresh pages")]
//! Pages as the layers above see them: free runs and metadata behind their locks; runs and mappings within the limits,
//! with present pages if options ask for that.
//!
//! # Invariants
//! - A refused call changes nothing: a run that exceeds the hard limit is returned before any other thread sees it.
//! - Under the lock of the runs, and under that of the metadata, no system calls are made but those that make an area
//!   larger: a commit, and advice on huge pages and on core dumps.

use super::bank::Bank;
use super::cache::RunCache;
use super::limits::{Limits, UNLIMITED};
use super::metadata::Metadata;
use super::pending::{Pending, Work};
use super::purge::Purged;
use super::runs::{AGE_MAX, Run, Runs};
use super::space::Space;
use crate::base::units::{REGION_BYTES, Region};
use crate::config::Prefault;
use crate::diag::{self, Code};
use crate::sys::atomic::{AtomicU32, AtomicUsize, Ordering};
use crate::sys::call::Errno;
use crate::sys::cell::SetOnce;
use crate::sys::clock::Clock;
use crate::sys::lock::{Lock, Patience, Rank};
use crate::sys::memory;

/// The delay that means "never".
pub(super) const NEVER: u32 = u32::MAX;

/// Values of `Pages::zeroing`: whether purged pages read as zero.
pub(super) const UNKNOWN: u32 = 0;
pub(super) const ZEROES: u32 = 1;
pub(super) const DOES_NOTHING: u32 = 2;

/// The pages of the process.
pub(crate) struct Pages {
    space: SetOnce<Space>,
    pub(super) runs: Lock<Runs>,
    /// Runs that were large blocks, for the next ones.
    pub(super) cache: RunCache,
    clock: Clock,
    /// That of the first bank; others have theirs with them, guarded by the same lock.
    pub(super) metadata: Lock<Metadata>,
    /// Milliseconds before a dirty run is purged. Written at start and by `mallopt`; read by any thread.
    pub(super) delay: AtomicU32,
    /// How pages are made present, a [`Prefault`](crate::config::Prefault). Written at start, and again when the kernel
    /// turns out not to know a call; read by any thread.
    pub(super) prefault: AtomicU32,
    /// The soft and the hard limit.
    pub(crate) limits: Limits,
    /// Work that waits for a slow call.
    pub(crate) pending: Pending,
    /// Whether purged pages read as zero, once that is known. Any thread finds out, all find the same.
    pub(super) zeroing: AtomicU32,
    /// Regions in dirty runs: written under the lock of the runs, read by any thread as a hint.
    dirty_hint: AtomicU32,
    /// Purges made and bytes given back; any thread adds.
    pub(super) purges: AtomicUsize,
    pub(super) purged_bytes: AtomicUsize,
}

impl Pages {
    /// Pages still to be opened.
    pub(crate) const fn new() -> Self {
        Self {
            space: SetOnce::new(),
            runs: Lock::new(Rank::Runs, Runs::new()),
            cache: RunCache::new(),
            clock: Clock::new(),
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
        // SAFETY: this is the first call on this value, so nothing reads the space yet.
        unsafe { self.space.set(space) };
        self.set_delay(delay);
    }

    /// Has a purge come `delay` milliseconds after a free, that of dirty runs too; `None` for never.
    pub(crate) fn set_delay(&self, delay: Option<u64>) {
        let delay = delay.map_or(NEVER, |delay| u32::try_from(delay).unwrap_or(AGE_MAX).min(AGE_MAX));
        // Relaxed: the start barrier publishes the first; with an old one a thread purges once more, or once less.
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
        self.dirty_hint.load(Ordering::Relaxed) != 0 || self.cache.regions() != 0
    }

    /// The time in milliseconds, up to a millisecond old.
    #[inline]
    pub(crate) fn now(&self) -> u32 {
        self.clock.now()
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

    /// As [`Pages::acquire_metadata`], with `bytes` that are zero.
    pub(crate) fn acquire_zeroed(&self, bytes: usize) -> Option<*mut u8> {
        let piece = self.acquire_metadata(bytes)?;
        // SAFETY: the piece has these bytes, and nothing else uses them.
        unsafe { memory::zero(piece, bytes) };
        Some(piece)
    }

    /// Takes back a piece of metadata.
    ///
    /// # Safety
    /// - `piece` came from `acquire_metadata` with the same `bytes`, and nothing uses it.
    pub(crate) unsafe fn release_metadata(&self, piece: *mut u8, bytes: usize) {
        let space = self.space();
        let first = self.metadata.lock();
        let metadata = space.metadata(space.bank_of_metadata(piece.addr())).unwrap_or(&first);
        // SAFETY: the piece is from the metadata of the bank that its address lies in, of so many bytes, and given up.
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
}

impl Pages {
    /// Sets how pages are made present. Comes after `open`.
    pub(crate) fn set_prefault(&self, way: Prefault) {
        // Relaxed: any value is valid at any time.
        self.prefault.store(way as u32, Ordering::Relaxed);
    }

    /// A run of `count` regions at a multiple of `align` bytes, in `bank` if there are any; `None` where space, memory
    /// or the hard limit is used up.
    pub(crate) fn acquire(&self, bank: Bank, count: u32, align: usize) -> Option<Run> {
        self.obtain(|runs| runs.acquire(self.space(), bank, count, align))
    }

    /// `extra` more regions behind a run that ends before `end`.
    pub(crate) fn acquire_behind(&self, end: Region, extra: u32) -> Option<Run> {
        if let Some(run) = self.cache.take_at(end) {
            self.put(run, self.now());
        }
        self.obtain(|runs| runs.acquire_behind(self.space(), end, extra))
    }

    fn obtain(&self, take: impl Fn(&mut Runs) -> Option<Run>) -> Option<Run> {
        let run = match self.try_take(&take) {
            Ok(run) if run.is_some() || self.cache.regions() == 0 => run,
            Ok(_) => {
                self.drain_cache();
                self.try_take(&take).unwrap_or(None)
            }
            Err(()) => {
                self.purge_all();
                self.try_take(&take).unwrap_or_else(|()| {
                    self.pending.set(Work::HARD_LIMIT);
                    None
                })
            }
        };
        self.tell_refusal();
        self.keep_soft_limit();
        run.inspect(|&run| self.make_run_present(run))
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

    /// Takes back a run whose pages may hold something; then purges what is due.
    pub(crate) fn release(&self, region: Region, count: u32) {
        let run = Run { region, count, dirty: true };
        // Relaxed: see `open`.
        match self.delay.load(Ordering::Relaxed) {
            0 => drop(self.purge_run(run)),
            NEVER => self.put(run, 0),
            delay => self.put_and_purge(run, delay),
        }
        self.keep_soft_limit();
    }

    fn put_and_purge(&self, run: Run, delay: u32) {
        let now = self.now();
        // Drop the guard before a purge: no system call under the lock.
        let (due, overfull) = {
            let (mut runs, cached) = (self.runs.lock(), self.cache.regions());
            runs.release(self.space(), run, now);
            let due = runs.expire(self.space(), now, delay, cached);
            self.note(&runs);
            (due, cached > runs.dirty_max(cached))
        };
        if overfull {
            self.drain_cache();
        }
        if due.is_some_and(|run| self.purge_run(run) != Purged::Kept) {
            self.purge_due(now, delay);
        }
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
        let mut admitted = admit();
        if !admitted {
            self.purge_all();
            admitted = admit();
        }
        if admitted {
            self.keep_soft_limit();
        } else {
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

    /// Purges all free runs if more is held than the soft limit allows.
    pub(crate) fn keep_soft_limit(&self) {
        if self.limits.get().0 != UNLIMITED && self.limits.presses(self.held_bytes(), &self.pending) {
            self.purge_all();
        }
    }

    /// Makes the pages of the whole pool present, the allocator's own included. Comes before any use of the pool.
    pub(crate) fn make_pool_present(&self, way: Prefault) {
        for area in self.space().areas() {
            // SAFETY: all of a pool is committed, and nothing of it was used yet, so it reads as zero.
            unsafe { self.make_present(way as u32, area.base(), area.committed()) };
        }
    }

    /// Makes the pages of a direct mapping present, where that was asked for.
    ///
    /// # Safety
    /// - `[address, address + bytes)` is a fresh mapping, and nothing else has it.
    pub(crate) unsafe fn make_mapping_present(&self, address: usize, bytes: usize) {
        // SAFETY: a fresh mapping is writable, reads as zero, and is the caller's alone.
        unsafe { self.make_present(self.prefault(), address, bytes) };
    }

    fn make_run_present(&self, run: Run) {
        if !run.dirty {
            // SAFETY: the run was just acquired, is clean, so it reads as zero, and nothing else has it.
            unsafe {
                self.make_present(self.prefault(), self.space().address(run.region), run.count as usize * REGION_BYTES)
            };
        }
    }

    fn prefault(&self) -> u32 {
        // Relaxed: any value is valid at any time.
        self.prefault.load(Ordering::Relaxed)
    }

    /// Makes `[address, address + len)` present in one go, rather than one fault at a time when the program first
    /// writes there. A refusal is no error: the pages come when they are touched.
    ///
    /// # Safety
    /// - The range is writable memory of ours, reads as zero, and nothing else uses it.
    #[inline]
    unsafe fn make_present(&self, way: u32, address: usize, len: usize) {
        if way != Prefault::Off as u32 {
            // SAFETY: the range is as this function asks for it.
            unsafe { self.make_present_slow(way, address, len) };
        }
    }

    /// As `make_present`.
    ///
    /// # Safety
    /// - As there.
    #[cold]
    #[inline(never)]
    unsafe fn make_present_slow(&self, way: u32, address: usize, len: usize) {
        const POPULATE: u32 = Prefault::Populate as u32;
        if way == POPULATE {
            if memory::populate(address, len) != Err(Errno(libc::EINVAL)) {
                return;
            }
            // Kernels before 5.14 do not know the call.
            // Relaxed: as in `prefault`.
            let _ =
                self.prefault.compare_exchange(POPULATE, Prefault::Touch as u32, Ordering::Relaxed, Ordering::Relaxed);
        }
        for place in (address..address + len).step_by(self.space().page_bytes()) {
            // SAFETY: the byte lies in the range, which is writable and the caller's alone; it is zero already.
            unsafe { memory::zero(core::ptr::with_exposed_provenance_mut(place), 1) };
        }
    }

    /// Says, outside of the lock, that the kernel has no explicit huge pages left.
    fn tell_refusal(&self) {
        if self.space().take_refusal() {
            let what = b"the kernel has no huge page left to reserve; ordinary pages are used from here on";
            diag::line(Code::HugePagePolicy, &[what]);
        }
    }

    /// Notes how much is dirty.
    pub(super) fn note(&self, runs: &Runs) {
        // Relaxed: a hint.
        self.dirty_hint.store(runs.dirty_regions(), Ordering::Relaxed);
    }
}
