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

/// A named heap: a handle, not an address that can be read. Calls recognise the handle of a heap that was destroyed or
/// deleted.
#[expect(non_camel_case_types, reason = "a name of C")]
pub struct spandrel_heap {
    _private: (),
}

/// The same type by a name that C++ code can use besides a function of the plain name.
#[expect(non_camel_case_types, reason = "a name of C")]
pub type spandrel_heap_t = spandrel_heap;

/// Called when a heap meets a limit, with the heap, the limit (SPANDREL_LIMIT_...), the bytes that the heap holds, the
/// limit in bytes, and the context of the options. At the hard limit it runs on the thread whose request would fail,
/// from inside its call, and the request is tried again afterwards; at the soft limit it runs soon afterwards, on any
/// thread that makes a request. It may allocate and free, and use other heaps if it returns to the one before. It is
/// not called again for the same heap while it runs, and cannot destroy that heap. It must not throw.
#[expect(non_camel_case_types, reason = "a name of C")]
pub type spandrel_heap_callback = Option<
    unsafe extern "C" fn(heap: *mut spandrel_heap_t, limit: c_int, held: usize, bytes: usize, context: *mut c_void),
>;

/// The properties of a new heap. All-zero bytes stand for a heap named "heap" without limits, for one thread at a time.
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
    /// Must be 0; for later versions.
    pub reserved: [usize; 4],
}

/// Figures of a heap at one moment. Sizes are in bytes.
#[repr(C)]
pub struct spandrel_heap_stats {
    /// The name, which ends with a zero.
    pub name: [c_char; 64],
    /// Spans and large blocks: the bytes that the limits bound. Exact at any moment.
    pub held_bytes: usize,
    /// The maximum of held_bytes so far.
    pub peak_bytes: usize,
    /// Regions cut into blocks of a class.
    pub span_bytes: usize,
    /// Large blocks. In mode "guarded" the pages of sampled blocks as well.
    pub large_bytes: usize,
    /// Blocks that the program holds: small ones by the size of the block, large ones by their regions. Blocks that
    /// another thread freed count until they have returned.
    pub live_bytes: usize,
    /// The number of these without large blocks; sampled blocks of mode "guarded" count.
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

/// The same structure by a name for C++.
#[expect(non_camel_case_types, reason = "a name of C")]
pub type spandrel_heap_options_t = spandrel_heap_options;
/// The same structure by a name for C++, where `spandrel_heap_stats` is the function.
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

/// Creates a named heap, whose blocks share no span with those of other heaps. NULL for `options` is the same as all
/// zeroes. A heap takes a quarter of a kilobyte until a thread uses it, and some pages from then on. If it fails, it
/// returns NULL and sets errno: EINVAL for unknown flags, reserved words that are not 0 or a soft limit above the hard
/// one; ENOMEM if there is no memory, or there are 65,536 heaps; EAGAIN in a signal handler that interrupted the
/// allocator; ENOTSUP if libc or the functions of mode "custom" serve the process.
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

/// Frees a heap with all of its blocks. The time depends on the number of spans, or of blocks in modes "hardened" and
/// "tracked". The program must not use the blocks any more, nor may libraries that allocated them. Returns 0 or an
/// error number: EINVAL if there is no such heap, EBUSY if a thread uses it, the caller included, EAGAIN in a signal
/// handler that interrupted the allocator. Not for signal handlers.
#[unsafe(no_mangle)]
pub extern "C" fn spandrel_heap_destroy(heap: *mut spandrel_heap_t) -> c_int {
    done(heaps::end(handle_of(heap), End::Destroy))
}

/// Ends a heap and keeps its blocks: from then on they are blocks of the default heap. Returns 0 or an error number as
/// `spandrel_heap_destroy` does.
#[unsafe(no_mangle)]
pub extern "C" fn spandrel_heap_delete(heap: *mut spandrel_heap_t) -> c_int {
    done(heaps::end(handle_of(heap), End::Delete))
}

/// From now on the heap serves all requests of the calling thread, as fast as before: malloc, new and all others, also
/// those of libraries. (So destroying the heap frees, for example, the buffer that stdio allocated at a first printf.)
/// Returns the heap that the thread used before, NULL for the default heap. Uses nest: passing a heap that the thread
/// uses already leaves all heaps that it began to use after that one. NULL leaves all heaps, and so does the end of the
/// thread. If it fails, it returns SPANDREL_HEAP_FAILED and sets errno: EINVAL if there is no such heap, EBUSY if
/// another thread uses it and it is not SPANDREL_HEAP_SHARED, ENOMEM, EAGAIN in a signal handler that interrupted the
/// allocator. A signal handler must return to the heap that was in use before, and must not pass NULL.
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

/// As malloc, from `heap`, whichever heap the thread uses; NULL for the default heap. Sets errno as `spandrel_heap_use`
/// does, and ENOMEM above the heap's hard limit. free and all other functions accept the block, on any thread.
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

/// As realloc; the result is a block of `heap`, whichever heap the block belonged to before.
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

/// Moves a live block to `heap`, NULL for the default heap, and returns its new address: a large block keeps its
/// address, a small one is copied. If it fails, it returns NULL, sets errno as `spandrel_heap_malloc` does, and leaves
/// the block unchanged. A copy has the alignment of malloc, not a larger one.
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

/// Sets the soft and the hard limit of a heap in bytes, 0 for none. Returns 0, or EINVAL if there is no such heap or
/// the soft limit is above the hard one. If the heap holds more already, requests fail until enough is freed.
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

/// Fills the first `struct_size` bytes of `*stats` with the figures of a heap or account. Returns 0, or EINVAL if there
/// is no such heap (without printing a line), if `stats` is NULL, or if `struct_size` is larger than this version's
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
