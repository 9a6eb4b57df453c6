//! The fast paths of malloc and free.
//!
//! ```text
//! malloc(size)            free(block)
//! |- size <= 1024         |- the map says: a span of this heap
//! |  |- pop the bin       |  |- push the bin
//! |  '- empty: slow       |  '- full, or freed just now: slow
//! '- malloc_medium        '- anything else: slow, which first asks
//!    |- pop the bin          free_remote
//!    '- slow                 |- another heap's, and a batch for it is open: join it
//!                            '- anything else
//! ```
//! The code is the same in all states: the word of a thread that has no heap, or that is at work on it, and of every
//! thread in a mode that sees all calls, names the inert heap, on which every fast path fails. `slow` is the caller's,
//! which knows about errno and exceptions.

use crate::base::class::{Class, FAST_MAX};
use crate::heap::FastHeap;

/// A block of at least `size` bytes, or the result of `slow`.
#[inline(always)]
pub(crate) fn malloc(size: usize, slow: impl Fn(usize) -> *mut u8) -> *mut u8 {
    if size > FAST_MAX {
        return malloc_medium(size, slow);
    }
    let block = FastHeap::current().pop_fast(size);
    if block.is_null() { slow(size) } else { block }
}

#[inline(always)]
fn malloc_medium(size: usize, slow: impl Fn(usize) -> *mut u8) -> *mut u8 {
    match FastHeap::current().bin_of_medium(size).map(|bin| bin.pop()) {
        Some(block) if !block.is_null() => block,
        _ => slow(size),
    }
}

/// A second try where [`malloc`] failed, for heaps whose requests are sampled: before anything else is tested. Null for
/// all other heaps, and for the request that is to be sampled.
#[inline(always)]
pub(crate) fn malloc_counted(size: usize) -> *mut u8 {
    FastHeap::current().pop_counted(size)
}

/// As [`malloc_counted`], where [`free_sized`] failed; true if the block was freed.
#[inline(always)]
pub(crate) fn free_sized_counted(block: *mut u8, size: usize) -> bool {
    FastHeap::current().bin_of_sized_block_counted(block, size).is_some_and(|bin| bin.push(block))
}

/// As [`malloc`], for a block at a multiple of `align`, a power of two; null where the fast path cannot serve it.
#[inline(always)]
pub(crate) fn malloc_aligned(align: usize, size: usize) -> *mut u8 {
    match Class::rounded(size, align) {
        Some(rounded) => malloc(rounded, malloc_counted),
        None => core::ptr::null_mut(),
    }
}

/// Usable bytes of `block`, where the fast path can tell.
#[inline(always)]
pub(crate) fn bytes_of(block: *mut u8) -> Option<usize> {
    FastHeap::current().bytes_of_block(block)
}

/// As [`free`], for a caller that names the size: leaves blocks of another class to `slow`.
#[inline(always)]
pub(crate) fn free_sized(block: *mut u8, size: usize, slow: impl Fn(*mut u8, usize)) {
    match FastHeap::current().bin_of_sized_block(block, size) {
        Some(bin) if bin.push(block) => {}
        _ => slow(block, size),
    }
}

/// Frees `block`, or leaves it to `slow`.
#[inline(always)]
pub(crate) fn free(block: *mut u8, slow: impl Fn(*mut u8)) {
    if !FastHeap::current().push_fast(block) {
        slow(block);
    }
}

/// Adds `block` to the open batch for its owner; false if it is not another heap's, or there is no such batch. The
/// first test where [`free`] failed.
#[inline(always)]
pub(crate) fn free_remote(block: *mut u8) -> bool {
    FastHeap::current().send_fast(block)
}

/// As [`free_remote`], for a caller that names the size: false for blocks of another class.
#[inline(always)]
pub(crate) fn free_remote_sized(block: *mut u8, size: usize) -> bool {
    Class::of_size(size).is_some_and(|class| FastHeap::current().send_sized_fast(block, class))
}
