#![expect(unsafe_code, reason = "touches memory that was just acquired")]
//! Obtaining pages: runs and mappings, within the limits, present where that was asked for.
//!
//! # Invariants
//! - What is refused has changed nothing: a run taken past the hard limit is back before anyone sees it.

use super::bank::Bank;
use super::limits::UNLIMITED;
use super::pending::Work;
use super::runs::{Run, Runs};
use super::store::{NEVER, Pages};
use crate::base::units::{REGION_BYTES, Region};
use crate::config::Prefault;
use crate::diag::{self, Code};
use crate::sys::atomic::Ordering;
use crate::sys::call::{self, Errno};
use crate::sys::memory;

impl Pages {
    /// Sets how pages are made present. Comes after `open`.
    pub(crate) fn set_prefault(&self, way: Prefault) {
        // Relaxed: any value is valid at any time.
        self.prefault.store(way as u32, Ordering::Relaxed);
    }

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
            delay => {
                let now = call::milliseconds() as u32;
                self.put(run, now);
                self.purge_due(now, delay);
            }
        }
        self.receive_for();
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

    /// Makes the pages of the whole pool present, the allocator's own included. Comes before any use of the pool.
    pub(crate) fn make_pool_present(&self, way: Prefault) {
        for area in self.space().areas() {
            // SAFETY: all of a pool is committed, and nothing of it was used yet, so it reads as zero.
            unsafe { self.make_present(way as u32, area.base(), area.committed()) };
        }
    }

    /// Makes the pages of a mapping of its own present, where that was asked for.
    ///
    /// # Safety
    /// - `[address, address + bytes)` is a fresh mapping, and nobody else has it.
    pub(crate) unsafe fn make_mapping_present(&self, address: usize, bytes: usize) {
        // SAFETY: a fresh mapping is writable, reads as zero, and is the caller's alone.
        unsafe { self.make_present(self.prefault(), address, bytes) };
    }

    fn make_run_present(&self, run: Run) {
        if !run.dirty {
            // SAFETY: the run was just acquired, is clean, so it reads as zero, and nobody else has it.
            unsafe { self.make_present(self.prefault(), self.space().address(run.region), run.count as usize * REGION_BYTES) };
        }
    }

    fn prefault(&self) -> u32 {
        // Relaxed: any value is valid at any time.
        self.prefault.load(Ordering::Relaxed)
    }

    /// Makes `[address, address + len)` present in one go, rather than one fault at a time when the program first writes there. A refusal is
    /// no error: the pages come when they are touched.
    ///
    /// # Safety
    /// - The range is writable memory of ours, reads as zero, and nobody else uses it.
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
            let _ = self.prefault.compare_exchange(POPULATE, Prefault::Touch as u32, Ordering::Relaxed, Ordering::Relaxed);
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
}
