#![expect(unsafe_code, reason = "assembly that calls weak C++ functions")]
//! Calls that may throw: the new_handler, `std::bad_alloc`, a program's own operator new.
//!
//! An exception must not cross a Rust frame. So a small piece of assembly with unwind information makes these calls,
//! and the Rust functions end with a jump to it. The C++ runtime's functions are weak references: a C program has none
//! of them, and then a failed new aborts.

use core::arch::{global_asm, naked_asm};
use core::ffi::c_void;

use crate::control::dispatch;
use crate::diag::{self, Code};
use crate::heap::fast_path::FastHeap;
use crate::heap::second_path;
use crate::slow_path::request::Request;

/// A program's operator new. Plain forms get the alignment, too, and ignore it.
pub(super) type New = unsafe extern "C" fn(usize, usize) -> *mut c_void;

// Both functions take a size in rdi and an alignment in rsi. They try; ask the handler to make room; try again. Where
// there is no handler, one throws and the other returns null; the other also catches what the handler throws, by the
// table at the end.
global_asm!(
    ".weak _ZSt15get_new_handlerv",
    ".weak _ZSt17__throw_bad_allocv",
    ".weak __gxx_personality_v0",
    ".weak __cxa_begin_catch",
    ".weak __cxa_end_catch",
    ".macro spandrel_new_loop none, handler_from, handler_to",
    "push rbx",
    ".cfi_def_cfa_offset 16",
    ".cfi_offset rbx, -16",
    "push r12",
    ".cfi_def_cfa_offset 24",
    ".cfi_offset r12, -24",
    "sub rsp, 8",
    ".cfi_def_cfa_offset 32",
    "mov rbx, rdi",
    "mov r12, rsi",
    "2:",
    "mov rdi, rbx",
    "mov rsi, r12",
    "call {try_new}",
    "test rax, rax",
    "jnz 3f",
    "mov rax, qword ptr [rip + _ZSt15get_new_handlerv@GOTPCREL]",
    "test rax, rax",
    "jz \\none",
    "call rax",
    "test rax, rax",
    "jz \\none",
    "\\handler_from:",
    "call rax",
    "\\handler_to:",
    "jmp 2b",
    ".endm",
    ".macro spandrel_new_return",
    "3:",
    "add rsp, 8",
    ".cfi_def_cfa_offset 24",
    "pop r12",
    ".cfi_def_cfa_offset 16",
    "pop rbx",
    ".cfi_def_cfa_offset 8",
    "ret",
    ".endm",
    ".pushsection .text.spandrel_new_or_throw, \"ax\", @progbits",
    ".hidden spandrel_new_or_throw",
    ".globl spandrel_new_or_throw",
    ".type spandrel_new_or_throw, @function",
    "spandrel_new_or_throw:",
    ".cfi_startproc",
    "spandrel_new_loop .Lspandrel_throw, .Lspandrel_throw_from, .Lspandrel_throw_to",
    ".Lspandrel_throw:",
    "mov rax, qword ptr [rip + _ZSt17__throw_bad_allocv@GOTPCREL]",
    "test rax, rax",
    "jz 5f",
    "call rax",
    "5:",
    "call {give_up}",
    "ud2",
    "spandrel_new_return",
    ".cfi_endproc",
    ".size spandrel_new_or_throw, . - spandrel_new_or_throw",
    ".popsection",
    ".pushsection .text.spandrel_new_or_null, \"ax\", @progbits",
    ".hidden spandrel_new_or_null",
    ".globl spandrel_new_or_null",
    ".type spandrel_new_or_null, @function",
    "spandrel_new_or_null:",
    ".cfi_startproc",
    ".cfi_personality 0x9b, .Lspandrel_personality",
    ".cfi_lsda 0x1b, .Lspandrel_catch_table",
    ".Lspandrel_null_start:",
    "spandrel_new_loop .Lspandrel_null, .Lspandrel_null_from, .Lspandrel_null_to",
    ".Lspandrel_caught:",
    "mov rdi, rax",
    "call qword ptr [rip + __cxa_begin_catch@GOTPCREL]",
    "call qword ptr [rip + __cxa_end_catch@GOTPCREL]",
    ".Lspandrel_null:",
    "xor eax, eax",
    "spandrel_new_return",
    ".cfi_endproc",
    ".size spandrel_new_or_null, . - spandrel_new_or_null",
    ".popsection",
    // As the loop, for a function of the program's in rdx.
    ".pushsection .text.spandrel_call_or_null, \"ax\", @progbits",
    ".hidden spandrel_call_or_null",
    ".globl spandrel_call_or_null",
    ".type spandrel_call_or_null, @function",
    "spandrel_call_or_null:",
    ".cfi_startproc",
    ".cfi_personality 0x9b, .Lspandrel_personality",
    ".cfi_lsda 0x1b, .Lspandrel_call_table",
    "sub rsp, 8",
    ".cfi_def_cfa_offset 16",
    ".Lspandrel_call_from:",
    "call rdx",
    ".Lspandrel_call_to:",
    "add rsp, 8",
    ".cfi_remember_state",
    ".cfi_def_cfa_offset 8",
    "ret",
    ".cfi_restore_state",
    ".Lspandrel_call_caught:",
    "mov rdi, rax",
    "call qword ptr [rip + __cxa_begin_catch@GOTPCREL]",
    "call qword ptr [rip + __cxa_end_catch@GOTPCREL]",
    "xor eax, eax",
    "add rsp, 8",
    ".cfi_def_cfa_offset 8",
    "ret",
    ".cfi_endproc",
    ".size spandrel_call_or_null, . - spandrel_call_or_null",
    ".popsection",
    ".pushsection .data.rel.ro.spandrel_personality, \"aw\", @progbits",
    ".balign 8",
    ".Lspandrel_personality: .quad __gxx_personality_v0",
    ".popsection",
    // One call site that can throw, the handler, whose landing pad catches everything.
    ".pushsection .gcc_except_table.spandrel, \"a\", @progbits",
    ".balign 4",
    ".Lspandrel_catch_table:",
    ".byte 0xff",
    ".byte 0x9b",
    ".uleb128 .Lspandrel_types - .Lspandrel_types_from",
    ".Lspandrel_types_from:",
    ".byte 0x01",
    ".uleb128 .Lspandrel_actions - .Lspandrel_sites",
    ".Lspandrel_sites:",
    ".uleb128 .Lspandrel_null_from - .Lspandrel_null_start",
    ".uleb128 .Lspandrel_null_to - .Lspandrel_null_from",
    ".uleb128 .Lspandrel_caught - .Lspandrel_null_start",
    ".uleb128 1",
    ".Lspandrel_actions:",
    ".byte 1",
    ".byte 0",
    ".balign 4",
    ".long 0",
    ".Lspandrel_types:",
    ".popsection",
    // The same for the program's function.
    ".pushsection .gcc_except_table.spandrel_call, \"a\", @progbits",
    ".balign 4",
    ".Lspandrel_call_table:",
    ".byte 0xff",
    ".byte 0x9b",
    ".uleb128 .Lspandrel_call_types - .Lspandrel_call_types_from",
    ".Lspandrel_call_types_from:",
    ".byte 0x01",
    ".uleb128 .Lspandrel_call_actions - .Lspandrel_call_sites",
    ".Lspandrel_call_sites:",
    ".uleb128 .Lspandrel_call_from - spandrel_call_or_null",
    ".uleb128 .Lspandrel_call_to - .Lspandrel_call_from",
    ".uleb128 .Lspandrel_call_caught - spandrel_call_or_null",
    ".uleb128 1",
    ".Lspandrel_call_actions:",
    ".byte 1",
    ".byte 0",
    ".balign 4",
    ".long 0",
    ".Lspandrel_call_types:",
    ".popsection",
    try_new = sym try_new,
    give_up = sym give_up,
);

