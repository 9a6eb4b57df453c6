#![expect(unsafe_code, reason = "declares functions of C")]
//! The functions of libspandrel and of the C library that this library calls, and the errors that `mallctl` returns.
//!
//! # Invariants
//! - `malloc` and its family are called by their plain names, so they are those of the process. If another allocator
//!   serves it, blocks of this library are that allocator's, from birth to free.

use core::ffi::{c_char, c_int, c_uint, c_void};

/// An error of `mallctl`, as errno has it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Errno(pub(crate) c_int);

impl Errno {
    /// No permission: a write of what can only be read, and the reverse.
    pub(crate) const PERM: Self = Self(1);
    /// There is no such name.
    pub(crate) const NO_ENTRY: Self = Self(2);
    /// The action failed.
    pub(crate) const FAULT: Self = Self(14);
    /// A value of the wrong size, or one that cannot be.
    pub(crate) const INVALID: Self = Self(22);
}

/// Where an `output` for statistics goes.
pub(crate) const STANDARD_ERROR: c_int = 2;
/// `SPANDREL_FORMAT_TEXT` and `SPANDREL_FORMAT_JSON` of `spandrel.h`.
pub(crate) const TEXT: c_int = 0;
pub(crate) const JSON: c_int = 1;
/// `SPANDREL_LANE_LIBC` of `spandrel.h`.
pub(crate) const LANE_LIBC: c_int = 3;

/// The first fields of `struct spandrel_stats`.
#[repr(C)]
#[derive(Clone, Copy, Default)]
pub(crate) struct Stats {
    pub(crate) live_bytes: usize,
    pub(crate) obtained_bytes: usize,
    pub(crate) binned_bytes: usize,
    pub(crate) cached_bytes: usize,
    pub(crate) dirty_bytes: usize,
    pub(crate) metadata_bytes: usize,
    pub(crate) large_blocks: usize,
    pub(crate) direct_blocks: usize,
    pub(crate) heaps: usize,
    pub(crate) purged_bytes: usize,
    pub(crate) in_flight_bytes: usize,
    pub(crate) span_bytes: usize,
}

/// The first fields of `struct spandrel_class_stats`.
#[repr(C)]
#[derive(Clone, Copy)]
pub(crate) struct ClassStats {
    pub(crate) block_bytes: usize,
    pub(crate) span_bytes: usize,
    pub(crate) span_blocks: usize,
    pub(crate) live_blocks: usize,
    pub(crate) binned_blocks: usize,
    pub(crate) cached_blocks: usize,
    pub(crate) in_flight_blocks: usize,
    pub(crate) partial_spans: usize,
    pub(crate) full_spans: usize,
    pub(crate) refills: u64,
    pub(crate) flushes: u64,
}

impl ClassStats {
    /// No figures.
    pub(crate) const NONE: Self = Self {
        block_bytes: 0,
        span_bytes: 0,
        span_blocks: 0,
        live_blocks: 0,
        binned_blocks: 0,
        cached_blocks: 0,
        in_flight_blocks: 0,
        partial_spans: 0,
        full_spans: 0,
        refills: 0,
        flushes: 0,
    };
}

unsafe extern "C" {
    pub(crate) safe fn malloc(size: usize) -> *mut c_void;
    pub(crate) safe fn calloc(count: usize, size: usize) -> *mut c_void;
    pub(crate) safe fn aligned_alloc(align: usize, size: usize) -> *mut c_void;
    pub(crate) fn posix_memalign(place: *mut *mut c_void, align: usize, size: usize) -> c_int;
    pub(crate) safe fn memalign(align: usize, size: usize) -> *mut c_void;
    pub(crate) safe fn valloc(size: usize) -> *mut c_void;
    pub(crate) safe fn pvalloc(size: usize) -> *mut c_void;
    pub(crate) fn realloc(block: *mut c_void, size: usize) -> *mut c_void;
    pub(crate) fn free(block: *mut c_void);
    pub(crate) fn malloc_usable_size(block: *mut c_void) -> usize;

    pub(crate) safe fn spandrel_good_size(size: usize) -> usize;
    pub(crate) safe fn spandrel_collect(everything: bool);
    pub(crate) safe fn spandrel_lane_of_pointer(pointer: *const c_void) -> c_int;
    pub(crate) fn spandrel_stats(stats: *mut Stats, struct_size: usize) -> bool;
    pub(crate) fn spandrel_every_class_stats(classes: *mut ClassStats, count: usize, struct_size: usize) -> usize;
    pub(crate) safe fn spandrel_stats_write(fd: c_int, format: c_int) -> bool;
    pub(crate) safe fn spandrel_profile_start(rate: usize) -> bool;
    pub(crate) safe fn spandrel_profile_stop();
    pub(crate) fn spandrel_profile_dump(path: *const c_char) -> bool;

    pub(crate) safe fn abort() -> !;
    pub(crate) safe fn close(fd: c_int) -> c_int;
    pub(crate) safe fn getpid() -> c_int;
    pub(crate) safe fn sysconf(name: c_int) -> isize;
    pub(crate) fn memfd_create(name: *const c_char, flags: c_uint) -> c_int;
    pub(crate) fn pread(fd: c_int, buffer: *mut c_void, count: usize, offset: i64) -> isize;
    pub(crate) fn secure_getenv(name: *const c_char) -> *const c_char;
    pub(crate) fn write(fd: c_int, bytes: *const c_void, count: usize) -> isize;
}

/// The size of a page.
pub(crate) fn page_bytes() -> usize {
    const PAGE_SIZE: c_int = 30;
    usize::try_from(sysconf(PAGE_SIZE)).unwrap_or(4096)
}
