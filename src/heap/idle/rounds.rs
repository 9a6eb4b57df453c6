//! Rounds of idle return: memory of an idle process returns to the kernel, whatever threads hold it.
//!
//! *Rounds*: once per purge delay, within a budget per call, threads on their slow path go through all heaps. They make
//! an offer to each, and drain those that have not taken the offer of an earlier round ([`crate::heap::idle::drain`]);
//! then they empty the transfer caches, if no heap was active; then they purge the holes of spans at rest. Must not
//! know which calls have time for it: that is [`crate::heap::idle::clock`].
//!
//! Offers made between rounds have the number of the next round, so that time passes between them, too, and a drain.
//!
//! # Invariants
//! - One thread at a time works on a round; nothing waits for it.
//! - A round begins [`PACE_MIN`] milliseconds or more after the last offer of the round before was made.

use super::state::{NOTHING, Stage, WANTED};
use crate::base::class::Class;
use crate::base::units::Region;
use crate::central::{Due, Holes, State};
use crate::heap::layout::Heap;
use crate::heap::offer::OfferState;
use crate::heap::registry::Shared;
use crate::sys::atomic::Ordering;
use crate::sys::call;

/// The rest of the budget of a step.
struct Budget {
    /// Heaps to go through, and offers to make.
    heaps: u32,
    offers: u32,
    /// Blocks to take out of bins and caches.
    blocks: u32,
    regions: u32,
    /// When the step ends, whatever is left, in nanoseconds: the cost of a purge depends on the machine.
    end: u64,
}

impl Budget {
    /// The budget of a step that begins now.
    fn new() -> Self {
        Self { heaps: 128, offers: 16, blocks: 1024, regions: 512, end: call::nanoseconds() + STEP_TIME }
    }

    fn is_over(&self) -> bool {
        call::nanoseconds() >= self.end
    }
}

/// A step of a round takes as long as this, in nanoseconds, and to the end of the drain or purge that exceeds it.
const STEP_TIME: u64 = 50_000;
/// Heaps between two readings of the clock.
const HEAPS_PER_READING: u32 = 16;
/// Steps in one call of a thread that calls seldom.
pub(in crate::heap) const STEPS_MAX: u32 = 16;
/// Rounds begin no sooner after one another than this, in milliseconds.
pub(in crate::heap) const PACE_MIN: u32 = 100;

/// Some heaps get an offer as often as this from round to round.
const CALLS: u32 = 4;

/// Milliseconds from one round to the next: the purge delay.
pub(in crate::heap) fn pace(shared: Shared<'_>) -> u32 {
    shared.central.pages.delay().unwrap_or(u32::MAX).max(PACE_MIN)
}

impl Heap {
    /// Does a step of the current round, or begins a round if it is time.
    pub(in crate::heap) fn do_step_of_round(&self, shared: Shared<'_>, now: u32) {
        let idle = &shared.registry.idle;
        // Acquire pairs with the Release below.
        if idle.working.swap(true, Ordering::Acquire) {
            return;
        }
        // Relaxed: a hint.
        idle.worked.store(now, Ordering::Relaxed);
        let mut budget = Budget::new();
        self.offer_between_rounds(shared, now, &mut budget);
        if idle.stage() == Stage::Resting && self.is_time(shared, now) {
            self.begin_round(shared);
        }
        // Stage after stage, until the round ends or a stage has spent its part of the budget.
        while match idle.stage() {
            Stage::Resting => false,
            Stage::Heaps => self.offer_or_drain_heaps(shared, &mut budget),
            Stage::Caches => self.empty_caches(shared, now, &mut budget),
            Stage::Spans => self.purge_holes_of_spans(shared, &mut budget),
        } {}
        // Release pairs with the Acquire above.
        idle.working.store(false, Ordering::Release);
    }

