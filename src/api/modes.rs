#![expect(unsafe_code, reason = "exports C functions")]
//! Modes, for programs: a part of `include/spandrel.h`, which is generated from `extension.rs`, `classes.rs` and this
//! file.

use core::ffi::{CStr, c_char, c_void};

use super::c::refuse;
use super::error::or_errno;
use crate::control::requests;
use crate::modes::custom::functions::Functions;
use crate::modes::tracked::BlockInfo;
use crate::modes::{counting, custom, guarded, tracked};

/// The mode in force, as SPANDREL_MODE names it.
#[unsafe(no_mangle)]
pub extern "C" fn spandrel_mode() -> *const c_char {
    requests::mode_name().as_ptr()
}

/// Switches to the mode of that name: from "fast" to "counting", which counts from 0 then, and back. Other threads
/// follow at their next call; a thread that is inside a call may make some more before it follows. All other modes have
/// to record every block from the first one on, and can be chosen only at start. Returns true also for the mode in
/// force. Returns false and sets errno: EINVAL for an unknown name, ENOTSUP for a mode that cannot be switched to or
/// from.
///
/// # Safety
/// - `name` is a C string.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn spandrel_set_mode(name: *const c_char) -> bool {
    if name.is_null() {
        return refuse(libc::EINVAL);
    }
    // SAFETY: the caller says that it is a C string.
    let name = unsafe { CStr::from_ptr(name) };
    or_errno(requests::set_mode(name.to_bytes()))
}

/// In mode "counting": stores the number of blocks, and of their usable bytes, that were allocated and not freed since
/// counting began. Below zero if the program freed more blocks from before. Either pointer may be NULL. Returns false
/// and sets errno to ENOTSUP in other modes.
///
/// # Safety
/// - `blocks` and `bytes` are NULL or writable.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn spandrel_outstanding(blocks: *mut i64, bytes: *mut i64) -> bool {
    let Some(counted) = counting::outstanding() else { return refuse(libc::ENOTSUP) };
    for (place, count) in [(blocks, counted.0), (bytes, counted.1)] {
        if !place.is_null() {
            // SAFETY: the caller passes NULL or a writable place.
            unsafe { place.write(count) };
        }
    }
    true
}

/// Functions of the program that serve malloc and its family, with the contracts of the C functions of these names.
/// `malloc` and `free` are required; the others may be NULL. Replacements are malloc and a fill for calloc, malloc and
/// a copy for realloc, Spandrel's own aligned blocks for aligned_alloc, and the requested size for malloc_usable_size.
/// If these functions call malloc themselves, Spandrel serves the call.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct spandrel_functions {
    /// Required.
    pub malloc: Option<unsafe extern "C" fn(size: usize) -> *mut c_void>,
    /// Required.
    pub free: Option<unsafe extern "C" fn(block: *mut c_void)>,
    /// May be NULL.
    pub calloc: Option<unsafe extern "C" fn(count: usize, size: usize) -> *mut c_void>,
    /// May be NULL.
    pub realloc: Option<unsafe extern "C" fn(block: *mut c_void, size: usize) -> *mut c_void>,
    /// May be NULL.
    pub aligned_alloc: Option<unsafe extern "C" fn(align: usize, size: usize) -> *mut c_void>,
    /// May be NULL.
    pub malloc_usable_size: Option<unsafe extern "C" fn(block: *mut c_void) -> usize>,
}

/// Sets the functions that serve all calls from now on, a structure of `struct_size` bytes; NULL for Spandrel itself.
/// Each block returns to the functions that allocated it, even if others are in force by then, so the functions must
/// stay loaded. Other threads follow at once with free, and with malloc at their next call; a thread that is inside a
/// call may be served by Spandrel some more times before it follows. Returns false and sets errno: EINVAL without
/// malloc or free, or if `struct_size` is larger than this version's structure; ENOSPC after 64 different sets of
/// functions; ENOTSUP in modes other than "fast" and "custom".
///
/// # Safety
/// - `functions` is NULL or readable for `struct_size` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn spandrel_set_alloc_functions(
    functions: *const spandrel_functions,
    struct_size: usize,
) -> bool {
    if !requests::is_active() {
        return refuse(libc::ENOTSUP);
    }
    if functions.is_null() {
        return or_errno(custom::set_functions(None));
    }
    if struct_size > size_of::<spandrel_functions>() {
        return refuse(libc::EINVAL);
    }
    let mut given = spandrel_functions {
        malloc: None,
        free: None,
        calloc: None,
        realloc: None,
        aligned_alloc: None,
        malloc_usable_size: None,
    };
    // SAFETY: the caller says that `struct_size` bytes are readable there; null function pointers are `None`.
    unsafe { functions.cast::<u8>().copy_to_nonoverlapping((&raw mut given).cast(), struct_size) };
    let (Some(malloc), Some(free)) = (given.malloc, given.free) else { return refuse(libc::EINVAL) };
    or_errno(custom::set_functions(Some(Functions {
        malloc,
        free,
        calloc: given.calloc,
        realloc: given.realloc,
        aligned_alloc: given.aligned_alloc,
        usable_size: given.malloc_usable_size,
    })))
}

