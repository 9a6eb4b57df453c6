#![expect(unsafe_code, reason = "exports C++ functions and calls weak ones")]
//! C++'s operators new and delete, by their mangled names.
//!
//! A program may replace only the plain forms; then the standard requires the others to call the replacements. So every
//! other form compares the address that the dynamic linker chose for its plain form with that of this library's own
//! function (a local alias), and jumps to the program's function if they differ.

use core::arch::{asm, global_asm, naked_asm};
use core::ffi::c_void;

use super::c::{free_aligned, free_sized_slow, free_slow};
use super::throwing::{New, new_aligned_slow, new_or_null_slow, new_slow, spandrel_call_or_null, spandrel_new_or_null};
use crate::heap::fast_path;
use crate::slow_path::request::FreeSize;

/// operator new(size), by its mangled name.
#[unsafe(no_mangle)]
extern "C" fn _Znwm(size: usize) -> *mut c_void {
    fast_path::malloc(size, new_slow).cast()
}

extern "C" fn new_nothrow(size: usize) -> *mut c_void {
    fast_path::malloc(size, new_or_null_slow).cast()
}

/// operator delete(block), by its mangled name.
#[unsafe(no_mangle)]
extern "C" fn _ZdlPv(block: *mut c_void) {
    keep_apart!("delete");
    fast_path::free(block.cast(), free_slow);
}

/// operator new(size, alignment), by its mangled name: the alignment is a power of two.
#[unsafe(no_mangle)]
extern "C" fn _ZnwmSt11align_val_t(size: usize, align: usize) -> *mut c_void {
    fast_path::aligned(align, size, new_aligned_slow).cast()
}

/// operator delete(block, alignment), by its mangled name.
#[unsafe(no_mangle)]
extern "C" fn _ZdlPvSt11align_val_t(block: *mut c_void, _: usize) {
    free_here(block);
}

fn free_here(block: *mut c_void) {
    fast_path::free(block.cast(), free_slow);
}

// Local names of the replaceable functions, to compare with the dynamic linker's choice.
global_asm!(
    ".set spandrel_own_Znwm, _Znwm",
    ".set spandrel_own_Znam, _Znam",
    ".set spandrel_own_ZdlPv, _ZdlPv",
    ".set spandrel_own_ZdaPv, _ZdaPv",
    ".set spandrel_own_ZnwmSt11align_val_t, _ZnwmSt11align_val_t",
    ".set spandrel_own_ZnamSt11align_val_t, _ZnamSt11align_val_t",
    ".set spandrel_own_ZdlPvSt11align_val_t, _ZdlPvSt11align_val_t",
    ".set spandrel_own_ZdaPvSt11align_val_t, _ZdaPvSt11align_val_t",
);

/// The program's function of that name; `None` where it is ours.
macro_rules! replacement {
    ($name:literal as $type:ty) => {{
        let (chosen, own): (usize, usize);
        // SAFETY: loads two addresses and has no other effect.
        unsafe {
            asm!(
                concat!("mov {0}, qword ptr [rip + ", $name, "@GOTPCREL]"),
                concat!("lea {1}, [rip + spandrel_own", $name, "]"),
                out(reg) chosen, out(reg) own, options(pure, readonly, nostack, preserves_flags),
            );
        }
        // SAFETY: a function of that mangled name has that type.
        (chosen != own).then(|| unsafe { core::mem::transmute::<usize, $type>(chosen) })
    }};
}

type Delete = unsafe extern "C" fn(*mut c_void);
type AlignedDelete = unsafe extern "C" fn(*mut c_void, usize);

/// The program's delete that a derived form has to call; `None` if the program replaced none.
fn replaced_delete(array: bool) -> Option<Delete> {
    let of_arrays = if array { replacement!("_ZdaPv" as Delete) } else { None };
    of_arrays.or_else(|| replacement!("_ZdlPv" as Delete))
}

fn replaced_aligned_delete(array: bool) -> Option<AlignedDelete> {
    let of_arrays = if array { replacement!("_ZdaPvSt11align_val_t" as AlignedDelete) } else { None };
    of_arrays.or_else(|| replacement!("_ZdlPvSt11align_val_t" as AlignedDelete))
}

/// The program's new that a derived form has to call; `None` if the program replaced none.
pub(super) fn replaced_new(array: bool) -> Option<New> {
    let of_arrays = if array { replacement!("_Znam" as New) } else { None };
    of_arrays.or_else(|| replacement!("_Znwm" as New))
}

pub(super) fn replaced_aligned_new(array: bool) -> Option<New> {
    let of_arrays = if array { replacement!("_ZnamSt11align_val_t" as New) } else { None };
    of_arrays.or_else(|| replacement!("_ZnwmSt11align_val_t" as New))
}

/// operator new[](size), by its mangled name: a jump to the plain form that is in force, which may throw.
#[unsafe(no_mangle)]
#[unsafe(naked)]
extern "C" fn _Znam(size: usize) -> *mut c_void {
    naked_asm!("jmp qword ptr [rip + _Znwm@GOTPCREL]")
}

