#![expect(unsafe_code, reason = "calls into the C library")]
//! The C library's own allocator, by the names under which glibc exports it whatever else is preloaded, and `errno`.
//!
//! Must not know why a call goes to libc.

use core::ffi::{CStr, c_char, c_int, c_void};

use super::atomic::{AtomicPtr, Ordering};
use super::call;
use super::processor::weak_address;

unsafe extern "C" {
    fn __errno_location() -> *mut c_int;
}

/// A weak function as the given type, `None` where the program has no such function.
macro_rules! weak {
    ($name:literal as $type:ty) => {{
        let address = $crate::sys::processor::weak_address!($name);
        // SAFETY: the type is that of the C function of this name; null is `None` in an optional function pointer.
        unsafe { core::mem::transmute::<usize, Option<$type>>(address) }
    }};
}

pub(crate) use weak;

/// Whether AddressSanitizer is linked into the process.
pub(crate) fn has_address_sanitizer() -> bool {
    weak_address!("__asan_init") != 0
}

/// Whether libc's allocator is there.
pub(crate) fn has_allocator() -> bool {
    weak!("__libc_malloc" as unsafe extern "C" fn(usize) -> *mut u8).is_some()
}

/// libc's malloc; null where there is none.
pub(crate) fn malloc(size: usize) -> *mut u8 {
    match weak!("__libc_malloc" as unsafe extern "C" fn(usize) -> *mut u8) {
        // SAFETY: takes any size.
        Some(malloc) => unsafe { malloc(size) },
        None => core::ptr::null_mut(),
    }
}

/// libc's calloc; null where there is none.
pub(crate) fn calloc(count: usize, size: usize) -> *mut u8 {
    match weak!("__libc_calloc" as unsafe extern "C" fn(usize, usize) -> *mut u8) {
        // SAFETY: takes any pair of sizes.
        Some(calloc) => unsafe { calloc(count, size) },
        None => core::ptr::null_mut(),
    }
}

/// libc's memalign; `align` is a power of two. Null where there is none.
pub(crate) fn memalign(align: usize, size: usize) -> *mut u8 {
    match weak!("__libc_memalign" as unsafe extern "C" fn(usize, usize) -> *mut u8) {
        // SAFETY: takes any size.
        Some(memalign) => unsafe { memalign(align, size) },
        None => core::ptr::null_mut(),
    }
}

/// libc's realloc.
///
/// # Safety
/// - `block` is a live block of libc's allocator.
pub(crate) unsafe fn realloc(block: *mut u8, size: usize) -> *mut u8 {
    match weak!("__libc_realloc" as unsafe extern "C" fn(*mut u8, usize) -> *mut u8) {
        // SAFETY: the block is a live one of libc's.
        Some(realloc) => unsafe { realloc(block, size) },
        None => core::ptr::null_mut(),
    }
}

/// libc's free.
///
/// # Safety
/// - `block` is a live block of libc's allocator.
pub(crate) unsafe fn free(block: *mut u8) {
    if let Some(free) = weak!("__libc_free" as unsafe extern "C" fn(*mut u8)) {
        // SAFETY: the block is a live one of libc's.
        unsafe { free(block) };
    }
}

type UsableSize = unsafe extern "C" fn(*mut c_void) -> usize;

/// libc's malloc_usable_size, found behind the one exported here. Stored once found; any thread may store the same
/// answer.
static USABLE_SIZE: AtomicPtr<c_void> = AtomicPtr::new(core::ptr::null_mut());

/// Usable bytes of a block of libc's; 0 where libc's function cannot be found (static linking).
///
/// # Safety
/// - `block` is a live block of libc's allocator.
pub(crate) unsafe fn usable_size(block: *mut u8) -> usize {
    // Relaxed: the pointer is to code, and every thread finds the same.
    let mut function = USABLE_SIZE.load(Ordering::Relaxed);
    if function.is_null() {
        // SAFETY: the name is a C string; the call may allocate, which the recursion guard serves.
        function = unsafe { libc::dlsym(libc::RTLD_NEXT, c"malloc_usable_size".as_ptr()) };
        USABLE_SIZE.store(function, Ordering::Relaxed);
    }
    if function.is_null() {
        return 0;
    }
    // SAFETY: that is the type of the C function of this name.
    let function = unsafe { core::mem::transmute::<*mut c_void, UsableSize>(function) };
    // SAFETY: the block is a live one of libc's.
    unsafe { function(block.cast()) }
}

