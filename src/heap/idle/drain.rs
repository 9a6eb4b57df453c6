//! Offers and drains: other threads return the memory of a thread that does not call, whatever that thread is doing.
//!
//! *Offer*: another thread closes the fast path of a heap ([`FastHeap::close`]) by writing to the heap. The next call
//! of the heap's thread takes the slow path, finds the offer and takes it: it drains its own idle bins. The offer is in
//! the heap alone, not in memory of the thread, so an offer to a thread that ended without notice does no harm.
//!
//! *Drain*: if an offer has not been taken for a whole round, another thread takes free blocks out of the heap, under
//! the lock of its spans. Each bin keeps its last block, and each batch of the outbox keeps its place, because the
//! thread may have been stopped anywhere within one operation: by a signal, a debugger, SIGSTOP or the freezer, or
//! because its context was swapped away ([`crate::heap::bin::Bin::drain`], [`crate::central::Batch::move_to`]).
//!
//! [Decision 24](../../docs/decisions/0024-offers-and-drains.md) says why this is safe.
//!
//! # Invariants
//! - Another thread changes the fast heap and the bins of a heap only while it holds the heap's spans.
//! - A drain comes no sooner than [`crate::heap::idle::rounds::PACE_MIN`] milliseconds after the fast path was closed.

use crate::base::class::Class;
use crate::central::{Blocks, Place, Refused};
use crate::heap::bin_drain::DRAIN_MAX;
use crate::heap::fast_path::FastHeap;
use crate::heap::layout::Heap;
use crate::heap::offer::{AGAIN, ALL_DRAINED, OFFER, OfferState};
use crate::heap::registry::Shared;
use crate::heap::second_path::{CLOSED, SecondPath};
use crate::pages::Space;
use crate::sys::atomic::Ordering;

impl FastHeap {
    /// Makes every operation that begins from now on take the slow path. For any thread that holds the heap's spans.
    pub(in crate::heap) fn close(&self) {
        self.set_second(&CLOSED);
        self.lead(false);
        // Relaxed: a free under way may still use the old limit.
        self.limit.store(0, Ordering::Relaxed);
    }

    /// Ends [`FastHeap::close`], with that second path; for the heap's thread.
    pub(in crate::heap) fn reopen(&self, space: &Space, second: &'static SecondPath) {
        self.reach.set(space.reach());
        // Relaxed: entries below that limit can be read by now, and an entry publishes nothing but itself.
        self.limit.store(if second.after_fast { space.reach() } else { 0 }, Ordering::Relaxed);
        self.set_second(second);
        self.lead(second.after_fast && !self.is_sampled());
    }
}

impl Heap {
    /// Sets whether the heap takes part in idle return. For its thread.
    pub(crate) fn set_idle_return(&self, on: bool) {
        // Relaxed: other threads read it as a hint.
        self.offer.open.store(on, Ordering::Relaxed);
    }

    /// Whether the heap takes part in idle return.
    pub(crate) fn has_idle_return(&self) -> bool {
        // Relaxed: the heap's thread, which asks, wrote it.
        self.offer.open.load(Ordering::Relaxed)
    }

    /// Ends [`Heap::set_idle_return`] for good, and opens the fast path for the next thread. The caller holds the
    /// spans.
    pub(crate) fn close_offers(&self) {
        self.end_countdown();
        self.forget_offers();
    }

    /// Opens the fast path again. For the heap's thread, and for new heaps. Where the mode sees every call, the
    /// thread's word still names the inert heap.
    pub(crate) fn reopen_fast_path(&self, shared: Shared<'_>) {
        self.reopen(shared.central.pages.space(), shared.second());
    }

    /// Ends the heap's part in idle return, and clears its pending work.
    pub(in crate::heap) fn forget_offers(&self) {
        self.offer.forget();
        self.set_pending(OFFER, false);
        self.set_pending(AGAIN, false);
    }

    /// Makes the next call of this heap's thread take the slow path, because the mode was switched. Waits for the
    /// spans.
    pub(crate) fn announce(&self, shared: Shared<'_>) {
        if !self.belongs_to_process() {
            return;
        }
        self.lock_spans();
        self.close();
        // The round is read after the fast path was closed: the next but one begins a pause later.
        let round = shared.registry.idle.round().wrapping_add(1);
        self.note_offer(round);
        self.unlock_spans();
    }

