//! Countdowns: a thread that just freed much, and then stays on its fast path, looks at the clock all the same.
//!
//! The bins of such a thread tell no time, and nobody else may be there to make it an offer. So when flushes follow one another without a
//! refill, or the thread took an offer and something is left to do, the heap has its next requests counted, by the way of
//! [`crate::heap::sampling`], and looks at the clock after the last. Countdowns are as long as is needed to look some times from round to round,
//! and more often during one, each at most twice as long as the one before. A refill now and then ends them, for then memory is wanted; so
//! does the next look at the clock on the way of slow events; so does [`REQUESTS_MAX`], which bounds what counting costs: some ten
//! instructions per request. Must not know what is done with the time.

use crate::heap::idle::clock;
use crate::heap::idle::rounds::pace;
use crate::heap::layout::{AGAIN, Heap};
use crate::heap::remote::outbox::Shared;
use crate::sys::call;

/// Flushes without a refill that count as shrinking; each refill halves what there is.
const SHRINKING: u32 = 16;
/// Requests that are counted in all because memory shrank once, or from one slow event to another: some milliseconds of counting.
const REQUESTS_MAX: u32 = 1 << 20;
/// From round to round the thread looks at the clock as often as this, or some times more.
const LOOKS: u32 = 4;
/// Microseconds between two looks while a round is under way, of which a portion takes some tens.
const UNDER_WAY: u32 = 1000;

impl Heap {
    /// Notes that a bin gave blocks back.
    pub(in crate::heap) fn shrinks(&self) {
        self.offer.shrinking.set(self.offer.shrinking.get().saturating_add(1));
        self.offer.counted.set(0);
    }

    /// Notes that a bin wants blocks.
    pub(in crate::heap) fn grows(&self) {
        let shrinking = self.offer.shrinking.get() / 2;
        self.offer.shrinking.set(shrinking);
        if shrinking < SHRINKING && !self.offer.for_round.get() {
            self.end_countdown();
        }
    }

    /// Begins a countdown if memory shrinks, or `for_round`, because the thread may look at no clock otherwise; not if nothing is left to
    /// do, or requests are counted anyway.
    pub(in crate::heap) fn count_down(&self, shared: Shared<'_>, for_round: bool) {
        let shrinks = self.offer.shrinking.get() >= SHRINKING;
        if (shrinks || for_round) && !self.is_sampled() && self.takes_part() && self.is_pending(shared) {
            self.offer.for_round.set(!shrinks);
            if !shrinks {
                self.offer.counted.set(0);
            }
            // However busy it was before, it may be at leisure now.
            self.count_down_from(1);
        }
    }

    /// Ends a countdown for the sake of a round: the thread has looked at the clock.
    pub(in crate::heap) fn end_countdown_for_round(&self) {
        if self.offer.for_round.replace(false) {
            self.end_countdown();
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
    pub(in crate::heap) fn counts_down(&self) -> bool {
        self.is_sampled() && self.sampling_mean.get() == 0
    }

    /// Whether a countdown has come to its end.
    #[inline]
    pub(crate) fn is_counted_down(&self) -> bool {
        self.counts_down() && !self.has_gap()
    }

    /// Ends a countdown, if there is one.
    pub(in crate::heap) fn end_countdown(&self) {
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
        self.make_time(shared, now, 1);
        if !self.is_pending(shared) || self.is_sampled() {
            return;
        }
        if clock::is_leisurely(pause) && self.offer.countdown.get() == 1 {
            // One request took as long as that.
            return self.set_pending(AGAIN, true);
        }
        let wanted = if shared.registry.idle.is_under_way() { UNDER_WAY } else { pace(shared) / LOOKS * 1000 };
        let (requests, microseconds) = (self.offer.countdown.get(), (call::nanoseconds() / 1000) as u32);
        let taken = microseconds.wrapping_sub(self.offer.counted_since.replace(microseconds));
        self.count_down_from(match taken {
            _ if taken < wanted / 2 => requests.saturating_mul(2),
            _ if taken > wanted => (requests / 2).max(1),
            _ => requests,
        });
    }
}
