//! Pending work: what waits for a slow call. Each call tests two words, the heap's and the process's, and comes here if either is set.
//!
//! The core's own kinds of work are done here. Features asked for theirs when they registered ([`crate::process::feature`]).

use super::mode::Mode;
use super::{exhaustion, foreign, sampled};
use crate::heap::{Freed, Heap};
use crate::process::state::PROCESS;

/// Does what waits for a call that holds `heap`, its thread's.
#[cold]
#[inline(never)]
pub(super) fn with_heap<M: Mode>(heap: &Heap) {
    heap.defer(|| PROCESS.central.take_deferred(|block| free_deferred::<M>(heap, block)));
    if heap.has_pending() {
        heap.run_pending(PROCESS.shared());
    }
}

/// Does what waits for a call that holds nothing any more.
#[cold]
#[inline(never)]
pub(super) fn without_heap() {
    exhaustion::tell_limits();
    PROCESS.features.attend();
}

/// Frees a block that was deferred.
pub(crate) fn free_deferred<M: Mode>(heap: &Heap, block: *mut u8) {
    match M::free_overwritten(heap, block) {
        Freed::Foreign => foreign::free(block),
        Freed::Sampled(ticket) => drop(sampled::freed(ticket)),
        Freed::Small | Freed::Large | Freed::Direct | Freed::Misused => {}
    }
}
