#![expect(unsafe_code, reason = "follows pointers to batches")]
//! The outbox: blocks of other heaps that this thread freed, collected into batches by their owner.
//!
//! A place in the outbox holds one batch. The place of an owner follows from its address; for blocks of the central
//! list each class has one. A batch is sent when it is full, when another owner needs the place, or when the whole
//! outbox is sent: to its owner's inbox, or to spans of the central list. If the inbox refuses a batch, its blocks are
//! returned one by one. Must not know why a block is here.
//!
//! There are two sets of places. The second path adds to batches of the outer set, and may be interrupted while it
//! does. So other threads, and calls for other blocks, may take blocks out of such a batch but leave the batch in its
//! place ([`Batch::move_to`]). Blocks that heaps themselves send use the inner set, which belongs to the thread that
//! holds the lock of the spans.

use core::cell::Cell;

use crate::central::Batch;
use crate::pages::map::{BIN_BYTES, HEAP_ALIGN};
use crate::sys::atomic::settle_stores;

/// Places for batches, in each side.
const PLACES: usize = 16;
const SIDES: usize = 2;

/// The two sides, by the reason why a block is sent.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in crate::heap) enum Side {
    /// The program freed it.
    Outer = 0,
    /// A bin, an inbox or a cache returned it.
    Inner = 1,
}

/// The outbox of one heap. Only the heap's thread writes the places of the outer side; the rest belongs to the thread
/// that holds the spans. All-zero bytes are an empty outbox.
pub(in crate::heap) struct Outbox {
    batches: [Cell<*const Batch>; SIDES * PLACES],
    /// Whether the fast path is adding to a batch of the outer side: a signal handler must not, then.
    joining: Cell<bool>,
    pub(in crate::heap) empty_batches: Cell<*const Batch>,
    pub(in crate::heap) empty_count: Cell<u32>,
}

impl Outbox {
    /// Where the batches are, and how many places there are for them.
    pub(in crate::heap) const BATCHES: [usize; 2] = [core::mem::offset_of!(Self, batches), SIDES * PLACES];

    /// Drops all batches, whatever they hold.
    pub(in crate::heap) fn forget(&self) {
        self.end_join();
        self.batches.iter().for_each(|place| place.set(core::ptr::null()));
        self.empty_batches.set(core::ptr::null());
        self.empty_count.set(0);
    }

    /// The batches there are.
    pub(in crate::heap) fn batches(&self) -> impl Iterator<Item = &Batch> {
        // SAFETY: a place holds null or a valid batch.
        self.batches.iter().filter_map(|place| unsafe { place.get().as_ref() })
    }

    /// Takes one of the batches, for the child of a fork.
    pub(in crate::heap) fn take_batch(&self) -> Option<&Batch> {
        // SAFETY: a place holds null or a valid batch.
        self.batches.iter().find_map(|place| unsafe { place.replace(core::ptr::null()).as_ref() })
    }

    /// The place of the batches with `key` in `side`.
    #[inline(always)]
    pub(in crate::heap) fn place(&self, key: usize, side: Side) -> &Cell<*const Batch> {
        let index = ((key / HEAP_ALIGN) ^ (key / BIN_BYTES)) % PLACES;
        // SAFETY: the remainder is below the number of places of a side.
        unsafe { self.batches.get_unchecked(side as usize * PLACES + index) }
    }

    /// The place in the outer side of batches for the heap that `word` of the map names.
    #[inline(always)]
    pub(in crate::heap) fn place_of_owner(&self, word: usize) -> &Cell<*const Batch> {
        // All bits that the place of a heap's batches does not depend on are left out.
        const { assert!(HEAP_ALIGN / BIN_BYTES >= PLACES) };
        // SAFETY: the remainder is below the number of places of a side.
        unsafe { self.batches.get_unchecked(Side::Outer as usize * PLACES + word / HEAP_ALIGN % PLACES) }
    }

    /// The batch with `key`, if one is being collected in `side`.
    #[inline(always)]
    pub(in crate::heap) fn batch_for(&self, key: usize, side: Side) -> Option<&Batch> {
        // SAFETY: a place holds null or a valid batch of this thread's.
        let batch = unsafe { self.place(key, side).get().as_ref() }?;
        (batch.key.get() == key).then_some(batch)
    }

    /// Does `join`, which adds a block to a batch of the outer side, unless this call comes from a signal handler that
    /// interrupted such a join: false then.
    #[inline(always)]
    pub(in crate::heap) fn join(&self, join: impl FnOnce() -> bool) -> bool {
        if self.joining.get() {
            return false;
        }
        self.joining.set(true);
        settle_stores();
        let joined = join();
        settle_stores();
        self.joining.set(false);
        joined
    }

    /// Forgets an interrupted join, whose thread ends.
    pub(in crate::heap) fn end_join(&self) {
        self.joining.set(false);
    }

    /// Whether the thread was interrupted in [`Outbox::join`].
    pub(in crate::heap) fn is_joining(&self) -> bool {
        self.joining.get()
    }

    /// The places of `side`.
    pub(in crate::heap) fn places(&self, side: Side) -> impl Iterator<Item = &Cell<*const Batch>> {
        self.batches.iter().skip(side as usize * PLACES).take(PLACES)
    }
}
