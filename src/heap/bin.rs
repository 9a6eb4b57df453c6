#![expect(unsafe_code, reason = "works on the bin's array of pointers")]
//! A bin: a heap's array of free blocks of one class, out of line, last in first out.
//!
//! Slot 0 always holds null, so an empty bin and one without an array look the same to the hit path: the top slot is null. `top`
//! points to the last block, `end` to the last slot. Blocks themselves are never written. Must not know spans.
//!
//! # Invariants
//! - `base <= top <= end`; without an array all three point to [`NOTHING`], which nobody writes.

use core::cell::Cell;

use crate::base::class::Class;
use crate::base::units::KIB;
use crate::pages::map::BIN_BYTES;
use crate::pages::{METADATA_MAX, METADATA_MIN, Pages};
use crate::sys::atomic::{AtomicPtr, Ordering};
use crate::sys::cell::Slots;
use crate::sys::tls;

/// A word that nobody writes: an empty bin's slot.
pub(super) struct Nothing([usize; 1]);

/// See [`Nothing`].
pub(super) static NOTHING: Nothing = Nothing([0]);

impl Nothing {
    pub(super) const fn slot(&'static self) -> *mut *mut u8 {
        core::ptr::from_ref(&self.0).cast_mut().cast()
    }
}

/// A bin starts with room for about this many bytes of blocks.
const FIRST_BYTES: usize = 2 * KIB;
/// Fewest slots of an array, the null one included; its bytes are the smallest piece of metadata.
const SLOTS_MIN: usize = METADATA_MIN / SLOT_BYTES;
const SLOTS_SMALL_MIN: usize = 8;
/// Blocks above this start with the fewest slots.
const SMALL_BLOCK_MAX: usize = 4 * KIB;
const SLOTS_MAX: usize = METADATA_MAX / 2 / SLOT_BYTES;
const SLOT_BYTES: usize = size_of::<*mut u8>();

/// See the module. Changed by its heap's thread alone.
#[repr(C, align(32))]
pub(crate) struct Bin {
    /// Points to the last block. Atomic because statistics read it from other threads.
    top: AtomicPtr<*mut u8>,
    /// The last slot.
    end: Cell<*mut *mut u8>,
    /// Slot 0. Atomic as `top`.
    base: AtomicPtr<*mut u8>,
    /// How many blocks there were when the bins were last looked over.
    pub(super) mark: Cell<u32>,
    /// Refills and flushes since then, or since the bin last grew.
    pub(super) events: Cell<u32>,
}

const _: () = assert!(size_of::<Bin>() == BIN_BYTES && core::mem::offset_of!(Bin, top) == 0);

/// Most blocks a bin of `class` may hold when bins are limited to `bytes`.
pub(super) fn limit(class: Class, bytes: usize) -> usize {
    let blocks = (bytes / class.size()).clamp(SLOTS_MIN - 1, SLOTS_MAX - 1);
    // Arrays are powers of two with one slot for null.
    (1 << (blocks + 1).ilog2()) - 1
}

impl Bin {
    /// Offsets of the last block's place and of slot 0.
    pub(super) const OFFSETS: [usize; 2] = [core::mem::offset_of!(Self, top), core::mem::offset_of!(Self, base)];

    /// An empty bin without an array.
    pub(super) const fn empty() -> Self {
        let slot = NOTHING.slot();
        Self {
            top: AtomicPtr::new(slot),
            end: Cell::new(slot),
            base: AtomicPtr::new(slot),
            mark: Cell::new(0),
            events: Cell::new(0),
        }
    }

    /// A bin that is never looked into.
    pub(super) const fn unused() -> Self {
        let null = core::ptr::null_mut();
        Self {
            top: AtomicPtr::new(null),
            end: Cell::new(null),
            base: AtomicPtr::new(null),
            mark: Cell::new(0),
            events: Cell::new(0),
        }
    }

    /// Takes the last block; null if the bin is empty.
    #[inline(always)]
    pub(crate) fn pop(&self) -> *mut u8 {
        // Relaxed: only this thread writes.
        // SAFETY: `top` points to a slot or to `NOTHING`.
        let block = unsafe { Slots(self.top.load(Ordering::Relaxed)).get(0) };
        if !block.is_null() {
            // SAFETY: the bin is this thread's, and a block was there, so the slot below exists.
            unsafe { tls::step::<{ -(SLOT_BYTES as isize) }>(self.top.as_ptr().cast()) };
        }
        block
    }

