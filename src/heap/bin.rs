#![expect(unsafe_code, reason = "works on the bin's array of pointers")]
//! A bin: a heap's array of free blocks of one class, out of line, last in first out.
//!
//! The bottom slot always holds null, so an empty bin and a bin without an array look the same to the fast path: the
//! top slot is null. `top` points to the last block, `end` to the last slot. A bin never writes to the blocks
//! themselves. Must not know spans, nor where arrays come from.
//!
//! # Drains
//! [`Bin::drain`] takes blocks out from below. Meanwhile an operation of the owner may be interrupted anywhere between
//! its load of `top` and its last store. Such an operation reads `end`, `top` and the slot that `top` points to, writes
//! the slot above and steps `top`. A drain writes none of these: it leaves the last block, sets a slot below it to
//! null, and makes that slot the bottom. So a pop that resumes takes the last block and leaves an empty bin, and a push
//! that resumes stores above it. The owner moves the bottom back to the start of the array when this bin misses or
//! overflows ([`Bin::restore`]).
//!
//! # Invariants
//! - `bottom <= top <= end`; without an array all three point to [`NOTHING`], which is never written.

use core::cell::Cell;

use crate::central::Blocks;
#[cfg(not(loom))]
use crate::pages::map::BIN_BYTES;
use crate::sys::atomic::{AtomicPtr, Ordering, settle_stores};
use crate::sys::cell::{Slot, Slots};

/// The slot of bins without an array: null, and never written.
pub(super) struct Nothing([usize; 1]);

/// The one slot that all bins without an array point to.
pub(super) static NOTHING: Nothing = Nothing([0]);

impl Nothing {
    pub(super) const fn slot(&'static self) -> *mut Slot {
        core::ptr::from_ref(&self.0).cast_mut().cast()
    }
}

pub(super) const SLOT_BYTES: usize = size_of::<Slot>();
/// Most blocks that one call of [`Bin::drain`] takes.
pub(super) const DRAIN_MAX: usize = 64;

/// The bin of one class in one heap. Changed by the heap's thread; drained by the thread that holds the heap's spans.
#[repr(C, align(32))]
pub(crate) struct Bin {
    /// Points to the last block. Written by the heap's thread; read by other threads for statistics and drains.
    top: AtomicPtr<Slot>,
    /// The last slot. Written by the heap's thread while it holds the spans.
    end: Cell<*mut Slot>,
    /// The bottom slot. Written by the thread that holds the spans; read by any thread for statistics.
    bottom: AtomicPtr<Slot>,
    /// Blocks in the bin when the heap last drained its idle bins. Written and read by the heap's thread.
    pub(super) mark: Cell<u16>,
    /// Refills and flushes since then, or since the bin last grew. Written and read by the heap's thread.
    pub(super) events: Cell<u16>,
    /// log2 of the slots of the array; 0 without one. Written by the heap's thread while it holds the spans.
    order: Cell<u8>,
}

#[cfg(not(loom))]
const _: () = assert!(size_of::<Bin>() == BIN_BYTES && core::mem::offset_of!(Bin, top) == 0);

// The models do not use the methods that copy slots as plain memory, which the model checker cannot follow.
#[cfg_attr(loom, allow(dead_code, reason = "models use what the fast path and drains use"))]
impl Bin {
    /// Offsets of the last block's place and of the bottom.
    #[cfg(not(loom))]
    pub(super) const OFFSETS: [usize; 2] = [core::mem::offset_of!(Self, top), core::mem::offset_of!(Self, bottom)];

    /// An empty bin without an array.
    pub(super) const fn empty() -> Self {
        Self::at(NOTHING.slot())
    }

    /// A bin of the inert heap that no operation reaches.
    pub(super) const fn unused() -> Self {
        Self::at(core::ptr::null_mut())
    }

    const fn at(slot: *mut Slot) -> Self {
        Self {
            top: AtomicPtr::new(slot),
            end: Cell::new(slot),
            bottom: AtomicPtr::new(slot),
            mark: Cell::new(0),
            events: Cell::new(0),
            order: Cell::new(0),
        }
    }

    /// Takes the last block; null if the bin is empty.
    #[inline(always)]
    pub(crate) fn pop(&self) -> *mut u8 {
        // Relaxed: only this thread writes.
        // SAFETY: `top` points to a slot or to `NOTHING`.
        let block = unsafe { Slots(self.top.load(Ordering::Relaxed)).get(0) };
        if !block.is_null() {
            // A block was there, so the slot below exists.
            self.step::<{ -(SLOT_BYTES as isize) }>();
        }
        block
    }

