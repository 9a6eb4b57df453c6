#![expect(unsafe_code, reason = "works on the bin's array of pointers")]
//! Drains of bins: a thread that holds the lock of the heap's spans takes free blocks out, whatever the heap's thread
//! is doing.
//!
//! [`Bin::drain`] takes blocks out from the bottom. Meanwhile an operation of the owner may be interrupted anywhere
//! between its load of `top` and its last store. Such an operation reads `end`, `top` and the slot to which `top`
//! points, writes the slot above and moves `top`. A drain writes none of these: it leaves the last block, sets the two
//! slots below it to null, and makes the upper one of these the new bottom. So a pop that resumes takes the last block
//! and leaves an empty bin, and a push that resumes stores above it. A push also compares its block with the slot below
//! `top`, which a drain may set to null meanwhile. Both values are safe: the old one is a free block of this bin, so a
//! block that equals it is freed twice, and null equals no block. The owner moves the bottom back to the start of the
//! array when this bin is empty or full ([`Bin::restore`]).
//!
//! Must not know which thread drains, nor spans.

#[cfg(debug_assertions)]
use super::bin::NULL_SLOTS;
use super::bin::{Bin, SLOT_BYTES};
use crate::central::Blocks;
#[cfg(not(loom))]
use crate::pages::Pages;
use crate::sys::atomic::{Ordering, settle_stores};
use crate::sys::cell::Slots;

/// Blocks of the thread's own bin with which the slow path compares one that is freed or resized.
pub(super) const NEWEST: usize = 16;

/// Most blocks that one call of [`Bin::drain`] takes.
pub(super) const DRAIN_MAX: usize = 64;

