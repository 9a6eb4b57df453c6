#![expect(unsafe_code, reason = "shows slots as a slice, follows links of batches")]
//! A batch: block pointers that travel together, from heap to heap or to the central list and back, in a piece of
//! metadata.

use core::cell::Cell;
#[cfg(not(loom))]
use core::mem::offset_of;

use crate::base::class::{BATCH_BLOCKS_MAX, Geometry};
use crate::base::units::KIB;
use crate::pages::Entry;
use crate::sys::atomic::{AtomicU32, AtomicUsize, Ordering, settle_stores};
use crate::sys::cell::{Relaxed, Slot};
#[cfg(not(loom))]
use crate::sys::processor;

pub(crate) const BATCH_BYTES: usize = KIB;
/// Most blocks of a batch.
const BLOCKS: usize = BATCH_BLOCKS_MAX;
#[cfg(not(loom))]
const SLOT_BYTES: isize = size_of::<Slot>() as isize;

/// One thread at a time has a batch, or a stack under its lock. A drain may also empty one of an outbox whose thread
/// was interrupted in [`Batch::push`] or [`Batch::push_common`]. These read the length and the last two blocks, write
/// the slot behind them and the length. [`Batch::move_to`] changes neither length nor slots from there on: it notes
/// that the first blocks are gone.
#[repr(C)]
pub(crate) struct Batch {
    /// The next batch of a stack.
    pub(crate) next: Cell<*mut Batch>,
    /// Its destination: a heap's address, or the entry of a class of the central list.
    pub(crate) key: Cell<usize>,
    /// The map entry that all its blocks share, if they do.
    common: Relaxed<AtomicUsize>,
    /// Slots used.
    len: AtomicU32,
    /// How many of the first slots hold nothing any more. Written under the lock of the spans.
    gone: Relaxed<AtomicU32>,
    blocks: [Slot; BLOCKS],
}

#[cfg(not(loom))]
const _: () = assert!(size_of::<Batch>() == BATCH_BYTES);

impl Batch {
    /// Offsets of the next batch, of how many slots are used and how many of the first hold nothing, four bytes each,
    /// and of the slots.
    pub(crate) const OFFSETS: [usize; 4] = [
        core::mem::offset_of!(Self, next),
        core::mem::offset_of!(Self, len),
        core::mem::offset_of!(Self, gone),
        core::mem::offset_of!(Self, blocks),
    ];

    /// An empty batch.
    pub(crate) const fn new(key: usize) -> Self {
        Self {
            next: Cell::new(core::ptr::null_mut()),
            key: Cell::new(key),
            common: Relaxed::<AtomicUsize>::new(Entry::MIXED.bits()),
            len: AtomicU32::new(0),
            gone: Relaxed::<AtomicU32>::new(0),
            blocks: [const { Slot::new(core::ptr::null_mut()) }; BLOCKS],
        }
    }

    /// Empties the batch and sets its destination to `key`.
    pub(crate) fn clear(&self, key: usize) {
        self.key.set(key);
        self.common.set(Entry::MIXED.bits());
        self.gone.set(0);
        // Relaxed: the batch is the caller's alone.
        self.len.store(0, Ordering::Relaxed);
    }

    /// How many blocks it holds.
    pub(crate) fn len(&self) -> usize {
        self.used().saturating_sub(self.gone.get() as usize)
    }

    /// Slots used.
    #[inline(always)]
    fn used(&self) -> usize {
        // Relaxed: exact for the thread that pushes. A drain starts a round after it closed the fast path, and sees all
        // earlier pushes.
        (self.len.load(Ordering::Relaxed) as usize).min(BLOCKS)
    }

    /// Whether a batch of this kind has room for another block than the next one.
    #[inline(always)]
    pub(crate) fn has_room(&self, geometry: &Geometry) -> bool {
        // Relaxed: asked by the thread that pushes.
        self.len.load(Ordering::Relaxed) + 1 < u32::from(geometry.batch)
    }

    /// Adds a block from a region with the map entry `entry`; whether there is room for another one of that kind.
    #[inline(always)]
    #[must_use]
    pub(crate) fn push(&self, block: *mut u8, entry: Entry, geometry: &Geometry) -> bool {
        // Relaxed: only this thread writes.
        let len = self.len.load(Ordering::Relaxed);
        // At any moment the blocks below the length have the common entry, if there is one.
        if len != 0 && self.common() != entry {
            self.common.set(Entry::MIXED.bits());
            settle_stores();
        }
        if let Some(slot) = self.blocks.get(len as usize) {
            // Relaxed: only this thread writes.
            slot.store(block, Ordering::Relaxed);
            settle_stores();
            // Relaxed: as above.
            self.len.store(len + 1, Ordering::Relaxed);
        }
        if len == 0 {
            settle_stores();
            self.common.set(entry.bits());
        }
        len + 1 < u32::from(geometry.batch)
    }

