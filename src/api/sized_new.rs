#![expect(unsafe_code, reason = "assembly that calls operator new, which may throw")]
//! The forms of operator new that return the usable bytes as well, by the names that LLVM and tcmalloc have for them:
//! `__size_returning_new` and its variants. A container that uses all of its block allocates less often.
//!
//! They derive from the plain forms. If a program replaced these, its functions allocate the blocks, and the usable
//! size is the requested size. Blocks may be deleted with any size from the requested one to the returned one.
//!
//! Hints (hot, cold) have no effect: they are passed in a register after those that are read.

use core::arch::{global_asm, naked_asm};
use core::ffi::c_void;

use super::cxx::{replaced_aligned_new, replaced_new};
use crate::control::dispatch;
use crate::heap::fast_path;

/// A block and its usable bytes, which a caller gets in two registers.
#[repr(C)]
struct SizedBlock {
    block: *mut c_void,
    bytes: usize,
}

// Both take a size in rdi, the second one an alignment in rsi. No Rust function is on the stack while operator new may
// throw.
global_asm!(
    ".macro spandrel_size_returning name, new, usable",
    ".pushsection .text.\\name, \"ax\", @progbits",
    ".hidden \\name",
    ".globl \\name",
    ".type \\name, @function",
    "\\name:",
    ".cfi_startproc",
    "push rbx",
    ".cfi_def_cfa_offset 16",
    ".cfi_offset rbx, -16",
    "mov rbx, rdi",
    "call qword ptr [rip + \\new@GOTPCREL]",
    "mov rdi, rax",
    "mov rsi, rbx",
    "mov rbx, rax",
    "call \\usable",
    "mov rdx, rax",
    "mov rax, rbx",
    "pop rbx",
    ".cfi_def_cfa_offset 8",
    "ret",
    ".cfi_endproc",
    ".size \\name, . - \\name",
    ".popsection",
    ".endm",
    "spandrel_size_returning spandrel_sized_new, _Znwm, {usable}",
    "spandrel_size_returning spandrel_sized_new_aligned, _ZnwmSt11align_val_t, {usable_aligned}",
    ".purgem spandrel_size_returning",
    usable = sym usable,
    usable_aligned = sym usable_aligned,
);

/// The usable bytes of a block of plain new, which was asked for with `size` bytes.
extern "C" fn usable(block: *mut u8, size: usize) -> usize {
    if replaced_new(false).is_some() { size } else { bytes_of(block) }
}

/// As [`usable`], of aligned new.
extern "C" fn usable_aligned(block: *mut u8, size: usize) -> usize {
    if replaced_aligned_new(false).is_some() { size } else { bytes_of(block) }
}

fn bytes_of(block: *mut u8) -> usize {
    fast_path::bytes_of(block).unwrap_or_else(|| dispatch::usable_size(block))
}

/// As operator new(size), and the usable bytes.
#[unsafe(no_mangle)]
#[unsafe(naked)]
extern "C" fn __size_returning_new(size: usize) -> SizedBlock {
    naked_asm!("jmp spandrel_sized_new")
}

/// As operator new(size, alignment), and the usable bytes.
#[unsafe(no_mangle)]
#[unsafe(naked)]
extern "C" fn __size_returning_new_aligned(size: usize, align: usize) -> SizedBlock {
    naked_asm!("jmp spandrel_sized_new_aligned")
}

/// As [`__size_returning_new`], with a hint.
#[unsafe(no_mangle)]
#[unsafe(naked)]
extern "C" fn __size_returning_new_hot_cold(size: usize, hint: u8) -> SizedBlock {
    naked_asm!("jmp spandrel_sized_new")
}

/// As [`__size_returning_new_aligned`], with a hint.
#[unsafe(no_mangle)]
#[unsafe(naked)]
extern "C" fn __size_returning_new_aligned_hot_cold(size: usize, align: usize, hint: u8) -> SizedBlock {
    naked_asm!("jmp spandrel_sized_new_aligned")
}
