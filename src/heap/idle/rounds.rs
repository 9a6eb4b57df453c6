//! Idle return: memory of a process that went quiet goes back to the kernel, whatever threads hold it.
//!
//! *Rounds*: once per purge delay, within a budget per call, a thread on its slow path looks at every heap. It makes an offer to each, and
//! drains those whose offer of an earlier round still stands ([`crate::heap::idle::offer`]); then it empties the transfer caches, if no heap was
//! active; then it gives back the holes of spans that rest. Must not know how time is found for it: that is [`crate::heap::idle::clock`].
//!
//! Offers made between rounds carry the number of the next one, so that they, too, stand for a pause before a drain.
//!
//! # Invariants
//! - One thread at a time works on a round; nothing waits for it.
//! - A round begins [`PACE_MIN`] milliseconds or more after the last offer of the round before was made.

use super::state::{NOTHING, OWED, Stage};
use crate::base::class::Class;
use crate::base::units::Region;
use crate::central::{Holes, State};
use crate::heap::layout::Heap;
use crate::heap::offer::OfferState;
use crate::heap::registry::Shared;
use crate::sys::atomic::Ordering;
use crate::sys::call;

/// What is left of the budget of a portion.
struct Budget {
    /// Heaps looked at; of these, offers made.
    heaps: u32,
    offers: u32,
    /// Blocks that leave bins and caches.
    blocks: u32,
    regions: u32,
    /// When it ends, whatever is left, in nanoseconds: what a purge costs depends on the machine.
    end: u64,
}

impl Budget {
    /// That of a portion which begins now.
    fn new() -> Self {
        Self { heaps: 128, offers: 16, blocks: 1024, regions: 512, end: call::nanoseconds() + PORTION }
    }

    fn is_over(&self) -> bool {
        call::nanoseconds() >= self.end
    }
}

/// A portion of a round takes as long as this, in nanoseconds, and the step in which that is noticed: a bin, a purge.
const PORTION: u64 = 50_000;
/// Heaps looked at from one look at the clock to the next.
const HEAPS_PER_LOOK: u32 = 16;
/// How many portions a call makes whose thread is in no hurry.
pub(in crate::heap) const UNHURRIED: u32 = 16;
/// Rounds begin no sooner after one another than this, in milliseconds.
pub(in crate::heap) const PACE_MIN: u32 = 100;

/// From round to round some heaps get an offer as often as this.
const CALLS: u32 = 4;

/// Milliseconds from one round to the next: the purge delay.
pub(in crate::heap) fn pace(shared: Shared<'_>) -> u32 {
    shared.central.pages.delay().unwrap_or(u32::MAX).max(PACE_MIN)
}

impl Heap {
    /// Makes a portion of the round that is under way, or begins one if it is time.
    pub(in crate::heap) fn work_on_round(&self, shared: Shared<'_>, now: u32) {
        let idle = &shared.registry.idle;
        // Acquire pairs with the Release below.
        if idle.working.swap(true, Ordering::Acquire) {
            return;
        }
        // Relaxed: a hint.
        idle.worked.store(now, Ordering::Relaxed);
        let mut budget = Budget::new();
        self.call_some(shared, now, &mut budget);
        if idle.stage() == Stage::Resting && self.is_time(shared, now) {
            self.begin_round(shared);
        }
        // From stage to stage, until there is none or one has used up its part of the budget.
        while match idle.stage() {
            Stage::Resting => false,
            Stage::Heaps => self.look_at_heaps(shared, &mut budget),
            Stage::Caches => self.empty_caches(shared, now, &mut budget),
            Stage::Spans => self.look_at_spans(shared, &mut budget),
        } {}
        // Release pairs with the Acquire above.
        idle.working.store(false, Ordering::Release);
    }

    /// Makes offers between rounds to some heaps, to the next ones the next time, so that a thread that else stays on its fast path has a
    /// look at the time: perhaps no other thread ever takes its slow path.
    fn call_some(&self, shared: Shared<'_>, now: u32, budget: &mut Budget) {
        let idle = &shared.registry.idle;
        // Relaxed: only the thread at work writes it.
        if now.wrapping_sub(idle.called.load(Ordering::Relaxed)) < pace(shared) / CALLS {
            return;
        }
        // Relaxed: as above.
        idle.called.store(now, Ordering::Relaxed);
        // Half of the budget, so that some is left for the round.
        budget.offers /= 2;
        for _ in 0..budget.offers {
            let heap = shared.registry.after(idle.caller.get());
            idle.caller.set(heap);
            match heap {
                Some(heap) if heap.address() != self.address() => heap.make_offer(idle.round().wrapping_add(1)),
                Some(_) => true,
                None => return,
            };
        }
    }

    /// Whether the next round is due. The first is, a whole delay after the first time this is asked.
    fn is_time(&self, shared: Shared<'_>, now: u32) -> bool {
        let offered = &shared.registry.idle.offered;
        // Relaxed: only the thread at work writes it.
        let is_first = offered.compare_exchange(0, now.max(1), Ordering::Relaxed, Ordering::Relaxed).is_ok();
        // Relaxed: as above.
        !is_first && now.wrapping_sub(offered.load(Ordering::Relaxed)) >= pace(shared)
    }

