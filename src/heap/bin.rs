#![expect(unsafe_code, reason = "works on the bin's array of pointers")]
//! A bin: a heap's array of free blocks of one class, out of line, last in first out.
//!
//! The bottom slot always holds null, so an empty bin and a bin without an array look the same to the fast path: the
//! top slot is null. `top` points to the last block, `end` to the last slot that is used. The slot below the bottom
//! holds null, too, because a push compares the block with the last two. A bin never writes to the blocks themselves.
//! Must not know spans, nor where arrays come from. `bin_drain.rs` has what other threads may do to a bin.
//!
//! # Invariants
//! - `bottom <= top <= end`; without an array all three point to [`NOTHING`], which is never written.
//! - An array starts at a multiple of its bytes, and has one slot below the first bottom.

use core::cell::Cell;

#[cfg(loom)]
use crate::base::start;
use crate::central::Blocks;
#[cfg(not(loom))]
use crate::pages::map::BIN_BYTES;
use crate::sys::atomic::{AtomicPtr, Ordering};
use crate::sys::cell::{Slot, Slots};
#[cfg(not(loom))]
use crate::sys::processor;

/// The slot of bins without an array, and the one below it: null, and never written.
pub(super) struct Nothing([usize; 2]);

/// The one slot that all bins without an array point to.
pub(super) static NOTHING: Nothing = Nothing([0; 2]);

impl Nothing {
    pub(super) const fn slot(&'static self) -> *mut Slot {
        let [_, slot] = &self.0;
        core::ptr::from_ref(slot).cast_mut().cast()
    }
}

pub(super) const SLOT_BYTES: usize = size_of::<Slot>();
/// Slots of an array that hold no block: the bottom, and the one below it.
pub(super) const NULL_SLOTS: usize = 2;

/// The bin of one class in one heap. Changed by the heap's thread; drained by the thread that holds the heap's spans.
#[repr(C, align(32))]
pub(crate) struct Bin {
    /// Points to the last block. Written by the heap's thread; read by other threads for statistics and drains.
    pub(super) top: AtomicPtr<Slot>,
    /// The lower half of the address of the last slot. Written by the heap's thread while it holds the spans.
    end: Cell<u32>,
    /// Blocks in the bin when the heap last drained its idle bins. Written and read by the heap's thread.
    pub(super) mark: Cell<u16>,
    /// Refills and flushes since then, or since the bin last grew. Written and read by the heap's thread.
    pub(super) events: Cell<u8>,
    /// log2 of the slots of the array; 0 without one. Written by the heap's thread while it holds the spans.
    pub(super) order: Cell<u8>,
    /// The bottom slot. Written by the thread that holds the spans; read by any thread for statistics.
    pub(super) bottom: AtomicPtr<Slot>,
    /// The factor by which a push proves that a block starts at an address (`base/class.rs`); 0 in bins of the inert
    /// heap. Written before a thread gets the heap.
    proof: Cell<u64>,
}

/// The offset of the factor.
#[cfg(not(loom))]
const PROOF: usize = core::mem::offset_of!(Bin, proof);

#[cfg(not(loom))]
const _: () = assert!(size_of::<Bin>() == BIN_BYTES && core::mem::offset_of!(Bin, top) == 0);

// The models do not use the methods that copy slots as plain memory, which the model checker cannot follow.
#[cfg_attr(loom, allow(dead_code, reason = "models use what the fast path and drains use"))]
impl Bin {
    /// Offsets of the last block's place and of the bottom.
    #[cfg(not(loom))]
    pub(super) const OFFSETS: [usize; 2] = [core::mem::offset_of!(Self, top), core::mem::offset_of!(Self, bottom)];

    /// A bin of the inert heap that no operation reaches.
    pub(super) const fn unused() -> Self {
        Self {
            top: AtomicPtr::new(core::ptr::null_mut()),
            end: Cell::new(0),
            mark: Cell::new(0),
            events: Cell::new(0),
            order: Cell::new(0),
            bottom: AtomicPtr::new(core::ptr::null_mut()),
            proof: Cell::new(0),
        }
    }