// Builds without link-time optimisation keep Rust functions of the core library that name its personality routine,
// which nothing here has: no exception passes through them.
#[cfg(debug_assertions)]
global_asm!(
    ".pushsection .text.rust_eh_personality, \"ax\", @progbits",
    ".weak rust_eh_personality",
    ".hidden rust_eh_personality",
    "rust_eh_personality:",
    "ud2",
    ".popsection",
);

unsafe extern "C" {
    /// A block, or null if a throwing new would throw.
    pub(super) fn spandrel_new_or_null(size: usize, align: usize) -> *mut c_void;
    /// The result of `new`, or null if it throws.
    pub(super) fn spandrel_call_or_null(size: usize, align: usize, new: New) -> *mut c_void;
}

/// One attempt, without handler and without errno.
extern "C" fn try_new(size: usize, align: usize) -> *mut u8 {
    dispatch::alloc(Request { size, align, zero: false })
}

/// The end of a failed new in a program without a C++ runtime.
extern "C" fn give_up() -> ! {
    diag::fatal(Code::NoBadAlloc, "operator new failed, and the program has no C++ runtime to throw std::bad_alloc")
}

/// Throwing new where the fast path failed.
#[cold]
#[inline(never)]
pub(super) fn new_slow(size: usize, heap: &FastHeap) -> *mut u8 {
    second_path::malloc(size, heap, new_or_throw)
}

/// Throwing aligned new where the fast path failed.
#[cold]
#[inline(never)]
pub(super) fn new_aligned_slow(align: usize, size: usize, heap: &FastHeap) -> *mut u8 {
    second_path::aligned(align, size, heap, new_aligned_or_throw)
}

/// As [`new_slow`], of the form that returns null.
#[cold]
#[inline(never)]
pub(super) fn new_or_null_slow(size: usize, heap: &FastHeap) -> *mut u8 {
    second_path::malloc(size, heap, new_or_null)
}

/// Jumps to the assembly that throws, with malloc's alignment.
#[unsafe(naked)]
extern "C" fn new_or_throw(size: usize) -> *mut u8 {
    naked_asm!("mov esi, 1", "jmp spandrel_new_or_throw")
}

/// Jumps to the assembly that throws.
#[unsafe(naked)]
extern "C" fn new_aligned_or_throw(align: usize, size: usize) -> *mut u8 {
    naked_asm!("xchg rdi, rsi", "jmp spandrel_new_or_throw")
}

/// Jumps to the assembly that returns null, with malloc's alignment.
#[unsafe(naked)]
extern "C" fn new_or_null(size: usize) -> *mut u8 {
    naked_asm!("mov esi, 1", "jmp spandrel_new_or_null")
}
