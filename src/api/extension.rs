#![expect(unsafe_code, reason = "exports C functions")]
//! Calls beyond malloc's own: `include/spandrel.h` is generated from this file, `classes.rs` and `modes.rs`.

use core::ffi::{CStr, c_char, c_int, c_void};

use super::c::{malloc_slow, refuse};
use super::error::or_errno;
use crate::base::lane::Lane;
use crate::control::{dispatch, requests};
use crate::heap::fast_path;
use crate::profile::sampling::{self, NoProfile};
use crate::slow_path::exhaustion;
use crate::stats::{self, ClassFigures, Format, Snapshot, report};
use crate::unwind;

/// Served by a block of a size class (0 to 32 KiB).
pub const SPANDREL_LANE_SMALL: c_int = 0;
/// Served by a run of regions (above, to 32 MiB).
pub const SPANDREL_LANE_LARGE: c_int = 1;
/// Served by a mapping of its own (above, to PTRDIFF_MAX).
pub const SPANDREL_LANE_DIRECT: c_int = 2;
/// Served by libc's allocator, or unknown.
pub const SPANDREL_LANE_LIBC: c_int = 3;
/// Refused: no object can be that large.
pub const SPANDREL_LANE_REFUSED: c_int = 4;

/// Figures of the allocator at one moment. Sizes are in bytes. Other threads go on while they are taken; in a quiet
/// process they are exact.
#[repr(C)]
#[derive(Clone, Copy, Default)]
pub struct spandrel_stats {
    /// Blocks that the program holds, by the size of the block.
    pub live_bytes: usize,
    /// Address space in use for blocks, free or not.
    pub obtained_bytes: usize,
    /// Free blocks in threads' bins.
    pub binned_bytes: usize,
    /// Free blocks in transfer caches.
    pub cached_bytes: usize,
    /// Free runs whose pages the kernel has not got back yet.
    pub dirty_bytes: usize,
    /// The allocator's own structures.
    pub metadata_bytes: usize,
    /// Live large blocks.
    pub large_blocks: usize,
    /// Live direct mappings.
    pub direct_blocks: usize,
    /// Threads that have a heap.
    pub heaps: usize,
    /// Bytes given back to the kernel so far.
    pub purged_bytes: usize,
    /// Blocks that a thread freed for another heap, and that have not arrived there yet.
    pub in_flight_bytes: usize,
    /// Regions cut into blocks of a class.
    pub span_bytes: usize,
    /// Address space reserved, and the part of it that can be read and written.
    pub reserved_bytes: usize,
    /// See reserved_bytes.
    pub committed_bytes: usize,
    /// Bins refilled so far.
    pub refills: u64,
    /// Bins flushed so far.
    pub flushes: u64,
    /// Blocks of other threads freed so far, sent and received.
    pub sent_blocks: u64,
    /// See sent_blocks.
    pub received_blocks: u64,
    /// The refills by source: by spans of the thread's own, by blocks that other threads freed, by the transfer cache,
    /// by a span without an owner, and by a new span.
    pub own_refills: u64,
    /// See own_refills.
    pub received_refills: u64,
    /// See own_refills.
    pub cache_hits: u64,
    /// See own_refills.
    pub adopted_spans: u64,
    /// See own_refills.
    pub made_spans: u64,
}

/// The same structure by a name for C++, where `spandrel_stats` is the function.
#[expect(non_camel_case_types, reason = "a name of C")]
pub type spandrel_stats_t = spandrel_stats;

impl spandrel_stats {
    fn of(snapshot: &Snapshot) -> Self {
        let [refills, flushes] = snapshot.events();
        Self {
            live_bytes: snapshot.live(),
            obtained_bytes: snapshot.obtained(),
            binned_bytes: snapshot.binned(),
            cached_bytes: snapshot.cached(),
            dirty_bytes: snapshot.pages.dirty,
            metadata_bytes: snapshot.pages.metadata,
            large_blocks: snapshot.large.large_blocks,
            direct_blocks: snapshot.large.direct_blocks,
            heaps: snapshot.heaps,
            purged_bytes: snapshot.pages.purged,
            in_flight_bytes: snapshot.in_flight(),
            span_bytes: snapshot.spans(),
            reserved_bytes: snapshot.pages.reserved,
            committed_bytes: snapshot.pages.committed,
            refills,
            flushes,
            sent_blocks: snapshot.traffic.sent_blocks,
            received_blocks: snapshot.traffic.received_blocks,
            own_refills: snapshot.total(ClassFigures::own),
            received_refills: snapshot.total(|class| class.received),
            cache_hits: snapshot.total(|class| class.central.cache_hits),
            adopted_spans: snapshot.total(|class| class.central.adopted),
            made_spans: snapshot.total(|class| class.central.made),
        }
    }
}

