//! A batch: block pointers that travel together, in a piece of metadata.

use core::cell::Cell;

use crate::base::class::{BATCH_BLOCKS_MAX, Geometry};
use crate::base::units::KIB;

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
    len: Cell<usize>,
    blocks: [Cell<*mut u8>; BLOCKS],
}

const _: () = assert!(size_of::<Batch>() == BATCH_BYTES);

impl Batch {
    /// An empty batch.
    pub(crate) const fn new(key: usize) -> Self {
        Self {
            next: Cell::new(core::ptr::null_mut()),
            key: Cell::new(key),
            len: Cell::new(0),
            blocks: [const { Cell::new(core::ptr::null_mut()) }; BLOCKS],
        }
    }

    /// Forgets the blocks, and goes to `key` from now on.
    pub(crate) fn clear(&self, key: usize) {
        self.key.set(key);
        self.len.set(0);
    }

    /// How many blocks it holds.
    pub(crate) fn len(&self) -> usize {
        self.len.get().min(BLOCKS)
    }

    /// Adds a block; whether there is room for another one of that kind.
    #[inline(always)]
    #[must_use]
    pub(crate) fn push(&self, block: *mut u8, geometry: &Geometry) -> bool {
        let len = self.len();
        if let Some(slot) = self.blocks.get(len) {
            slot.set(block);
            self.len.set(len + 1);
        }
        len + 1 < geometry.batch as usize
    }

    /// The block added last; null if there is none.
    pub(crate) fn last(&self) -> *mut u8 {
        let before = self.len().checked_sub(1);
        before.and_then(|index| self.blocks.get(index)).map_or(core::ptr::null_mut(), Cell::get)
    }

    /// The blocks.
    pub(crate) fn iter(&self) -> impl Iterator<Item = *mut u8> {
        self.blocks.iter().take(self.len()).map(Cell::get)
    }
}
