//! Time for idle return: which thread looks at the clock, and how often.
//!
//! Threads on their slow path do, every so many slow events. A thread that calls seldom *comes again*: its next call takes the slow path, too,
//! until nothing is left to do. One that calls often does so a bounded number of times in a row.
//!
//! *Countdowns*: the bins of a thread that just freed much, and then stays on its fast path, tell no time, and perhaps no other thread makes
//! it an offer. So when flushes follow one another without a refill, or the thread took an offer and something is left to do, the heap
//! counts its next requests, by the way of [`crate::heap::sampling`], and looks at the clock after the last. Countdowns are as long as
//! is needed to look some times from round to round, and more often during one, each at most twice as long as the one before. A refill now
//! and then ends them, for then memory is wanted; so does the next look at the clock on the way of slow events; so does [`REQUESTS_MAX`],
//! which bounds what counting costs: some ten instructions per request. Must not know what a round does.

use super::rounds::{UNHURRIED, pace};
use crate::heap::layout::Heap;
use crate::heap::offer::AGAIN;
use crate::heap::registry::Shared;
use crate::sys::atomic::Ordering;
use crate::sys::call;

/// Slow events between two looks.
const EVENTS: u32 = 128;
/// Blocks received on a large allocation.
const RECEIVED_PER_LARGE: usize = 250;
/// Slow events between two looks at the clock, and where there is nothing to purge.
const TICK_EVENTS: u32 = 8;
const CLEAN_TICK_EVENTS: u32 = 64;

/// A thread whose calls come so many milliseconds apart is in no hurry, even if some come in a row.
const LEISURE: u32 = 10;
/// Calls in a row that a thread in a hurry makes this way.
const IN_ROW_MAX: u32 = 32;
/// Of the time from round to round, one part in this many passes between two calls that come again.
const PARTS: u32 = 4;

/// Whether a thread whose last look at the clock is `pause` milliseconds ago is in no hurry.
pub(in crate::heap) const fn is_leisurely(pause: u32) -> bool {
    pause >= LEISURE
}

/// Flushes without a refill that count as shrinking; each refill halves what there is.
const SHRINKING: u32 = 16;
/// Requests that are counted in all because memory shrank once, or from one slow event to another: some milliseconds of counting.
const REQUESTS_MAX: u32 = 1 << 20;
/// From round to round the thread looks at the clock as often as this, or some times more.
const LOOKS: u32 = 4;
/// Microseconds between two looks while a round is under way, of which a portion takes some tens.
const UNDER_WAY: u32 = 1000;

impl Heap {
    /// Notes that the fast path was left; now and then this looks over the bins and lets time purge.
    pub(in crate::heap) fn slow_event(&self, shared: Shared<'_>) {
        let events = self.events.get() + 1;
        self.events.set(events);
        if events.is_multiple_of(TICK_EVENTS) && (shared.central.pages.is_dirty() || events.is_multiple_of(CLEAN_TICK_EVENTS)) {
            self.tick(shared);
        }
        if events.is_multiple_of(TICK_EVENTS) {
            self.follow_sampling(&shared.registry.sampling);
            if shared.registry.orphans.get() {
                shared.registry.adopt_orphans(shared);
            }
        }
        if events >= EVENTS {
            self.events.set(0);
            // With a pool there is nobody to give anything back to.
            if shared.central.pages.space().is_fixed() {
                self.send_all(shared);
            } else {
                self.look_over(shared);
            }
        }
    }

    /// What a large allocation owes: it does not pass a bin, but an owner that makes no other must still receive what others freed.
    pub(crate) fn attend(&self, shared: Shared<'_>) {
        if shared.central.pages.is_dirty() {
            self.tick(shared);
        }
        self.follow_sampling(&shared.registry.sampling);
        self.receive_blocks(shared, RECEIVED_PER_LARGE, None);
    }

    /// Has time pass: purges what is due, and does a little of what idle return owes.
    pub(in crate::heap) fn tick(&self, shared: Shared<'_>) {
        let pages = &shared.central.pages;
        if pages.delay().is_none() {
            return;
        }
        let now = call::milliseconds() as u32;
        pages.purge_waiting(now);
        if !self.takes_part() {
            return;
        }
        let idle = &shared.registry.idle;
        idle.owe();
        // Relaxed: at most one piece of a round per tick of the clock, or few.
        if idle.worked.load(Ordering::Relaxed) != now {
            self.work_on_round(shared, now);
        }
        // Perhaps no other thread ever takes its slow path.
        if now.wrapping_sub(self.offer.looked.get()) >= pace(shared) / PARTS {
            self.offer.looked.set(now);
            self.offer.in_row.set(0);
            self.set_pending(AGAIN, true);
        }
        self.end_countdown_for_round();
        self.count_down(shared, false);
    }

    /// What a slow call does first because an offer stands, or because the last call asked for it.
    #[cold]
    pub(crate) fn answer(&self, shared: Shared<'_>) {
        let came_again = self.take_pending(AGAIN);
        if self.take_offer(shared) {
            self.look_over(shared);
        }
        if !self.takes_part() {
            return;
        }
        let (now, pause) = self.look_at_clock();
        let in_row = if is_leisurely(pause) { 0 } else { self.offer.in_row.get() + 1 };
        self.offer.in_row.set(in_row);
        if in_row == 0 {
            self.make_time(shared, now, if came_again { UNHURRIED } else { 1 });
        }
        let pending = self.is_pending(shared);
        self.set_pending(AGAIN, pending && in_row < IN_ROW_MAX);
        if pending && in_row >= IN_ROW_MAX {
            self.count_down(shared, true);
        }
    }

    /// What a thread does that has nothing else to do.
    pub(crate) fn work_in_background(&self, shared: Shared<'_>) {
        self.make_time(shared, call::milliseconds() as u32, UNHURRIED);
    }

    /// What is left to do for the whole process.
    pub(in crate::heap) fn is_pending(&self, shared: Shared<'_>) -> bool {
        shared.registry.idle.is_pending() || shared.central.pages.is_dirty()
    }

    /// The time, and how long ago this thread last looked, in milliseconds.
    pub(in crate::heap) fn look_at_clock(&self) -> (u32, u32) {
        let now = call::milliseconds() as u32;
        (now, now.wrapping_sub(self.offer.looked.replace(now)))
    }

    /// Purges what is due and makes up to so many portions of a round.
    pub(in crate::heap) fn make_time(&self, shared: Shared<'_>, now: u32, portions: u32) {
        shared.central.pages.purge_waiting(now);
        self.work_on_round(shared, now);
        let under_way = (1..portions).take_while(|_| shared.registry.idle.is_under_way());
        under_way.for_each(|_| self.work_on_round(shared, now));
    }
}

/// Countdowns.
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
        if is_leisurely(pause) && self.offer.countdown.get() == 1 {
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