    /// As [`Bin::pop`], for the bin `offset` bytes behind `base`.
    ///
    /// # Safety
    /// - A bin of the calling thread is there.
    #[inline(always)]
    pub(super) unsafe fn pop_at(base: *const u8, offset: usize) -> *mut u8 {
        // SAFETY: the caller vouches for the bin.
        let bin = unsafe { &*base.wrapping_add(offset).cast::<Self>() };
        // Relaxed: only this thread writes.
        // SAFETY: `top` points to a slot or to `NOTHING`.
        let block = unsafe { Slots(bin.top.load(Ordering::Relaxed)).get(0) };
        if !block.is_null() {
            // SAFETY: `top` is the bin's first word, and a block was there, so the slot below exists.
            unsafe { tls::step_at::<{ -(SLOT_BYTES as isize) }>(base, offset) };
        }
        block
    }

    /// Adds a block; false if the bin is full, or if `block` is the one added last.
    #[inline(always)]
    pub(crate) fn push(&self, block: *mut u8) -> bool {
        // Relaxed: only this thread writes.
        let top = self.top.load(Ordering::Relaxed);
        if top == self.end.get() {
            return false;
        }
        // SAFETY: `top` points to a slot.
        if unsafe { Slots(top).get(0) } == block {
            return false;
        }
        // SAFETY: `top` is below `end`, so the next slot exists.
        unsafe { Slots(top).set(1, block) };
        // SAFETY: the bin is this thread's, and the slot was just filled.
        unsafe { tls::step::<{ SLOT_BYTES as isize }>(self.top.as_ptr().cast()) };
        true
    }

    /// How many blocks it holds.
    pub(super) fn len(&self) -> usize {
        // Relaxed: exact for the owner, a moment old for statistics.
        let (top, base) = (self.top.load(Ordering::Relaxed), self.base.load(Ordering::Relaxed));
        top.addr().saturating_sub(base.addr()) / SLOT_BYTES
    }

    /// Whether slot 0, the last block and the last slot lie in that order, and slot 0 has null; for the check.
    #[cfg(debug_assertions)]
    pub(super) fn is_ordered(&self) -> bool {
        // Relaxed: only this thread writes.
        let (base, top) = (self.base.load(Ordering::Relaxed), self.top.load(Ordering::Relaxed));
        // SAFETY: `base` points to slot 0 or to `NOTHING`.
        base <= top && top <= self.end.get() && unsafe { Slots(base).get(0) }.is_null()
    }

    /// How many blocks it has room for.
    pub(super) fn capacity(&self) -> usize {
        // Relaxed: only this thread writes.
        (self.end.get().addr() - self.base.load(Ordering::Relaxed).addr()) / SLOT_BYTES
    }

    /// Adds the first of `blocks` until half of the room is used; how many.
    pub(super) fn take_in(&self, blocks: &[*mut u8]) -> usize {
        let len = self.len();
        let count = self.capacity().div_ceil(2).saturating_sub(len).min(blocks.len());
        // SAFETY: the slot behind the last block exists, if only as the end of the array.
        let free = unsafe { self.slots().0.add(len + 1) };
        // SAFETY: there is room for `count` blocks, and the array is this thread's.
        unsafe { free.copy_from_nonoverlapping(blocks.as_ptr(), count) };
        self.set_len(len + count);
        count
    }

    /// Whether it holds less than half of what it has room for.
    #[inline(always)]
    pub(super) fn has_half(&self) -> bool {
        // Relaxed: only this thread writes.
        let (top, base) = (self.top.load(Ordering::Relaxed).addr(), self.base.load(Ordering::Relaxed).addr());
        2 * (top - base) < self.end.get().addr() - base
    }

    /// Block `index`, counted from 1 at the bottom.
    pub(super) fn block(&self, index: usize) -> *mut u8 {
        debug_assert!((1..=self.capacity()).contains(&index));
        // SAFETY: callers stay within the capacity.
        unsafe { self.slots().get(index) }
    }

    /// The block added last; null if there is none.
    #[inline(always)]
    pub(super) fn last(&self) -> *mut u8 {
        // Relaxed: only this thread writes.
        // SAFETY: `top` points to a slot, slot 0 if there is no block.
        unsafe { Slots(self.top.load(Ordering::Relaxed)).get(0) }
    }

