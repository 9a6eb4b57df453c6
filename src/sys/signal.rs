#![expect(unsafe_code, reason = "asks the C library about signals")]
//! Handlers of signals. By way of the C library, whose trampoline a handler returns through; it allocates nothing.
//!
//! Must not know what the handlers do.

use core::ffi::{c_int, c_void};

use super::processor::Registers;

/// A signal handler. Its arguments: the signal, what is known of its cause, the interrupted context.
/// The system passes a whole structure, as [`handle`] asks it to.
pub(crate) type Handler = extern "C" fn(c_int, &mut Info, *mut c_void);

/// The action that was set for a signal before.
#[derive(Clone, Copy)]
pub(crate) struct Action(libc::sigaction);

impl Action {
    /// Whether it is the default action.
    pub(crate) fn is_default(&self) -> bool {
        self.0.sa_sigaction == libc::SIG_DFL
    }
}

/// Sets `handler` for `signal`, with `flags` besides, on the alternate stack of a thread that has one: its ordinary one
/// may be used up, or too small for a handler. Returns the action before; `None` if the system refuses.
pub(crate) fn handle(signal: c_int, handler: Handler, flags: c_int) -> Option<Action> {
    // SAFETY: all-zero bytes are a valid value of this C structure, and an empty mask.
    let mut action = unsafe { core::mem::zeroed::<libc::sigaction>() };
    action.sa_sigaction = handler as usize;
    action.sa_flags = flags | libc::SA_SIGINFO | libc::SA_ONSTACK;
    change(signal, &action)
}

/// As [`handle`], but only if the action of `signal` is the default; otherwise returns false and changes nothing.
pub(crate) fn handle_if_free(signal: c_int, handler: Handler, flags: c_int) -> bool {
    action(signal).is_some_and(|action| action.is_default()) && handle(signal, handler, flags).is_some()
}

/// The action set for `signal`; `None` if the system does not know it.
pub(crate) fn action(signal: c_int) -> Option<Action> {
    // SAFETY: as in `handle`.
    let mut before = unsafe { core::mem::zeroed::<libc::sigaction>() };
    // SAFETY: asks, and changes nothing.
    (unsafe { libc::sigaction(signal, core::ptr::null(), &raw mut before) } == 0).then_some(Action(before))
}

/// Restores the action `before` for `signal`.
pub(crate) fn put_back(signal: c_int, before: &Action) {
    let _ = change(signal, &before.0);
}

fn change(signal: c_int, action: &libc::sigaction) -> Option<Action> {
    // SAFETY: as in `handle`.
    let mut before = unsafe { core::mem::zeroed::<libc::sigaction>() };
    // SAFETY: both are whole structures; handlers are functions that stay.
    (unsafe { libc::sigaction(signal, action, &raw mut before) } == 0).then_some(Action(before))
}

/// The system's description of a signal's cause.
pub(crate) type Info = libc::siginfo_t;
/// An address that may not be used.
pub(crate) const SEGV: c_int = libc::SIGSEGV;
/// An address behind which there is nothing.
pub(crate) const BUS: c_int = libc::SIGBUS;

/// The cause of a fault.
pub(crate) struct Cause {
    code: c_int,
    address: usize,
    registers: Registers,
}

impl Cause {
    /// Reads it from the kernel's description.
    ///
    /// # Safety
    /// - Both are what the kernel passed to the handler of a fault.
    pub(crate) unsafe fn of(info: *const Info, context: *const c_void) -> Self {
        // SAFETY: the kernel passed it to a handler.
        let info = unsafe { &*info };
        // SAFETY: as above; it is the context of this machine.
        let context = unsafe { &*context.cast::<libc::ucontext_t>() };
        Self {
            code: info.si_code,
            // SAFETY: a fault's signal has an address; the one of a signal that was sent is not used.
            address: unsafe { info.si_addr() }.addr(),
            registers: Registers::of(context),
        }
    }

    /// Whether a process sent the signal.
    pub(crate) const fn is_sent(&self) -> bool {
        self.code <= 0
    }

