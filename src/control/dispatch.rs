//! Hands each call that the fast path does not serve to the mode in force. The first such call starts the process.

use super::{requests, start};
use crate::base::class::Class;
use crate::base::lane::Lane;
use crate::base::units::round_up;
use crate::slow_path::alloc;
use crate::slow_path::free;
use crate::slow_path::mode::Fast;
use crate::slow_path::realloc;
use crate::slow_path::request::{FreeSize, Request, Resized};
use crate::slow_path::table::{self, IN_FORCE, ModeTable};

/// The table of the mode in force; `None` in the default mode. Starts the process if no thread has.
#[inline(always)]
fn in_force() -> Option<&'static ModeTable> {
    match IN_FORCE.get() {
        Some(mode) if table::is_undecided(mode) => decide(),
        mode => mode,
    }
}

/// As [`in_force`], if the process has not started. If another thread is starting it, or this call comes from inside
/// the start, the table is still the one in which libc serves.
#[cold]
fn decide() -> Option<&'static ModeTable> {
    start::ensure();
    IN_FORCE.get()
}

/// A block that meets `request`; null if there is none.
// Not inlined: its callers would save registers before the tests of the fast path.
#[inline(never)]
pub(crate) fn alloc(request: Request) -> *mut u8 {
    match in_force() {
        None => alloc::alloc_here::<Fast>(request),
        Some(mode) => (mode.alloc)(request),
    }
}

/// Frees `block`, which may be null, Spandrel's or libc's.
// Not inlined, as `alloc`.
#[inline(never)]
pub(crate) fn free(block: *mut u8) {
    match in_force() {
        None => free::free_here::<Fast>(block),
        Some(mode) => (mode.free)(block),
    }
}

/// Makes `block`, which is not null, hold `size` bytes, which is not 0.
pub(crate) fn realloc(block: *mut u8, size: usize) -> Resized {
    match in_force() {
        None => realloc::realloc::<Fast>(block, size),
        Some(mode) => (mode.realloc)(block, size),
    }
}

/// As [`realloc`], of a block at a multiple of `align`, which it keeps. The program uses `bytes` of the block.
#[cfg(not(feature = "export"))]
pub(crate) fn realloc_aligned(block: *mut u8, bytes: usize, size: usize, align: usize) -> Resized {
    match in_force() {
        None => realloc::realloc_aligned::<Fast>(block, size, align),
        // Other modes have ways of their own to move a block, by which it loses its alignment.
        Some(_) => realloc::relocate(block, bytes, size, |request| alloc(Request { align, ..request }), free),
    }
}

/// Usable bytes of `block`, which is not null; 0 for a misused pointer.
pub(crate) fn usable_size(block: *mut u8) -> usize {
    match in_force() {
        None => realloc::usable_size::<Fast>(block),
        Some(mode) => (mode.usable_size)(block),
    }
}

/// Frees `block`, or reports a size that cannot be the one it was allocated with.
pub(crate) fn free_sized(block: *mut u8, named: FreeSize) {
    match in_force() {
        None => realloc::free_sized::<Fast>(block, named),
        Some(mode) => (mode.free_sized)(block, named),
    }
}

/// Usable bytes of the block that a request of `size` bytes gets; 0 for a size that no request may have.
pub(crate) fn good_size(size: usize) -> usize {
    let usable = match (Lane::of_size(size), Class::of_size(size)) {
        (Lane::Refused, _) => return 0,
        (_, Some(class)) => class.size(),
        _ => round_up(size, requests::page_bytes()).unwrap_or(0),
    };
    in_force().map_or(usable, |mode| (mode.good_size)(size, usable))
}
