//! Time for idle return: which thread reads the clock, and how often.
//!
//! Threads read the clock on their slow path, at every eighth or 64th slow event. A thread that calls rarely makes its
//! next call take the slow path, too, until no work is left. A thread that calls often does so a bounded number of
//! times in a row.
//!
//! *Countdowns*: a thread that just freed much and then stays on its fast path does not read the clock, and perhaps no
//! other thread makes it an offer. So when flushes follow one another without a refill, or the thread took an offer and
//! work is left, the heap counts its next requests, by the means of [`crate::heap::sampling`], and the thread reads the
//! clock after the last of them. The length of a countdown is chosen so that the thread reads the clock a few times per
//! round interval, and more often during a round; each is at most twice as long as the one before. A countdown ends at
//! a refill, because then the thread needs memory; at the next slow event that reads the clock; and at
//! [`REQUESTS_MAX`], which bounds the cost of counting, some ten instructions per request. Must not know what a round
//! does.

use super::rounds::{STEPS_MAX, pace};
use crate::heap::layout::Heap;
use crate::heap::offer::AGAIN;
use crate::heap::registry::Shared;
use crate::sys::atomic::Ordering;
use crate::sys::call;

/// Slow events between two drains of idle bins.
const EVENTS: u32 = 128;
/// Blocks received during a large allocation.
const RECEIVED_PER_LARGE: usize = 250;
/// Slow events between two readings of the clock, and where there is nothing to purge.
const TICK_EVENTS: u32 = 8;
const CLEAN_TICK_EVENTS: u32 = 64;

/// A thread whose calls come so many milliseconds apart calls seldom, even if some come in a row.
const SELDOM: u32 = 10;
/// Most calls in a row that a thread which calls often makes on the slow path for idle return.
const IN_ROW_MAX: u32 = 32;
/// A thread asks for its next call this many times from round to round.
const PARTS: u32 = 4;

/// Whether a thread that last read the clock `pause` milliseconds ago calls seldom.
pub(in crate::heap) const fn calls_seldom(pause: u32) -> bool {
    pause >= SELDOM
}

/// Flushes without a refill that count as shrinking; each refill halves their number.
const SHRINKING: u32 = 16;
/// Those after which a crowded heap gives up classes and halves bins. No bin is halved before so many times more, as
/// log2, for each time that the program needed blocks again after that: if it works in phases, it keeps its bins.
const FALLING: u32 = 4;
const PHASE_SHIFT: u32 = 2;
const PHASES_MAX: u32 = 8;
/// Most requests that countdowns count because memory shrank once, or from one slow event to another: some milliseconds
/// of counting.
const REQUESTS_MAX: u32 = 1 << 20;
/// From round to round a countdown makes the thread read the clock as often as this, or some times more.
const READINGS: u32 = 4;
/// Microseconds between two readings of the clock during a round, of which a step takes some tens.
const UNDER_WAY: u32 = 1000;

impl Heap {
    /// Counts a slow event; once in so many, reads the clock, follows the sampling, adopts orphans or drains idle bins.
    pub(in crate::heap) fn slow_event(&self, shared: Shared<'_>) {
        let events = self.events.get() + 1;
        self.events.set(events);
        if events.is_multiple_of(TICK_EVENTS) {
            if shared.central.pages.is_dirty() || events.is_multiple_of(CLEAN_TICK_EVENTS) {
                self.tick(shared);
            }
            self.follow_sampling(&shared.registry.sampling);
            if shared.registry.orphans.get() {
                shared.registry.adopt_orphans(shared);
            }
        }
        if self.bill().is_some() {
            self.count_down_to_name();
        }
        if events >= EVENTS {
            self.events.set(0);
            // A pool returns nothing to the kernel, so its bins keep their blocks.
            if shared.central.pages.space().is_fixed() {
                self.send_all(shared);
            } else {
                self.drain_idle_bins(shared);
            }
        }
    }

    /// The upkeep during a large allocation, which uses no bin: a thread that makes no other calls must still receive
    /// blocks that other threads freed.
    pub(crate) fn attend(&self, shared: Shared<'_>) {
        let pages = &shared.central.pages;
        // The clock comes last: a process that never purges, with a pool, say, may have to do without system calls.
        if pages.is_dirty() && pages.delay().is_some() && self.offer.ticked.get() != pages.now() {
            self.tick(shared);
        }
        self.follow_sampling(&shared.registry.sampling);
        if self.bill().is_some() {
            self.count_down_to_name();
        }
        self.receive_blocks(shared, RECEIVED_PER_LARGE, None);
    }

    /// Whether [`Heap::attend`] has nothing to do at `now`, and no other work waits for a slow call of this heap. For
    /// its thread, which need not hold the spans.
    #[inline]
    pub(crate) fn is_attended(&self, shared: Shared<'_>, now: u32) -> bool {
        let ticked = self.offer.ticked.get() == now || shared.central.pages.delay().is_none();
        ticked && self.inbox.is_empty() && !self.has_pending() && self.follows(&shared.registry.sampling)
    }

    /// Reads the clock, purges what is due, and does a step of idle return.
    pub(in crate::heap) fn tick(&self, shared: Shared<'_>) {
        let pages = &shared.central.pages;
        if pages.delay().is_none() {
            return;
        }
        let now = pages.now();
        self.offer.ticked.set(now);
        pages.purge_waiting(now);
        if !self.has_idle_return() {
            return;
        }
        let idle = &shared.registry.idle;
        idle.want_round();
        // Relaxed: a hint, for about one step per millisecond.
        if idle.worked.load(Ordering::Relaxed) != now {
            self.do_step_of_round(shared, now);
        }
        // Perhaps no other thread ever takes its slow path, so this one asks for its next call.
        if now.wrapping_sub(self.offer.last_read.get()) >= pace(shared) / PARTS {
            self.offer.last_read.set(now);
            self.offer.in_row.set(0);
            self.set_pending(AGAIN, true);
        }
        self.end_countdown_for_round();
        self.count_down(shared, false);
    }

