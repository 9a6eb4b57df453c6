//! Pending work: work that waits for a slow call. Each slow call tests two words, the heap's and the process's
//! (`pages::pending`), and does work out of line if either has a bit set. Features registered the functions that do
//! theirs ([`crate::process::feature`]).

use super::mode::Mode;
use super::{exhaustion, foreign, sampled};
use crate::central::Refused;
use crate::heap::{Freed, Heap};
use crate::process::state::PROCESS;
use crate::sys::libc;

/// Does the work for which a call must hold `heap`, that of its thread: deferred frees, and an offer of idle return.
#[cold]
#[inline(never)]
pub(super) fn with_heap<M: Mode>(heap: &Heap) {
    take_deferred(heap, |block| free_deferred::<M>(heap, block));
    if heap.take_question() {
        PROCESS.features.name_may_differ(heap);
    }
    if heap.has_pending() {
        heap.run_pending(PROCESS.shared());
    }
}

/// Does the deferred frees by `free`, with the calling thread's heap, and reports a block that was freed twice so.
pub(super) fn take_deferred(heap: &Heap, free: impl FnMut(*mut u8)) {
    if let Some(block) = heap.defer(|| PROCESS.central.take_deferred(free)) {
        Refused::Double.report_found_later(block, 0);
    }
}

/// Does the work for which a call must hold no heap and no lock: reports of limits, and the work of features. Keeps errno:
/// the call may be free, and the program's functions and the C library's change it.
#[cold]
#[inline(never)]
pub(super) fn without_heap() {
    libc::keeping_errno(|| {
        exhaustion::report_limits();
        PROCESS.features.attend();
    });
}

/// Frees a block whose free was deferred.
pub(crate) fn free_deferred<M: Mode>(heap: &Heap, block: *mut u8) {
    match M::free_overwritten(heap, block) {
        Freed::Foreign => foreign::free(block),
        Freed::Sampled(ticket) => drop(sampled::freed(ticket)),
        Freed::Small | Freed::Large | Freed::Direct | Freed::Misused => {}
    }
}
