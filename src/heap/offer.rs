//! The state of an offer, by which another thread asks a heap's thread to return idle memory ([`super::idle::drain`]).
//! Data alone.

use core::cell::Cell;

use crate::base::class;
use crate::sys::atomic::{AtomicBool, AtomicU32, Ordering};

/// Pending work: another thread has made an offer.
pub(super) const OFFER: u32 = 1;
/// Pending work: the thread itself wanted its next call on the slow path.
pub(super) const AGAIN: u32 = 2;

/// Pending work: the name by which the heap is billed may be another one by now.
pub(super) const NAME: u32 = 4;

/// The offer to one heap. All-zero bytes are a heap that takes no part in idle return.
pub(super) struct Offer {
    /// Whether the heap takes part in idle return. Written by its thread while it holds the spans; read by any thread
    /// as a hint.
    pub(super) open: AtomicBool,
    /// The round in which the standing offer was made; 0 for none. Written by the thread that holds the spans; read by
    /// any thread as a hint.
    pub(super) made: AtomicU32,
    /// Classes drained since then; [`ALL_DRAINED`] once the outbox is sent, too. Written and read as `made`.
    pub(super) drained: AtomicU32,
    /// When the thread last read the clock for idle return, in milliseconds, and how many times in a row it has done so
    /// without a pause. Written and read by the heap's thread, as are all fields below.
    pub(super) last_read: Cell<u32>,
    pub(super) in_row: Cell<u32>,
    /// The time of the last tick, in milliseconds.
    pub(super) ticked: Cell<u32>,
    /// Recent flushes; each refill halves the number.
    pub(super) shrinking: Cell<u32>,
    /// Requests in the current countdown, and in all countdowns since memory began to shrink ([`super::idle::clock`]).
    pub(super) countdown: Cell<u32>,
    pub(super) counted: Cell<u32>,
    /// When the current countdown began, roughly, in microseconds.
    pub(super) counted_since: Cell<u32>,
    /// Flushes that purge no holes, from now on and the next time ([`super::idle::collect`]).
    pub(super) pause: Cell<u32>,
    pub(super) next_pause: Cell<u32>,
    /// Whether the current countdown serves a round rather than memory that shrinks.
    pub(super) for_round: Cell<bool>,
}

/// `Offer::drained` once nothing is left to do.
pub(super) const ALL_DRAINED: u32 = class::COUNT as u32 + 1;

/// The state of an offer, as far as a thread can tell without the spans.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum OfferState {
    /// The heap takes no part.
    Closed,
    /// There is no offer, or the thread took it.
    None,
    /// The offer was made in this round.
    Fresh,
    /// The offer was made in an earlier round: the heap may be drained.
    Ripe,
    /// As `Ripe`, and nothing is left to drain.
    Drained,
}

impl Offer {
    /// Resets the offer: the heap takes no part any more.
    pub(super) fn forget(&self) {
        // Relaxed: the lock of the spans orders it; other threads read a hint.
        self.open.store(false, Ordering::Relaxed);
        // Relaxed: as above.
        self.made.store(0, Ordering::Relaxed);
        self.shrinking.set(0);
        self.counted.set(0);
        self.pause.set(0);
        self.next_pause.set(0);
    }

    /// The state of the offer in `round`.
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