    /// The address that could not be used; `None` if the kernel does not know it: it is none at all, or nothing was
    /// used.
    pub(crate) fn address(&self) -> Option<usize> {
        const KERNEL: c_int = 0x80;
        (!self.is_sent() && self.code != KERNEL).then_some(self.address)
    }

    /// The names and values of the registers.
    pub(crate) fn registers(&self) -> impl Iterator<Item = (&'static str, usize)> {
        self.registers.named()
    }
}

/// The address that the signal's cause names. It means something for faults alone.
pub(crate) fn address_of(info: &Info) -> usize {
    // SAFETY: the field is a word, whatever the kernel wrote there.
    unsafe { info.si_addr() }.addr()
}

/// Whether the calling thread has an alternate stack for handlers.
pub(crate) fn has_stack() -> bool {
    // SAFETY: all-zero bytes are a valid value of this C structure.
    let mut stack = unsafe { core::mem::zeroed::<libc::stack_t>() };
    // SAFETY: asks, and changes nothing.
    let asked = unsafe { libc::sigaltstack(core::ptr::null(), &raw mut stack) };
    asked == 0 && stack.ss_flags & libc::SS_DISABLE == 0
}

/// Gives the calling thread an alternate stack.
///
/// # Safety
/// - `base` has `bytes` writable bytes that are the thread's until `drop_stack`.
pub(crate) unsafe fn set_stack(base: *mut u8, bytes: usize) {
    let stack = libc::stack_t { ss_sp: base.cast(), ss_flags: 0, ss_size: bytes };
    // SAFETY: the memory is writable and the thread's until `drop_stack`. Refused, there is none, as before.
    let _ = unsafe { libc::sigaltstack(&raw const stack, core::ptr::null_mut()) };
}

/// Takes the alternate stack at `base` from the calling thread, if it still has that one.
pub(crate) fn drop_stack(base: *mut u8) {
    // SAFETY: all-zero bytes are a valid value of this C structure.
    let mut stack = unsafe { core::mem::zeroed::<libc::stack_t>() };
    // SAFETY: asks, and changes nothing.
    if unsafe { libc::sigaltstack(core::ptr::null(), &raw mut stack) } == 0 && stack.ss_sp == base.cast() {
        stack.ss_flags = libc::SS_DISABLE;
        // SAFETY: takes away what this library gave.
        let _ = unsafe { libc::sigaltstack(&raw const stack, core::ptr::null_mut()) };
    }
}

/// Has the signal `number` end the process once its handler returns, until which it is blocked.
pub(crate) fn end_process(number: c_int) {
    // SAFETY: all-zero bytes are a valid value of this C structure: the default.
    let _ = change(number, &unsafe { core::mem::zeroed::<libc::sigaction>() });
    // SAFETY: takes no pointer.
    let _ = unsafe { libc::raise(number) };
}

/// Does in a handler of `number` what `before` says: calls that handler, or has the signal end the process once this
/// handler returns.
///
/// # Safety
/// - `info` and `context` are what the kernel passed to the handler.
pub(crate) unsafe fn pass_on(number: c_int, before: Option<&Action>, info: &mut Info, context: *mut c_void) {
    let handler = before.map_or(libc::SIG_DFL, |before| before.0.sa_sigaction);
    // SAFETY: all-zero bytes are a valid value of this C structure: the default.
    let mut default = unsafe { core::mem::zeroed::<libc::sigaction>() };
    match handler {
        // A fault that is ignored ends the process all the same.
        libc::SIG_DFL | libc::SIG_IGN => {
            default.sa_sigaction = libc::SIG_DFL;
            let _ = change(number, &default);
            if info.si_code <= 0 {
                // Nothing faults again by itself. The signal is blocked until the handler returns.
                // SAFETY: takes no pointer.
                let _ = unsafe { libc::raise(number) };
            }
        }
        // SAFETY: the program set this as a handler that takes three arguments.
        _ if before.is_some_and(|before| before.0.sa_flags & libc::SA_SIGINFO != 0) => unsafe {
            core::mem::transmute::<usize, Handler>(handler)(number, info, context);
        },
        // SAFETY: the program set this as a handler that takes one argument.
        _ => unsafe { core::mem::transmute::<usize, extern "C" fn(c_int)>(handler)(number) },
    }
}
