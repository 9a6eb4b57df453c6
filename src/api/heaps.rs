#![expect(unsafe_code, reason = "exports C functions")]
//! Named heaps, for programs: a part of `include/spandrel.h`, which is generated from `extension.rs`, `classes.rs`,
//! `modes.rs` and this file.

use core::ffi::{CStr, c_char, c_int, c_uint, c_void};

use super::c::{fail, free_slow, malloc_slow, or_out_of_memory};
use super::error::ErrorNumber;
use super::extension::hand_out;
use crate::control::heaps::{self, End};
use crate::control::{dispatch, requests};
use crate::heap::fast_path;
use crate::pages::limits::UNLIMITED;
use crate::process::holders::{self, Callback, Figures, NAME_BYTES, Unavailable, Wanted};
use crate::slow_path::mode;
use crate::slow_path::request::{Request, Resized};

/// Several threads may use the heap at the same time.
pub const SPANDREL_HEAP_SHARED: c_uint = 1;

/// The longest name of a heap, in bytes; longer ones are cut.
pub const SPANDREL_HEAP_NAME_MAX: usize = 63;

const _: () = assert!(SPANDREL_HEAP_NAME_MAX == NAME_BYTES - 1 && NAME_BYTES == 64);

/// A heap that the program made: a handle, not an address that can be read. The handle of a heap that is gone is
/// recognised.
#[expect(non_camel_case_types, reason = "a name of C")]
pub struct spandrel_heap {
    _private: (),
}

/// The structure where C++ takes the plain name for something else.
#[expect(non_camel_case_types, reason = "a name of C")]
pub type spandrel_heap_t = spandrel_heap;

/// Called when a limit of a heap was met: the heap, which limit (SPANDREL_LIMIT_...), the bytes that the heap
/// holds, the limit in bytes, and the context of the options. For the hard limit that is on the thread whose
/// request it refuses, from inside its call, and the request is tried again after it; for the soft limit soon
/// after, on any thread that makes a request. May allocate and free, and use other heaps if it goes back; it is
/// not called again for that heap meanwhile, and cannot destroy it. Must not throw.
#[expect(non_camel_case_types, reason = "a name of C")]
pub type spandrel_heap_callback = Option<
    unsafe extern "C" fn(heap: *mut spandrel_heap_t, limit: c_int, held: usize, bytes: usize, context: *mut c_void),
>;

/// The properties of a heap that is to be made. All-zero bytes are a heap named "heap" without limits, for one
/// thread at a time.
#[repr(C)]
pub struct spandrel_heap_options {
    /// The name, which is copied; NULL for "heap".
    pub name: *const c_char,
    /// The soft and the hard limit, in bytes of spans and large blocks; 0 for none.
    pub soft_limit: usize,
    /// See soft_limit.
    pub hard_limit: usize,
    /// The function that is called when a limit is met; NULL for none.
    pub callback: spandrel_heap_callback,
    /// The last argument of that function.
    pub context: *mut c_void,
    /// 0, or SPANDREL_HEAP_SHARED.
    pub flags: c_uint,
    /// 0, for later versions.
    pub reserved: [usize; 4],
}

/// Figures of a heap at one moment. Sizes are in bytes.
#[repr(C)]
pub struct spandrel_heap_stats {
    /// The name, which ends with a zero.
    pub name: [c_char; 64],
    /// Spans and large blocks: what the limits bound. Exact at any moment.
    pub held_bytes: usize,
    /// The most that held_bytes was.
    pub peak_bytes: usize,
    /// Regions cut into blocks of a class.
    pub span_bytes: usize,
    /// Large blocks. In mode "guarded" the pages of sampled blocks as well.
    pub large_bytes: usize,
    /// Blocks that the program has, by the size of the block, large ones by their regions. Blocks that another thread
    /// freed count until they arrive.
    pub live_bytes: usize,
    /// How many they are, large ones left out; sampled ones of mode "guarded" are among them.
    pub live_blocks: usize,
    /// The limits; 0 for none.
    pub soft_limit: usize,
    /// See soft_limit.
    pub hard_limit: usize,
    /// Requests that the hard limit refused.
    pub refusals: usize,
    /// The most threads that used the heap at the same time.
    pub parts: usize,
    /// Threads that use it now.
    pub users: usize,
}