    /// Makes offers between rounds to some heaps, the next time to the next ones, so that a thread that otherwise stays
    /// on its fast path reads the clock: perhaps no other thread ever takes its slow path.
    fn offer_between_rounds(&self, shared: Shared<'_>, now: u32, budget: &mut Budget) {
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

    /// Whether the next round is due. The first is due a whole delay after the first call of this function.
    fn is_time(&self, shared: Shared<'_>, now: u32) -> bool {
        let offered = &shared.registry.idle.offered;
        // Relaxed: only the thread at work writes it.
        let is_first = offered.compare_exchange(0, now.max(1), Ordering::Relaxed, Ordering::Relaxed).is_ok();
        // Relaxed: as above.
        !is_first && now.wrapping_sub(offered.load(Ordering::Relaxed)) >= pace(shared)
    }

    fn begin_round(&self, shared: Shared<'_>) {
        let idle = &shared.registry.idle;
        // Relaxed: only the thread at work writes it, and others read a hint. 0 is no round.
        idle.round.store(idle.round().wrapping_add(1).max(1), Ordering::Relaxed);
        let _ = idle.wanted.compare_exchange(WANTED, NOTHING, Ordering::Relaxed, Ordering::Relaxed);
        idle.found.set(false);
        idle.active.set(false);
        idle.heap.set(None);
        idle.enter(Stage::Heaps);
        // Only adoption returns the memory that orphans hold.
        if shared.registry.orphans.get() {
            shared.registry.adopt_orphans(shared);
        }
    }

    /// Makes offers to heaps, or drains them. Like all stages it says whether it came to its end.
    fn offer_or_drain_heaps(&self, shared: Shared<'_>, budget: &mut Budget) -> bool {
        let idle = &shared.registry.idle;
        while budget.heaps > 0 && budget.offers > 0 && budget.blocks > 0 {
            budget.heaps -= 1;
            let Some(heap) = shared.registry.after(idle.heap.get()) else {
                // Reads the clock after the last offer, not before the first: a thread may stop for long between two
                // instructions.
                // Relaxed: only the thread at work reads and writes it.
                idle.offered.store((call::milliseconds() as u32).max(1), Ordering::Relaxed);
                idle.class.set(0);
                idle.enter(Stage::Caches);
                return true;
            };
            if heap.address() == self.address() {
                if self.drain_idle_bins(shared) {
                    idle.found.set(true);
                    idle.active.set(true);
                }
            } else if !self.offer_or_drain(shared, heap, budget) {
                return false;
            }
            idle.heap.set(Some(heap));
            if budget.heaps.is_multiple_of(HEAPS_PER_READING) && budget.is_over() {
                return false;
            }
        }
        false
    }

    /// Makes an offer to another heap, or drains it; false if something is left to drain.
    fn offer_or_drain(&self, shared: Shared<'_>, heap: &Heap, budget: &mut Budget) -> bool {
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

    /// Empties the transfer caches and the outbox of this thread, if no thread was active, and purges all dirty pages.
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
            if let Some(transit) = shared.registry.transit.get().filter(|_| shared.central.pages.has_holes()) {
                while (transit.purge_one)() {
                    if budget.is_over() {
                        return false;
                    }
                }
            }
            // Only rounds made pages dirty lately.
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

    fn purge_holes_of_spans(&self, shared: Shared<'_>, budget: &mut Budget) -> bool {
        let idle = &shared.registry.idle;
        let pages = &shared.central.pages;
        for region in pages.regions_from(idle.region()).take_while(|_| pages.has_holes()) {
            if budget.regions == 0 {
                idle.set_region(region);
                return false;
            }
            match self.purge_holes_of_span(shared, region, Due::AtRest) {
                Holes::None => {}
                Holes::Waiting => idle.found.set(true),
                Holes::Purged if budget.is_over() => budget.regions = 1,
                Holes::Purged => {}
            }
            budget.regions -= 1;
        }
        idle.enter(Stage::Resting);
        if idle.found.get() {
            idle.want_round();
        }
        true
    }

    /// Purges the holes of the span that starts at `region`, if one does, it has any, and they are due, whatever heap
    /// owns it.
    fn purge_holes_of_span(&self, shared: Shared<'_>, region: Region, due: Due) -> Holes {
        let central = shared.central;
        let entry = central.pages.space().entry(region);
        let Some(class) = entry.class() else { return Holes::None };
        let may_have = |waits: bool| {
            let span = central.span(region);
            let state = span.state();
            let fits = state == State::Partial || waits && state == State::Full;
            span.first() == region && fits && central.pages.space().entry(region) == entry
        };
        let waits = shared.registry.transit.get().is_some() && !entry.is_central();
        if !may_have(waits) {
            return Holes::None;
        }
        if entry.is_central() {
            // A part must not own what it does not hold on its bill, for a moment either.
            if self.is_part() || !central.claim_span(class, region, self.entry(class)) {
                return Holes::None;
            }
            let partial = central.span(region).state() == State::Partial;
            let holes = if partial { central.purge_holes(class, region, due, None) } else { Holes::None };
            central.surrender_span(class, region);
            return holes;
        }
        let owner = Heap::of_entry(entry);
        let is_own = owner.address() == self.address();
        if !is_own && !owner.try_lock_spans() {
            return Holes::Waiting;
        }
        // Else the heap's thread may take a block that waits at any time.
        let at_rest =
            is_own || matches!(owner.offer.state(shared.registry.idle.round()), OfferState::Ripe | OfferState::Drained);
        let transit = shared.registry.transit.get().filter(|_| at_rest);
        let holes = match transit {
            _ if !may_have(transit.is_some()) => Holes::None,
            Some(transit) => {
                let waiting = |number| (transit.held_back)(owner, class, number);
                central.purge_holes(class, region, due, Some(&waiting))
            }
            None => central.purge_holes(class, region, due, None),
        };
        if !is_own {
            owner.unlock_spans();
        }
        holes
    }
}

/// Regions that a trim goes through between two readings of the clock.
const REGIONS_PER_READING: u32 = 1024;
/// Blocks that a trim drains between two readings of the clock.
const BLOCKS_PER_READING: u32 = 8192;

/// The parts of rounds that a program asks for by `malloc_trim`. They end when the clock passes `end`, in milliseconds,
/// and with the purge or the drain that exceeds it.
impl Heap {
    /// Makes an offer to every other heap, and drains those whose thread has left an offer of an earlier round. Does
    /// nothing while another thread works on a round.
    pub(crate) fn offer_or_drain_all(&self, shared: Shared<'_>, end: u64) {
        let idle = &shared.registry.idle;
        // Acquire pairs with the Release below. The round does not change meanwhile.
        if !self.has_idle_return() || idle.working.swap(true, Ordering::Acquire) {
            return;
        }
        let (round, mut heap) = (idle.round(), None);
        while let Some(other) = shared.registry.after(heap) {
            heap = Some(other);
            if other.address() == self.address() || !other.belongs_to_process() {
                continue;
            }
            if other.offer.state(round) == OfferState::None {
                // As between rounds: the heap may be drained no sooner than in the next round but one.
                other.make_offer(round.wrapping_add(1));
                continue;
            }
            while other.is_to_drain(round) && call::milliseconds() < end {
                if self.drain_other(shared, other, round, &mut { BLOCKS_PER_READING }) {
                    break;
                }
            }
        }
        idle.want_round();
        // Release pairs with the Acquire above.
        idle.working.store(false, Ordering::Release);
    }

    fn is_to_drain(&self, round: u32) -> bool {
        match self.offer.state(round) {
            OfferState::Ripe => true,
            OfferState::Drained => !self.inbox.is_empty(),
            OfferState::Closed | OfferState::None | OfferState::Fresh => false,
        }
    }

    /// Purges the holes of all spans that changed since theirs were purged, whatever heap owns them, but for heaps
    /// whose thread is at work in the allocator. Begins where the last call stopped. Whether it purged any.
    pub(crate) fn purge_all_holes(&self, shared: Shared<'_>, end: u64) -> bool {
        let (pages, idle) = (&shared.central.pages, &shared.registry.idle);
        if !pages.has_holes() {
            return false;
        }
        let first = idle.trimmed.get();
        let regions = pages.regions_from(Region(first)).chain(pages.regions().take_while(|region| region.0 < first));
        let mut purged = false;
        for region in regions {
            let holes = self.purge_holes_of_span(shared, region, Due::Now);
            purged |= holes == Holes::Purged;
            let is_reading = holes == Holes::Purged || region.0.is_multiple_of(REGIONS_PER_READING);
            if is_reading && call::milliseconds() >= end {
                idle.trimmed.set(region.0);
                break;
            }
        }
        purged
    }
}
