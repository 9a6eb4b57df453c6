#![expect(unsafe_code, reason = "exports C functions")]
//! The malloc family, as ISO C, POSIX and glibc 2.42 define it, and errno. Like glibc's, the aligned calls accept sizes
//! that are not a multiple of the alignment, because programs rely on that.

use core::ffi::{c_int, c_void};

use crate::base::class::Class;
use crate::control::{dispatch, requests};
use crate::heap::fast_path::{self, FastHeap};
use crate::heap::second_path;
use crate::slow_path::mode;
use crate::slow_path::request::{FreeSize, Request, Resized};
use crate::sys::libc::{errno, set_errno};

/// Alignments above this overflow when rounded up.
const ALIGN_MAX: usize = 1 << (usize::BITS - 1);
const POINTER: usize = size_of::<*mut c_void>();

/// malloc where the fast path failed. Sets errno.
#[cold]
#[inline(never)]
pub(super) fn malloc_slow(size: usize, heap: &FastHeap) -> *mut u8 {
    second_path::malloc(size, heap, malloc_or_errno)
}

/// malloc on the slow path.
#[cold]
#[inline(never)]
extern "C" fn malloc_or_errno(size: usize) -> *mut u8 {
    or_out_of_memory(dispatch::alloc(Request { size, align: 1, zero: false }))
}

/// free where the fast path failed.
#[cold]
#[inline(never)]
pub(super) fn free_slow(block: *mut u8) {
    second_path::free(block, dispatch::free);
}

/// malloc for this file: a call of the exported one goes through the linker's table.
#[inline(always)]
fn malloc_here(size: usize) -> *mut u8 {
    fast_path::malloc(size, malloc_slow)
}

/// A block of at least `size` bytes; null and ENOMEM if there is none. Zero bytes get a block of their own.
#[unsafe(no_mangle)]
pub(super) extern "C" fn malloc(size: usize) -> *mut c_void {
    malloc_here(size).cast()
}

/// Frees a block; does nothing with null. Keeps errno.
#[unsafe(no_mangle)]
pub(super) extern "C" fn free(block: *mut c_void) {
    fast_path::free(block.cast(), free_slow);
}

/// `free` by its old name.
#[unsafe(no_mangle)]
extern "C" fn cfree(block: *mut c_void) {
    keep_apart!("cfree");
    fast_path::free(block.cast(), free_slow);
}

/// A zeroed block of `count` times `size` bytes; null and ENOMEM if there is none, or if
/// that overflows.
#[unsafe(no_mangle)]
extern "C" fn calloc(count: usize, size: usize) -> *mut c_void {
    let Some(bytes) = count.checked_mul(size) else {
        return or_out_of_memory(core::ptr::null_mut()).cast();
    };
    fast_path::zeroed(bytes, calloc_slow).cast()
}

/// calloc where the fast path failed.
#[cold]
#[inline(never)]
fn calloc_slow(bytes: usize, heap: &FastHeap) -> *mut u8 {
    second_path::zeroed(bytes, heap, calloc_or_errno)
}

/// calloc on the slow path: lanes and modes know which memory is zero already.
#[cold]
#[inline(never)]
extern "C" fn calloc_or_errno(bytes: usize) -> *mut u8 {
    or_out_of_memory(dispatch::alloc(Request { size: bytes, align: 1, zero: true }))
}

/// Makes `block` hold `size` bytes, moving it if need be. Null allocates; zero bytes free and return null. On failure
/// null and errno, and the block stays as it was.
#[unsafe(no_mangle)]
extern "C" fn realloc(block: *mut c_void, size: usize) -> *mut c_void {
    resize(block, size)
}

fn resize(block: *mut c_void, size: usize) -> *mut c_void {
    if block.is_null() {
        return malloc_here(size).cast();
    }
    if size == 0 {
        fast_path::free(block.cast(), free_slow);
        return core::ptr::null_mut();
    }
    if let Some(bytes) = fast_path::bytes_of(block.cast()) {
        if mode::fits_in_place(bytes, size) {
            return block;
        }
        if !second_path::was_freed_lately(block.cast()) {
            return relocate(block, bytes, size);
        }
    }
    match dispatch::realloc(block.cast(), size) {
        Resized::At(moved) => moved.cast(),
        Resized::OutOfMemory => fail(libc::ENOMEM),
        Resized::Misused => fail(libc::EINVAL),
    }
}

/// Moves `block`, of `bytes` usable bytes, to one of `size` bytes.
fn relocate(block: *mut c_void, bytes: usize, size: usize) -> *mut c_void {
    let moved = malloc_here(size);
    if !moved.is_null() {
        // SAFETY: the old block has `bytes` bytes, and the new one, another block, `size`.
        unsafe { block.cast::<u8>().copy_to_nonoverlapping(moved, bytes.min(size)) };
        fast_path::free(block.cast(), free_slow);
    }
    moved.cast()
}

/// `realloc` of `count` times `size` bytes; null and ENOMEM on overflow.
#[unsafe(no_mangle)]
extern "C" fn reallocarray(block: *mut c_void, count: usize, size: usize) -> *mut c_void {
    match count.checked_mul(size) {
        Some(bytes) => resize(block, bytes),
        None => fail(libc::ENOMEM),
    }
}

