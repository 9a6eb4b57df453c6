//! Sampling: some requests, chosen at random, are passed to the sampler that registered.
//!
//! In a heap whose requests are sampled all sizes lead to a bin that is always empty, so malloc's fast path always
//! fails. The second path calls [`FastHeap::pop_sampled`], which subtracts the request from the gap to the next sample
//! and pops from the bin of its size. Frees stay on their fast path. A heap that is not sampled pays nothing on its
//! fast paths.
//!
//! Gaps are exponential, so each byte (or each call) is as likely to be sampled as any other, whatever the pattern of
//! the program. Must not know what the sampler does.
//!
//! # Invariants
//! - `until` is 0 exactly if requests are not counted. If they are counted and the mean gap is 0, a countdown of
//!   [`crate::heap::idle`] counts them.

use super::fast_path::FastHeap;
use super::layout::Heap;
use crate::base::random::Random;
use crate::sys::atomic::{AtomicU32, AtomicUsize, Ordering};

/// The unit of gaps.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum SampledBy {
    /// Bytes asked for, and one for each call.
    Bytes,
    /// Calls.
    Calls,
}

impl SampledBy {
    /// The bits of a request's size that count.
    const fn mask(self) -> usize {
        match self {
            Self::Bytes => usize::MAX,
            Self::Calls => 0,
        }
    }
}

/// The sampling that all heaps follow. Written by the thread that switches it; read by any thread at its next slow
/// event, which may come late.
pub(crate) struct Sampling {
    /// The mean gap; 0 for no samples.
    mean: AtomicUsize,
    /// The bits of a request's size that count.
    mask: AtomicUsize,
    /// Changes with each switch.
    epoch: AtomicU32,
}

impl Sampling {
    /// No samples.
    pub(crate) const fn new() -> Self {
        Self { mean: AtomicUsize::new(0), mask: AtomicUsize::new(0), epoch: AtomicU32::new(0) }
    }

    /// Samples a request every `mean` units on average; none for 0. Each heap follows at its next slow event.
    pub(crate) fn switch(&self, mean: usize, unit: SampledBy) {
        // Relaxed: the epoch below publishes both.
        self.mean.store(mean, Ordering::Relaxed);
        self.mask.store(unit.mask(), Ordering::Relaxed);
        // Release pairs with the Acquire in `follow_sampling`.
        self.epoch.fetch_add(1, Ordering::Release);
    }
}

impl Heap {
    /// Follows the last switch of the sampling. For the heap's thread, while the heap is entered or new.
    #[inline]
    pub(crate) fn follow_sampling(&self, sampling: &Sampling) {
        // Acquire pairs with the Release in `switch`.
        let epoch = sampling.epoch.load(Ordering::Acquire);
        if epoch != self.sampling_epoch.get() {
            self.follow_slow(sampling, epoch);
        }
    }

    /// Whether there is nothing to follow.
    #[inline]
    pub(super) fn follows(&self, sampling: &Sampling) -> bool {
        // Relaxed: an old value only has the thread follow later.
        sampling.epoch.load(Ordering::Relaxed) == self.sampling_epoch.get()
    }

    #[cold]
    fn follow_slow(&self, sampling: &Sampling, epoch: u32) {
        self.sampling_epoch.set(epoch);
        // Relaxed: the caller's Acquire orders both; if they change meanwhile, so does the epoch.
        let (mean, mask) = (sampling.mean.load(Ordering::Relaxed), sampling.mask.load(Ordering::Relaxed));
        if self.random.get() == 0 {
            self.random.set(Random::new(self.address() as u64).state());
        }
        self.sampling_mean.set(mean);
        self.counted.set(mask);
        let gap = if mean == 0 { 0 } else { self.draw_gap() };
        self.set_sampled(gap, mask);
    }

    /// Counts a request that the slow path serves; whether it is to be sampled. If so, the next gap begins.
    #[inline]
    pub(crate) fn is_sample(&self, size: usize) -> bool {
        self.is_sampled() && !self.counts_down() && self.is_sample_slow(size)
    }

    #[inline(never)]
    fn is_sample_slow(&self, size: usize) -> bool {
        if self.count(size) {
            return false;
        }
        self.set_gap(self.draw_gap());
        true
    }

    fn draw_gap(&self) -> usize {
        // A sample of every call has no gaps.
        if self.sampling_mean.get() == 1 && self.counted.get() == SampledBy::Calls.mask() {
            return 1;
        }
        let mut random = Random::resume(self.random.get());
        let gap = random.gap(self.sampling_mean.get());
        self.random.set(random.state());
        gap
    }
}

/// The counting of requests in a heap that is sampled.
impl FastHeap {
    /// Samples requests, the first one after `gap` units; none for 0. `counted` has the bits of a size that count.
    pub(super) fn set_sampled(&self, gap: usize, counted: usize) {
        self.counted.set(counted);
        self.until.set(gap);
        self.lead(gap == 0 && self.second().after_fast);
    }

    /// Adds `block` to its bin, if requests are sampled and those of `size` bytes are served by that bin.
    #[inline(always)]
    pub(super) fn push_sampled(&self, block: *mut u8, size: usize) -> bool {
        self.is_sampled() && self.push_sized_in_reach(block, size)
    }

    /// Begins another gap.
    pub(super) fn set_gap(&self, gap: usize) {
        self.until.set(gap);
    }

    /// Whether at least one more request comes before the gap ends.
    #[inline(always)]
    pub(super) fn has_gap(&self) -> bool {
        self.until.get() > 1
    }

    /// Counts a request; false, and nothing is counted, if it reaches the end of the gap.
    #[inline(always)]
    pub(super) fn count(&self, size: usize) -> bool {
        let cost = (size & self.counted.get()).wrapping_add(1);
        let before = cost < self.until.get();
        if before {
            self.until.set(self.until.get() - cost);
        }
        before
    }
}
