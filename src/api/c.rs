#![expect(unsafe_code, reason = "exports C functions")]
//! The malloc family proper, as ISO C, POSIX and glibc 2.42 define it.

use core::ffi::c_void;

use super::errno;
use super::fast_path;
use crate::control::dispatch;
use crate::slow_path::mode;
use crate::slow_path::request::{FreeSize, Request, Resized};

/// Up to this many bytes calloc takes the fast path and fills with zeroes itself.
const CALLOC_FAST_MAX: usize = 32 << 10;

/// malloc where the fast path failed: sets errno.
#[cold]
#[inline(never)]
pub(super) fn malloc_slow(size: usize) -> *mut u8 {
    let block = fast_path::malloc_counted(size);
    if block.is_null() { malloc_slower(size) } else { block }
}

/// malloc where nothing but the heap itself can help.
#[cold]
#[inline(never)]
fn malloc_slower(size: usize) -> *mut u8 {
    errno::or_out_of_memory(dispatch::alloc(Request { size, align: 1, zero: false }))
}

/// free where the fast path failed.
#[cold]
#[inline(never)]
pub(super) fn free_slow(block: *mut u8) {
    if !fast_path::free_remote(block) {
        dispatch::free(block);
    }
}

/// malloc for this file: the exported one is called through the linker's table.
#[inline(always)]
fn malloc_here(size: usize) -> *mut u8 {
    fast_path::malloc(size, malloc_slow)
}

/// A block of at least `size` bytes; null and ENOMEM where that cannot be. Zero bytes get a block of their own.
#[unsafe(no_mangle)]
pub(super) extern "C" fn malloc(size: usize) -> *mut c_void {
    malloc_here(size).cast()
}

/// Frees a block; null is nothing. Keeps errno.
#[unsafe(no_mangle)]
pub(super) extern "C" fn free(block: *mut c_void) {
    fast_path::free(block.cast(), free_slow);
}

/// `free` by its old name.
#[unsafe(no_mangle)]
extern "C" fn cfree(block: *mut c_void) {
    fast_path::free(block.cast(), free_slow);
}

/// A zeroed block of `count` times `size` bytes; null and ENOMEM where that cannot be or overflows.
#[unsafe(no_mangle)]
extern "C" fn calloc(count: usize, size: usize) -> *mut c_void {
    let Some(bytes) = count.checked_mul(size) else {
        return errno::or_out_of_memory(core::ptr::null_mut()).cast();
    };
    if bytes <= CALLOC_FAST_MAX {
        let block = fast_path::malloc(bytes, fast_path::malloc_counted);
        if !block.is_null() {
            // SAFETY: the block has that many bytes and is nobody's yet.
            unsafe { block.write_bytes(0, bytes) };
            return block.cast();
        }
    }
    calloc_slow(bytes).cast()
}

/// calloc where the fast path failed: the lanes, and modes, know what is zero already.
#[cold]
#[inline(never)]
fn calloc_slow(bytes: usize) -> *mut u8 {
    errno::or_out_of_memory(dispatch::alloc(Request { size: bytes, align: 1, zero: true }))
}

/// Makes `block` hold `size` bytes, moving it if need be. Null allocates; zero bytes free and return null. On failure null, errno,
/// and the block stays as it was.
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
        return relocate(block, bytes, size);
    }
    match dispatch::realloc(block.cast(), size) {
        Resized::At(moved) => moved.cast(),
        Resized::OutOfMemory => errno::fail(libc::ENOMEM),
        Resized::Misused => errno::fail(libc::EINVAL),
    }
}

/// Moves `block`, of `bytes` usable bytes, to one of `size` bytes.
fn relocate(block: *mut c_void, bytes: usize, size: usize) -> *mut c_void {
    let moved = malloc_here(size);
    if !moved.is_null() {
        // SAFETY: both blocks hold that many bytes and are different blocks.
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
        None => errno::fail(libc::ENOMEM),
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
    if !block.is_null() {
        dispatch::free_sized(block.cast(), named);
    }
}

/// A sized free where the fast path failed.
#[cold]
#[inline(never)]
pub(super) fn free_sized_slow(block: *mut u8, size: usize) {
    if !fast_path::free_sized_counted(block, size) && !fast_path::free_remote_sized(block, size) {
        free_aligned(block.cast(), FreeSize { size, align: 1 });
    }
}
