//! malloc on the slow path: from this thread's heap, the large lanes, or libc.

use super::mode::Mode;
use super::{exhaustion, foreign, inspect, pending, sampled};
use crate::base::class::Class;
use crate::base::lane::Lane;
use crate::base::units::REQUEST_MAX;
use crate::central::Fresh;
use crate::heap::Heap;
use crate::process::state::PROCESS;
use crate::process::thread::{self, HeapAccess};

/// What a block of malloc's is aligned to in any case, if it is as large as that.
pub(super) const NATURAL_ALIGN: usize = 16;

/// What is asked for.
#[derive(Clone, Copy)]
pub(crate) struct Request {
    /// Bytes.
    pub(crate) size: usize,
    /// A power of two; 1 for malloc's own alignment.
    pub(crate) align: usize,
    /// Whether the bytes must read as zero.
    pub(crate) zero: bool,
}

/// A block that meets `request`, served by mode `M`; null where that cannot be.
pub(crate) fn alloc<M: Mode>(request: Request) -> *mut u8 {
    if request.size > REQUEST_MAX {
        return core::ptr::null_mut();
    }
    let heap = match thread::access() {
        HeapAccess::Own(heap) => heap,
        HeapAccess::Libc(reason) => return foreign::alloc(reason, request),
    };
    pending::with_heap::<M>(&heap);
    let block = M::serve(&heap, request);
    drop(heap);
    pending::without_heap();
    block.unwrap_or_else(|| exhaustion::alloc::<M>(request))
}

/// The default way to serve a request. `heap` is this thread's, and held.
pub(crate) fn serve(heap: &Heap, request: Request) -> Option<*mut u8> {
    if heap.is_sampled()
        && let Some(block) = sampled::serve(heap, request)
    {
        return Some(block);
    }
    serve_unsampled(heap, request)
}

/// As [`serve`], where the request is not to be sampled.
pub(crate) fn serve_unsampled(heap: &Heap, request: Request) -> Option<*mut u8> {
    let Some(class) = class_of(request) else { return serve_large(heap, request) };
    let fresh = heap.alloc_fresh(PROCESS.shared(), class)?;
    if request.zero {
        fresh.zero(request.size);
    }
    if PROCESS.inspects() {
        inspect::made(&fresh, request);
    }
    Some(fresh.hand_out())
}

#[cold]
fn serve_large(heap: &Heap, request: Request) -> Option<*mut u8> {
    heap.attend(PROCESS.shared());
    let bank = heap.locate(PROCESS.central.pages.space());
    Some(hand_out(PROCESS.central.alloc_large(request.size, request.align, bank)?, request))
}

/// A block fresh from the large or direct lane, filled as `request` wants it.
pub(crate) fn hand_out(fresh: Fresh, request: Request) -> *mut u8 {
    if request.zero {
        PROCESS.central.zero_large(&fresh, request.size);
    }
    if PROCESS.inspects() {
        inspect::made(&fresh, request);
    }
    fresh.hand_out()
}

/// The class whose blocks meet `request`; `None` for the large lanes.
#[inline(always)]
pub(crate) fn class_of(request: Request) -> Option<Class> {
    match request.align {
        0..NATURAL_ALIGN => Class::of_size(request.size),
        NATURAL_ALIGN => Class::of_size(request.size.max(NATURAL_ALIGN)),
        align => Class::aligned(request.size, align),
    }
}
