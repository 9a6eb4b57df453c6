//! Spandrel: a malloc replacement for x86-64 Linux.
#![cfg_attr(not(feature = "export"), doc = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/README.md")))]
//!
//! # Inside
//! `docs/architecture.md` describes how it works, `docs/glossary.md` its words, with their counterparts in other
//! allocators.
//!
//! malloc: `api` runs the fast path (`heap::fast_path`), which finds the bin of the size by a table in the thread's
//! heap and pops a block. free: the fast path finds the bin by the page map and pushes the block. Otherwise `control`
//! hands the call to the mode in force, `slow_path` serves it, and `heap`, `central` and `pages` find memory for it. A
//! call goes down one layer at a time, and comes back as a verdict, a `#[must_use]` value. `slow_path` has the tree of
//! these calls.
//!
//! Each folder is a layer, and imports only those before it in this list:
//!
//! 1. `base`: units, size classes, lanes.
//! 2. `sys`: system calls, libc's functions, atomics, locks.
//! 3. `unwind`: call stacks; above it `diag`: codes and reports, and `config`: options and profiles.
//! 4. `pages`: address space, the page map, page runs, purge.
//! 5. `central`: spans, central lists, transfer caches, large blocks.
//! 6. `heap`: bins and spans of one thread, inbox and outbox, idle return.
//! 7. `process`: the state of the process, threads and the recursion guard, fork, the features that registered.
//! 8. `slow_path`: calls that the fast path does not serve, pending work, exhaustion, the trait of modes.
//! 9. `modes`; `account`: bills by the names of threads; `profile`: the heap profile; `stats`: statistics, reports, the
//!    descriptor.
//! 10. `control`: start and end of the process, the mode in force, requests of the program.
//! 11. `api`: the contracts of C, C++ and Rust, `errno`.
#![cfg_attr(not(any(test, loom)), no_std)]
#![deny(unsafe_code)]
#![cfg_attr(
    not(feature = "export"),
    allow(dead_code, unused_imports, reason = "the C surface, which uses the rest, is not compiled")
)]
#![cfg_attr(loom, allow(dead_code, reason = "models compile only what they check"))]
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::panic, clippy::std_instead_of_core, reason = "tests"))]

#[cfg(not(target_os = "linux"))]
compile_error!("Spandrel runs on Linux only: it makes Linux's system calls itself");
#[cfg(not(target_arch = "x86_64"))]
compile_error!("Spandrel runs on x86-64 only: its system calls and call stacks are written for this processor");
#[cfg(not(all(target_pointer_width = "64", target_endian = "little")))]
compile_error!("Spandrel needs addresses of 64 bits, the lowest byte first: it packs them with other values");
#[cfg(not(target_env = "gnu"))]
compile_error!("Spandrel runs with glibc only: calls that it cannot serve itself go to glibc's allocator");

#[cfg(all(not(feature = "export"), not(any(test, loom))))]
extern crate std;

mod base;
mod sys;

#[cfg(not(loom))]
mod account;
#[cfg(not(loom))]
mod api;
#[cfg(not(loom))]
mod central;
#[cfg(loom)]
#[path = "central/modelled.rs"]
mod central;
// Public for the tools of this repository alone, which are built with it: no promise to anybody else.
#[cfg(not(loom))]
#[doc(hidden)]
pub mod config;
#[cfg(not(loom))]
mod control;
#[cfg(not(loom))]
#[doc(hidden)]
pub mod diag;
#[cfg(not(loom))]
mod heap;
#[cfg(loom)]
#[path = "heap/modelled.rs"]
mod heap;
#[cfg(not(loom))]
mod modes;
#[cfg(loom)]
#[path = "modes/modelled.rs"]
mod modes;
#[cfg(not(loom))]
mod pages;
#[cfg(loom)]
#[path = "pages/modelled.rs"]
mod pages;
#[cfg(not(loom))]
mod process;
#[cfg(loom)]
#[path = "process/modelled.rs"]
mod process;
#[cfg(not(loom))]
mod profile;
#[cfg(not(loom))]
mod slow_path;
#[cfg(not(loom))]
mod stats;
#[cfg(not(loom))]
mod unwind;

#[cfg(all(not(feature = "export"), not(loom)))]
pub use api::{
    AllocError, ClassStats, HeapId, HeapOptions, HeapScope, HeapStats, Limit, LimitMet, NamedHeap, Spandrel, Stats,
    VERSION,
};
#[cfg(all(feature = "export", not(loom)))]
pub use api::{classes as extension_classes, extension, heaps as extension_heaps, modes as extension_modes};
#[cfg(not(loom))]
pub use stats::Format;
#[cfg(not(loom))]
#[doc(hidden)]
pub use stats::{descriptor, table};

/// Reports a panic as corruption and aborts the process. `std`, which would define this function, is not linked.
#[cfg(all(feature = "export", not(test), not(loom)))]
#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    diag::fatal(diag::Code::Corruption, "an invariant of the allocator is broken")
}
