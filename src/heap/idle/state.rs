//! The state of a round of idle return. Data alone; [`super::rounds`] works on it.

use crate::base::units::Region;
use crate::heap::layout::Heap;
use crate::sys::atomic::{AtomicBool, AtomicU32, Ordering};
use crate::sys::call;
use crate::sys::cell::{Relaxed, StaticRef};

/// The values of `Idle::wanted`.
pub(super) const NOTHING: u32 = 0;
pub(super) const WANTED: u32 = 1;
const AWAITED: u32 = 2;

/// The stages of a round.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u32)]
pub(super) enum Stage {
    /// No round is under way.
    Resting,
    Heaps,
    Caches,
    Spans,
}

/// The state of idle return in this process.
pub(crate) struct Idle {
    /// Whether there is work for a round since the last one began: [`NOTHING`], [`WANTED`], or [`AWAITED`]: nothing,
    /// and a thread sleeps on this word. Written and read by any thread.
    pub(super) wanted: AtomicU32,
    /// Whether a thread works on a round. Written by that thread; any thread may try to take it.
    pub(super) working: AtomicBool,
    /// When the last round had made its offers, when some were made between rounds, and when a thread last worked on a
    /// round, in milliseconds. Written by the thread at work; any thread reads the last as a hint.
    pub(super) offered: AtomicU32,
    pub(super) called: AtomicU32,
    pub(in crate::heap) worked: AtomicU32,
    /// The number of the round, from 1. Written by the thread at work; read by any thread.
    pub(super) round: AtomicU32,
    /// The [`Stage`] of the round. Written by the thread at work; read by any thread as a hint.
    stage: Relaxed<AtomicU32>,
    /// The region at which the last trim stopped. Read and written by any thread that trims: any value is right.
    pub(super) trimmed: Relaxed<AtomicU32>,
    // The thread at work alone reads and writes the rest.
    pub(super) heap: StaticRef<Heap>,
    /// The heap that got the last offer between rounds.
    pub(super) caller: StaticRef<Heap>,
    pub(super) class: Relaxed<AtomicU32>,
    region: Relaxed<AtomicU32>,
    /// Whether the round found memory that a later round should check again.
    pub(super) found: Relaxed<AtomicBool>,
    /// Whether the round found a heap in use.
    pub(super) active: Relaxed<AtomicBool>,
}

impl Idle {
    pub(in crate::heap) const fn new() -> Self {
        Self {
            wanted: AtomicU32::new(NOTHING),
            working: AtomicBool::new(false),
            offered: AtomicU32::new(0),
            called: AtomicU32::new(0),
            worked: AtomicU32::new(0),
            round: AtomicU32::new(1),
            stage: Relaxed::<AtomicU32>::new(Stage::Resting as u32),
            trimmed: Relaxed::<AtomicU32>::new(Region::NONE.0),
            heap: StaticRef::none(),
            caller: StaticRef::none(),
            class: Relaxed::<AtomicU32>::new(0),
            region: Relaxed::<AtomicU32>::new(Region::NONE.0),
            found: Relaxed::<AtomicBool>::new(false),
            active: Relaxed::<AtomicBool>::new(false),
        }
    }

    pub(super) fn stage(&self) -> Stage {
        const STAGES: [Stage; 4] = [Stage::Resting, Stage::Heaps, Stage::Caches, Stage::Spans];
        STAGES.into_iter().find(|&stage| stage as u32 == self.stage.get()).unwrap_or(Stage::Resting)
    }

    pub(super) fn enter(&self, stage: Stage) {
        self.stage.set(stage as u32);
    }

    /// The region at which the stage of spans continues.
    pub(super) fn region(&self) -> Region {
        Region(self.region.get())
    }

    pub(super) fn set_region(&self, region: Region) {
        self.region.set(region.0);
    }

    /// In the child of a fork: the thread that was at work is gone.
    pub(in crate::heap) fn reset(&self) {
        self.enter(Stage::Resting);
        // Relaxed: the child has one thread.
        self.working.store(false, Ordering::Relaxed);
    }

    /// The number of the round under way, or of the last one.
    pub(in crate::heap) fn round(&self) -> u32 {
        // Relaxed: a number that only grows.
        self.round.load(Ordering::Relaxed)
    }

    /// Whether a round is under way or wanted.
    pub(crate) fn is_pending(&self) -> bool {
        // Relaxed: an old value only returns memory later.
        self.wanted.load(Ordering::Relaxed) == WANTED
            || self.working.load(Ordering::Relaxed)
            || self.stage() != Stage::Resting
    }

    /// Whether a round is under way. A hint.
    pub(in crate::heap) fn is_under_way(&self) -> bool {
        self.stage() != Stage::Resting
    }

    /// Sleeps until there is work for a round.
    pub(crate) fn wait(&self) {
        // Relaxed: one word has both states, so the thread that writes it knows whether to wake a sleeper.
        let _ = self.wanted.compare_exchange(NOTHING, AWAITED, Ordering::Relaxed, Ordering::Relaxed);
        call::futex_wait(self.wanted.as_ptr(), AWAITED);
    }

    /// Notes that there is work for a round, and wakes the thread that sleeps until there is.
    pub(crate) fn want_round(&self) {
        // Relaxed: a hint.
        if self.wanted.load(Ordering::Relaxed) != WANTED && self.wanted.swap(WANTED, Ordering::Relaxed) == AWAITED {
            call::futex_wake(self.wanted.as_ptr());
        }
    }
}
