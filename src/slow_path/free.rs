#![expect(unsafe_code, reason = "defers blocks by their first word")]
//! free on the slow path: with this thread's heap by the mode in force, without a heap, or from inside the allocator.

use super::mode::Mode;
use super::{alloc, foreign, inspect, sampled};
use crate::base::lane::Lane;
use crate::heap::Freed;
use crate::process::state::PROCESS;
use crate::process::tally::Reason;
use crate::process::thread::{self, HeapAccess};
use crate::sys::call;

/// Frees `block`, which may be null, Spandrel's or libc's, in mode `M`.
pub(crate) fn free<M: Mode>(block: *mut u8) {
    free_here::<M>(block);
}

/// As [`free`], in the caller: the code of the default mode lies there, apart from that of other modes.
#[inline(always)]
pub(crate) fn free_here<M: Mode>(block: *mut u8) {
    if block.is_null() || M::free_cached(block) {
        return;
    }
    let freed = match thread::access() {
        HeapAccess::Own(heap) => alloc::with_pending_work::<M, _>(heap, |heap| M::free(heap, block)),
        HeapAccess::Libc(reason) => free_without_heap::<M>(reason, block),
    };
    let lane = match freed {
        Freed::Small => Lane::Small,
        Freed::Large => Lane::Large,
        Freed::Direct => Lane::Direct,
        Freed::Sampled(ticket) => sampled::freed(ticket),
        Freed::Foreign => return foreign::free(block),
        Freed::Misused => return,
    };
    if PROCESS.inspects() {
        inspect::freed(lane);
    }
}

/// Frees a block on a thread that may not work on a heap now, for `reason`.
#[cold]
fn free_without_heap<M: Mode>(reason: Reason, block: *mut u8) -> Freed {
    if !PROCESS.is_ready() {
        // libc is the only allocator: until the start, or for good.
        foreign::free_known(block);
        return Freed::Misused;
    }
    if reason == Reason::Recursion { free_reentrant::<M>(block) } else { M::free_alone(block) }
}

/// Frees a block in a call that interrupted the allocator. The interrupted code may hold any lock, so this takes none.
fn free_reentrant<M: Mode>(block: *mut u8) -> Freed {
    let space = PROCESS.central.pages.space();
    let may_be_direct = block.addr().is_multiple_of(space.page_bytes()) && call::is_readable(block.addr());
    if !space.reserves(block.addr()) && !may_be_direct && !M::holds(block) {
        return Freed::Foreign;
    }
    if M::can_defer(block) {
        defer(block);
    }
    Freed::Small
}

/// Defers the free of a block to a later slow call of any thread.
pub(crate) fn defer(block: *mut u8) {
    // SAFETY: the program frees the block, so this call owns it. Blocks have at least eight bytes, and are aligned to
    // eight.
    unsafe { PROCESS.central.defer_free(block) };
}