/// The C library's dlopen, found behind the one exported here. As [`USABLE_SIZE`].
static DLOPEN: AtomicPtr<c_void> = AtomicPtr::new(core::ptr::null_mut());

/// The next `dlopen` after the one exported here; null where there is none.
pub(crate) fn next_dlopen() -> *mut c_void {
    // Relaxed: the pointer is to code, and every thread finds the same.
    let mut function = DLOPEN.load(Ordering::Relaxed);
    if function.is_null() {
        // SAFETY: the name is a C string. Takes the loader's lock, which the caller is about to take in any case.
        function = unsafe { libc::dlsym(libc::RTLD_NEXT, c"dlopen".as_ptr()) };
        DLOPEN.store(function, Ordering::Relaxed);
    }
    function
}

/// The name of the function that registers fork handlers. A static, so that `scripts/layout.ld` finds it: the start reads it.
static AT_FORK: [u8; 18] = *b"__register_atfork\0";

/// A function to call around a fork; `None` where there is nothing to do.
pub(crate) type ForkHandler = Option<unsafe extern "C" fn()>;

/// Whether calls that register fork handlers come by the allocator: in the shared library, where its `__register_atfork`
/// is the first one of the process.
pub(crate) fn sees_fork_handlers() -> bool {
    let own = weak_address!("spandrel_atfork_of_library");
    own != 0 && own == weak_address!("__register_atfork")
}

/// Registers the allocator's fork handlers.
///
/// # Safety
/// - The handlers stay for the life of the process.
pub(crate) unsafe fn register_fork_handlers(prepare: ForkHandler, parent: ForkHandler, child: ForkHandler) {
    if sees_fork_handlers() {
        // SAFETY: the handlers stay, so no object needs to be named with which they would go.
        unsafe { pass_fork_handlers(prepare, parent, child, core::ptr::null_mut()) };
    } else {
        // SAFETY: the handlers stay.
        unsafe { libc::pthread_atfork(prepare, parent, child) };
    }
}

/// Registers fork handlers with the next `__register_atfork` after the one exported here, for as long as `object` is
/// loaded.
///
/// # Safety
/// - The handlers stay as long as `object`.
pub(crate) unsafe fn pass_fork_handlers(
    prepare: ForkHandler,
    parent: ForkHandler,
    child: ForkHandler,
    object: *mut c_void,
) -> c_int {
    type Register = unsafe extern "C" fn(ForkHandler, ForkHandler, ForkHandler, *mut c_void) -> c_int;
    // SAFETY: the name is a C string; the call may allocate, which the recursion guard serves.
    let next = unsafe { libc::dlsym(libc::RTLD_NEXT, AT_FORK.as_ptr().cast()) };
    // SAFETY: that is the type of the C function of this name; null is `None`.
    let Some(register) = (unsafe { core::mem::transmute::<*mut c_void, Option<Register>>(next) }) else {
        return libc::ENOMEM;
    };
    // SAFETY: as this function's caller promises.
    unsafe { register(prepare, parent, child, object) }
}

/// Loads the shared object at `path`, all of whose references have to be met; otherwise why not, as far as that is
/// known.
pub(crate) fn open_object(path: &CStr) -> Result<*mut c_void, Option<&'static CStr>> {
    let open = weak!("dlopen" as unsafe extern "C" fn(*const c_char, c_int) -> *mut c_void).ok_or(None)?;
    // SAFETY: the path is a C string. Constructors of the object run.
    let object = unsafe { open(path.as_ptr(), libc::RTLD_NOW) };
    if !object.is_null() {
        return Ok(object);
    }
    let error = weak!("dlerror" as unsafe extern "C" fn() -> *const c_char).ok_or(None)?;
    // SAFETY: takes no argument.
    let why = unsafe { error() };
    // SAFETY: null, or a C string that stays until this thread's next such call.
    Err((!why.is_null()).then(|| unsafe { CStr::from_ptr(why) }))
}