    /// Has pushes prove starts by `factor`.
    pub(super) fn set_proof(&self, factor: u64) {
        self.proof.set(factor);
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
            unsafe { processor::step_at::<{ -(SLOT_BYTES as isize) }>(base, offset) };
        }
        block
    }

    /// Adds a block; false if the bin is full, if `block` is one of the two added last, or if no block of the class
    /// starts there. For classes that are not spanning ones.
    #[inline(always)]
    pub(crate) fn push(&self, block: *mut u8) -> bool {
        self.put_unless(block, |top| !self.proves_start(block) || Self::is_near(top, block))
    }

    /// As [`Bin::push`], for a spanning class and a block at `place` in its span.
    #[inline(always)]
    pub(super) fn push_spanning(&self, block: *mut u8, place: usize) -> bool {
        self.put_unless(block, |top| !self.proves_place(place) || Self::is_near(top, block))
    }

    /// As [`Bin::push`], for a block whose start is known: refuses it only if the bin is full.
    #[inline]
    pub(super) fn add(&self, block: *mut u8) -> bool {
        self.put_unless(block, |_| false)
    }

    #[inline(always)]
    fn put_unless(&self, block: *mut u8, refuses: impl FnOnce(*mut Slot) -> bool) -> bool {
        // Relaxed: only this thread writes.
        let top = self.top.load(Ordering::Relaxed);
        if top.addr() as u32 == self.end.get() || refuses(top) {
            return false;
        }
        // SAFETY: `top` is below `end`, so the next slot exists.
        unsafe { Slots(top).set(1, block) };
        self.step::<{ SLOT_BYTES as isize }>();
        true
    }

    /// Whether the bin's factor proves that a block starts at `block`, whose map entry names this bin.
    #[inline(always)]
    pub(super) fn proves_start(&self, block: *mut u8) -> bool {
        #[cfg(not(loom))]
        // SAFETY: the factor is a field of this structure.
        let proven = unsafe { processor::proves_start::<PROOF>(block.addr(), core::ptr::from_ref(self).cast()) };
        #[cfg(loom)]
        let proven = start::is_proven(self.proof.get(), start::place_in_region(block.addr()));
        proven
    }

    /// As [`Bin::proves_start`], for a spanning class and a block at `place` in its span.
    #[inline(always)]
    pub(super) fn proves_place(&self, place: usize) -> bool {
        #[cfg(not(loom))]
        // SAFETY: as in `proves_start`.
        let proven = unsafe { processor::is_proven_at::<PROOF>(place, core::ptr::from_ref(self).cast()) };
        #[cfg(loom)]
        let proven = start::is_proven(self.proof.get(), place as u32);
        proven
    }

    /// Whether `block` is one of the two blocks added last.
    #[inline(always)]
    pub(super) fn has_near(&self, block: *mut u8) -> bool {
        // Relaxed: only this thread writes.
        Self::is_near(self.top.load(Ordering::Relaxed), block)
    }

    #[inline(always)]
    fn is_near(top: *mut Slot, block: *mut u8) -> bool {
        // SAFETY: `top` points to a slot.
        if unsafe { Slots(top).get(0) } == block {
            return true;
        }
        // SAFETY: there is a slot below every slot that `top` points to.
        unsafe { Slots(top).is_below(block) }
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
        if top.addr() as u32 == bin.end.get() {
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
            processor::step::<DELTA>(self.top.as_ptr().cast());
        }
        #[cfg(loom)]
        {
            // Relaxed: only this thread writes.
            let top = self.top.load(Ordering::Relaxed).cast::<Slot>();
            self.top.store(top.wrapping_offset(DELTA / SLOT_BYTES as isize), Ordering::Relaxed);
        }
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
        let bottom = self.bottom.load(Ordering::Relaxed).addr() as u32;
        self.end.get().wrapping_sub(bottom) as usize / SLOT_BYTES
    }

    /// Half of the room, rounded up to half of the slots: a power of two where the array is full of slots, so that
    /// blocks are taken by whole words of a bitmap, and moves within the array keep the alignment, which makes them
    /// fast.
    #[inline]
    pub(super) fn half(&self) -> usize {
        (self.capacity() + NULL_SLOTS) / 2
    }

    /// Adds the first of `blocks` until half of the room is used. Returns how many it added.
    pub(super) fn take_in(&self, blocks: &[*mut u8]) -> usize {
        let len = self.len();
        let count = self.half().saturating_sub(len).min(blocks.len());
        // SAFETY: the slot behind the last block exists, if only as the end of the array.
        let free = unsafe { self.slots().0.add(len + 1) };
        // SAFETY: there is room for `count` blocks, and the array is this thread's.
        unsafe { free.cast::<*mut u8>().copy_from_nonoverlapping(blocks.as_ptr(), count) };
        self.set_len(len + count);
        count
    }

    /// Whether the bin holds less than half of what it has room for.
    #[inline(always)]
    pub(super) fn is_below_half(&self) -> bool {
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

    /// Becomes an empty bin with room for `capacity` blocks in the array of 2^`order` slots at `start`, whose first two
    /// hold null.
    pub(super) fn adopt(&self, start: *mut Slot, order: u8, capacity: usize) {
        debug_assert!(capacity + NULL_SLOTS <= 1 << order);
        self.begin(start.wrapping_add(1), capacity);
        self.order.set(order);
    }

    fn begin(&self, bottom: *mut Slot, capacity: usize) {
        // Relaxed: this thread holds the spans.
        self.top.store(bottom, Ordering::Relaxed);
        self.bottom.store(bottom, Ordering::Relaxed);
        self.end.set(bottom.wrapping_add(capacity).addr() as u32);
    }

    /// Becomes an empty bin without an array, whatever its state was.
    pub(super) fn forget(&self) {
        self.begin(NOTHING.slot(), 0);
        self.order.set(0);
        self.mark.set(0);
        self.events.set(0);
    }

    /// Whether a drain took blocks from below since the bin last missed or overflowed.
    pub(super) fn is_drained(&self) -> bool {
        // Relaxed: the caller holds the spans.
        self.bottom.load(Ordering::Relaxed) != self.first_bottom()
    }

    /// The array: its first slot, and log2 of its slots; `None` without one.
    pub(super) fn array(&self) -> Option<(*mut Slot, u8)> {
        (self.order.get() > 0).then(|| (self.start(), self.order.get()))
    }

    /// The first slot of the array, which is aligned to its bytes.
    fn start(&self) -> *mut Slot {
        // Relaxed: this thread holds the spans.
        self.bottom.load(Ordering::Relaxed).map_addr(|bottom| bottom & !((SLOT_BYTES << self.order.get()) - 1))
    }

    /// The bottom while no drain has raised it.
    pub(super) fn first_bottom(&self) -> *mut Slot {
        if self.order.get() == 0 { NOTHING.slot() } else { self.start().wrapping_add(1) }
    }

    fn slots(&self) -> Slots {
        // Relaxed: exact for the thread that holds the spans, a moment old for others.
        Slots(self.bottom.load(Ordering::Relaxed))
    }
}

#[cfg(all(test, loom))]
#[path = "bin_models.rs"]
mod models;