// The models do not use the methods that copy slots as plain memory, which the model checker cannot follow.
#[cfg_attr(loom, allow(dead_code, reason = "models use what the fast path and drains use"))]
impl Bin {
    /// Takes out up to [`DRAIN_MAX`] of the lowest blocks, but never the last one; they lie in `blocks`. For the thread
    /// that holds the heap's spans, even while an operation of the heap's thread is interrupted.
    pub(super) fn drain<'a>(&self, blocks: &'a mut [*mut u8; DRAIN_MAX]) -> Blocks<'a> {
        // Relaxed: an operation that resumes meanwhile moves `top` by one slot at most, and the drain leaves the last
        // block at either place. Earlier operations are over: the fast path was closed a round or more ago
        // (`idle/drain.rs`).
        let top = self.top.load(Ordering::Relaxed);
        // Relaxed: only the thread that holds the spans, which is this one, writes it.
        let bottom = self.bottom.load(Ordering::Relaxed);
        let len = (top.addr().saturating_sub(bottom.addr())) / SLOT_BYTES;
        let count = len.saturating_sub(1).min(DRAIN_MAX);
        for (index, block) in blocks.iter_mut().enumerate().take(count) {
            // SAFETY: slots from the bottom to `top` exist.
            *block = unsafe { Slots(bottom).get_shared(index + 1) };
        }
        if count > 0 {
            for index in [count - 1, count] {
                // SAFETY: as above; the slot is below the one that `top` points to. A push only compares it.
                unsafe { Slots(bottom).set(index, core::ptr::null_mut()) };
            }
            // The child of a fork trusts the bottom, so the null is written before it.
            settle_stores();
            // SAFETY: `count` is below the number of blocks, so that slot lies in the array.
            let raised = unsafe { bottom.add(count) };
            // Relaxed: as above.
            self.bottom.store(raised, Ordering::Relaxed);
        }
        // SAFETY: a bin holds blocks of its spans, and freed blocks whose map entry names it.
        unsafe { Blocks::new(blocks.get(..count).unwrap_or(&[])) }
    }

    /// Whether `block`, which the calling thread is about to free or resize, is one of the `newest` blocks: then it is
    /// free already. For the heap's thread, or one that holds the heap's spans, so that the array stays.
    ///
    /// Meanwhile the heap's thread may push and pop. A live block is in no slot up to `top`: what the program did to
    /// pass it to this thread orders the pop that handed it out before these loads, and the processor writes a slot
    /// before the `top` that counts it.
    pub(super) fn has_lately(&self, block: *mut u8, newest: usize) -> bool {
        // Acquire: a slot that is read below is at least as new as this. The partner is the plain store of a push.
        let top = self.top.load(Ordering::Acquire);
        // Relaxed: neither of the threads meant writes it meanwhile.
        let bottom = self.bottom.load(Ordering::Relaxed);
        let len = top.addr().saturating_sub(bottom.addr()) / SLOT_BYTES;
        // SAFETY: slots from the bottom to `top` exist.
        (len.saturating_sub(newest)..len).any(|below| unsafe { Slots(bottom).get_shared(below + 1) } == block)
    }

    /// Takes out the last block, which the program has freed twice. No operation may rightly use it, so this waits for
    /// none.
    pub(super) fn discard_last(&self) {
        // Relaxed: as in `drain`.
        let top = self.top.load(Ordering::Relaxed);
        // SAFETY: `top` points to a slot with a block, so not to `NOTHING`.
        unsafe { Slots(top).set(0, core::ptr::null_mut()) };
        // Relaxed: as in `drain`.
        self.bottom.store(top, Ordering::Relaxed);
    }

    /// Undoes what drains did to the array: moves the bottom back to its start, and the blocks with it. For the heap's
    /// thread, when this bin misses or overflows.
    pub(super) fn restore(&self) {
        // Relaxed: this thread holds the spans.
        let (bottom, start) = (self.bottom.load(Ordering::Relaxed), self.first_bottom());
        if bottom == start {
            return;
        }
        let len = self.len();
        // SAFETY: slots 0 to `len` from either place lie in the array.
        unsafe { bottom.cast::<*mut u8>().copy_to(start.cast(), len + 1) };
        // Relaxed: as above.
        self.bottom.store(start, Ordering::Relaxed);
        self.set_len(len);
    }

    /// The addresses that an interrupted operation may still use: those around the last block, the bottom and the slot
    /// below it included.
    pub(super) fn hot_slots(&self) -> core::ops::Range<usize> {
        // Relaxed: as in `drain`.
        let (top, bottom) = (self.top.load(Ordering::Relaxed).addr(), self.bottom.load(Ordering::Relaxed).addr());
        bottom.min(top) - SLOT_BYTES..top + 2 * SLOT_BYTES
    }

    /// Whether `bottom`, `top` and `end` lie in that order, and the bottom slot and the one below it are null; for the
    /// check.
    #[cfg(debug_assertions)]
    pub(super) fn is_ordered(&self) -> bool {
        // Relaxed: only this thread writes.
        let (bottom, top) = (self.bottom.load(Ordering::Relaxed), self.top.load(Ordering::Relaxed));
        // SAFETY: the bottom is a slot or `NOTHING`, and there is one below.
        let are_null = (0..NULL_SLOTS).all(|below| unsafe { Slots(bottom.wrapping_sub(below)).get(0) }.is_null());
        bottom <= top && self.len() <= self.capacity() && are_null
    }

    /// Purges the whole pages of the array that no block lies on and no interrupted operation uses.
    #[cfg(not(loom))]
    pub(super) fn purge_array(&self, pages: &Pages) {
        let Some((start, order)) = self.array() else { return };
        let page = pages.space().page_bytes();
        let (low, high) = (start.addr(), start.addr() + (SLOT_BYTES << order));
        let hot = self.hot_slots();
        let pieces = [
            (low.next_multiple_of(page), hot.start & !(page - 1)),
            (hot.end.next_multiple_of(page), high & !(page - 1)),
        ];
        for (from, to) in pieces {
            if from < to {
                // SAFETY: whole pages of this bin's array; the slots that any operation reads or writes lie outside.
                unsafe { pages.purge_hole(from, to - from) };
            }
        }
    }
}
