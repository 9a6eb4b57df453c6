#![expect(unsafe_code, reason = "defers blocks by their first word")]
//! free on the slow path: to this thread's heap, to another one's, to the large lanes, or to libc.

use super::mode::Mode;
use super::{foreign, inspect, pending, sampled};
use crate::base::lane::Lane;
use crate::heap::Freed;
use crate::process::state::PROCESS;
use crate::process::tally::Reason;
use crate::process::thread::{self, HeapAccess};
use crate::sys::call;

/// Frees `block`, wherever it is from, by mode `M`.
pub(crate) fn free<M: Mode>(block: *mut u8) {
    if block.is_null() {
        return;
    }
    let freed = match thread::access() {
        HeapAccess::Own(heap) => {
            if heap.has_pending_work() {
                pending::with_heap::<M>(&heap);
            }
            let freed = M::free(&heap, block);
            drop(heap);
            if PROCESS.central.pages.pending.any() {
                pending::without_heap();
            }
            freed
        }
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

/// Frees a block on a thread that may not work on a heap, for `reason`.
#[cold]
fn free_without_heap<M: Mode>(reason: Reason, block: *mut u8) -> Freed {
    if !PROCESS.is_ready() {
        // libc is the only allocator so far, or for good.
        foreign::free_known(block);
        return Freed::Misused;
    }
    if reason == Reason::Recursion { free_reentrant::<M>(block) } else { M::free_alone(block) }
}

/// The call interrupted the allocator, which may hold locks: only what needs none can be asked.
fn free_reentrant<M: Mode>(block: *mut u8) -> Freed {
    let space = PROCESS.central.pages.space();
    let may_be_direct = block.addr().is_multiple_of(space.page_bytes()) && call::is_readable(block.addr());
    if !space.reserves(block.addr()) && !may_be_direct && !M::holds(block) {
        return Freed::Foreign;
    }
    defer(block);
    Freed::Small
}

/// Leaves a block that the program frees to a later slow call.
pub(crate) fn defer(block: *mut u8) {
    // SAFETY: the program gives up a block, which is at least eight bytes long, aligned to that, and readable as blocks are.
    unsafe { PROCESS.central.defer_free(block) };
}
