#![expect(unsafe_code, reason = "fills blocks that are given up")]
//! Work on each block that options ask for: counting it by lane (`SPANDREL_DIAG`), filling it with junk (profile
//! `test-fixture`). With either, the slow path sees every call.

use super::request::Request;
use crate::base::lane::Lane;
use crate::central::Fresh;
use crate::heap::Heap;
use crate::process::state::PROCESS;
use crate::sys::memory;

/// The byte that fills a fresh block.
const FRESH: u8 = 0xa5;
/// The byte that fills a freed block.
const FREED: u8 = 0x5a;

/// Counts and fills a block that is about to be handed out.
#[cold]
pub(super) fn made(fresh: &Fresh, request: Request) {
    let options = PROCESS.options();
    if options.junk && !request.zero {
        fresh.fill(FRESH);
    }
    count(fresh.lane(), request.size);
}

/// Counts a block that a mode allocates outside the default way.
pub(crate) fn count(lane: Lane, size: usize) {
    if PROCESS.options().diag > 0 {
        PROCESS.tally.serve(lane, size);
    }
}

/// Fills a block that is about to be freed, if the pointer resolves to a live block.
#[cold]
pub(super) fn freeing(heap: &Heap, block: *mut u8) {
    if !PROCESS.options().junk {
        return;
    }
    if let Ok(Some(bytes)) = PROCESS.central.resolve(block.addr()).usable(block.addr(), heap.address()) {
        // SAFETY: `usable` found a live block of so many bytes at this address, and the program frees it.
        unsafe { memory::fill(block, bytes, FREED) };
    }
}

/// Counts a block that was freed.
#[cold]
pub(super) fn freed(lane: Lane) {
    if PROCESS.options().diag > 0 {
        PROCESS.tally.free(lane);
    }
}
