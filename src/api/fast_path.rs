//! The gate: the fast paths of malloc and free.
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
//! There is one gate for all states: a thread without a heap, a heap that is busy and modes that see every call all stand on the
//! inert heap, on which every hit fails. `slow` is the caller's, so that errno and exceptions stay with those who know them.

#![expect(unsafe_code, reason = "the thread's word names a heap")]

use crate::base::class::{Class, FAST_MAX};
use crate::heap::FastHeap;
use crate::sys::tls;

#[inline(always)]
fn fast_heap() -> &'static FastHeap {
    // SAFETY: the word always names a front, at first the inert one.
    unsafe { FastHeap::at(tls::fast_heap()) }
}

/// A block of at least `size` bytes, or what `slow` says.
#[inline(always)]
pub(crate) fn malloc(size: usize, slow: impl Fn(usize) -> *mut u8) -> *mut u8 {
    if size > FAST_MAX {
        return malloc_medium(size, slow);
    }
    let block = fast_heap().pop_fast(size);
    if block.is_null() { slow(size) } else { block }
}

#[inline(always)]
fn malloc_medium(size: usize, slow: impl Fn(usize) -> *mut u8) -> *mut u8 {
    match fast_heap().bin_of_medium(size).map(|bin| bin.pop()) {
        Some(block) if !block.is_null() => block,
        _ => slow(size),
    }
}

/// A second try where [`malloc`] failed, for heaps whose requests are sampled: to be made first, without any other state being looked
/// at. Null for all others, and where the request is the one to be sampled.
#[inline(always)]
pub(crate) fn malloc_counted(size: usize) -> *mut u8 {
    fast_heap().pop_counted(size)
}

/// As [`malloc_counted`], where [`free_sized`] failed; true if the block was taken back.
#[inline(always)]
pub(crate) fn free_sized_counted(block: *mut u8, size: usize) -> bool {
    fast_heap().bin_of_sized_block_counted(block, size).is_some_and(|bin| bin.push(block))
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
    fast_heap().bytes_of_block(block)
}

/// As [`free`], for a caller that names the size: blocks of another class are left to `slow`.
#[inline(always)]
pub(crate) fn free_sized(block: *mut u8, size: usize, slow: impl Fn(*mut u8, usize)) {
    match fast_heap().bin_of_sized_block(block, size) {
        Some(bin) if bin.push(block) => {}
        _ => slow(block, size),
    }
}

/// Frees `block`, or leaves it to `slow`.
#[inline(always)]
pub(crate) fn free(block: *mut u8, slow: impl Fn(*mut u8)) {
    if !fast_heap().push_fast(block) {
        slow(block);
    }
}

/// Whether `block` is another heap's and joined the batch that is collected for it. To be asked first where [`free`] failed.
#[inline(always)]
pub(crate) fn free_remote(block: *mut u8) -> bool {
    fast_heap().send_fast(block)
}

/// As [`free_remote`], for a caller that names the size: blocks of another class are left alone.
#[inline(always)]
pub(crate) fn free_remote_sized(block: *mut u8, size: usize) -> bool {
    Class::of_size(size).is_some_and(|class| fast_heap().send_sized_fast(block, class))
}