/// The address of `name` in a loaded object or what it depends on; null if there is none.
pub(crate) fn symbol_of(object: *mut c_void, name: &CStr) -> *mut c_void {
    // SAFETY: the object is loaded, and the name a C string.
    unsafe { libc::dlsym(object, name.as_ptr()) }
}

/// The calling thread's `errno`.
pub(crate) fn errno() -> c_int {
    // SAFETY: takes no argument.
    let place = unsafe { __errno_location() };
    // SAFETY: the place of this thread's errno is always valid.
    unsafe { place.read() }
}

/// Sets the calling thread's `errno`.
pub(crate) fn set_errno(value: c_int) {
    // SAFETY: takes no argument.
    let place = unsafe { __errno_location() };
    // SAFETY: the place of this thread's errno is always valid.
    unsafe { place.write(value) };
}

/// Calls `work` and leaves `errno` as it was: for signal handlers, whose interrupted code may be about to read it, and for
/// what free does besides.
pub(crate) fn keeping_errno(work: impl FnOnce()) {
    let before = errno();
    work();
    set_errno(before);
}

/// Starts a thread that blocks all signals but libc's own; false if there can be none.
pub(crate) fn start_thread(run: extern "C" fn(*mut c_void) -> *mut c_void) -> bool {
    type Create = unsafe extern "C" fn(
        *mut usize,
        *const c_void,
        extern "C" fn(*mut c_void) -> *mut c_void,
        *mut c_void,
    ) -> c_int;
    let Some(create) = weak!("pthread_create" as Create) else { return false };
    let mut thread = 0;
    let before = call::block_signals();
    // SAFETY: the C function gets a place for the thread's name, no attributes, and a function that stays.
    let started = unsafe { create(&raw mut thread, core::ptr::null(), run, core::ptr::null_mut()) } == 0;
    call::set_blocked_signals(before);
    started
}

/// Writes out all streams and has libc free what it keeps for itself. Nothing of libc may be used afterwards.
pub(crate) fn free_everything() {
    if let Some(flush) = weak!("_IO_flush_all" as unsafe extern "C" fn() -> c_int) {
        // SAFETY: takes no argument.
        unsafe { flush() };
    }
    if let Some(free) = weak!("__libc_freeres" as unsafe extern "C" fn()) {
        // SAFETY: the process is about to end, and nothing of libc is used afterwards.
        unsafe { free() };
    }
}

/// Has `handler` called with the status of the process when it ends; where the C library has no such call, nothing
/// happens.
pub(crate) fn on_exit(handler: extern "C" fn(c_int, *mut c_void)) {
    type OnExit = unsafe extern "C" fn(extern "C" fn(c_int, *mut c_void), *mut c_void) -> c_int;
    if let Some(on_exit) = weak!("on_exit" as OnExit) {
        // SAFETY: the handler is a function that stays.
        unsafe { on_exit(handler, core::ptr::null_mut()) };
    }
}

/// Whether the process has one thread, by what libc knows; false in doubt.
pub(crate) fn is_single_threaded() -> bool {
    let address = weak_address!("__libc_single_threaded");
    // SAFETY: null, or a `char` of libc's that changes when a thread starts, which only a thread can do.
    unsafe { core::ptr::with_exposed_provenance::<u8>(address).as_ref() }.is_some_and(|&single| single != 0)
}

/// Takes the lock of libc's list of streams. Threads that hold it, or a stream's, allocate; so a fork takes it before
/// the allocator's locks.
pub(crate) fn lock_streams() {
    if let Some(lock) = weak!("_IO_list_lock" as unsafe extern "C" fn()) {
        // SAFETY: takes no argument; the lock is recursive.
        unsafe { lock() };
    }
}

/// Ends [`lock_streams`] in the same process.
pub(crate) fn unlock_streams() {
    if let Some(unlock) = weak!("_IO_list_unlock" as unsafe extern "C" fn()) {
        // SAFETY: takes no argument; this thread took the lock.
        unsafe { unlock() };
    }
}

/// Ends [`lock_streams`] in the child of a fork, whose libc may have reset the lock already.
pub(crate) fn reset_streams() {
    if let Some(reset) = weak!("_IO_list_resetlock" as unsafe extern "C" fn()) {
        // SAFETY: takes no argument; the child has one thread.
        unsafe { reset() };
    }
}