    /// As `push`, for a block that starts in a region with the entry that all blocks here share; false, and nothing is
    /// added, if it would be the last one, or is one of the two added last.
    #[inline(always)]
    pub(crate) fn push_common(&self, block: *mut u8, geometry: &Geometry) -> bool {
        // Relaxed: only this thread writes.
        let len = self.len.load(Ordering::Relaxed);
        if len + 1 >= u32::from(geometry.batch) || self.is_near(block, len) {
            return false;
        }
        // SAFETY: `len` is less than `batch`, at most `BLOCKS`.
        let slot = unsafe { self.blocks.get_unchecked(len as usize) };
        // Relaxed: only this thread writes.
        slot.store(block, Ordering::Relaxed);
        settle_stores();
        // Relaxed: as above.
        self.len.store(len + 1, Ordering::Relaxed);
        true
    }

    /// Whether `block` is one of the two added last; the batch has `len` slots in use and a common entry, which is set
    /// once the first slot is used.
    #[inline(always)]
    fn is_near(&self, block: *mut u8, len: u32) -> bool {
        // Before the first slot lies the length. It is 1 where it is compared: odd, so it is no block.
        #[cfg(not(loom))]
        const {
            assert!(offset_of!(Self, blocks) - offset_of!(Self, len) == SLOT_BYTES as usize)
        };
        #[cfg(not(loom))]
        let is_near = {
            let end = self.blocks.as_ptr().wrapping_add(len as usize).cast();
            // SAFETY: there is a slot before `len`, and a slot or the length before that.
            (unsafe { processor::is_at::<{ -SLOT_BYTES }>(block.addr(), end) })
                // SAFETY: as above.
                || unsafe { processor::is_at::<{ -2 * SLOT_BYTES }>(block.addr(), end) }
        };
        #[cfg(loom)]
        let is_near = len > 0 && self.has_near(block);
        is_near
    }

    /// The map entry that all its blocks share; [`Entry::MIXED`] where they differ, and while there is none.
    #[inline(always)]
    pub(crate) fn common(&self) -> Entry {
        Entry::from_bits(self.common.get())
    }

    /// Whether `block` is one of the two added last.
    #[inline(always)]
    pub(crate) fn has_near(&self, block: *mut u8) -> bool {
        // Relaxed: only this thread writes it.
        let len = self.len.load(Ordering::Relaxed) as usize;
        // Relaxed: this thread wrote it, or another one null.
        let is = |index: usize| self.blocks.get(index).is_some_and(|slot| slot.load(Ordering::Relaxed) == block);
        is(len.wrapping_sub(1)) || is(len.wrapping_sub(2))
    }

    /// The blocks. For the thread that has the batch to itself.
    pub(crate) fn blocks(&self) -> &[*mut u8] {
        // SAFETY: a slot has the layout of what it holds, and the caller has the batch to itself.
        let slots = unsafe { core::slice::from_raw_parts(self.blocks.as_ptr().cast(), self.used()) };
        slots.get(self.gone.get() as usize..).unwrap_or(&[])
    }

    /// As [`Batch::blocks`], for the spans that they go back to.
    pub(crate) fn given_out(&self) -> Blocks<'_> {
        // SAFETY: batches are filled with freed blocks whose entry in the map was read, and with blocks of bins.
        unsafe { Blocks::new(self.blocks()) }
    }

    /// Takes all blocks out and calls `see` with each. The caller holds the spans of the outbox's heap, whose thread
    /// may be interrupted in a push.
    pub(crate) fn move_each(&self, mut see: impl FnMut(*mut u8)) {
        let (used, gone) = (self.used(), self.gone.get() as usize);
        if used == gone {
            return;
        }
        // The child of a fork may lose the blocks, but must not have them twice.
        self.gone.set(used as u32);
        settle_stores();
        for slot in self.blocks.iter().take(used).skip(gone) {
            // Relaxed: written by a push that was over when the fast path was closed, or under this lock.
            see(slot.load(Ordering::Relaxed));
        }
        for last in self.blocks.iter().take(used).skip(used.saturating_sub(2)) {
            // The block may be another's by now: the next push must not take it for its own.
            // Relaxed: an interrupted push has compared it already, or finds null.
            last.store(core::ptr::null_mut(), Ordering::Relaxed);
        }
    }

    /// Replaces each block by the one that `other` returns for it, or drops it where that is null. For the thread that
    /// has the batch to itself.
    pub(crate) fn replace_each(&self, mut other: impl FnMut(*mut u8) -> *mut u8) {
        let (used, gone) = (self.used(), self.gone.get() as usize);
        let mut len = 0;
        for slot in self.blocks.iter().take(used).skip(gone) {
            // Relaxed: the batch is the caller's alone.
            let block = other(slot.load(Ordering::Relaxed));
            if let Some(place) = self.blocks.get(len).filter(|_| !block.is_null()) {
                // Relaxed: as above.
                place.store(block, Ordering::Relaxed);
                len += 1;
            }
        }
        self.gone.set(0);
        // Relaxed: as above.
        self.len.store(len as u32, Ordering::Relaxed);
    }

    /// As [`Batch::move_each`], into the empty batch `other`.
    pub(crate) fn move_to(&self, other: &Self) {
        other.common.set(self.common.get());
        let mut len = 0;
        self.move_each(|block| {
            if let Some(slot) = other.blocks.get(len as usize) {
                // Relaxed: the batch is the caller's alone.
                slot.store(block, Ordering::Relaxed);
                len += 1;
            }
        });
        // Relaxed: as above.
        other.len.store(len, Ordering::Relaxed);
    }
}

