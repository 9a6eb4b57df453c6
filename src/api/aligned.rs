#![expect(unsafe_code, reason = "exports C functions")]
//! Aligned allocation. glibc is lenient about sizes that are no multiple of the alignment, and programs rely on that.

use core::ffi::{c_int, c_void};

use super::c::malloc;
use super::errno;
use super::fast_path;
use crate::control::dispatch;
use crate::control::requests;
use crate::slow_path::request::Request;

/// Alignments above this overflow when rounded up.
const ALIGN_MAX: usize = 1 << (usize::BITS - 1);
const POINTER: usize = size_of::<*mut c_void>();

/// A block at a multiple of `align`, a power of two; null without errno.
pub(super) fn aligned(align: usize, size: usize) -> *mut c_void {
    let block = fast_path::malloc_aligned(align, size);
    if block.is_null() { aligned_slow(align, size) } else { block.cast() }
}

#[cold]
#[inline(never)]
fn aligned_slow(align: usize, size: usize) -> *mut c_void {
    dispatch::alloc(Request { size, align, zero: false }).cast()
}

fn aligned_or_errno(align: usize, size: usize) -> *mut c_void {
    errno::or_out_of_memory(aligned(align, size).cast()).cast()
}

/// Stores a block at a multiple of `align` in `*place`. EINVAL unless `align` is a power of two and a multiple of a pointer's size;
/// ENOMEM where there is no memory, and then errno says so too, as glibc has it; else errno stays as it was. On failure so does `*place`.
#[unsafe(no_mangle)]
unsafe extern "C" fn posix_memalign(place: *mut *mut c_void, align: usize, size: usize) -> c_int {
    if !align.is_power_of_two() || !align.is_multiple_of(POINTER) {
        return libc::EINVAL;
    }
    let mut block: *mut c_void = fast_path::malloc_aligned(align, size).cast();
    if block.is_null() {
        let before = errno::get();
        block = aligned_slow(align, size);
        // libc, where it had to help out, may have set errno.
        errno::set(if block.is_null() { libc::ENOMEM } else { before });
        if block.is_null() {
            return libc::ENOMEM;
        }
    }
    // SAFETY: the C contract says that `place` is writable.
    unsafe { place.write(block) };
    0
}

/// A block at a multiple of `align`; EINVAL unless that is a power of two. The size may be anything.
#[unsafe(no_mangle)]
extern "C" fn aligned_alloc(align: usize, size: usize) -> *mut c_void {
    if align.is_power_of_two() { aligned_or_errno(align, size) } else { errno::fail(libc::EINVAL) }
}

/// A block at a multiple of `align`, which is rounded up to a power of two; EINVAL where that overflows.
#[unsafe(no_mangle)]
extern "C" fn memalign(align: usize, size: usize) -> *mut c_void {
    if align <= 1 {
        return malloc(size);
    }
    if align > ALIGN_MAX {
        return errno::fail(libc::EINVAL);
    }
    aligned_or_errno(align.next_power_of_two(), size)
}

/// A block at a multiple of the page size.
#[unsafe(no_mangle)]
extern "C" fn valloc(size: usize) -> *mut c_void {
    aligned_or_errno(requests::page_bytes(), size)
}

/// As `valloc`, of a multiple of the page size, at least one page.
#[unsafe(no_mangle)]
extern "C" fn pvalloc(size: usize) -> *mut c_void {
    let page = requests::page_bytes();
    match size.max(1).checked_next_multiple_of(page) {
        Some(size) => aligned_or_errno(page, size),
        None => errno::fail(libc::ENOMEM),
    }
}
