#![expect(unsafe_code, reason = "shows cells as a slice")]
//! A batch: block pointers that travel together, in a piece of metadata.

use core::cell::Cell;

use crate::base::class::{BATCH_BLOCKS_MAX, Geometry};
use crate::base::units::KIB;
use crate::pages::Entry;

/// Bytes of a batch.
pub(crate) const BATCH_BYTES: usize = KIB;
/// Most blocks of a batch.
const BLOCKS: usize = BATCH_BLOCKS_MAX;

/// See the module. In the hands of one thread at a time, or of a shelf under its lock.
#[repr(C)]
pub(crate) struct Batch {
    /// The next batch of a stack.
    pub(crate) next: Cell<*mut Batch>,
    /// Where it goes: an owner's address, or the entry of a class of the depot.
    pub(crate) key: Cell<usize>,
    /// The map entry that all its blocks share, if they do.
    common: Cell<Entry>,
    len: Cell<usize>,
    blocks: [Cell<*mut u8>; BLOCKS],
}

const _: () = assert!(size_of::<Batch>() == BATCH_BYTES);

impl Batch {
    /// Offsets of the next batch, of how many blocks there are, and of the first block.
    pub(crate) const OFFSETS: [usize; 3] =
        [core::mem::offset_of!(Self, next), core::mem::offset_of!(Self, len), core::mem::offset_of!(Self, blocks)];

    /// An empty batch.
    pub(crate) const fn new(key: usize) -> Self {
        Self {
            next: Cell::new(core::ptr::null_mut()),
            key: Cell::new(key),
            common: Cell::new(Entry::NONE),
            len: Cell::new(0),
            blocks: [const { Cell::new(core::ptr::null_mut()) }; BLOCKS],
        }
    }

    /// Forgets the blocks, and goes to `key` from now on.
    pub(crate) fn clear(&self, key: usize) {
        self.key.set(key);
        self.common.set(Entry::NONE);
        self.len.set(0);
    }

    /// How many blocks it holds.
    pub(crate) fn len(&self) -> usize {
        self.len.get().min(BLOCKS)
    }

    /// Adds a block from a region with the map entry `entry`; whether there is room for another one of that kind.
    #[inline(always)]
    #[must_use]
    pub(crate) fn push(&self, block: *mut u8, entry: Entry, geometry: &Geometry) -> bool {
        let len = self.len.get();
        if let Some(slot) = self.blocks.get(len) {
            slot.set(block);
            self.len.set(len + 1);
        }
        if self.common.get() != entry {
            self.common.set(if len == 0 { entry } else { Entry::NONE });
        }
        len + 1 < geometry.batch as usize
    }

    /// As `push`, for a block from a region with the entry that all blocks here share; false, and nothing is added, if it would be the
    /// last one, or is the one added last.
    #[inline(always)]
    pub(crate) fn push_common(&self, block: *mut u8, geometry: &Geometry) -> bool {
        let len = self.len.get();
        if len + 1 >= geometry.batch as usize {
            return false;
        }
        // SAFETY: blocks that share an entry are there, so there is one before `len`, which is less than `batch`, at most `BLOCKS`.
        let last = unsafe { self.blocks.get_unchecked(len - 1) }.get();
        if last == block {
            return false;
        }
        // SAFETY: as above.
        unsafe { self.blocks.get_unchecked(len) }.set(block);
        self.len.set(len + 1);
        true
    }

    /// The map entry that all its blocks share; [`Entry::NONE`] where they differ.
    #[inline(always)]
    pub(crate) fn common(&self) -> Entry {
        self.common.get()
    }

    /// The block added last; null if there is none.
    #[inline(always)]
    pub(crate) fn last(&self) -> *mut u8 {
        let before = self.len.get().wrapping_sub(1);
        self.blocks.get(before).map_or(core::ptr::null_mut(), Cell::get)
    }

    /// The blocks.
    pub(crate) fn blocks(&self) -> &[*mut u8] {
        // SAFETY: a cell has the layout of what it holds, and nobody adds blocks while they are looked at.
        unsafe { core::slice::from_raw_parts(self.blocks.as_ptr().cast(), self.len()) }
    }
}