/// Lines of text, as malloc_stats prints them.
pub const SPANDREL_FORMAT_TEXT: c_int = 0;
/// One JSON object in a line.
pub const SPANDREL_FORMAT_JSON: c_int = 1;
/// glibc's XML, as malloc_info writes it.
pub const SPANDREL_FORMAT_XML: c_int = 2;
/// Prometheus's text format.
pub const SPANDREL_FORMAT_PROMETHEUS: c_int = 3;

/// True if Spandrel serves this process's malloc: it is preloaded or linked, and SPANDREL_FORCE_LIBC does not send
/// calls to libc.
#[unsafe(no_mangle)]
pub extern "C" fn spandrel_is_active() -> bool {
    requests::is_active()
}

/// The version, as "major.minor.patch".
#[unsafe(no_mangle)]
pub extern "C" fn spandrel_version() -> *const c_char {
    const VERSION: &str = concat!(env!("CARGO_PKG_VERSION"), "\0");
    VERSION.as_ptr().cast()
}

/// The lane (SPANDREL_LANE_...) that serves requests of `size` bytes.
#[unsafe(no_mangle)]
pub extern "C" fn spandrel_lane_of_size(size: usize) -> c_int {
    let lane = Lane::of_size(size);
    if lane == Lane::Refused || requests::is_active() { lane as c_int } else { SPANDREL_LANE_LIBC }
}

/// The lane (SPANDREL_LANE_...) of the live block in which `pointer` lies; SPANDREL_LANE_LIBC for every pointer
/// that is not Spandrel's.
#[unsafe(no_mangle)]
pub extern "C" fn spandrel_lane_of_pointer(pointer: *const c_void) -> c_int {
    requests::lane_of_pointer(pointer.addr()) as c_int
}

/// The usable bytes of a block from malloc(size). The block may have more in a process with many threads, in mode
/// "guarded", and if libc serves the process. 0 for a size that malloc refuses.
#[unsafe(no_mangle)]
pub extern "C" fn spandrel_good_size(size: usize) -> usize {
    if Lane::of_size(size) == Lane::Refused || requests::is_active() { dispatch::good_size(size) } else { size }
}

/// As malloc(size); also stores the usable bytes in `*usable` (if that is not NULL), 0 if it returns NULL.
///
/// # Safety
/// - `usable` is NULL or writable.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn spandrel_alloc_at_least(size: usize, usable: *mut usize) -> *mut c_void {
    let block = fast_path::malloc(size, malloc_slow);
    let bytes = if block.is_null() { 0 } else { dispatch::usable_size(block) };
    if !usable.is_null() {
        // SAFETY: the caller passes NULL or a writable place.
        unsafe { usable.write(bytes) };
    }
    block.cast()
}

/// Returns the free blocks in the calling thread's bins to their spans, except one of each class. With `everything` it
/// also does so for the transfer caches, and then gives all free pages back to the kernel.
#[unsafe(no_mangle)]
pub extern "C" fn spandrel_collect(everything: bool) {
    requests::collect(everything);
}

/// Exchanges freed blocks with other threads, at a point that the program chooses: a safepoint, or between two messages
/// or frames. Sends the blocks of other threads' heaps that the calling thread freed, and receives blocks of its own
/// heap that others freed, in whole batches (at most 124 blocks each) until it has received `most` blocks (0 stands for
/// 250). Returns true if more blocks are waiting. Cheap if there is nothing to do. Never fails; does nothing in a
/// thread that has not allocated, and if libc serves the process. Not for signal handlers.
#[unsafe(no_mangle)]
pub extern "C" fn spandrel_safepoint(most: usize) -> bool {
    requests::safepoint(most)
}

/// Bytes of dirty free runs: their pages were not given back to the kernel yet.
#[unsafe(no_mangle)]
pub extern "C" fn spandrel_resident_bytes() -> usize {
    requests::retained_bytes()
}

/// More than the soft limit is in use. The callback is called again only after an eighth of it was free in between.
pub const SPANDREL_LIMIT_SOFT: c_int = 1;
/// A request would exceed the hard limit; it is tried again after the callback.
pub const SPANDREL_LIMIT_HARD: c_int = 2;

/// Called on the thread that met a limit, from inside its call, with the limit (SPANDREL_LIMIT_...), the bytes in use,
/// and the limit in bytes. It may allocate and free; it is not called again while it runs. It must not throw.
#[expect(non_camel_case_types, reason = "a name of C")]
pub type spandrel_limit_callback = Option<unsafe extern "C" fn(limit: c_int, held: usize, bytes: usize)>;

