#![expect(unsafe_code, reason = "exports C functions")]
//! What malloc's own interface cannot say: `include/spandrel.h` is made from this file.

use core::ffi::{CStr, c_char, c_int, c_void};

use super::errno;
use super::family::malloc_slow;
use crate::base::class::Class;
use crate::base::lane::Lane;
use crate::base::units::round_up;
use crate::runtime::{self, NoProfile, Refusal, gate};
use crate::sys::stack;

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

/// Figures of the allocator at one moment. Sizes are in bytes. Other threads go on while they are taken; in a quiet process they
/// are exact.
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
}

/// True if this process's malloc is served by Spandrel: preloaded or linked, and not sent to libc by SPANDREL_FORCE_LIBC.
#[unsafe(no_mangle)]
pub extern "C" fn spandrel_is_active() -> bool {
    runtime::is_active()
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
    if lane == Lane::Refused || runtime::is_active() { lane as c_int } else { SPANDREL_LANE_LIBC }
}

/// The lane (SPANDREL_LANE_...) that `pointer`, an address in a live block, is from; SPANDREL_LANE_LIBC for all that is not
/// Spandrel's.
#[unsafe(no_mangle)]
pub extern "C" fn spandrel_lane_of_pointer(pointer: *const c_void) -> c_int {
    runtime::lane_of_pointer(pointer.addr()) as c_int
}

/// The bytes that malloc(size) would make usable; 0 for a size that is refused.
#[unsafe(no_mangle)]
pub extern "C" fn spandrel_good_size(size: usize) -> usize {
    match (Lane::of_size(size), Class::of_size(size)) {
        (Lane::Refused, _) => 0,
        (_, Some(class)) => class.size(),
        _ => round_up(size, runtime::page_bytes()).unwrap_or(0),
    }
}

/// As malloc(size), and stores the bytes that may be used in `*usable` (if that is not NULL); 0 where NULL is returned.
///
/// # Safety
/// - `usable` is NULL or writable.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn spandrel_alloc_at_least(size: usize, usable: *mut usize) -> *mut c_void {
    let block = gate::malloc(size, malloc_slow);
    let bytes = if block.is_null() { 0 } else { runtime::usable_size(block) };
    if !usable.is_null() {
        // SAFETY: the caller passes NULL or a writable place.
        unsafe { usable.write(bytes) };
    }
    block.cast()
}

/// Gives back what the calling thread's heap holds without need; with `everything` also what threads share, down to the pages.
#[unsafe(no_mangle)]
pub extern "C" fn spandrel_collect(everything: bool) {
    runtime::collect(everything);
}

/// Starts to sample requests for the heap profile, one every `rate` bytes on average; 0 for SPANDREL_HEAP_PROFILE_RATE. Other threads
/// follow when they next leave the hit path. False, and errno ENOTSUP, where libc or a mode other than `fast` and `counting` serves the
/// process.
#[unsafe(no_mangle)]
pub extern "C" fn spandrel_profile_start(rate: usize) -> bool {
    told(runtime::start_profile(rate))
}

/// Samples no more requests. Blocks that were sampled stay in the profile until they are freed.
#[unsafe(no_mangle)]
pub extern "C" fn spandrel_profile_stop() {
    runtime::stop_profile();
}

/// Writes the heap profile to the file `path`, or, if that is NULL, to where SPANDREL_HEAP_PROFILE says. False, and errno, if it cannot be
/// written; EBUSY if another thread is writing it, or if no samples were ever taken. May be called in a signal handler.
///
/// # Safety
/// - `path` is NULL or a C string.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn spandrel_profile_dump(path: *const c_char) -> bool {
    // SAFETY: the caller passes NULL or a C string.
    let path = (!path.is_null()).then(|| unsafe { CStr::from_ptr(path) });
    told(runtime::dump_profile(path))
}

/// Sets errno where there is no profile.
fn told(done: Result<(), NoProfile>) -> bool {
    if let Err(why) = done {
        errno::fail::<c_void>(match why {
            NoProfile::Unsampled => libc::ENOTSUP,
            NoProfile::Busy => libc::EBUSY,
            NoProfile::File(error) => error,
        });
    }
    done.is_ok()
}

/// Stores the return addresses of the calling thread's stack in `frames`, the innermost first, at most `count`; how many there are. Allocates
/// nothing and takes no lock, so it may be called in a signal handler; the frames that the signal interrupted follow those of the
/// handler.
///
/// # Safety
/// - `frames` is writable for `count` addresses.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn spandrel_call_stack(frames: *mut usize, count: usize) -> usize {
    if frames.is_null() || count == 0 {
        return 0;
    }
    // SAFETY: the caller vouches for the array.
    stack::capture(0, unsafe { core::slice::from_raw_parts_mut(frames, count) })
}

/// Bytes of free runs whose pages the kernel has not got back yet.
#[unsafe(no_mangle)]
pub extern "C" fn spandrel_resident_bytes() -> usize {
    runtime::retained_bytes()
}