/// As `spandrel_heap_options`, for C++.
#[expect(non_camel_case_types, reason = "a name of C")]
pub type spandrel_heap_options_t = spandrel_heap_options;
/// As `spandrel_heap_stats`, where that is the function.
#[expect(non_camel_case_types, reason = "a name of C")]
pub type spandrel_heap_stats_t = spandrel_heap_stats;

/// `SPANDREL_HEAP_FAILED`, which spandrel_heap_use returns where it fails.
const FAILED: usize = usize::MAX;

fn handle_of(heap: *const spandrel_heap_t) -> usize {
    heap.addr()
}

fn heap_of(handle: usize) -> *mut spandrel_heap_t {
    core::ptr::without_provenance_mut(handle)
}

/// 0, or an error number.
fn done(result: Result<(), Unavailable>) -> c_int {
    result.map_or_else(ErrorNumber::error_number, |()| 0)
}

/// A limit of the program's, 0 for none.
const fn limit(bytes: usize) -> usize {
    if bytes == 0 { UNLIMITED } else { bytes }
}

/// Makes a heap of the program's own, whose blocks share no span with others; NULL for `options` is all zeroes. It
/// costs a quarter of a kilobyte until a thread uses it, and some pages then. NULL, and errno EINVAL for unknown
/// flags, words that are reserved and a soft limit above the hard one, ENOMEM if there is no memory or no place
/// (65,536 heaps), EAGAIN from inside the allocator, ENOTSUP if libc or the functions of mode "custom" serve the
/// process.
///
/// # Safety
/// - `options` is NULL or readable, and its name NULL or a C string.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn spandrel_heap_create(options: *const spandrel_heap_options_t) -> *mut spandrel_heap_t {
    // SAFETY: the caller passes NULL or readable options.
    let options = unsafe { options.as_ref() };
    let name = options.map_or(core::ptr::null(), |options| options.name);
    // SAFETY: the caller passes NULL or a C string.
    let name = (!name.is_null()).then(|| unsafe { CStr::from_ptr(name) });
    let (soft, hard) = options.map_or((0, 0), |options| (options.soft_limit, options.hard_limit));
    let flags = options.map_or(0, |options| options.flags);
    let is_later = options.is_some_and(|options| options.reserved.iter().any(|&word| word != 0));
    if is_later || flags & !SPANDREL_HEAP_SHARED != 0 || limit(soft) > limit(hard) && soft != 0 {
        return fail(libc::EINVAL);
    }
    let callback = options.and_then(|options| options.callback);
    let made = heaps::create(&Wanted {
        name: name.map_or(b"heap", CStr::to_bytes),
        limits: (limit(soft), limit(hard)),
        // SAFETY: a handle has the size and the registers of a pointer.
        callback: callback.map(|callback| unsafe { core::mem::transmute::<_, Callback>(callback) }),
        context: options.map_or(core::ptr::null_mut(), |options| options.context),
        shared: flags & SPANDREL_HEAP_SHARED != 0,
    });
    match made {
        Ok(handle) => heap_of(handle),
        Err(reason) => fail(reason.error_number()),
    }
}

/// Frees all blocks of a heap at once, and the heap: in time by spans, not blocks, but for modes that look at each
/// block ("hardened", "tracked"). Nothing may use the blocks any more, libraries that allocated them included. 0,
/// or an error number: EINVAL if there is no such heap, EBUSY if a thread uses it, the caller included, EAGAIN from
/// inside the allocator. Not for signal handlers.
#[unsafe(no_mangle)]
pub extern "C" fn spandrel_heap_destroy(heap: *mut spandrel_heap_t) -> c_int {
    done(heaps::end(handle_of(heap), End::Destroy))
}

/// Ends a heap whose blocks stay: live ones are as those of malloc from then on. Fails as `spandrel_heap_destroy`
/// does.
#[unsafe(no_mangle)]
pub extern "C" fn spandrel_heap_delete(heap: *mut spandrel_heap_t) -> c_int {
    done(heaps::end(handle_of(heap), End::Delete))
}