/// Blocks that their spans gave out and that did not come back yet, as bins and batches hold them: each lies in a
/// region that is in use.
#[derive(Clone, Copy)]
pub(crate) struct Blocks<'a>(&'a [*mut u8]);

/// One of [`Blocks`].
#[derive(Clone, Copy)]
pub(crate) struct Block(*mut u8);

impl<'a> Blocks<'a> {
    /// These blocks.
    ///
    /// # Safety
    /// - Each was taken from a span and not yet returned to it.
    #[inline(always)]
    pub(crate) const unsafe fn new(blocks: &'a [*mut u8]) -> Self {
        Self(blocks)
    }

    /// Their pointers.
    #[inline(always)]
    pub(crate) const fn pointers(self) -> &'a [*mut u8] {
        self.0
    }

    #[inline(always)]
    pub(crate) fn first(self) -> Option<Block> {
        self.0.first().map(|&block| Block(block))
    }

    /// The first `count`, or all if there are fewer.
    #[inline(always)]
    pub(crate) fn up_to(self, count: usize) -> Self {
        Self(self.0.get(..count).unwrap_or(self.0))
    }

    /// All but the first `count`.
    #[inline(always)]
    pub(crate) fn from(self, count: usize) -> Self {
        Self(self.0.get(count..).unwrap_or(&[]))
    }

    /// The pieces before, between and behind the entries that are `block`.
    pub(crate) fn split(self, block: *mut u8) -> impl Iterator<Item = Self> {
        self.0.split(move |&other| other == block).map(Self)
    }

    /// Each of them.
    #[inline(always)]
    pub(crate) fn each(self) -> impl Iterator<Item = Block> {
        self.0.iter().map(|&block| Block(block))
    }
}

impl Block {
    /// Its pointer.
    #[inline(always)]
    pub(crate) const fn pointer(self) -> *mut u8 {
        self.0
    }

    /// Its address.
    #[inline(always)]
    pub(crate) fn addr(self) -> usize {
        self.0.addr()
    }
}

/// Batches that belong to no thread, linked to a stack. The lock of its owner guards it.
pub(super) struct Stack {
    top: *mut Batch,
}

// SAFETY: the batches belong to no thread, and only the owner of the stack reaches them.
unsafe impl Send for Stack {}

impl Stack {
    /// No batches.
    pub(super) const fn new() -> Self {
        Self { top: core::ptr::null_mut() }
    }

    /// Whether there are none.
    pub(super) const fn is_empty(&self) -> bool {
        self.top.is_null()
    }

    /// Adds a batch; the caller does not use it afterwards.
    pub(super) fn push(&mut self, batch: &Batch) {
        batch.next.set(self.top);
        self.top = core::ptr::from_ref(batch).cast_mut();
    }

    /// Takes out the batch that was added last.
    pub(super) fn pop(&mut self) -> Option<&'static Batch> {
        // SAFETY: null, or a batch; batches lie in metadata, which is never unmapped.
        let batch = unsafe { self.top.as_ref() }?;
        self.top = batch.next.get();
        Some(batch)
    }

    /// The batches, the one that was added last first.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Batch> {
        let mut next = self.top;
        core::iter::from_fn(move || {
            // SAFETY: as in `pop`; the borrow of the stack keeps it there.
            let batch = unsafe { next.as_ref() }?;
            next = batch.next.get();
            Some(batch)
        })
    }
}

#[cfg(not(loom))]
impl Batch {
    /// A new, empty batch with destination `key`; `None` if there is no memory for it.
    pub(super) fn make(pages: &crate::pages::Pages, key: usize) -> Option<&'static Self> {
        let piece = pages.acquire_metadata(BATCH_BYTES)?.cast::<Self>();
        // SAFETY: the piece has the size and alignment of a batch, and nothing else has it.
        unsafe { piece.write(Self::new(key)) };
        // SAFETY: just written; metadata is never unmapped.
        Some(unsafe { &*piece })
    }
}

#[cfg(all(test, loom))]
#[path = "batch_models.rs"]
mod models;
