//! Runs of large blocks: out of the run cache and into it, as far as it serves; else they are free runs. Must not know
//! what a large block is.

use super::bank::Bank;
use super::cache::SHARDS;
use super::map::HEAP_ALIGN;
use super::runs::Run;
use super::store::Pages;
use crate::base::units::{REGION_BYTES, Region};
use crate::sys::tls;

impl Pages {
    /// Uses the cache of runs, where that does no harm: a pool does without, more nodes than there are shards, and a
    /// process that purges at once. Comes after `open`.
    pub(crate) fn open_cache(&self) {
        let space = self.space();
        if !space.is_fixed() && space.banks().count() <= SHARDS && self.delay() != Some(0) {
            self.cache.open();
        }
    }

    /// Whether the cache of runs is in use.
    #[inline]
    pub(crate) fn has_cache(&self) -> bool {
        self.cache.is_open()
    }

    /// The shard for runs of `bank`.
    #[inline]
    fn shard_for(&self, bank: Bank) -> usize {
        if self.space().is_divided() { bank.0 as usize } else { tls::own_heap() / HEAP_ALIGN }
    }

    /// A run of `count` regions that was a large block, if the cache has one that fits. Takes no lock.
    #[inline]
    pub(crate) fn acquire_cached(&self, bank: Bank, count: u32, now: impl FnOnce() -> u32) -> Option<Run> {
        self.cache.take(self.shard_for(bank), count, now)
    }

    /// As [`Pages::acquire`], for a large block: a run that was one before, if the cache has one that fits.
    pub(crate) fn acquire_large(&self, bank: Bank, count: u32, align: usize) -> Option<Run> {
        let cached = if align <= REGION_BYTES { self.acquire_cached(bank, count, || self.now()) } else { None };
        cached.or_else(|| self.acquire(bank, count, align))
    }

    /// As [`Pages::release`], for what was a large block: the cache may keep the run.
    pub(crate) fn release_large(&self, region: Region, count: u32) {
        if !self.may_cache() {
            return self.release(region, count);
        }
        let now = self.now();
        self.put_cached(region, count, now);
        if let Some(delay) = self.delay()
            && self.cache.wants_sweep(now, delay)
        {
            self.purge_due(now, delay);
        }
    }

    /// Whether the cache may keep runs. Above the soft limit nothing may stay dirty. A run that is kept changes nothing
    /// of what is held, so it is enough to look at the limit where memory is taken.
    #[inline]
    fn may_cache(&self) -> bool {
        self.cache.is_open() && !self.limits.is_over()
    }

    /// Whether [`Pages::put_cached`] may have a run at `now`, and nothing waits for a purge.
    #[inline]
    pub(crate) fn can_cache(&self, now: u32) -> bool {
        self.may_cache() && !self.delay().is_some_and(|delay| self.cache.wants_sweep(now, delay))
    }

    /// Has the cache keep what was a large block until `now`; what it has no room for becomes free runs.
    pub(crate) fn put_cached(&self, region: Region, count: u32, now: u32) {
        let place = self.shard_for(self.space().bank_of(region));
        self.cache.put(place, Run { region, count, dirty: true }, now, |run| self.release(run.region, run.count));
    }

    /// Makes free runs of what is in the cache.
    pub(super) fn drain_cache(&self) {
        self.cache.drain(|run| self.put(run, self.now()));
    }
}
