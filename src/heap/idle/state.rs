#![expect(unsafe_code, reason = "a structure whose cells are guarded by a flag")]
//! The state of a round of idle return. Data alone; [`super::rounds`] works on it.

use core::cell::Cell;

use crate::base::units::Region;
use crate::heap::layout::Heap;
use crate::sys::atomic::{AtomicBool, AtomicU32, Ordering};
use crate::sys::call;

/// See `Idle::owed`.
pub(super) const NOTHING: u32 = 0;
pub(super) const OWED: u32 = 1;
const AWAITED: u32 = 2;

/// Where a round stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Stage {
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
    pub(super) owed: AtomicU32,
    /// Held by the thread that works on a round.
    pub(super) working: AtomicBool,
    /// When the last round had made its offers, when some were made between rounds, and when a round was last worked on, in milliseconds.
    /// Written by the thread at work.
    pub(super) offered: AtomicU32,
    pub(super) called: AtomicU32,
    pub(in crate::heap) worked: AtomicU32,
    /// The number of the round, from 1. Written by the thread at work; read by any.
    pub(super) round: AtomicU32,
    // The rest belongs to the thread at work.
    pub(super) stage: Cell<Stage>,
    pub(super) heap: Cell<Option<&'static Heap>>,
    /// The heap to which an offer was made last between rounds.
    pub(super) caller: Cell<Option<&'static Heap>>,
    pub(super) class: Cell<u32>,
    pub(super) region: Cell<Region>,
    /// Whether the round found anything that a later one should look at again.
    pub(super) found: Cell<bool>,
    /// Whether it found a heap that is in use.
    pub(super) active: Cell<bool>,
}

// SAFETY: the cells are touched by the thread that holds `working`; `stage` is read by others as a hint.
unsafe impl Sync for Idle {}

impl Idle {
    pub(in crate::heap) const fn new() -> Self {
        Self {
            owed: AtomicU32::new(NOTHING),
            working: AtomicBool::new(false),
            offered: AtomicU32::new(0),
            called: AtomicU32::new(0),
            worked: AtomicU32::new(0),
            round: AtomicU32::new(1),
            stage: Cell::new(Stage::Resting),
            heap: Cell::new(None),
            caller: Cell::new(None),
            class: Cell::new(0),
            region: Cell::new(Region::NONE),
            found: Cell::new(false),
            active: Cell::new(false),
        }
    }

    /// In the child of a fork: the thread that was at work is gone.
    pub(in crate::heap) fn reset(&self) {
        self.stage.set(Stage::Resting);
        // Relaxed: the child has one thread.
        self.working.store(false, Ordering::Relaxed);
    }

    /// The number of the round under way, or of the last one.
    pub(in crate::heap) fn round(&self) -> u32 {
        // Relaxed: a number that only grows.
        self.round.load(Ordering::Relaxed)
    }

    /// Whether a round is under way or owed.
    pub(crate) fn is_pending(&self) -> bool {
        // Relaxed: a late answer only returns memory later.
        self.owed.load(Ordering::Relaxed) == OWED || self.working.load(Ordering::Relaxed) || self.stage.get() != Stage::Resting
    }

    /// Whether a round is under way. A hint.
    pub(in crate::heap) fn is_under_way(&self) -> bool {
        self.stage.get() != Stage::Resting
    }

    /// Sleeps until something happens that a round should look at.
    pub(crate) fn wait(&self) {
        // Relaxed: one word says both, so that who writes to it knows whether to wake.
        let _ = self.owed.compare_exchange(NOTHING, AWAITED, Ordering::Relaxed, Ordering::Relaxed);
        call::futex_wait(self.owed.as_ptr(), AWAITED);
    }

    pub(in crate::heap) fn owe(&self) {
        // Relaxed: a hint.
        if self.owed.load(Ordering::Relaxed) != OWED && self.owed.swap(OWED, Ordering::Relaxed) == AWAITED {
            call::futex_wake(self.owed.as_ptr());
        }
    }
}
