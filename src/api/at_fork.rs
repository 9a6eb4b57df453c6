#![expect(unsafe_code, reason = "stands in front of a function of the C library")]
//! `__register_atfork` in front of the C library's: every `pthread_atfork` calls it, and the allocator's own handlers
//! have to come before those of others.
//!
//! The shared library exports it, by way of `scripts/dlopen.ld`; nothing else has it. So a process without fork
//! handlers pays for none of the allocator's before its first malloc.

use core::arch::global_asm;
use core::ffi::{c_int, c_void};

use crate::process::fork;
use crate::sys::libc::{self, ForkHandler};

// A name that the compiler would not export.
global_asm!(
    ".pushsection .text.spandrel_register_atfork, \"ax\", @progbits",
    ".globl spandrel_register_atfork",
    ".type spandrel_register_atfork, @function",
    "spandrel_register_atfork:",
    "jmp {register}",
    ".size spandrel_register_atfork, . - spandrel_register_atfork",
    ".popsection",
    register = sym register,
);

/// Registers the handlers of a program or library, `object`, behind the allocator's.
///
/// # Safety
/// - As for the C library's function of this type.
unsafe extern "C" fn register(
    prepare: ForkHandler,
    parent: ForkHandler,
    child: ForkHandler,
    object: *mut c_void,
) -> c_int {
    fork::hook();
    // SAFETY: the caller's arguments, which it made for that function.
    unsafe { libc::pass_fork_handlers(prepare, parent, child, object) }
}
