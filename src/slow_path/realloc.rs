#![expect(unsafe_code, reason = "copies blocks")]
//! realloc, usable size and sized free on the slow path: the calls that must know the size of a block.

use super::foreign::{Foreign, judge};
use super::mode::Mode;
use super::request::{FreeSize, NATURAL_ALIGN, Request, Resized};
use super::{alloc, foreign, free};
use crate::base::class::SMALL_MAX;
use crate::base::units::{LARGE_MAX, REQUEST_MAX};
use crate::central::Refused;
use crate::diag::{self, Code, Misuse};
use crate::process::state::PROCESS;
use crate::sys::memory;

/// The allocator that a pointer belongs to.
enum Known {
    /// Spandrel; the usable bytes of the block.
    Ours(usize),
    /// libc.
    Libc,
    /// None: the pointer is no live block, and was reported.
    Invalid,
}

/// The allocator that `block` belongs to. Reports a pointer that belongs to none, as an argument of `call`.
fn identify<M: Mode>(call: &'static str, block: *mut u8) -> Known {
    if !PROCESS.is_ready() {
        return Known::Libc;
    }
    match M::usable(block) {
        Ok(Some(bytes)) => Known::Ours(bytes),
        Ok(None) => match judge(block.addr()) {
            Foreign::Libc => Known::Libc,
            Foreign::Invalid(what) => {
                foreign::report(call, block, what);
                Known::Invalid
            }
        },
        Err(refused) => {
            let central = &PROCESS.central;
            let refused = if refused == Refused::Inside { central.why_nowhere(block.addr()) } else { refused };
            refused.report(call, block, 0);
            Known::Invalid
        }
    }
}

/// Usable bytes of `block`, which is not null; 0 for a misused pointer.
pub(crate) fn usable_size<M: Mode>(block: *mut u8) -> usize {
    match identify::<M>("malloc_usable_size", block) {
        Known::Ours(bytes) => bytes,
        Known::Libc => foreign::usable_size(block),
        Known::Invalid => 0,
    }
}

/// Makes `block`, which is not null, hold `size` bytes, which is not 0.
pub(crate) fn realloc<M: Mode>(block: *mut u8, size: usize) -> Resized {
    realloc_aligned::<M>(block, size, 1)
}

/// As [`realloc`], of a block at a multiple of `align`, which it keeps. Only for modes that leave it to this function
/// to move blocks.
pub(crate) fn realloc_aligned<M: Mode>(block: *mut u8, size: usize, align: usize) -> Resized {
    let alloc = |request: Request| alloc::alloc::<M>(Request { align, ..request });
    let old = match identify::<M>("realloc", block) {
        Known::Ours(bytes) => bytes,
        Known::Invalid => return Resized::Misused,
        Known::Libc => return realloc_foreign::<M>(block, size, align),
    };
    if size > REQUEST_MAX {
        return Resized::OutOfMemory;
    }
    // The kernel moves a direct block to a multiple of a page, and of nothing more.
    let stays = old <= LARGE_MAX || align <= PROCESS.central.pages.space().page_bytes();
    // A class with that alignment has blocks of at least as many bytes.
    let wanted = if old <= SMALL_MAX { size.max(align.min(old)) } else { size };
    let resized = if stays { M::resize(block, old, wanted) } else { None };
    resized.unwrap_or_else(|| relocate(block, old, size, alloc, free::free::<M>))
}

/// Resizes a block of libc by copying it to a block of Spandrel, so that libc serves no call of the sizes that
/// `SPANDREL_DIAG` watches. If libc serves everything, or cannot say how large the block is, libc resizes it.
fn realloc_foreign<M: Mode>(block: *mut u8, size: usize, align: usize) -> Resized {
    let bytes = if PROCESS.is_ready() || align > NATURAL_ALIGN { foreign::usable_size(block) } else { 0 };
    if bytes > 0 {
        let alloc = |request: Request| alloc::alloc::<M>(Request { align, ..request });
        return relocate(block, bytes, size, alloc, free::free::<M>);
    }
    let moved = foreign::realloc(block, size);
    if moved.is_null() { Resized::OutOfMemory } else { Resized::At(moved) }
}

/// Moves `block`, of `old` usable bytes, to a block of `size` bytes: allocates it by `alloc`, copies, frees by `free`.
pub(crate) fn relocate(
    block: *mut u8,
    old: usize,
    size: usize,
    alloc: impl FnOnce(Request) -> *mut u8,
    free: impl FnOnce(*mut u8),
) -> Resized {
    let moved = alloc(Request { size, align: 1, zero: false });
    if moved.is_null() {
        return Resized::OutOfMemory;
    }
    // SAFETY: the program passed `block`, and `moved` is fresh, so this call owns both, and they do not overlap. The
    // length is the smaller of their sizes.
    unsafe { memory::copy(block, moved, old.min(size)) };
    free(block);
    Resized::At(moved)
}

/// Frees `block`, or reports a size that cannot be the one it was allocated with.
pub(crate) fn free_sized<M: Mode>(block: *mut u8, named: FreeSize) {
    if PROCESS.is_ready()
        && let Ok(Some(usable)) = M::usable(block)
        && !M::can_be(usable, named)
    {
        let what = "the size named cannot be that of the block";
        let call = if named.align > 1 { "free_aligned_sized" } else { "free_sized" };
        let code = Code::SizeMismatch;
        return diag::misuse(&Misuse { code, call, pointer: block.addr(), what, block_bytes: usable });
    }
    free::free::<M>(block);
}
