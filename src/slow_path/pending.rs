//! Pending work: what waits for a slow call. Each call tests two words, the heap's and the process's, and does the work out of line.
//!
//! The core's own kinds of work are done here. Features asked for theirs when they registered ([`crate::process::feature`]).

use super::exhaustion;
use super::free::free_deferred;
use super::mode::Mode;
use crate::heap::Heap;
use crate::process::feature::Feature;
use crate::process::state::PROCESS;

/// A thread that ends frees what waits, as no other thread may come.
static DEFERRED_FREES: Feature = Feature { thread_ends: super::mode::free_deferred_blocks, ..Feature::NONE };

/// Has threads that end free what waits. Part of the start.
pub(crate) fn register() {
    PROCESS.features.register(&DEFERRED_FREES);
}

/// Does what waits for a call that holds `heap`, its thread's.
#[inline(always)]
pub(super) fn with_heap<M: Mode>(heap: &Heap) {
    if heap.has_pending() || PROCESS.central.pages.pending.any() {
        with_heap_slow::<M>(heap);
    }
}

#[cold]
#[inline(never)]
fn with_heap_slow<M: Mode>(heap: &Heap) {
    heap.defer(|| PROCESS.central.take_deferred(|block| free_deferred::<M>(heap, block)));
    if heap.has_pending() {
        heap.answer(PROCESS.shared());
    }
}

/// Does what waits for a call that holds nothing any more.
#[inline(always)]
pub(super) fn without_heap() {
    if PROCESS.central.pages.pending.any() {
        without_heap_slow();
    }
}

#[cold]
#[inline(never)]
fn without_heap_slow() {
    exhaustion::tell_limits();
    PROCESS.features.attend();
}