/// The record of a live block in mode "tracked".
#[repr(C)]
#[derive(Clone, Copy)]
pub struct spandrel_block {
    /// Where it starts.
    pub address: *mut c_void,
    /// The requested bytes.
    pub size: usize,
    /// Milliseconds since it was allocated, or resized.
    pub age_ms: u64,
    /// The thread that allocated or resized it, by the kernel's number (gettid).
    pub thread: u32,
    /// The number of frames.
    pub frame_count: u32,
    /// Return addresses of the calls that allocated it, the innermost first. They stay readable to the end of the
    /// process.
    pub frames: *const usize,
}

impl From<BlockInfo> for spandrel_block {
    fn from(info: BlockInfo) -> Self {
        Self {
            address: core::ptr::with_exposed_provenance_mut(info.address),
            size: info.size,
            age_ms: info.age,
            thread: info.thread,
            frame_count: info.frames.len() as u32,
            frames: info.frames.as_ptr(),
        }
    }
}

/// In mode "tracked": fills the first `struct_size` bytes of `*block` with the record of the live block that starts
/// at `pointer`. Returns false and sets errno: ENOENT if there is no such block, EINVAL if `block` is NULL or
/// `struct_size` is larger than this version's structure, ENOTSUP in other modes.
///
/// # Safety
/// - `block` is NULL or writable for `struct_size` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn spandrel_block_info(
    pointer: *const c_void,
    block: *mut spandrel_block,
    struct_size: usize,
) -> bool {
    if !tracked::is_tracking() {
        return refuse(libc::ENOTSUP);
    }
    if block.is_null() || struct_size > size_of::<spandrel_block>() {
        return refuse(libc::EINVAL);
    }
    let Some(info) = tracked::block_info(pointer.addr()) else { return refuse(libc::ENOENT) };
    let filled = spandrel_block::from(info);
    // SAFETY: the caller says that `struct_size` bytes are writable there.
    unsafe { (&raw const filled).cast::<u8>().copy_to_nonoverlapping(block.cast(), struct_size) };
    true
}

/// Called for one live block; false ends the walk. May allocate and free.
#[expect(non_camel_case_types, reason = "a name of C")]
pub type spandrel_walk_callback =
    Option<unsafe extern "C" fn(block: *const spandrel_block, context: *mut c_void) -> bool>;

/// In mode "tracked": calls `callback` with each live block and `context`, in no particular order, and returns how many
/// calls returned true. Other threads continue meanwhile, so a block may be free again when the callback gets it, and
/// new blocks may be missing. Returns 0 and sets errno to ENOTSUP in other modes.
///
/// # Safety
/// - `callback` is NULL or may be called with any block and `context`; it must not throw.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn spandrel_walk(callback: spandrel_walk_callback, context: *mut c_void) -> usize {
    let Some(callback) = callback.filter(|_| tracked::is_tracking()) else {
        refuse(libc::ENOTSUP);
        return 0;
    };
    tracked::walk(|info| {
        let block = spandrel_block::from(info);
        // SAFETY: the caller says that the callback may be called with any block and `context`.
        unsafe { callback(&raw const block, context) }
    })
}

/// In mode "guarded": prints on fd 2 to which sampled block an access to `address` belongs, for example the address of
/// a fault, and where the block was allocated and freed. Returns false if there is no such block. May be called from
/// any signal handler.
#[unsafe(no_mangle)]
pub extern "C" fn spandrel_explain_fault(address: *const c_void) -> bool {
    guarded::explain(address.addr())
}
