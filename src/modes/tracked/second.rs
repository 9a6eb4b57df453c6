//! The mode's second path: small blocks of the thread's own bins, and frees into its bins or open batches. All else is
//! for the slow path.
//!
//! The heap is marked as entered meanwhile, as by a slow call, but its spans are not held: so a signal handler that
//! interrupts it is served by libc, and its frees are deferred. Must not know notes.

use super::{Claim, claim, forget, note, unit_of};
use crate::base::class::Class;
use crate::heap::second_path::{SecondPath, SlowAligned, SlowFree, SlowMalloc, SlowSizedFree, fill};
use crate::heap::{FastHeap, Heap};
use crate::slow_path::request::NATURAL_ALIGN;
use crate::sys::atomic::{Ordering, settle_stores};
use crate::unwind;

pub(super) static SECOND: SecondPath = SecondPath { after_fast: false, malloc, zeroed, aligned, free, free_sized };

/// Does `work` inside the heap; the default value if a call that this one interrupts is inside. Also in a program that
/// is linked with this code: call stacks have the allocator's own frames there, which differ from those of the slow
/// path.
#[inline(always)]
fn inside<T: Default>(fast: &FastHeap, work: impl FnOnce(&Heap) -> T) -> T {
    let heap = fast.heap();
    if heap.is_entered() || !unwind::is_library() {
        return T::default();
    }
    heap.set_entered(true);
    settle_stores();
    let done = work(heap);
    settle_stores();
    heap.set_entered(false);
    done
}

/// A block of `bytes` at least, noted with `size`; null if the bin has none.
#[inline(always)]
fn pop(fast: &FastHeap, bytes: usize, size: usize) -> Option<*mut u8> {
    inside(fast, |heap| {
        // A block of a granule at least.
        let block = fast.pop(bytes.max(NATURAL_ALIGN));
        if block.is_null() {
            return None;
        }
        note(heap, block, size);
        Some(block)
    })
}

fn malloc(size: usize, fast: &FastHeap, slow: SlowMalloc) -> *mut u8 {
    match pop(fast, size, size) {
        Some(block) => block,
        None => slow(size),
    }
}

fn zeroed(size: usize, fast: &FastHeap, slow: SlowMalloc) -> *mut u8 {
    match pop(fast, size, size) {
        Some(block) => fill(block, size),
        None => slow(size),
    }
}

fn aligned(align: usize, size: usize, fast: &FastHeap, slow: SlowAligned) -> *mut u8 {
    let block = pop_aligned(align, size, fast);
    if block.is_null() { slow(align, size) } else { block }
}

/// A block at a multiple of `align`; null if the bin has none. By itself, so that `aligned` ends with a jump to a slow
/// path that may throw.
#[inline(never)]
fn pop_aligned(align: usize, size: usize, fast: &FastHeap) -> *mut u8 {
    let rounded = Class::rounded(size.max(NATURAL_ALIGN), align);
    rounded.and_then(|bytes| pop(fast, bytes, size)).unwrap_or(core::ptr::null_mut())
}

/// Frees a live block by `put`; false if there is none, or if `put` fails.
#[inline(always)]
fn put(fast: &FastHeap, block: *mut u8, put: impl FnOnce() -> bool) -> bool {
    inside(fast, |heap| {
        let Claim::Live(known) = claim(block.addr()) else { return false };
        if put() {
            forget(Some(heap), known);
            return true;
        }
        if let Some(unit) = unit_of(block.addr()) {
            // Release: as in `note`.
            unit.store(known, Ordering::Release);
        }
        false
    })
}

fn free(block: *mut u8, fast: &FastHeap, slow: SlowFree) {
    if !put(fast, block, || fast.push_in_reach(block) || fast.send_fast::<false>(block)) {
        slow(block);
    }
}

fn free_sized(block: *mut u8, size: usize, fast: &FastHeap, slow: SlowSizedFree) {
    let bytes = size.max(NATURAL_ALIGN);
    if !put(fast, block, || fast.push_sized_in_reach(block, bytes) || fast.send_sized_fast::<false>(block, bytes)) {
        slow(block, size);
    }
}
