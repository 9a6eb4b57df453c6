#![expect(unsafe_code, reason = "a structure whose cells are guarded by a flag")]
//! Idle return: memory of a process that went quiet goes back to the kernel, whatever threads hold it.
//!
//! *Rounds*: once per purge delay, in portions, whoever passes by looks at every heap, and empties those that nothing happened to
//! since the last round and whose threads sleep; then the transfer caches, if no heap was active; then gives back the holes of spans
//! that rest. Must not know how time is found for it: that is [`super::ring`].
//!
//! # Invariants
//! - One thread at a time works on a round; nothing waits for it.

use core::cell::Cell;

use super::layout::Heap;
use super::outbox::{Shared, owner_of};
use crate::base::class::Class;
use crate::base::units::Region;
use crate::central::{Holes, State};
use crate::sys::atomic::{AtomicBool, AtomicPtr, AtomicU32, Ordering};
use crate::sys::call;
use crate::sys::task::Doing;

/// How much of a round is made at a time.
#[derive(Clone, Copy)]
pub(super) struct Portion {
    stages: u32,
    /// Heaps looked at, and of these visited.
    heaps: u32,
    visits: u32,
    regions: u32,
    spans: u32,
    purges: u32,
}

/// While the process works: some tens of microseconds.
pub(super) const SMALL: Portion = Portion { stages: 1, heaps: 32, visits: 2, regions: 256, spans: 4, purges: 1 };
/// When the caller is in no hurry: a millisecond or two.
pub(super) const LARGE: Portion = Portion { stages: 4, heaps: 1024, visits: 64, regions: 1 << 14, spans: 512, purges: 32 };
/// Rounds begin no sooner after one another than this, in milliseconds.
const PACE_MIN: u32 = 100;

/// See `Idle::owed`.
const NOTHING: u32 = 0;
const OWED: u32 = 1;
const AWAITED: u32 = 2;

/// What a round is at.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Stage {
    /// There is none.
    Resting,
    Heaps,
    Caches,
    Spans,
}

/// See the module.
pub(crate) struct Idle {
    /// Whether anything happened since the last round began: [`NOTHING`], [`OWED`], or nothing and a thread waits on this word. Written
    /// by any thread.
    owed: AtomicU32,
    /// Held by whoever makes a portion.
    working: AtomicBool,
    /// Whether the kernel does not tell of threads. Set by who finds out.
    blind: AtomicBool,
    /// When the last round began, the last portion was made and threads were last rung, in milliseconds. Any thread writes them.
    began: AtomicU32,
    pub(super) portioned: AtomicU32,
    pub(super) rang: AtomicU32,
    // The rest belongs to who is working.
    stage: Cell<Stage>,
    heap: Cell<Option<&'static Heap>>,
    region: Cell<Region>,
    /// The heap that was rung last. Whoever rings writes it; a lost value only rings somebody twice.
    pub(super) bell: AtomicPtr<Heap>,
    /// Whether the round found anything that a later one should look at again.
    found: Cell<bool>,
    /// Whether it found a heap that is in use.
    active: Cell<bool>,
}

// SAFETY: the cells are touched by who holds `working`; `stage` is read by others as a hint.
unsafe impl Sync for Idle {}

impl Idle {
    pub(super) const fn new() -> Self {
        Self {
            owed: AtomicU32::new(NOTHING),
            working: AtomicBool::new(false),
            blind: AtomicBool::new(false),
            began: AtomicU32::new(0),
            portioned: AtomicU32::new(0),
            rang: AtomicU32::new(0),
            stage: Cell::new(Stage::Resting),
            heap: Cell::new(None),
            bell: AtomicPtr::new(core::ptr::null_mut()),
            region: Cell::new(Region::NONE),
            found: Cell::new(false),
            active: Cell::new(false),
        }
    }

    /// In the child of a fork: whoever was working is gone.
    pub(super) fn reset(&self) {
        self.stage.set(Stage::Resting);
        // Relaxed: the child has one thread.
        self.working.store(false, Ordering::Relaxed);
    }

    /// Whether a round is under way or owed.
    pub(crate) fn is_pending(&self) -> bool {
        // Relaxed: a late answer only returns memory later.
        self.owed.load(Ordering::Relaxed) == OWED || self.working.load(Ordering::Relaxed) || self.stage.get() != Stage::Resting
    }

    /// Sleeps until something happens that a round should look at.
    pub(crate) fn wait(&self) {
        // Relaxed: one word says both, so that who writes to it knows whether to wake.
        let _ = self.owed.compare_exchange(NOTHING, AWAITED, Ordering::Relaxed, Ordering::Relaxed);
        call::futex_wait(self.owed.as_ptr(), AWAITED);
    }

    pub(super) fn owe(&self) {
        // Relaxed: a hint.
        if self.owed.load(Ordering::Relaxed) != OWED && self.owed.swap(OWED, Ordering::Relaxed) == AWAITED {
            call::futex_wake(self.owed.as_ptr());
        }
    }
}

/// Milliseconds from one round to the next: the purge delay.
pub(super) fn pace(shared: Shared<'_>) -> u32 {
    shared.central.pages.delay().unwrap_or(u32::MAX).max(PACE_MIN)
}

impl Heap {
    /// Makes a portion of the round that is under way, or begins one if it is time.
    pub(super) fn make_portion(&self, shared: Shared<'_>, now: u32, portion: Portion) {
        let idle = &shared.registry.idle;
        // Acquire pairs with the Release below.
        if idle.working.swap(true, Ordering::Acquire) {
            return;
        }
        // Relaxed: a hint.
        idle.portioned.store(now, Ordering::Relaxed);
        for _ in 0..portion.stages {
            match idle.stage.get() {
                Stage::Resting if self.is_time(shared, now) => self.begin_round(shared, now),
                Stage::Resting => break,
                Stage::Heaps => self.look_at_heaps(shared, portion),
                Stage::Caches => self.empty_caches(shared, now, portion),
                Stage::Spans => self.look_at_spans(shared, portion),
            }
        }
        // Release pairs with the Acquire above.
        idle.working.store(false, Ordering::Release);
    }