/// The bytes of a block that may be used: at least those asked for, the same at every call. 0 for null.
#[unsafe(no_mangle)]
extern "C" fn malloc_usable_size(block: *mut c_void) -> usize {
    match fast_path::bytes_of(block.cast()) {
        Some(bytes) => bytes,
        None if block.is_null() => 0,
        None => dispatch::usable_size(block.cast()),
    }
}

/// C23's `free_sized`: frees a block of malloc, calloc or realloc that was asked for with `size` bytes.
#[unsafe(no_mangle)]
extern "C" fn free_sized(block: *mut c_void, size: usize) {
    fast_path::free_sized(block.cast(), size, free_sized_slow);
}

/// C23's `free_aligned_sized`: frees a block of aligned_alloc that was asked for with `align` and `size`.
#[unsafe(no_mangle)]
extern "C" fn free_aligned_sized(block: *mut c_void, align: usize, size: usize) {
    free_aligned(block, FreeSize { size, align });
}

/// Frees a block whose size and alignment the caller names.
pub(super) fn free_aligned(block: *mut c_void, named: FreeSize) {
    match Class::rounded(named.size, named.align) {
        Some(rounded) => fast_path::free_sized(block.cast(), rounded, |block, _| free_aligned_slow(block, named)),
        None => free_aligned_slow(block.cast(), named),
    }
}

/// [`free_aligned`] where the fast path failed.
#[cold]
#[inline(never)]
fn free_aligned_slow(block: *mut u8, named: FreeSize) {
    if !block.is_null() {
        dispatch::free_sized(block, named);
    }
}

/// A sized free where the fast path failed.
#[cold]
#[inline(never)]
pub(super) fn free_sized_slow(block: *mut u8, size: usize) {
    second_path::free_sized(block, size, free_named);
}

/// A sized free on the slow path.
fn free_named(block: *mut u8, size: usize) {
    free_aligned_slow(block, FreeSize { size, align: 1 });
}

/// A block at a multiple of `align`, a power of two; null without errno.
pub(super) fn aligned(align: usize, size: usize) -> *mut c_void {
    fast_path::aligned(align, size, aligned_slow).cast()
}

/// An aligned allocation where the fast path failed.
#[cold]
#[inline(never)]
fn aligned_slow(align: usize, size: usize, heap: &FastHeap) -> *mut u8 {
    second_path::aligned(align, size, heap, aligned_or_null)
}

/// An aligned allocation on the slow path. Keeps errno, which libc may set if it serves the call.
#[cold]
#[inline(never)]
extern "C" fn aligned_or_null(align: usize, size: usize) -> *mut u8 {
    let before = errno();
    let block = dispatch::alloc(Request { size, align, zero: false });
    set_errno(before);
    block
}

fn aligned_or_errno(align: usize, size: usize) -> *mut c_void {
    or_out_of_memory(aligned(align, size).cast()).cast()
}

/// Stores a block at a multiple of `align` in `*place`. EINVAL unless `align` is a power of two and a multiple of a
/// pointer's size; ENOMEM where there is no memory, and then errno is ENOMEM too, as with glibc. Otherwise errno stays
/// as it was; on failure so does `*place`.
#[unsafe(no_mangle)]
unsafe extern "C" fn posix_memalign(place: *mut *mut c_void, align: usize, size: usize) -> c_int {
    if !align.is_power_of_two() || !align.is_multiple_of(POINTER) {
        return libc::EINVAL;
    }
    let block = aligned(align, size);
    if block.is_null() {
        set_errno(libc::ENOMEM);
        return libc::ENOMEM;
    }
    // SAFETY: the C contract says that `place` is writable.
    unsafe { place.write(block) };
    0
}

/// A block at a multiple of `align`; EINVAL unless that is a power of two. The size may be anything.
#[unsafe(no_mangle)]
extern "C" fn aligned_alloc(align: usize, size: usize) -> *mut c_void {
    if align.is_power_of_two() { aligned_or_errno(align, size) } else { fail(libc::EINVAL) }
}

/// A block at a multiple of `align`, which is rounded up to a power of two; EINVAL where that overflows.
#[unsafe(no_mangle)]
extern "C" fn memalign(align: usize, size: usize) -> *mut c_void {
    if align <= 1 {
        return malloc(size);
    }
    if align > ALIGN_MAX {
        return fail(libc::EINVAL);
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
        None => fail(libc::ENOMEM),
    }
}

/// Null, with errno set.
#[cold]
pub(super) fn fail<T>(error: i32) -> *mut T {
    set_errno(error);
    core::ptr::null_mut()
}

/// False, with errno set.
#[cold]
pub(super) fn refuse(error: i32) -> bool {
    set_errno(error);
    false
}

/// `block`, or ENOMEM where it is null.
pub(super) fn or_out_of_memory(block: *mut u8) -> *mut u8 {
    if block.is_null() { fail(libc::ENOMEM) } else { block }
}
