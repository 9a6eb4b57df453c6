//! Pending work: work that waits for a slow call. Each slow call tests two words, the heap's and the process's
//! (`pages::pending`), and does work out of line if either has a bit set. Features registered the functions that do
//! theirs ([`crate::process::feature`]).

use super::mode::Mode;
use super::{exhaustion, foreign, sampled};
use crate::heap::{Freed, Heap};
use crate::process::state::PROCESS;

/// Does the work for which a call must hold `heap`, that of its thread: deferred frees, and an offer of idle return.
#[cold]
#[inline(never)]
pub(super) fn with_heap<M: Mode>(heap: &Heap) {
    heap.defer(|| PROCESS.central.take_deferred(|block| free_deferred::<M>(heap, block)));
    if heap.take_question() {
        PROCESS.features.name_may_differ(heap);
    }
    if heap.has_pending() {
        heap.run_pending(PROCESS.shared());
    }
}

/// Does the work for which a call must hold no heap and no lock: reports of limits, and the work of features.
#[cold]
#[inline(never)]
pub(super) fn without_heap() {
    exhaustion::report_limits();
    PROCESS.features.attend();
}

/// Frees a block whose free was deferred.
pub(crate) fn free_deferred<M: Mode>(heap: &Heap, block: *mut u8) {
    match M::free_overwritten(heap, block) {
        Freed::Foreign => foreign::free(block),
        Freed::Sampled(ticket) => drop(sampled::freed(ticket)),
        Freed::Small | Freed::Large | Freed::Direct | Freed::Misused => {}
    }
}
