//! errno, which only this layer sets.

pub(super) use crate::sys::libc::{errno as get, set_errno as set};

/// Null, with errno set.
#[cold]
pub(super) fn fail<T>(error: i32) -> *mut T {
    set(error);
    core::ptr::null_mut()
}

/// False, with errno set.
#[cold]
pub(super) fn refuse(error: i32) -> bool {
    set(error);
    false
}

/// `block`, or ENOMEM where it is null.
pub(super) fn or_out_of_memory(block: *mut u8) -> *mut u8 {
    if block.is_null() { fail(libc::ENOMEM) } else { block }
}
