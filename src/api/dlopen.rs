#![expect(unsafe_code, reason = "assembly that leaves for the C library's dlopen")]
//! `dlopen` in front of the C library's: without RTLD_DEEPBIND, by which an object would find libc's malloc before
//! ours.
//!
//! Only the shared library exports it as `dlopen`, by `scripts/dlopen.ld`. The C library determines the calling object
//! by the return address, because it uses that object's RUNPATH, `$ORIGIN` and namespace. So this function ends with a
//! jump, which leaves the caller's return address in place.

use core::arch::global_asm;
use core::ffi::{c_int, c_void};

use crate::control::requests;
use crate::sys::libc::next_dlopen;

// `path` in rdi, `flags` in esi. No other register carries an argument.
global_asm!(
    ".pushsection .text.spandrel_dlopen, \"ax\", @progbits",
    ".globl spandrel_dlopen",
    ".type spandrel_dlopen, @function",
    "spandrel_dlopen:",
    ".cfi_startproc",
    "push rdi",
    ".cfi_def_cfa_offset 16",
    "mov edi, esi",
    "call {onward}",
    "pop rdi",
    ".cfi_def_cfa_offset 8",
    "mov esi, edx",
    "test rax, rax",
    "jz 2f",
    "jmp rax",
    "2:",
    "ret",
    ".cfi_endproc",
    ".size spandrel_dlopen, . - spandrel_dlopen",
    ".popsection",
    onward = sym onward,
);

/// Where a call of `dlopen` goes, in rax, and with which flags, in edx.
#[repr(C)]
struct Onward {
    dlopen: *mut c_void,
    flags: usize,
}

extern "C" fn onward(flags: c_int) -> Onward {
    Onward { dlopen: next_dlopen(), flags: flags_for(flags) as usize }
}

/// The flags for the C library, of a call with `flags`: without RTLD_DEEPBIND, unless the process keeps it.
fn flags_for(flags: c_int) -> c_int {
    if flags & libc::RTLD_DEEPBIND == 0 || requests::keeps_deepbind() { flags } else { flags & !libc::RTLD_DEEPBIND }
}
