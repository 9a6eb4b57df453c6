#![expect(unsafe_code, reason = "fills blocks that are given up")]
//! What options want done to each block: counted by lane (`SPANDREL_DIAG`), filled with junk (profile `test-fixture`). With either, the slow path
//! sees every call.

use super::request::Request;
use crate::base::lane::Lane;
use crate::central::Fresh;
use crate::heap::Heap;
use crate::process::state::PROCESS;
use crate::sys::memory;

/// Junk in a fresh block, and in a freed one.
const FRESH: u8 = 0xa5;
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

/// Counts a block that a mode makes by itself.
pub(crate) fn count(lane: Lane, size: usize) {
    if PROCESS.options().diag > 0 {
        PROCESS.tally.serve(lane, size);
    }
}

/// Fills a block that is about to be freed, as far as it can be told to be one.
#[cold]
pub(super) fn freeing(heap: &Heap, block: *mut u8) {
    if !PROCESS.options().junk {
        return;
    }
    if let Ok(Some(bytes)) = PROCESS.central.resolve(block.addr()).usable(block.addr(), heap.address()) {
        // SAFETY: a live block of so many bytes starts there, and the program gives it up.
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
