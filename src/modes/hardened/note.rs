//! What is noted of a block from when it is made until it leaves the quarantine.

use crate::modes::ledger::Record;

/// See the module.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub(crate) struct Note {
    pub(crate) address: usize,
    /// As asked for: the usable size, too.
    pub(crate) size: usize,
    /// Bytes of the block that holds it.
    pub(crate) whole: usize,
    /// The thread that made it, by the kernel's number.
    pub(crate) made_by: u32,
    /// The thread that freed it; 0 while it is live.
    pub(crate) freed_by: u32,
}

const _: () = assert!(size_of::<Note>() == 32);

#[expect(unsafe_code, reason = "vouches for zeroes")]
// SAFETY: zeroes are a note of address 0.
unsafe impl Record for Note {
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
