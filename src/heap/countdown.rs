//! Countdowns: a thread that just freed much, and then stays on its fast path, looks at the clock all the same.
//!
//! The bins of such a thread tell no time, and nobody else may be there to make it an offer. So when flushes follow one another without a
//! refill, the heap has its next requests counted, by the way of [`super::sampling`], and looks at the clock after the last. Countdowns
//! are as long as is needed to look some times from round to round, each at most twice as long as the one before. A refill now and then
//! ends them, for then memory is wanted; so does [`REQUESTS_MAX`], which bounds what counting costs: some ten instructions per request.
//! Must not know what is done with the time.

use super::clock;
use super::idle::{SMALL, pace};
use super::layout::Heap;
use super::outbox::Shared;

/// Flushes without a refill that count as shrinking; each refill halves what there is.
const SHRINKING: u32 = 16;
/// Requests that are counted in all because memory shrank once: some milliseconds of counting.
const REQUESTS_MAX: u32 = 1 << 20;
/// From round to round the thread looks at the clock as often as this, or some times more.
const LOOKS: u32 = 4;
/// Milliseconds between two looks while a round is under way: a tick or two of the clock.
const UNDER_WAY: u32 = 8;

impl Heap {
    /// Notes that a bin gave blocks back.
    pub(super) fn shrinks(&self) {
        self.offer.shrinking.set(self.offer.shrinking.get().saturating_add(1));
        self.offer.counted.set(0);
    }

    /// Notes that a bin wants blocks.
    pub(super) fn grows(&self) {
        let shrinking = self.offer.shrinking.get() / 2;
        self.offer.shrinking.set(shrinking);
        if shrinking < SHRINKING {
            self.end_countdown();
        }
    }

    /// Begins a countdown, if memory shrinks and requests are not counted anyway.
    pub(super) fn count_down(&self, shared: Shared<'_>) {
        if self.offer.shrinking.get() >= SHRINKING && !self.is_sampled() && self.takes_part() && self.is_pending(shared) {
            self.count_down_from(self.offer.countdown.get().max(1));
        }
    }

    fn count_down_from(&self, requests: u32) {
        let counted = self.offer.counted.get().saturating_add(requests);
        if counted > REQUESTS_MAX {
            self.offer.shrinking.set(0);
            return;
        }
        self.offer.counted.set(counted);
        self.offer.countdown.set(requests);
        self.set_sampled(requests as usize + 1, 0);
    }

    /// Whether requests are counted for a countdown, and not to sample them.
    pub(super) fn counts_down(&self) -> bool {
        self.is_sampled() && self.sampling_mean.get() == 0
    }

    /// Whether a countdown has come to its end.
    #[inline]
    pub(crate) fn is_counted_down(&self) -> bool {
        self.counts_down() && !self.has_gap()
    }

    /// Ends a countdown, if there is one.
    pub(super) fn end_countdown(&self) {
        if self.counts_down() {
            self.set_sampled(0, 0);
        }
    }

    /// What a thread does at the end of a countdown.
    #[cold]
    pub(crate) fn answer_countdown(&self, shared: Shared<'_>) {
        self.end_countdown();
        let (now, pause) = self.look_at_clock();
        self.offer.in_row.set(0);
        self.make_time(shared, now, SMALL);
        if !self.is_pending(shared) || self.is_sampled() {
            return;
        }
        if clock::is_leisurely(pause) && self.offer.countdown.get() == 1 {
            // One request took as long as that.
            return self.offer.again.set(true);
        }
        let wanted = if shared.registry.idle.is_under_way() { UNDER_WAY } else { pace(shared) / LOOKS };
        let requests = self.offer.countdown.get();
        self.count_down_from(match pause {
            _ if pause < wanted / 2 => requests.saturating_mul(2),
            _ if pause > wanted => (requests / 2).max(1),
            _ => requests,
        });
    }
}