/// Has all requests of the calling thread be the heap's from now on, as fast as before: malloc, new and all others,
/// those of libraries among them: the buffer that stdio gets at the first printf goes when the heap is destroyed.
/// Returns the heap before, NULL for the default one. NULL leaves all heaps. Heaps nest: one that is used above
/// another stays above it until that one, or one below it, is used again; then all above it are left. A thread that
/// ends leaves its heaps. SPANDREL_HEAP_FAILED, and errno EINVAL if there is no such heap, EBUSY if another thread
/// uses it and it is not SPANDREL_HEAP_SHARED, ENOMEM, EAGAIN from inside the allocator. A signal handler must go
/// back to the heap that it found, and not by NULL.
#[unsafe(no_mangle)]
pub extern "C" fn spandrel_heap_use(heap: *mut spandrel_heap_t) -> *mut spandrel_heap_t {
    match holders::switch(handle_of(heap)) {
        Ok(before) => heap_of(before),
        // libc serves the process: there is nothing to leave.
        Err(_) if heap.is_null() && !requests::is_active() => core::ptr::null_mut(),
        Err(reason) => {
            let _: *mut u8 = fail(reason.error_number());
            heap_of(FAILED)
        }
    }
}

/// The heap that the calling thread uses; NULL for the default one.
#[unsafe(no_mangle)]
pub extern "C" fn spandrel_heap_current() -> *mut spandrel_heap_t {
    heap_of(holders::current())
}

/// The heap of the live block at `block`; NULL for the default one, and for pointers that are not Spandrel's.
#[unsafe(no_mangle)]
pub extern "C" fn spandrel_heap_of(block: *const c_void) -> *mut spandrel_heap_t {
    heap_of(mode::heap_of(block.addr()))
}

/// Does `work` on `heap`; null, and errno, where that cannot be.
fn on_heap(heap: *mut spandrel_heap_t, work: impl FnOnce() -> *mut u8) -> *mut c_void {
    if heap.is_null() && !requests::is_active() {
        // libc serves the process, whichever heap a thread uses.
        return work().cast();
    }
    match holders::visit(handle_of(heap), work) {
        Ok(block) => block.cast(),
        Err(reason) => fail(reason.error_number()),
    }
}

/// As [`spandrel_heap_malloc`], where the bins of the heap do not serve it, or the thread uses that heap.
#[inline(never)]
fn malloc_on(heap: *mut spandrel_heap_t, size: usize) -> *mut c_void {
    on_heap(heap, || fast_path::malloc(size, malloc_slow))
}

/// As malloc, from `heap`, whichever heap the thread uses; NULL for the default heap. Errors as for
/// `spandrel_heap_use`, and ENOMEM above the heap's hard limit. free and all other functions take the block, from
/// any thread.
#[unsafe(no_mangle)]
pub extern "C" fn spandrel_heap_malloc(heap: *mut spandrel_heap_t, size: usize) -> *mut c_void {
    let block = holders::pop(handle_of(heap), size);
    if block.is_null() { malloc_on(heap, size) } else { block.cast() }
}

/// As calloc, from `heap`.
#[unsafe(no_mangle)]
pub extern "C" fn spandrel_heap_calloc(heap: *mut spandrel_heap_t, count: usize, size: usize) -> *mut c_void {
    let Some(bytes) = count.checked_mul(size) else { return fail(libc::ENOMEM) };
    let block = holders::pop(handle_of(heap), bytes);
    if block.is_null() {
        return on_heap(heap, || or_out_of_memory(dispatch::alloc(Request { size: bytes, align: 1, zero: true })));
    }
    // SAFETY: the block was just allocated with that many bytes, and the program does not have it yet.
    unsafe { block.write_bytes(0, bytes) };
    block.cast()
}

/// As aligned_alloc, from `heap`.
#[unsafe(no_mangle)]
pub extern "C" fn spandrel_heap_aligned_alloc(
    heap: *mut spandrel_heap_t,
    alignment: usize,
    size: usize,
) -> *mut c_void {
    if !alignment.is_power_of_two() {
        return fail(libc::EINVAL);
    }
    let block = holders::pop_aligned(handle_of(heap), size, alignment);
    if block.is_null() {
        return on_heap(heap, || or_out_of_memory(dispatch::alloc(Request { size, align: alignment, zero: false })));
    }
    block.cast()
}

