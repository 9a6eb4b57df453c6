//! What others and the heap's thread know of offers; see [`super::idle::drain`]. Data alone.

use core::cell::Cell;

use crate::base::class;
use crate::sys::atomic::{AtomicBool, AtomicU32, Ordering};

/// Pending work of a heap: an offer stands that another thread made.
pub(super) const OFFER: u32 = 1;
/// The thread itself wants its next call on the slow path.
pub(super) const AGAIN: u32 = 2;

/// See the module. All-zero bytes are a heap that takes no part.
pub(super) struct Offer {
    /// Whether the heap takes part in idle return. Written by its thread while it holds the spans; read by any as a hint.
    pub(super) open: AtomicBool,
    /// The round in which the offer was made that stands; 0 for none. Written by who holds the spans; read by any as a hint.
    pub(super) made: AtomicU32,
    /// Classes drained since; one more than there are once everything else is done, too. As `made`.
    pub(super) drained: AtomicU32,
    /// When the thread last looked at the time for others, in milliseconds, and how often it did so since without a pause. For the heap's
    /// thread, as are the rest.
    pub(super) looked: Cell<u32>,
    pub(super) in_row: Cell<u32>,
    /// Flushes of late, as far as no refill came between.
    pub(super) shrinking: Cell<u32>,
    /// Requests in the countdown that runs, and in all since memory began to shrink; see [`super::idle::clock`].
    pub(super) countdown: Cell<u32>,
    pub(super) counted: Cell<u32>,
    /// When it began, roughly, in microseconds.
    pub(super) counted_since: Cell<u32>,
    /// Whether it runs for the sake of a round.
    pub(super) for_round: Cell<bool>,
}

/// `Offer::drained` once nothing is left to do.
pub(super) const ALL_DRAINED: u32 = class::COUNT as u32 + 1;

/// Where an offer stands, as far as can be told without the spans.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum OfferState {
    /// The heap takes no part.
    Closed,
    /// There is none, or it was taken.
    None,
    /// It was made in this round.
    Fresh,
    /// It stands since an earlier round: the heap may be drained.
    Ripe,
    /// As `Ripe`, and nothing is left to drain.
    Drained,
}

impl Offer {
    /// The heap takes no part any more.
    pub(super) fn forget(&self) {
        // Relaxed: the lock of the spans orders it; others take it for a hint.
        self.open.store(false, Ordering::Relaxed);
        // Relaxed: as above.
        self.made.store(0, Ordering::Relaxed);
        self.shrinking.set(0);
        self.counted.set(0);
    }

    /// Where the offer stands in `round`.
    pub(super) fn state(&self, round: u32) -> OfferState {
        // Relaxed: a hint, or the caller holds the spans.
        let (open, made) = (self.open.load(Ordering::Relaxed), self.made.load(Ordering::Relaxed));
        match () {
            () if !open => OfferState::Closed,
            () if made == 0 => OfferState::None,
            () if (round.wrapping_sub(made) as i32) <= 0 => OfferState::Fresh,
            // Relaxed: as above.
            () if self.drained.load(Ordering::Relaxed) == ALL_DRAINED => OfferState::Drained,
            () => OfferState::Ripe,
        }
    }
}