/// More than the soft limit is in use. Said again only when an eighth of it was free meanwhile.
pub const SPANDREL_LIMIT_SOFT: c_int = 1;
/// The hard limit is about to refuse a request; it is tried again after the callback.
pub const SPANDREL_LIMIT_HARD: c_int = 2;

/// Called on the thread that met a limit, from inside its call: which limit (SPANDREL_LIMIT_...), the bytes in use, the limit in bytes.
/// May allocate and free; it is not called again meanwhile. Must not throw.
#[expect(non_camel_case_types, reason = "a name of C")]
pub type spandrel_limit_callback = Option<unsafe extern "C" fn(limit: c_int, held: usize, bytes: usize)>;

/// Has `callback` called when a limit is met; NULL for nothing.
#[unsafe(no_mangle)]
pub extern "C" fn spandrel_set_limit_callback(callback: spandrel_limit_callback) {
    runtime::set_limit_callback(callback);
}

/// Sets the soft and the hard limit in bytes, 0 for none, as SPANDREL_SOFT_LIMIT and SPANDREL_HARD_LIMIT do. False, and errno EINVAL,
/// if the soft limit is not below the hard one, in a profile with a pool, and where libc serves the process.
#[unsafe(no_mangle)]
pub extern "C" fn spandrel_set_limits(soft: usize, hard: usize) -> bool {
    let set = runtime::set_limits(soft, hard);
    if !set {
        errno::fail::<c_void>(libc::EINVAL);
    }
    set
}

/// The mode in force, as SPANDREL_MODE names it.
#[unsafe(no_mangle)]
pub extern "C" fn spandrel_mode() -> *const c_char {
    runtime::mode_name().as_ptr()
}

/// Puts the mode of that name into force. "counting" can be switched on in a process in mode "fast", and off again ("fast"); it then counts
/// from 0, and threads that have allocated before are seen from their next call on which the hit path does not serve. All other modes
/// must know every block from the first one on. False, and errno EINVAL for a name that is none, ENOTSUP for a mode that cannot be
/// switched to or from; the mode that is in force already is true.
///
/// # Safety
/// - `name` is a C string.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn spandrel_set_mode(name: *const c_char) -> bool {
    if name.is_null() {
        errno::fail::<c_void>(libc::EINVAL);
        return false;
    }
    // SAFETY: the caller says that it is a C string.
    let name = unsafe { CStr::from_ptr(name) };
    answer(runtime::set_mode(name.to_bytes()))
}

/// True, or false with errno.
fn answer(done: Result<(), Refusal>) -> bool {
    let error = match done {
        Ok(()) => return true,
        Err(Refusal::Unknown) => libc::EINVAL,
        Err(Refusal::Unsafe) => libc::ENOTSUP,
    };
    errno::fail::<c_void>(error);
    false
}

/// In mode "counting": stores how many blocks, and how many usable bytes of them, were allocated and not freed since counting began. Below
/// zero where blocks from before were freed. Either pointer may be NULL. False, and errno ENOTSUP, in other modes.
///
/// # Safety
/// - `blocks` and `bytes` are NULL or writable.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn spandrel_outstanding(blocks: *mut i64, bytes: *mut i64) -> bool {
    let Some(counted) = runtime::outstanding() else { return answer(Err(Refusal::Unsafe)) };
    for (place, count) in [(blocks, counted.0), (bytes, counted.1)] {
        if !place.is_null() {
            // SAFETY: the caller passes NULL or a writable place.
            unsafe { place.write(count) };
        }
    }
    true
}

/// Fills the first `struct_size` bytes of `*stats`; false, and errno EINVAL, if `stats` is NULL or `struct_size` is larger than
/// this version's structure.
///
/// # Safety
/// - `stats` is NULL or writable for `struct_size` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn spandrel_stats(stats: *mut spandrel_stats, struct_size: usize) -> bool {
    if stats.is_null() || struct_size > size_of::<spandrel_stats>() {
        errno::fail::<c_void>(libc::EINVAL);
        return false;
    }
    let snapshot = runtime::snapshot();
    let filled = spandrel_stats {
        live_bytes: snapshot.live(),
        obtained_bytes: snapshot.obtained(),
        binned_bytes: snapshot.binned,
        cached_bytes: snapshot.central.cached,
        dirty_bytes: snapshot.pages.dirty,
        metadata_bytes: snapshot.pages.metadata,
        large_blocks: snapshot.central.large_blocks,
        direct_blocks: snapshot.central.direct_blocks,
        heaps: snapshot.heaps,
        purged_bytes: snapshot.pages.purged,
    };
    // SAFETY: the caller says that `struct_size` bytes are writable there.
    unsafe { (&raw const filled).cast::<u8>().copy_to_nonoverlapping(stats.cast(), struct_size) };
    true
}