/// As realloc; the result is a block of `heap`, whatever heap the block was of.
///
/// # Safety
/// - `block` is NULL or a live block.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn spandrel_heap_realloc(
    heap: *mut spandrel_heap_t,
    block: *mut c_void,
    size: usize,
) -> *mut c_void {
    if block.is_null() {
        return spandrel_heap_malloc(heap, size);
    }
    if size == 0 {
        fast_path::free(block.cast(), free_slow);
        return core::ptr::null_mut();
    }
    if !requests::is_active() {
        let resized = || dispatch::realloc(block.cast(), size);
        return if heap.is_null() { answer(resized()) } else { fail(libc::EINVAL) };
    }
    match heaps::resize(handle_of(heap), block.cast(), size) {
        Ok(resized) => answer(resized),
        Err(reason) => fail(reason.error_number()),
    }
}

fn answer(resized: Resized) -> *mut c_void {
    match resized {
        Resized::At(moved) => moved.cast(),
        Resized::OutOfMemory => fail(libc::ENOMEM),
        Resized::Misused => fail(libc::EINVAL),
    }
}

/// Gives a live block to `heap`, NULL for the default one: a large block stays where it is, a small one is copied.
/// Returns where it is then. NULL, and errno as for `spandrel_heap_malloc`; the block is as it was then. A block
/// keeps the alignment of malloc, and not a larger one.
///
/// # Safety
/// - `block` is a live block.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn spandrel_heap_move(heap: *mut spandrel_heap_t, block: *mut c_void) -> *mut c_void {
    if block.is_null() || !requests::is_active() {
        return fail(libc::EINVAL);
    }
    match heaps::give(handle_of(heap), block.cast()) {
        Ok(block) => block.cast(),
        Err(reason) => fail(reason.error_number()),
    }
}

/// Sets the soft and the hard limit of a heap in bytes, 0 for none. 0, or EINVAL if there is no such heap, or the
/// soft limit is above the hard one. Where more is held already, requests fail until enough is freed.
#[unsafe(no_mangle)]
pub extern "C" fn spandrel_heap_set_limits(heap: *mut spandrel_heap_t, soft: usize, hard: usize) -> c_int {
    if limit(soft) > limit(hard) && soft != 0 {
        return libc::EINVAL;
    }
    done(heaps::set_limits(handle_of(heap), limit(soft), limit(hard)))
}

impl spandrel_heap_stats {
    fn of(figures: &Figures) -> Self {
        let or_zero = |limit: usize| if limit == UNLIMITED { 0 } else { limit };
        Self {
            name: figures.name.map(u8::cast_signed),
            held_bytes: figures.held,
            peak_bytes: figures.peak,
            span_bytes: figures.held - figures.large,
            large_bytes: figures.large,
            live_bytes: figures.small_bytes + figures.large,
            live_blocks: figures.small_blocks + figures.apart[0],
            soft_limit: or_zero(figures.soft),
            hard_limit: or_zero(figures.hard),
            refusals: figures.refusals,
            parts: figures.parts,
            users: figures.users,
        }
    }
}

/// Fills the first `struct_size` bytes of `*stats` with the figures of a heap or account. 0, or EINVAL if there is
/// no such heap, of which no line is printed, `stats` is NULL, or `struct_size` is larger than this version's
/// structure.
///
/// # Safety
/// - `stats` is NULL or writable for `struct_size` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn spandrel_heap_stats(
    heap: *mut spandrel_heap_t,
    stats: *mut spandrel_heap_stats_t,
    struct_size: usize,
) -> c_int {
    let Some(figures) = holders::figures_of(handle_of(heap)) else { return libc::EINVAL };
    // SAFETY: the caller says that `stats` is NULL or writable for `struct_size` bytes.
    if unsafe { hand_out(&spandrel_heap_stats::of(&figures), stats, struct_size) } { 0 } else { libc::EINVAL }
}

/// Stores the handles of up to `most` heaps and accounts in `heaps`; how many there are. `heaps` may be NULL where
/// `most` is 0.
///
/// # Safety
/// - `heaps` is writable for `most` handles.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn spandrel_heap_list(heaps: *mut *mut spandrel_heap_t, most: usize) -> usize {
    let mut count = 0;
    holders::each_handle(|handle| {
        if count < most {
            // SAFETY: the caller says that so many handles are writable there.
            unsafe { heaps.wrapping_add(count).write(heap_of(handle)) };
        }
        count += 1;
    });
    count
}