    /// Whether the next round is due. The first is, a whole delay after the first time this is asked.
    fn is_time(&self, shared: Shared<'_>, now: u32) -> bool {
        let began = &shared.registry.idle.began;
        // Relaxed: only who works writes it.
        let is_first = began.compare_exchange(0, now.max(1), Ordering::Relaxed, Ordering::Relaxed).is_ok();
        // Relaxed: as above.
        !is_first && now.wrapping_sub(began.load(Ordering::Relaxed)) >= pace(shared)
    }

    fn begin_round(&self, shared: Shared<'_>, now: u32) {
        let idle = &shared.registry.idle;
        // Relaxed: see the fields.
        idle.began.store(now, Ordering::Relaxed);
        let _ = idle.owed.compare_exchange(OWED, NOTHING, Ordering::Relaxed, Ordering::Relaxed);
        idle.found.set(false);
        idle.active.set(false);
        idle.heap.set(None);
        idle.stage.set(Stage::Heaps);
        // Nobody else can take home what they hold.
        shared.registry.adopt_orphans(shared);
        self.scavenge(shared);
    }

    fn look_at_heaps(&self, shared: Shared<'_>, portion: Portion) {
        let idle = &shared.registry.idle;
        let mut visits = 0;
        for _ in 0..portion.heaps {
            if visits == portion.visits {
                return;
            }
            let Some(heap) = shared.registry.after(idle.heap.get()) else {
                return idle.stage.set(Stage::Caches);
            };
            idle.heap.set(Some(heap));
            if heap.address() == self.address() {
                self.look_at_own(shared);
            } else if self.look_at(shared, heap) {
                visits += 1;
            }
        }
    }

    /// Sees whether the thread that is at work here was active itself: what it has made dirty is then young.
    fn look_at_own(&self, shared: Shared<'_>) {
        let figure = self.figure();
        if self.door.seen.replace(figure) != figure {
            shared.registry.idle.active.set(true);
        }
    }

    /// Looks at another heap and empties it, if it was the same at the last look; whether that was tried.
    fn look_at(&self, shared: Shared<'_>, heap: &Heap) -> bool {
        let idle = &shared.registry.idle;
        let figure = heap.figure();
        if heap.door.left.get() == figure {
            return false;
        }
        if heap.door.seen.replace(figure) != figure {
            idle.found.set(true);
            idle.active.set(true);
            return false;
        }
        // Relaxed: all find the same.
        if idle.blind.load(Ordering::Relaxed) {
            return false;
        }
        idle.found.set(true);
        match heap.visit(|heap| heap.collect(shared)) {
            Doing::Sleeps => {
                heap.door.seen.set(heap.figure());
                heap.door.left.set(heap.figure());
            }
            Doing::Other => {}
            // Relaxed: as above.
            Doing::Unknown => idle.blind.store(true, Ordering::Relaxed),
        }
        true
    }

    /// A number that changes with whatever happens to the heap behind the hit path, and with most of what happens on it.
    fn figure(&self) -> u32 {
        let traffic = self.traffic();
        let of_class = |class| self.events_of(class).iter().sum::<u64>() as u32;
        let events = Class::all().map(of_class).fold((traffic.sent + traffic.received) as u32, u32::wrapping_add);
        let binned = Class::all().map(|class| self.binned(class) as u32).fold(0, u32::wrapping_add);
        let waiting = u32::from(!self.inbox.is_empty());
        // Never 0, which a fresh heap was left at.
        (events.wrapping_mul(64).wrapping_add(binned).wrapping_mul(2) + waiting) | 1 << 31
    }

    fn empty_caches(&self, shared: Shared<'_>, now: u32, portion: Portion) {
        let idle = &shared.registry.idle;
        if !idle.active.get() {
            shared.central.empty_caches(|batch| {
                batch.blocks().iter().for_each(|&block| self.take_home(shared, block));
                shared.central.release_batch(batch);
            });
            if !self.may_be_in_handler() {
                self.empty_outbox(shared);
            }
            // Nobody made any of it dirty lately but these rounds.
            let pages = &shared.central.pages;
            (0..portion.purges).take_while(|_| pages.is_dirty()).for_each(|_| pages.purge_due(now, 0));
        }
        idle.region.set(Region::NONE);
        idle.stage.set(Stage::Spans);
    }

    fn look_at_spans(&self, shared: Shared<'_>, portion: Portion) {
        let idle = &shared.registry.idle;
        let pages = &shared.central.pages;
        let (mut seen, mut purged) = (0, 0);
        for region in pages.regions_from(idle.region.get()).take_while(|_| pages.has_holes()) {
            if seen == portion.regions || purged == portion.spans {
                return idle.region.set(region);
            }
            match self.look_at_span(shared, region) {
                Holes::None => {}
                Holes::Waiting => idle.found.set(true),
                Holes::Purged => purged += 1,
            }
            seen += 1;
        }
        idle.stage.set(Stage::Resting);
        if idle.found.get() {
            idle.owe();
        }
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
        if entry.is_depot() {
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
        let owner = owner_of(entry);
        if !owner.try_hold_spans() {
            return Holes::Waiting;
        }
        let holes = if is_partial() { central.purge_holes(class, region) } else { Holes::None };
        owner.free_spans();
        holes
    }
}