    /// Sets block `index`, counted from 1, which is not among the first `len`.
    pub(super) fn set_block(&self, index: usize, block: *mut u8) {
        debug_assert!((1..=self.capacity()).contains(&index));
        // SAFETY: callers stay within the capacity.
        unsafe { self.slots().set(index, block) };
    }

    /// Where block `index` is or will be, counted from 1 at the bottom.
    pub(super) fn slot(&self, index: usize) -> *mut *mut u8 {
        debug_assert!((1..=self.capacity()).contains(&index));
        // SAFETY: callers stay within the capacity.
        unsafe { self.slots().0.add(index) }
    }

    /// Says that the first `len` slots hold blocks.
    pub(super) fn set_len(&self, len: usize) {
        debug_assert!(len <= self.capacity());
        // SAFETY: within the array.
        let top = unsafe { self.slots().0.add(len) };
        // Relaxed: only this thread writes.
        self.top.store(top, Ordering::Relaxed);
    }

    /// The `count` lowest blocks, at most the length.
    pub(super) fn lowest(&self, count: usize) -> &[*mut u8] {
        debug_assert!(count <= self.len());
        // SAFETY: slot 1 exists if there is a block.
        let first = unsafe { self.slots().0.add(1) };
        // SAFETY: slots 1 to the length hold blocks and change only under this thread's hands.
        unsafe { core::slice::from_raw_parts(first, count) }
    }

    /// Drops the `count` lowest blocks and moves the rest down.
    pub(super) fn drop_lowest(&self, count: usize) {
        let keep = self.len() - count;
        // SAFETY: slots 1 to the length exist, and the array is this thread's.
        let first = unsafe { self.slots().0.add(1) };
        // SAFETY: as above.
        let rest = unsafe { first.add(count) };
        // SAFETY: as above; the two ranges may overlap.
        unsafe { rest.copy_to(first, keep) };
        self.set_len(keep);
    }

    /// Gives the bin an array, or one of twice the slots, as long as it may hold `limit` blocks; false if it stays as it is.
    pub(super) fn grow(&self, pages: &Pages, class: Class, limit: usize) -> bool {
        let (old, len) = (self.capacity(), self.len());
        let slots = if old == 0 { first_slots(class).min(limit + 1) } else { (old + 1) * 2 };
        if slots - 1 > limit {
            return false;
        }
        let Some(piece) = pages.acquire_metadata(slots * SLOT_BYTES) else {
            return false;
        };
        let array = Slots(piece.cast());
        // SAFETY: slot 0 of the new array.
        unsafe { array.set(0, core::ptr::null_mut()) };
        for index in 1..=len {
            // SAFETY: the new array is larger than the old one.
            unsafe { array.set(index, self.block(index)) };
        }
        self.release_array(pages);
        // Relaxed: only this thread writes.
        self.base.store(array.0, Ordering::Relaxed);
        // SAFETY: the array has `slots` slots.
        self.end.set(unsafe { array.0.add(slots - 1) });
        self.set_len(len);
        true
    }

    /// Gives up the array; the bin must be empty.
    pub(super) fn shed(&self, pages: &Pages) {
        debug_assert_eq!(self.len(), 0);
        self.release_array(pages);
        self.forget();
    }

    /// Becomes an empty bin without an array, whatever it was.
    pub(super) fn forget(&self) {
        // Relaxed: only this thread writes.
        self.top.store(NOTHING.slot(), Ordering::Relaxed);
        self.base.store(NOTHING.slot(), Ordering::Relaxed);
        self.end.set(NOTHING.slot());
        self.mark.set(0);
        self.events.set(0);
    }

    /// The array's bounds as found after a fork, if they make sense: blocks 1 to the number returned can be read.
    pub(super) fn orphaned_len(&self) -> usize {
        let len = self.len();
        if len <= SLOTS_MAX && len <= self.capacity() { len } else { 0 }
    }

    fn release_array(&self, pages: &Pages) {
        let slots = self.capacity() + 1;
        if slots > 1 {
            // SAFETY: `grow` acquired the array with these bytes.
            unsafe { pages.release_metadata(self.slots().0.cast(), slots * SLOT_BYTES) };
        }
    }

    fn slots(&self) -> Slots {
        // Relaxed: only this thread writes.
        Slots(self.base.load(Ordering::Relaxed))
    }
}

fn first_slots(class: Class) -> usize {
    let least = if class.size() <= SMALL_BLOCK_MAX { SLOTS_SMALL_MIN } else { SLOTS_MIN };
    (FIRST_BYTES / class.size()).next_power_of_two().max(least)
}
