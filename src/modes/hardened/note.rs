//! The note of a block, from its allocation until it leaves the quarantine.

use crate::modes::ledger::Record;
use crate::sys::mapping::zeroed;

/// A block that the program holds, or that is in the quarantine.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub(crate) struct Note {
    pub(crate) address: usize,
    /// As asked for: the usable size, too.
    pub(crate) size: usize,
    /// Bytes of the block that holds it.
    pub(crate) whole: usize,
    /// The thread that allocated it, by the kernel's number.
    pub(crate) made_by: u32,
    /// The thread that freed it; 0 while it is live.
    pub(crate) freed_by: u32,
}

const _: () = assert!(size_of::<Note>() == 32);

zeroed!(Note { address, size, whole, made_by, freed_by });

impl Record for Note {
    fn key(&self) -> usize {
        self.address
    }
}

impl Note {
    /// Whether the program holds the block.
    pub(crate) fn is_live(&self) -> bool {
        self.freed_by == 0
    }
}
