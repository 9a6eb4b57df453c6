//! jemalloc's own calls over Spandrel: `mallocx` and its family, `mallctl`, `malloc_stats_print`.
//!
//! For programs that are linked with jemalloc and use more of it than malloc. It stands on the functions that
//! libspandrel exports, and keeps nothing of a block. `docs/jemalloc.md` says which names have an effect.
//!
//! Each call has three names: jemalloc's own, and those of builds with the prefixes `je_` and `_rjem_` (Rust's
//! `tikv-jemalloc-sys`). The calls of the C library are there with the prefixes alone; without one they are
//! libspandrel's.
//!
//! - `blocks`: the calls that allocate, resize, measure and free.
//! - `control`: `mallctl`; `names` has the table of its names, `figures` the values of `stats`.
//! - `print`: `malloc_stats_print`, `malloc_message`, `malloc_conf`.
//! - `exports`: all exported names.
//! - `foreign`: the functions of libspandrel and of the C library that the others call.
#![no_std]
#![deny(unsafe_code)]

mod blocks;
mod control;
mod exports;
mod figures;
mod foreign;
mod names;
mod print;

/// No code here panics; without `std` the function has to be defined all the same.
#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    foreign::abort()
}