    /// Makes an offer to this heap, which is another thread's, in `round`; false if its spans are held, so that its
    /// thread is at work.
    pub(in crate::heap) fn make_offer(&self, round: u32) -> bool {
        if !self.try_lock_spans() {
            return false;
        }
        if self.offer.state(round) == OfferState::None {
            self.close();
            self.note_offer(round);
        }
        self.unlock_spans();
        true
    }

    fn note_offer(&self, round: u32) {
        // Relaxed: the lock of the spans orders it.
        self.offer.drained.store(0, Ordering::Relaxed);
        // Relaxed: as above. 0 means that there is none.
        self.offer.made.store(round.max(1), Ordering::Relaxed);
        self.set_pending(OFFER, true);
    }

    /// Takes the offer, if there is one; whether there was.
    pub(in crate::heap) fn take_offer(&self, shared: Shared<'_>) -> bool {
        if !self.take_pending(OFFER) {
            return false;
        }
        // Relaxed: the caller holds the spans.
        self.offer.made.store(0, Ordering::Relaxed);
        self.reopen_fast_path(shared);
        true
    }

    /// Drains `other`, whose offer is ripe in `round`, until `blocks` blocks have left; false if something is left.
    /// `self` is the heap of the calling thread.
    pub(in crate::heap) fn drain_other(&self, shared: Shared<'_>, other: &Heap, round: u32, blocks: &mut u32) -> bool {
        if !other.try_lock_spans() {
            return true;
        }
        let ripe = matches!(other.offer.state(round), OfferState::Ripe | OfferState::Drained);
        let done = !ripe || self.drain_held(shared, other, blocks);
        other.unlock_spans();
        done
    }

    fn drain_held(&self, shared: Shared<'_>, other: &Heap, blocks: &mut u32) -> bool {
        while *blocks > 0 {
            let Some(received) = self.receive_batch_for(shared, other) else { break };
            *blocks = blocks.saturating_sub(received as u32);
        }
        // Relaxed: the spans are held.
        let mut class = other.offer.drained.load(Ordering::Relaxed);
        while let Some(next) = Class::from_index(class as usize) {
            if *blocks == 0 {
                return false;
            }
            if other.drain_bin(shared, next, blocks) {
                class += 1;
                // Relaxed: the spans are held.
                other.offer.drained.store(class, Ordering::Relaxed);
            }
        }
        other.send_all(shared);
        other.release_empty_batches(shared);
        // Relaxed: as above.
        other.offer.drained.store(ALL_DRAINED, Ordering::Relaxed);
        true
    }

    /// Drains the bin of `class` until `blocks` blocks have left; false if something is left. The caller holds the
    /// spans.
    pub(in crate::heap) fn drain_bin(&self, shared: Shared<'_>, class: Class, blocks: &mut u32) -> bool {
        let bin = self.bin(class);
        let mut drained = [core::ptr::null_mut(); DRAIN_MAX];
        loop {
            let taken = bin.drain(&mut drained);
            let count = taken.pointers().len();
            if count == 0 {
                break;
            }
            self.note_given(class, -(count as isize));
            self.return_all_but(shared, class, taken, bin.last());
            *blocks = blocks.saturating_sub(count as u32);
            if *blocks == 0 {
                return false;
            }
        }
        if let Some(refused) = self.last_refused(shared, class) {
            refused.report_found_later(bin.last(), class.size());
            bin.discard_last();
            self.note_given(class, -1);
        }
        bin.purge_array(&shared.central.pages);
        self.release_kept_span(shared, class);
        true
    }

    /// The reason why the block that stays in the bin of `class` could not return to its span, as far as this heap may
    /// check.
    fn last_refused(&self, shared: Shared<'_>, class: Class) -> Option<Refused> {
        let last = self.bin(class).last();
        if last.is_null() {
            return None;
        }
        match shared.central.resolve(last.addr()) {
            Place::Small { span, entry, offset, .. } if entry.owner() == self.address() => {
                span.is_out(class.geometry(), offset).err()
            }
            Place::Small { .. } => None,
            _ => Some(Refused::Double),
        }
    }

    /// Returns blocks to their spans, except for `last`, which stays in the bin. If it is among them, it was freed
    /// twice.
    fn return_all_but(&self, shared: Shared<'_>, class: Class, blocks: Blocks<'_>, last: *mut u8) {
        let mut parts = blocks.split(last);
        if let Some(first) = parts.next() {
            self.return_blocks(shared, class, first);
        }
        for part in parts {
            Refused::Double.report_found_later(last, class.size());
            self.return_blocks(shared, class, part);
        }
    }
}
