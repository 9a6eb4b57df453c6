#![expect(unsafe_code, reason = "keeps the heap that was rung last as an address")]
//! Time for what is owed to a process that may go quiet: who passes by, and who is made to.
//!
//! Threads on their slow path pass by. One that stays on its hit path does not, so now and then it is *rung*: its next call is sent this
//! way. One that calls seldom stays rung until there is nothing left to do. One that just freed much is *watched*
//! ([`super::watch`]). Must not know what a round does.

use super::idle::{LARGE, Portion, SMALL, pace};
use super::layout::Heap;
use super::outbox::Shared;
use crate::sys::atomic::Ordering;
use crate::sys::call;

/// A thread whose calls come so many milliseconds apart is in no hurry, even if some come in a row.
const LEISURE: u32 = 10;
const IN_ROW_MAX: u32 = 32;
/// Rings per round.
const RINGS: u32 = 4;
/// Threads rung at a time.
const RUNG_MAX: usize = 64;

impl Heap {
    /// Has time pass: purges what is due, and does a little of what is owed to a process that may go quiet.
    pub(super) fn tick(&self, shared: Shared<'_>) {
        let pages = &shared.central.pages;
        if pages.delay().is_none() {
            return;
        }
        let now = call::milliseconds() as u32;
        pages.purge_waiting(now);
        if !self.lets_others_in() {
            return;
        }
        let idle = &shared.registry.idle;
        idle.owe();
        // Relaxed: at most one portion per tick of the clock, or few.
        if idle.portioned.load(Ordering::Relaxed) != now {
            self.make_portion(shared, now, SMALL);
        }
        // Relaxed: whoever comes first rings.
        let rang = idle.rang.load(Ordering::Relaxed);
        if now.wrapping_sub(rang) >= pace(shared) / RINGS
            && idle.rang.compare_exchange(rang, now, Ordering::Relaxed, Ordering::Relaxed).is_ok()
        {
            self.ring_some(shared);
            // Nobody else may come by.
            self.answer(true);
        }
        self.watch();
    }

    /// What a thread does when a watch is over.
    #[cold]
    pub(crate) fn answer_watch(&self, shared: Shared<'_>) {
        self.end_watch();
        let now = call::milliseconds() as u32;
        let leisurely = now.wrapping_sub(self.door.answered.replace(now)) >= LEISURE;
        self.door.in_row.set(0);
        self.make_time(shared, now, SMALL);
        if !self.is_pending(shared) {
            return;
        }
        if leisurely { self.answer(true) } else { self.watch_longer() }
    }

    fn is_pending(&self, shared: Shared<'_>) -> bool {
        shared.registry.idle.is_pending() || shared.central.pages.is_dirty()
    }

    /// What a thread that was rung does on its way.
    #[cold]
    pub(crate) fn answer_ring(&self, shared: Shared<'_>) {
        let now = call::milliseconds() as u32;
        let leisurely = now.wrapping_sub(self.door.answered.replace(now)) >= LEISURE;
        let in_row = if leisurely { 0 } else { self.door.in_row.get() + 1 };
        self.door.in_row.set(in_row);
        if in_row == 0 {
            self.make_time(shared, now, if self.door.is_open_late() { LARGE } else { SMALL });
        }
        let pending = self.is_pending(shared);
        self.answer(pending && in_row < IN_ROW_MAX);
        if pending && in_row >= IN_ROW_MAX {
            self.watch();
        }
    }

    /// What a thread does that has nothing else to do.
    pub(crate) fn keep_house(&self, shared: Shared<'_>) {
        self.make_time(shared, call::milliseconds() as u32, LARGE);
    }

    fn make_time(&self, shared: Shared<'_>, now: u32, portion: Portion) {
        shared.central.pages.purge_waiting(now);
        self.make_portion(shared, now, portion);
    }

    /// Rings some of the others, and the next time the next ones.
    fn ring_some(&self, shared: Shared<'_>) {
        let bell = &shared.registry.idle.bell;
        // Relaxed: heaps stay for ever, and what is read of one here is guarded by the registry's lock.
        // SAFETY: null, or a heap.
        let mut last = unsafe { bell.load(Ordering::Relaxed).as_ref() };
        for _ in 0..RUNG_MAX {
            last = shared.registry.after(last);
            match last {
                Some(heap) if heap.address() != self.address() => heap.ring(),
                Some(_) => {}
                None => break,
            }
        }
        let last = last.map_or(core::ptr::null_mut(), |heap| core::ptr::from_ref(heap).cast_mut());
        // Relaxed: as above.
        bell.store(last, Ordering::Relaxed);
    }
}