/// Sets the function that is called when a limit is met; NULL for none.
#[unsafe(no_mangle)]
pub extern "C" fn spandrel_set_limit_callback(callback: spandrel_limit_callback) {
    exhaustion::set_limit_callback(callback);
}

/// Sets the soft and the hard limit in bytes, 0 for none, as SPANDREL_SOFT_LIMIT and SPANDREL_HARD_LIMIT do. Returns
/// false and sets errno to EINVAL if the soft limit is not below the hard one, in a profile with a pool, and if libc
/// serves the process.
#[unsafe(no_mangle)]
pub extern "C" fn spandrel_set_limits(soft: usize, hard: usize) -> bool {
    requests::set_limits(soft, hard) || refuse(libc::EINVAL)
}

/// Fills the first `struct_size` bytes of `*stats`. Returns false and sets errno: EINVAL if `stats` is NULL or
/// `struct_size` is larger than this version's structure, ENOMEM if there is no memory to work in.
///
/// # Safety
/// - `stats` is NULL or writable for `struct_size` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn spandrel_stats(stats: *mut spandrel_stats_t, struct_size: usize) -> bool {
    match stats::with_snapshot(spandrel_stats::of) {
        // SAFETY: the caller says that `stats` is NULL or writable for `struct_size` bytes.
        Some(filled) => unsafe { hand_out(&filled, stats, struct_size) },
        None => refuse(libc::ENOMEM),
    }
}

/// Copies the first `struct_size` bytes of `filled` to `place`; false, and errno EINVAL, if that cannot be.
///
/// # Safety
/// - `place` is null or writable for `struct_size` bytes.
pub(super) unsafe fn hand_out<T>(filled: &T, place: *mut T, struct_size: usize) -> bool {
    if place.is_null() || struct_size > size_of::<T>() {
        return refuse(libc::EINVAL);
    }
    // SAFETY: the caller says that `struct_size` bytes are writable there.
    unsafe { core::ptr::from_ref(filled).cast::<u8>().copy_to_nonoverlapping(place.cast(), struct_size) };
    true
}

/// Writes all figures to file descriptor `fd` in `format` (SPANDREL_FORMAT_...), without allocating. Returns false and
/// sets errno: EINVAL if there is no such format, EIO if `fd` did not take all bytes.
#[unsafe(no_mangle)]
pub extern "C" fn spandrel_stats_write(fd: c_int, format: c_int) -> bool {
    let format = match format {
        SPANDREL_FORMAT_TEXT => Format::Text,
        SPANDREL_FORMAT_JSON => Format::Json,
        SPANDREL_FORMAT_XML => Format::Xml,
        SPANDREL_FORMAT_PROMETHEUS => Format::Prometheus,
        _ => {
            return refuse(libc::EINVAL);
        }
    };
    report::write_stats(fd, format) || refuse(libc::EIO)
}

/// Starts to sample requests for the heap profile, one every `rate` bytes on average; 0 for
/// SPANDREL_HEAP_PROFILE_RATE. Other threads follow at their next slow call. Returns false and sets errno to ENOTSUP
/// if libc or a mode other than "fast" and "counting" serves the process.
#[unsafe(no_mangle)]
pub extern "C" fn spandrel_profile_start(rate: usize) -> bool {
    or_errno(if requests::is_active() { sampling::start(rate) } else { Err(NoProfile::Unsampled) })
}

/// Stops sampling. Sampled blocks stay in the profile until they are freed.
#[unsafe(no_mangle)]
pub extern "C" fn spandrel_profile_stop() {
    sampling::stop();
}

/// Writes the heap profile to the file `path`, or, if that is NULL, to the file that SPANDREL_HEAP_PROFILE names.
/// Returns false and sets errno if it cannot be written: EBUSY if another thread is writing it, or if no samples were
/// ever taken. May be called in a signal handler.
///
/// # Safety
/// - `path` is NULL or a C string.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn spandrel_profile_dump(path: *const c_char) -> bool {
    // SAFETY: the caller passes NULL or a C string.
    let path = (!path.is_null()).then(|| unsafe { CStr::from_ptr(path) });
    or_errno(sampling::dump(path, false))
}

/// Stores the return addresses of the calling thread's stack in `frames`, the innermost first, at most `count`; how
/// many there are. Allocates nothing and takes no lock, so it may be called in a signal handler; the frames that the
/// signal interrupted follow those of the handler.
///
/// # Safety
/// - `frames` is writable for `count` addresses.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn spandrel_call_stack(frames: *mut usize, count: usize) -> usize {
    if frames.is_null() || count == 0 {
        return 0;
    }
    // SAFETY: the caller says that `count` addresses are writable there.
    unwind::capture(0, unsafe { core::slice::from_raw_parts_mut(frames, count) })
}
