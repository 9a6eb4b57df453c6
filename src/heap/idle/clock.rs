//! Time for idle return: which thread looks at the clock, and how often.
//!
//! Threads on their slow path do, every so many slow events. A thread that calls seldom *comes again*: its next call takes the slow path,
//! too, until nothing is left to do. One that calls often does so a bounded number of times in a row; if its memory shrinks, a countdown
//! of requests follows ([`crate::heap::idle::countdown`]). Must not know what a round does.

use crate::heap::idle::rounds::{UNHURRIED, pace};
use crate::heap::layout::{AGAIN, Heap};
use crate::heap::remote::outbox::Shared;
use crate::sys::atomic::Ordering;
use crate::sys::call;

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

impl Heap {
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
