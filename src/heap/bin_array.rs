#![expect(unsafe_code, reason = "acquires and releases the arrays of bins")]
//! The arrays of bins: how large they are, where they come from, and when their pages go back.
//!
//! Arrays are pieces of metadata, powers of two slots. A bin starts small and doubles as it proves busy. Must not know blocks.

use super::bin::{Bin, SLOT_BYTES};
use crate::base::class::Class;
use crate::base::units::KIB;
use crate::pages::{METADATA_MAX, METADATA_MIN, Pages};
use crate::sys::cell::{Slot, Slots};

/// A bin starts with room for about this many bytes of blocks.
const FIRST_BYTES: usize = 2 * KIB;
/// Fewest slots of an array, the null one included; its bytes are the smallest piece of metadata.
const SLOTS_MIN: usize = METADATA_MIN / SLOT_BYTES;
const SLOTS_SMALL_MIN: usize = 8;
/// Blocks above this start with the fewest slots.
const SMALL_BLOCK_MAX: usize = 4 * KIB;
const SLOTS_MAX: usize = METADATA_MAX / 2 / SLOT_BYTES;

/// Lengths are kept in 16 bits.
const _: () = assert!(SLOTS_MAX <= u16::MAX as usize);

/// Most blocks a bin of `class` may hold when bins are limited to `bytes`.
pub(super) fn limit(class: Class, bytes: usize) -> usize {
    let blocks = (bytes / class.size()).clamp(SLOTS_MIN - 1, SLOTS_MAX - 1);
    // Arrays are powers of two with one slot for null.
    (1 << (blocks + 1).ilog2()) - 1
}

fn first_slots(class: Class) -> usize {
    let least = if class.size() <= SMALL_BLOCK_MAX { SLOTS_SMALL_MIN } else { SLOTS_MIN };
    (FIRST_BYTES / class.size()).next_power_of_two().max(least)
}

impl Bin {
    /// Gives the bin, which no drain has changed since [`Bin::restore`], an array, or one of twice the slots, as long as it may hold
    /// `limit` blocks; false if it stays as it is.
    pub(super) fn grow(&self, pages: &Pages, class: Class, limit: usize) -> bool {
        let (old, len) = (self.capacity(), self.len());
        let slots = if old == 0 { first_slots(class).min(limit + 1) } else { (old + 1) * 2 };
        if slots - 1 > limit {
            return false;
        }
        let Some(piece) = pages.acquire_metadata(slots * SLOT_BYTES) else {
            return false;
        };
        let array = Slots(piece.cast::<Slot>());
        // SAFETY: slot 0 of the new array.
        unsafe { array.set(0, core::ptr::null_mut()) };
        for index in 1..=len {
            // SAFETY: the new array is larger than the old one.
            unsafe { array.set(index, self.block(index)) };
        }
        self.release_array(pages);
        self.adopt(array.0, slots.ilog2() as u8);
        self.set_len(len);
        true
    }

    /// Gives up the array; the bin must be empty.
    pub(super) fn shed(&self, pages: &Pages) {
        debug_assert_eq!(self.len(), 0);
        self.release_array(pages);
        self.forget();
    }

    /// The bounds of the bin as found after a fork, if they make sense: blocks 1 to the number returned can be read.
    pub(super) fn orphaned_len(&self) -> usize {
        let len = self.len();
        if len <= SLOTS_MAX && len <= self.capacity() { len } else { 0 }
    }

    /// Gives whole pages of the array back to the kernel on which no block lies and no interrupted operation works.
    pub(super) fn purge_array(&self, pages: &Pages) {
        let Some((start, order)) = self.array() else { return };
        let page = pages.space().page_bytes();
        let (low, high) = (start.addr(), start.addr() + (SLOT_BYTES << order));
        let hot = self.hot_slots();
        let pieces =
            [(low.next_multiple_of(page), hot.start & !(page - 1)), (hot.end.next_multiple_of(page), high & !(page - 1))];
        for (from, to) in pieces {
            if from < to {
                // SAFETY: whole pages of an array of ours; the slots that anyone reads or writes lie outside.
                unsafe { pages.purge_hole(from, to - from) };
            }
        }
    }

    fn release_array(&self, pages: &Pages) {
        if let Some((start, order)) = self.array() {
            // SAFETY: `grow` acquired the array with these bytes.
            unsafe { pages.release_metadata(start.cast(), SLOT_BYTES << order) };
        }
    }
}
