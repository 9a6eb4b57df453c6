#![expect(unsafe_code, reason = "exports C functions")]
//! All exported functions, each by its three names.

use core::ffi::{c_char, c_int, c_void};

use crate::print::Print;
use crate::{blocks, control, foreign, print};

/// Exports a function by each of the names.
macro_rules! exports {
    ($($($name:literal)+ ($($argument:ident: $type:ty),*) $(-> $result:ty)? = $call:expr;)+) => {$(
        exports!(@each [$($name)+] ($($argument: $type),*) [$($result)?] = $call);
    )+};
    (@each [$name:literal $($more:literal)*] $arguments:tt $result:tt = $call:expr) => {
        exports!(@one $name $arguments $result = $call);
        exports!(@each [$($more)*] $arguments $result = $call);
    };
    (@each [] $arguments:tt $result:tt = $call:expr) => {};
    (@one $name:literal ($($argument:ident: $type:ty),*) [$($result:ty)?] = $call:expr) => {
        const _: () = {
            // C's or jemalloc's manual says what the arguments may be, and so does each function behind.
            #[unsafe(export_name = $name)]
            unsafe extern "C" fn exported($($argument: $type),*) $(-> $result)? {
                $call
            }
        };
    };
}

exports! {
    "mallocx" "je_mallocx" "_rjem_mallocx" (size: usize, flags: c_int) -> *mut c_void = blocks::mallocx(size, flags);
    "rallocx" "je_rallocx" "_rjem_rallocx" (block: *mut c_void, size: usize, flags: c_int) -> *mut c_void =
        // SAFETY: the caller's block.
        unsafe { blocks::rallocx(block, size, flags) };
    "xallocx" "je_xallocx" "_rjem_xallocx" (block: *mut c_void, size: usize, extra: usize, flags: c_int) -> usize =
        // SAFETY: the caller's block.
        unsafe { blocks::xallocx(block, size, extra, flags) };
    "sallocx" "je_sallocx" "_rjem_sallocx" (block: *const c_void, flags: c_int) -> usize =
        // SAFETY: the caller's block.
        unsafe { blocks::sallocx(block, flags) };
    "dallocx" "je_dallocx" "_rjem_dallocx" (block: *mut c_void, flags: c_int) =
        // SAFETY: the caller's block.
        unsafe { blocks::dallocx(block, flags) };
    "sdallocx" "je_sdallocx" "_rjem_sdallocx" (block: *mut c_void, _size: usize, flags: c_int) =
        // SAFETY: the caller's block.
        unsafe { blocks::dallocx(block, flags) };
    "nallocx" "je_nallocx" "_rjem_nallocx" (size: usize, flags: c_int) -> usize = blocks::nallocx(size, flags);
    "mallctl" "je_mallctl" "_rjem_mallctl" (
        name: *const c_char, old: *mut c_void, old_size: *mut usize, new: *const c_void, new_size: usize
    ) -> c_int =
        // SAFETY: the caller's arguments.
        unsafe { control::mallctl(name, old, old_size, new, new_size) };
    "mallctlnametomib" "je_mallctlnametomib" "_rjem_mallctlnametomib" (
        name: *const c_char, mib: *mut usize, count: *mut usize
    ) -> c_int =
        // SAFETY: the caller's arguments.
        unsafe { control::mallctlnametomib(name, mib, count) };
    "mallctlbymib" "je_mallctlbymib" "_rjem_mallctlbymib" (
        mib: *const usize, count: usize, old: *mut c_void, old_size: *mut usize, new: *const c_void, new_size: usize
    ) -> c_int =
        // SAFETY: the caller's arguments.
        unsafe { control::mallctlbymib(mib, count, old, old_size, new, new_size) };
    "malloc_stats_print" "je_malloc_stats_print" "_rjem_malloc_stats_print" (
        print: Option<Print>, opaque: *mut c_void, options: *const c_char
    ) =
        // SAFETY: the caller's arguments.
        unsafe { print::malloc_stats_print(print, opaque, options) };
}

// The C library's calls, by the names of prefixed builds.
exports! {
    "je_malloc" "_rjem_malloc" (size: usize) -> *mut c_void = foreign::malloc(size);
    "je_calloc" "_rjem_calloc" (count: usize, size: usize) -> *mut c_void = foreign::calloc(count, size);
    "je_realloc" "_rjem_realloc" (block: *mut c_void, size: usize) -> *mut c_void =
        // SAFETY: the caller's block.
        unsafe { foreign::realloc(block, size) };
    "je_free" "_rjem_free" (block: *mut c_void) =
        // SAFETY: the caller's block.
        unsafe { foreign::free(block) };
    "je_free_sized" "_rjem_free_sized" (block: *mut c_void, _size: usize) =
        // SAFETY: the caller's block.
        unsafe { foreign::free(block) };
    "je_free_aligned_sized" "_rjem_free_aligned_sized" (block: *mut c_void, _align: usize, _size: usize) =
        // SAFETY: the caller's block.
        unsafe { foreign::free(block) };
    "je_posix_memalign" "_rjem_posix_memalign" (place: *mut *mut c_void, align: usize, size: usize) -> c_int =
        // SAFETY: the caller's place.
        unsafe { foreign::posix_memalign(place, align, size) };
    "je_aligned_alloc" "_rjem_aligned_alloc" (align: usize, size: usize) -> *mut c_void =
        foreign::aligned_alloc(align, size);
    "je_memalign" "_rjem_memalign" (align: usize, size: usize) -> *mut c_void = foreign::memalign(align, size);
    "je_valloc" "_rjem_valloc" (size: usize) -> *mut c_void = foreign::valloc(size);
    "je_pvalloc" "_rjem_pvalloc" (size: usize) -> *mut c_void = foreign::pvalloc(size);
    "je_malloc_usable_size" "_rjem_malloc_usable_size" (block: *mut c_void) -> usize =
        // SAFETY: the caller's block.
        unsafe { foreign::malloc_usable_size(block) };
}
