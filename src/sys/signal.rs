#![expect(unsafe_code, reason = "tells the kernel of a handler")]
//! Handlers of signals. Must not know what they do.

use core::ffi::c_int;

/// Has `handler` called for signal `number`; false if the kernel refuses.
pub(crate) fn handle(number: c_int, handler: extern "C" fn(c_int)) -> bool {
    // SAFETY: all-zero bytes are a valid value of this C structure.
    let mut action = unsafe { core::mem::zeroed::<libc::sigaction>() };
    action.sa_sigaction = handler as *const () as usize;
    action.sa_flags = libc::SA_RESTART | libc::SA_ONSTACK;
    // SAFETY: the handler is a function that stays, and the structure says what it takes.
    unsafe { libc::sigaction(number, &raw const action, core::ptr::null_mut()) == 0 }
}