    /// As [`Bin::pop`], for the bin `offset` bytes behind `base`.
    ///
    /// # Safety
    /// - At `offset` lies a bin of the calling thread, or the first word of a bin that is always empty.
    #[cfg(not(loom))]
    #[inline(always)]
    pub(super) unsafe fn pop_at(base: *const u8, offset: usize) -> *mut u8 {
        // SAFETY: by this function's contract a bin's first word lies there, and only that word is read.
        let top = unsafe { &*base.wrapping_add(offset).cast::<AtomicPtr<Slot>>() };
        // Relaxed: only this thread writes.
        // SAFETY: `top` points to a slot or to `NOTHING`.
        let block = unsafe { Slots(top.load(Ordering::Relaxed)).get(0) };
        if !block.is_null() {
            // SAFETY: `top` is the bin's first word, and a block was there, so the slot below exists.
            unsafe { crate::sys::processor::step_at::<{ -(SLOT_BYTES as isize) }>(base, offset) };
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
        self.step::<{ SLOT_BYTES as isize }>();
        true
    }

    /// As [`Bin::push`], for the bin `offset` bytes behind `base` and a block that is not the one added last.
    ///
    /// # Safety
    /// - At `offset` lies a bin of the calling thread.
    #[cfg(not(loom))]
    #[inline(always)]
    pub(super) unsafe fn push_fresh_at(base: *const u8, offset: usize, block: *mut u8) -> bool {
        // SAFETY: by this function's contract a bin lies there.
        let bin = unsafe { &*base.wrapping_add(offset).cast::<Self>() };
        // Relaxed: only this thread writes.
        let top = bin.top.load(Ordering::Relaxed);
        if top == bin.end.get() {
            return false;
        }
        // SAFETY: `top` is below `end`, so the next slot exists.
        unsafe { Slots(top).set(1, block) };
        // SAFETY: `top` is the bin's first word, and the slot above exists.
        unsafe { crate::sys::processor::step_at::<{ SLOT_BYTES as isize }>(base, offset) };
        true
    }

    /// Moves `top` to a neighbouring slot, in one instruction.
    #[inline(always)]
    fn step<const DELTA: isize>(&self) {
        #[cfg(not(loom))]
        // SAFETY: the bin is this thread's, and callers step to a slot that exists.
        unsafe {
            crate::sys::processor::step::<DELTA>(self.top.as_ptr().cast());
        }
        #[cfg(loom)]
        {
            // Relaxed: only this thread writes.
            let top = self.top.load(Ordering::Relaxed).cast::<Slot>();
            self.top.store(top.wrapping_offset(DELTA / SLOT_BYTES as isize), Ordering::Relaxed);
        }
    }

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
            // SAFETY: as above; the slot is below the one that `top` points to, which no operation reads.
            unsafe { Slots(bottom).set(count, core::ptr::null_mut()) };
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
        let (bottom, start) = (self.bottom.load(Ordering::Relaxed), self.start());
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

    /// Whether a drain took blocks from below since the bin last missed or overflowed.
    pub(super) fn is_drained(&self) -> bool {
        // Relaxed: the caller holds the spans.
        self.bottom.load(Ordering::Relaxed) != self.start()
    }

    /// How many blocks the bin holds.
    pub(super) fn len(&self) -> usize {
        // Relaxed: exact for the owner, a moment old for statistics.
        let (top, bottom) = (self.top.load(Ordering::Relaxed), self.bottom.load(Ordering::Relaxed));
        top.addr().saturating_sub(bottom.addr()) / SLOT_BYTES
    }

    /// How many blocks the bin has room for.
    pub(super) fn capacity(&self) -> usize {
        // Relaxed: exact for the thread that holds the spans, a moment old for a report from a signal handler.
        (self.end.get().addr() - self.bottom.load(Ordering::Relaxed).addr()) / SLOT_BYTES
    }

    /// Whether `bottom`, `top` and `end` lie in that order and the bottom slot is null; for the check.
    #[cfg(debug_assertions)]
    pub(super) fn is_ordered(&self) -> bool {
        // Relaxed: only this thread writes.
        let (bottom, top) = (self.bottom.load(Ordering::Relaxed), self.top.load(Ordering::Relaxed));
        // SAFETY: the bottom is a slot or `NOTHING`.
        bottom <= top && top <= self.end.get() && unsafe { Slots(bottom).get(0) }.is_null()
    }

    /// Adds the first of `blocks` until half of the room is used. Returns how many it added.
    pub(super) fn take_in(&self, blocks: &[*mut u8]) -> usize {
        let len = self.len();
        let count = self.capacity().div_ceil(2).saturating_sub(len).min(blocks.len());
        // SAFETY: the slot behind the last block exists, if only as the end of the array.
        let free = unsafe { self.slots().0.add(len + 1) };
        // SAFETY: there is room for `count` blocks, and the array is this thread's.
        unsafe { free.cast::<*mut u8>().copy_from_nonoverlapping(blocks.as_ptr(), count) };
        self.set_len(len + count);
        count
    }

    /// Whether the bin holds less than half of what it has room for.
    #[inline(always)]
    pub(super) fn has_half(&self) -> bool {
        2 * self.len() < self.capacity()
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
        // SAFETY: `top` points to a slot, the bottom if there is no block.
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
        unsafe { self.slots().0.add(index) }.cast()
    }

    /// Sets the number of blocks, which callers have put into the slots above the bottom.
    pub(super) fn set_len(&self, len: usize) {
        debug_assert!(len <= self.capacity());
        // SAFETY: `len` is at most the capacity, so that slot lies in the array.
        let top = unsafe { self.slots().0.add(len) };
        // Relaxed: only this thread writes.
        self.top.store(top, Ordering::Relaxed);
    }

    /// The `count` lowest blocks, at most the length.
    pub(super) fn lowest(&self, count: usize) -> Blocks<'_> {
        debug_assert!(count <= self.len());
        // SAFETY: slot 1 exists if there is a block.
        let first = unsafe { self.slots().0.add(1) };
        // SAFETY: slots 1 to the length hold blocks, and only this thread changes them.
        let blocks = unsafe { core::slice::from_raw_parts(first.cast(), count) };
        // SAFETY: a bin holds blocks of its spans, and freed blocks whose map entry names it.
        unsafe { Blocks::new(blocks) }
    }

