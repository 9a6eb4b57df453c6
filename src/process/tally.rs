//! Counts calls by the lane that served them. Calls that libc served are counted always, by reason, because they are
//! rare. The other lanes are counted only under `SPANDREL_DIAG`, where every call takes the slow path.

use crate::base::class::{self, Class};
use crate::base::lane::Lane;
use crate::base::text::Inline;
use crate::sys::atomic::{AtomicU64, AtomicUsize, Ordering};

/// Why a call went to libc.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(usize)]
pub(crate) enum Reason {
    /// Another thread was still making the allocator ready.
    InitWait = 0,
    /// The call came from inside the allocator: its own start, or a signal handler that interrupted it.
    Recursion,
    /// `SPANDREL_FORCE_LIBC`, or no address space at all.
    ForceLibc,
    /// The thread has given its heap up already, or gets none because its end could not be seen.
    Exiting,
    /// Spandrel's own memory is used up.
    Exhausted,
}

impl Reason {
    /// All reasons with their names in reports.
    pub(crate) const ALL: [(Self, Inline<10>); 5] = [
        (Self::InitWait, Inline::of("init_wait")),
        (Self::Recursion, Inline::of("recursion")),
        (Self::ForceLibc, Inline::of("force_libc")),
        (Self::Exiting, Inline::of("exiting")),
        (Self::Exhausted, Inline::of("exhausted")),
    ];
}

/// Calls and requested bytes. Written by any thread, read by the report at exit.
pub(crate) struct Count {
    calls: AtomicU64,
    bytes: AtomicU64,
}

impl Count {
    const fn new() -> Self {
        Self { calls: AtomicU64::new(0), bytes: AtomicU64::new(0) }
    }

    fn add(&self, bytes: usize) {
        // Relaxed: counters.
        self.calls.fetch_add(1, Ordering::Relaxed);
        self.bytes.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// Calls so far.
    pub(crate) fn calls(&self) -> u64 {
        // Relaxed: counters.
        self.calls.load(Ordering::Relaxed)
    }

    /// Requested bytes so far.
    pub(crate) fn bytes(&self) -> u64 {
        // Relaxed: counters.
        self.bytes.load(Ordering::Relaxed)
    }
}

/// The counts of the process. Written by any thread, read by the report at exit.
pub(crate) struct Tally {
    served: [Count; Lane::SERVING],
    freed: [Count; Lane::SERVING],
    reasons: [Count; Reason::ALL.len()],
    classes: [Count; class::COUNT],
    /// The range of sizes (`SPANDREL_DIAG_RANGE`) for which the report shows that libc served no call. Written by the
    /// start, read by any thread.
    low: AtomicUsize,
    high: AtomicUsize,
    in_range: Count,
    in_range_libc: Count,
}

impl Tally {
    /// Nothing counted. Until the range is set it holds all sizes, so that earlier calls count, too.
    pub(crate) const fn new() -> Self {
        Self {
            served: [const { Count::new() }; Lane::SERVING],
            freed: [const { Count::new() }; Lane::SERVING],
            reasons: [const { Count::new() }; Reason::ALL.len()],
            classes: [const { Count::new() }; class::COUNT],
            low: AtomicUsize::new(0),
            high: AtomicUsize::new(usize::MAX),
            in_range: Count::new(),
            in_range_libc: Count::new(),
        }
    }

    /// Sets the range of sizes.
    pub(crate) fn set_range(&self, (low, high): (usize, usize)) {
        // Relaxed: the start barrier publishes it.
        self.low.store(low, Ordering::Relaxed);
        self.high.store(high, Ordering::Relaxed);
    }

    /// The range of sizes.
    pub(crate) fn range(&self) -> (usize, usize) {
        // Relaxed: the start barrier publishes the range.
        (self.low.load(Ordering::Relaxed), self.high.load(Ordering::Relaxed))
    }

    /// Counts a call that `lane` served.
    pub(crate) fn serve(&self, lane: Lane, size: usize) {
        if let Some(count) = self.served.get(lane as usize) {
            count.add(size);
        }
        let class = Class::of_size(size).filter(|_| lane == Lane::Small);
        if let Some(count) = class.and_then(|class| self.classes.get(class.index())) {
            count.add(size);
        }
        if self.is_in_range(size) {
            self.in_range.add(size);
        }
    }

    /// Calls for sizes of `class`.
    pub(crate) fn of_class(&self, class: Class) -> Option<&Count> {
        self.classes.get(class.index())
    }

    /// Counts a call that libc served, for `reason`.
    pub(crate) fn divert(&self, reason: Reason, size: usize) {
        if let Some(count) = self.reasons.get(reason as usize) {
            count.add(size);
        }
        self.serve(Lane::Libc, size);
        if self.is_in_range(size) {
            self.in_range_libc.add(size);
        }
    }

    /// Counts a free.
    pub(crate) fn free(&self, lane: Lane) {
        if let Some(count) = self.freed.get(lane as usize) {
            count.add(0);
        }
    }

    /// Calls served by `lane`.
    pub(crate) fn served(&self, lane: Lane) -> Option<&Count> {
        self.served.get(lane as usize)
    }

    /// Frees of blocks of `lane`.
    pub(crate) fn freed(&self, lane: Lane) -> Option<&Count> {
        self.freed.get(lane as usize)
    }

    /// Calls that libc served for `reason`.
    pub(crate) fn reason(&self, reason: Reason) -> Option<&Count> {
        self.reasons.get(reason as usize)
    }

    /// Calls within the range: all, and those that libc served.
    pub(crate) fn proof(&self) -> (u64, u64) {
        (self.in_range.calls(), self.in_range_libc.calls())
    }

    fn is_in_range(&self, size: usize) -> bool {
        let (low, high) = self.range();
        (low..=high).contains(&size)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_to_libc_counts_for_the_range_only_within_it() {
        let tally = Tally::new();
        tally.set_range((256, 1040));
        tally.serve(Lane::Small, 256);
        tally.divert(Reason::Recursion, 255);
        assert_eq!(tally.proof(), (1, 0));
        tally.divert(Reason::Exhausted, 1040);
        assert_eq!(tally.proof(), (2, 1));
        assert_eq!(tally.served(Lane::Libc).map(Count::calls), Some(2));
    }
}