    /// Does the pending work before a slow call: an offer stands, or the last call asked for this one.
    #[cold]
    pub(crate) fn run_pending(&self, shared: Shared<'_>) {
        let was_asked_for = self.take_pending(AGAIN);
        if self.take_offer(shared) {
            self.drain_idle_bins(shared);
        }
        if !self.has_idle_return() {
            return;
        }
        let (now, pause) = self.read_clock();
        let in_row = if calls_seldom(pause) { 0 } else { self.offer.in_row.get() + 1 };
        self.offer.in_row.set(in_row);
        if in_row == 0 {
            self.purge_and_do_steps(shared, now, if was_asked_for { STEPS_MAX } else { 1 });
        }
        let pending = self.is_pending(shared);
        self.set_pending(AGAIN, pending && in_row < IN_ROW_MAX);
        if pending && in_row >= IN_ROW_MAX {
            self.count_down(shared, true);
        }
    }

    /// Does idle return in the background thread, which has nothing else to do.
    pub(crate) fn work_in_background(&self, shared: Shared<'_>) {
        self.purge_and_do_steps(shared, call::milliseconds() as u32, STEPS_MAX);
    }

    /// Whether idle return or purging has work left in the whole process.
    pub(in crate::heap) fn is_pending(&self, shared: Shared<'_>) -> bool {
        shared.registry.idle.is_pending() || shared.central.pages.is_dirty()
    }

    /// The time, and how long ago this thread last read it, in milliseconds.
    pub(in crate::heap) fn read_clock(&self) -> (u32, u32) {
        let now = call::milliseconds() as u32;
        (now, now.wrapping_sub(self.offer.last_read.replace(now)))
    }

    /// Purges what is due and does up to so many steps of a round.
    pub(in crate::heap) fn purge_and_do_steps(&self, shared: Shared<'_>, now: u32, steps: u32) {
        shared.central.pages.purge_waiting(now);
        self.do_step_of_round(shared, now);
        let under_way = (1..steps).take_while(|_| shared.registry.idle.is_under_way());
        under_way.for_each(|_| self.do_step_of_round(shared, now));
    }
}

/// Countdowns.
impl Heap {
    /// Notes that a bin returned blocks.
    pub(in crate::heap) fn note_shrinking(&self) {
        self.offer.shrinking.set(self.offer.shrinking.get().saturating_add(1));
        self.offer.counted.set(0);
    }

    /// Notes that a bin needs blocks.
    pub(in crate::heap) fn note_growth(&self) {
        let shrinking = self.offer.shrinking.get() / 2;
        self.offer.shrinking.set(shrinking);
        if self.offer.halved.replace(false) {
            self.offer.phases.set(self.offer.phases.get() + 1);
        }
        if shrinking < SHRINKING && !self.offer.for_round.get() {
            self.end_countdown();
        }
    }

    /// Whether memory of this heap shrinks.
    pub(in crate::heap) fn is_shrinking(&self) -> bool {
        self.offer.shrinking.get() >= SHRINKING && self.has_idle_return()
    }

    /// Whether the memory of this heap has begun to shrink, as far as one that is crowded is concerned: what it keeps
    /// keeps spans from other threads.
    pub(in crate::heap) fn is_falling(&self) -> bool {
        self.offer.shrinking.get() >= FALLING
    }

    /// As [`Heap::is_falling`], for a heap whose bins become smaller then.
    pub(in crate::heap) fn may_halve(&self) -> bool {
        self.offer.shrinking.get() >= FALLING << (PHASE_SHIFT * self.offer.phases.get().min(PHASES_MAX))
    }

    /// Begins a countdown if memory shrinks, or `for_round`, because the thread may read no clock otherwise; not if
    /// nothing is left to do, nor if requests are counted already.
    pub(in crate::heap) fn count_down(&self, shared: Shared<'_>, for_round: bool) {
        let shrinks = self.offer.shrinking.get() >= SHRINKING;
        if (shrinks || for_round) && !self.is_sampled() && self.has_idle_return() && self.is_pending(shared) {
            self.offer.for_round.set(!shrinks);
            if !shrinks {
                self.offer.counted.set(0);
            }
            // However often the thread called before, it may call seldom now.
            self.count_down_from(1);
        }
    }

    /// Ends a countdown that serves a round: the thread has read the clock.
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

    /// Does a step of idle return at the end of a countdown, and begins the next countdown if work is left.
    #[cold]
    pub(crate) fn end_of_countdown(&self, shared: Shared<'_>) {
        self.end_countdown();
        let (now, pause) = self.read_clock();
        self.offer.in_row.set(0);
        self.purge_and_do_steps(shared, now, 1);
        if !self.is_pending(shared) || self.is_sampled() {
            return;
        }
        if calls_seldom(pause) && self.offer.countdown.get() == 1 {
            // One request took that long.
            return self.set_pending(AGAIN, true);
        }
        let wanted = if shared.registry.idle.is_under_way() { UNDER_WAY } else { pace(shared) / READINGS * 1000 };
        let (requests, microseconds) = (self.offer.countdown.get(), (call::nanoseconds() / 1000) as u32);
        let taken = microseconds.wrapping_sub(self.offer.counted_since.replace(microseconds));
        self.count_down_from(match taken {
            _ if taken < wanted / 2 => requests.saturating_mul(2),
            _ if taken > wanted => (requests / 2).max(1),
            _ => requests,
        });
    }
}