    /// Drops the `count` lowest blocks and moves the rest down.
    pub(super) fn drop_lowest(&self, count: usize) {
        let keep = self.len() - count;
        // SAFETY: slots 1 to the length exist, and the array is this thread's.
        let first = unsafe { self.slots().0.add(1) }.cast::<*mut u8>();
        // SAFETY: as above.
        let rest = unsafe { first.add(count) };
        // SAFETY: as above; the two ranges may overlap.
        unsafe { rest.copy_to(first, keep) };
        self.set_len(keep);
    }

    /// Becomes an empty bin in the array of 2^`order` slots at `start`, whose first holds null.
    pub(super) fn adopt(&self, start: *mut Slot, order: u8) {
        // SAFETY: the caller acquired that many slots.
        let end = unsafe { start.add((1 << order) - 1) };
        // Relaxed: this thread holds the spans.
        self.top.store(start, Ordering::Relaxed);
        self.bottom.store(start, Ordering::Relaxed);
        self.end.set(end);
        self.order.set(order);
    }

    /// Becomes an empty bin without an array, whatever its state was.
    pub(super) fn forget(&self) {
        self.adopt(NOTHING.slot(), 0);
        self.mark.set(0);
        self.events.set(0);
    }

    /// The array: its first slot, and log2 of its slots; `None` without one.
    pub(super) fn array(&self) -> Option<(*mut Slot, u8)> {
        (self.order.get() > 0).then(|| (self.start(), self.order.get()))
    }

    /// The addresses that an interrupted operation may still use: those around the last block, the bottom included.
    pub(super) fn hot_slots(&self) -> core::ops::Range<usize> {
        // Relaxed: as in `drain`.
        let (top, bottom) = (self.top.load(Ordering::Relaxed).addr(), self.bottom.load(Ordering::Relaxed).addr());
        bottom.min(top)..top + 2 * SLOT_BYTES
    }

    fn start(&self) -> *mut Slot {
        self.end.get().wrapping_sub((1 << self.order.get()) - 1)
    }

    fn slots(&self) -> Slots {
        // Relaxed: exact for the thread that holds the spans, a moment old for others.
        Slots(self.bottom.load(Ordering::Relaxed))
    }
}

#[cfg(all(test, loom))]
#[path = "bin_models.rs"]
mod models;
