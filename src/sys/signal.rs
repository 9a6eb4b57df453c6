#![expect(unsafe_code, reason = "asks the C library about signals")]
//! Handlers of signals. By way of the C library, whose trampoline a handler returns through; it allocates nothing.
//!
//! Must not know what the handlers do.

use core::ffi::{c_int, c_void};

/// What a handler is called with: the signal, what is known of its cause, the interrupted context.
pub(crate) type Handler = extern "C" fn(c_int, *mut libc::siginfo_t, *mut c_void);

/// What was to happen on a signal before.
#[derive(Clone, Copy)]
pub(crate) struct Action(libc::sigaction);

impl Action {
    /// Whether nobody had asked for anything.
    pub(crate) fn is_default(&self) -> bool {
        self.0.sa_sigaction == libc::SIG_DFL
    }
}

/// Has `handler` called on `signal`, with `flags` besides; what was to happen before. `None` if the system refuses.
pub(crate) fn handle(signal: c_int, handler: Handler, flags: c_int) -> Option<Action> {
    // SAFETY: all-zero bytes are a valid value of this C structure, and an empty mask.
    let mut action = unsafe { core::mem::zeroed::<libc::sigaction>() };
    action.sa_sigaction = handler as usize;
    action.sa_flags = flags | libc::SA_SIGINFO;
    change(signal, &action)
}

/// What is to happen on `signal`; `None` if the system does not know it.
pub(crate) fn action(signal: c_int) -> Option<Action> {
    // SAFETY: as in `handle`.
    let mut before = unsafe { core::mem::zeroed::<libc::sigaction>() };
    // SAFETY: asks, and changes nothing.
    (unsafe { libc::sigaction(signal, core::ptr::null(), &raw mut before) } == 0).then_some(Action(before))
}

/// Has happen on `signal` what was to happen `before`.
pub(crate) fn put_back(signal: c_int, before: &Action) {
    let _ = change(signal, &before.0);
}

fn change(signal: c_int, action: &libc::sigaction) -> Option<Action> {
    // SAFETY: as in `handle`.
    let mut before = unsafe { core::mem::zeroed::<libc::sigaction>() };
    // SAFETY: both are whole structures; handlers are functions that stay.
    (unsafe { libc::sigaction(signal, action, &raw mut before) } == 0).then_some(Action(before))
}