/// operator new[](size, alignment), by its mangled name.
#[unsafe(no_mangle)]
#[unsafe(naked)]
extern "C" fn _ZnamSt11align_val_t(size: usize, align: usize) -> *mut c_void {
    naked_asm!("jmp qword ptr [rip + _ZnwmSt11align_val_t@GOTPCREL]")
}

/// operator delete[](block), by its mangled name: a jump to the plain form that is in force.
#[unsafe(no_mangle)]
#[unsafe(naked)]
extern "C" fn _ZdaPv(block: *mut c_void) {
    naked_asm!("jmp qword ptr [rip + _ZdlPv@GOTPCREL]")
}

/// operator delete[](block, alignment), by its mangled name.
#[unsafe(no_mangle)]
#[unsafe(naked)]
extern "C" fn _ZdaPvSt11align_val_t(block: *mut c_void, align: usize) {
    naked_asm!("jmp qword ptr [rip + _ZdlPvSt11align_val_t@GOTPCREL]")
}

fn nothrow_new(size: usize, array: bool) -> *mut c_void {
    match replaced_new(array) {
        // SAFETY: takes any size, and catches an exception of the function.
        Some(new) => unsafe { spandrel_call_or_null(size, 1, new) },
        None => new_nothrow(size),
    }
}

fn nothrow_aligned_new(size: usize, align: usize, array: bool) -> *mut c_void {
    match replaced_aligned_new(array) {
        // SAFETY: takes any size, and catches an exception of the function.
        Some(new) => unsafe { spandrel_call_or_null(size, align, new) },
        // SAFETY: takes any size and power of two.
        None => unsafe { spandrel_new_or_null(size, align) },
    }
}

fn delete_through(block: *mut c_void, array: bool) {
    match replaced_delete(array) {
        // SAFETY: the program deletes the block, and this is its own delete.
        Some(delete) => unsafe { delete(block) },
        None => free_here(block),
    }
}

fn aligned_delete_through(block: *mut c_void, align: usize, array: bool) {
    match replaced_aligned_delete(array) {
        // SAFETY: the program deletes the block, and this is its own delete.
        Some(delete) => unsafe { delete(block, align) },
        None => free_here(block),
    }
}

// Inlined: the delete that compilers call most.
#[inline(always)]
fn sized_delete(block: *mut c_void, size: usize, array: bool) {
    match replaced_delete(array) {
        // SAFETY: the program deletes the block, and this is its own delete.
        Some(delete) => unsafe { delete(block) },
        None => fast_path::free_sized(block.cast(), size, free_sized_slow),
    }
}

fn sized_aligned_delete(block: *mut c_void, named: FreeSize, array: bool) {
    match replaced_aligned_delete(array) {
        // SAFETY: the program deletes the block, and this is its own delete.
        Some(delete) => unsafe { delete(block, named.align) },
        None => free_aligned(block, named),
    }
}

macro_rules! derived {
    ($($name:ident($($argument:ident: $type:ty),+) $(-> $result:ty)? = $call:expr;)+) => {$(
        #[doc = "A form of operator new or delete that derives from a plain one, by its mangled name."]
        #[unsafe(no_mangle)]
        extern "C" fn $name($($argument: $type),+) $(-> $result)? {
            $call
        }
    )+};
}

derived! {
    _ZnwmRKSt9nothrow_t(size: usize, _tag: *const c_void) -> *mut c_void = nothrow_new(size, false);
    _ZnamRKSt9nothrow_t(size: usize, _tag: *const c_void) -> *mut c_void = nothrow_new(size, true);
    _ZnwmSt11align_val_tRKSt9nothrow_t(size: usize, align: usize, _tag: *const c_void) -> *mut c_void =
        nothrow_aligned_new(size, align, false);
    _ZnamSt11align_val_tRKSt9nothrow_t(size: usize, align: usize, _tag: *const c_void) -> *mut c_void =
        nothrow_aligned_new(size, align, true);
    _ZdlPvRKSt9nothrow_t(block: *mut c_void, _tag: *const c_void) = delete_through(block, false);
    _ZdaPvRKSt9nothrow_t(block: *mut c_void, _tag: *const c_void) = delete_through(block, true);
    _ZdlPvSt11align_val_tRKSt9nothrow_t(block: *mut c_void, align: usize, _tag: *const c_void) =
        aligned_delete_through(block, align, false);
    _ZdaPvSt11align_val_tRKSt9nothrow_t(block: *mut c_void, align: usize, _tag: *const c_void) =
        aligned_delete_through(block, align, true);
    _ZdlPvm(block: *mut c_void, size: usize) = sized_delete(block, size, false);
    _ZdaPvm(block: *mut c_void, size: usize) = sized_delete(block, size, true);
    _ZdlPvmSt11align_val_t(block: *mut c_void, size: usize, align: usize) =
        sized_aligned_delete(block, FreeSize { size, align }, false);
    _ZdaPvmSt11align_val_t(block: *mut c_void, size: usize, align: usize) =
        sized_aligned_delete(block, FreeSize { size, align }, true);
}