    fn begin_round(&self, shared: Shared<'_>) {
        let idle = &shared.registry.idle;
        // Relaxed: see the fields. 0 is no round.
        idle.round.store(idle.round().wrapping_add(1).max(1), Ordering::Relaxed);
        let _ = idle.owed.compare_exchange(OWED, NOTHING, Ordering::Relaxed, Ordering::Relaxed);
        idle.found.set(false);
        idle.active.set(false);
        idle.heap.set(None);
        idle.enter(Stage::Heaps);
        // Nobody else can give back what they hold.
        if shared.registry.orphans.get() {
            shared.registry.adopt_orphans(shared);
        }
    }

    /// The stages say whether they came to their end.
    fn look_at_heaps(&self, shared: Shared<'_>, budget: &mut Budget) -> bool {
        let idle = &shared.registry.idle;
        while budget.heaps > 0 && budget.offers > 0 && budget.blocks > 0 {
            budget.heaps -= 1;
            let Some(heap) = shared.registry.after(idle.heap.get()) else {
                // Read after the last offer, not before the first: a call may take long between two instructions.
                // Relaxed: see the field.
                idle.offered.store((call::milliseconds() as u32).max(1), Ordering::Relaxed);
                idle.class.set(0);
                idle.enter(Stage::Caches);
                return true;
            };
            if heap.address() == self.address() {
                if self.look_over(shared) {
                    idle.found.set(true);
                    idle.active.set(true);
                }
            } else if !self.look_at(shared, heap, budget) {
                return false;
            }
            idle.heap.set(Some(heap));
            if budget.heaps.is_multiple_of(HEAPS_PER_LOOK) && budget.is_over() {
                return false;
            }
        }
        false
    }

    /// Makes an offer to another heap, or drains it; false if something is left to drain.
    fn look_at(&self, shared: Shared<'_>, heap: &Heap, budget: &mut Budget) -> bool {
        let idle = &shared.registry.idle;
        let round = idle.round();
        if !heap.belongs_to_process() {
            return true;
        }
        match heap.offer.state(round) {
            OfferState::Closed => return true,
            OfferState::Drained if heap.inbox.is_empty() => return true,
            OfferState::Fresh => {}
            OfferState::None => {
                budget.offers -= 1;
                idle.active.set(true);
                heap.make_offer(round);
            }
            OfferState::Ripe | OfferState::Drained => return self.drain_other(shared, heap, round, &mut budget.blocks),
        }
        idle.found.set(true);
        true
    }

    /// Empties the transfer caches and the outbox of this thread, if no thread was active, and has what is dirty purged.
    fn empty_caches(&self, shared: Shared<'_>, now: u32, budget: &mut Budget) -> bool {
        let idle = &shared.registry.idle;
        if !idle.active.get() {
            while let Some(class) = Class::from_index(idle.class.get() as usize) {
                if budget.blocks == 0 {
                    return false;
                }
                match shared.central.take_batch(class) {
                    Some(batch) => {
                        budget.blocks = budget.blocks.saturating_sub(batch.len() as u32);
                        batch.blocks().iter().for_each(|&block| self.return_or_send(shared, block));
                        shared.central.release_batch(batch);
                    }
                    None => idle.class.set(idle.class.get() + 1),
                }
            }
            self.send_all(shared);
            // Nobody made any of it dirty lately but these rounds.
            let pages = &shared.central.pages;
            while pages.is_dirty() && pages.purge_one(now) {
                if budget.is_over() {
                    return false;
                }
            }
        }
        idle.set_region(Region::NONE);
        idle.enter(Stage::Spans);
        true
    }

    fn look_at_spans(&self, shared: Shared<'_>, budget: &mut Budget) -> bool {
        let idle = &shared.registry.idle;
        let pages = &shared.central.pages;
        for region in pages.regions_from(idle.region()).take_while(|_| pages.has_holes()) {
            if budget.regions == 0 {
                idle.set_region(region);
                return false;
            }
            match self.look_at_span(shared, region) {
                Holes::None => {}
                Holes::Waiting => idle.found.set(true),
                Holes::Purged if budget.is_over() => budget.regions = 1,
                Holes::Purged => {}
            }
            budget.regions -= 1;
        }
        idle.enter(Stage::Resting);
        if idle.found.get() {
            idle.owe();
        }
        true
    }

    /// Looks at the holes of the span that starts at `region`, if one does and it is partial, whoever owns it.
    fn look_at_span(&self, shared: Shared<'_>, region: Region) -> Holes {
        let central = shared.central;
        let entry = central.pages.space().entry(region);
        let Some(class) = entry.class() else { return Holes::None };
        let is_partial = || {
            let span = central.span(region);
            span.first() == region && span.state() == State::Partial && central.pages.space().entry(region) == entry
        };
        if !is_partial() {
            return Holes::None;
        }
        if entry.is_central() {
            if !central.claim_span(class, region, self.entry(class)) {
                return Holes::None;
            }
            let holes =
                if central.span(region).state() == State::Partial { central.purge_holes(class, region) } else { Holes::None };
            central.surrender_span(class, region);
            return holes;
        }
        if entry.owner() == self.address() {
            return central.purge_holes(class, region);
        }
        let owner = Heap::of_entry(entry);
        if !owner.try_hold_spans() {
            return Holes::Waiting;
        }
        let holes = if is_partial() { central.purge_holes(class, region) } else { Holes::None };
        owner.free_spans();
        holes
    }
}
