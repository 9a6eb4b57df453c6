//! malloc on the slow path: does pending work, has the mode serve the call, and handles exhaustion, in this order.

use super::mode::Mode;
use super::request::Request;
use super::{exhaustion, foreign, pending};
use crate::base::class::SMALL_MAX;
use crate::base::units::REQUEST_MAX;
use crate::heap::Heap;
use crate::process::state::PROCESS;
use crate::process::thread::{self, HeapAccess, HeapGuard};

/// A block that meets `request`, in mode `M`; null if there is none.
pub(crate) fn alloc<M: Mode>(request: Request) -> *mut u8 {
    alloc_here::<M>(request)
}

/// As [`alloc`], in the caller: the code of the default mode lies there, apart from that of other modes.
#[inline(always)]
pub(crate) fn alloc_here<M: Mode>(request: Request) -> *mut u8 {
    if request.size > SMALL_MAX {
        if request.size > REQUEST_MAX {
            return core::ptr::null_mut();
        }
        if let Some(block) = M::serve_cached(request) {
            return block;
        }
    }
    let block = match thread::access() {
        HeapAccess::Own(heap) => with_pending_work::<M, _>(heap, |heap| M::serve(heap, request)),
        HeapAccess::Libc(reason) => return foreign::alloc(reason, request),
    };
    block.unwrap_or_else(|| exhaustion::alloc::<M>(request))
}

/// Does `call` with the heap of its thread, which it releases then: after the work that waits for a call which holds it,
/// and before that for which a call must hold none.
#[inline(always)]
pub(super) fn with_pending_work<M: Mode, R>(heap: HeapGuard, call: impl FnOnce(&Heap) -> R) -> R {
    if heap.has_pending() || PROCESS.central.pages.pending.any() {
        pending::with_heap::<M>(&heap);
    }
    let result = call(&heap);
    drop(heap);
    if PROCESS.central.pages.pending.any() {
        pending::without_heap();
    }
    result
}
