//! Spandrel: a malloc replacement for Linux.
//!
//! # Glossary
//! *block*: what malloc returns. *class*: a block size. *region*: 32 KiB of address space. *span*: one or more regions that hold
//! blocks of one class, or one large block. *page map*: address -> class and owner. *bin*: a heap's array of free block
//! pointers of one class. *heap*: one thread's bins and spans. *batch*: pointers that travel together. *inbox*, *outbox*: remote
//! frees received, collected. *transfer cache*: bounded store of batches between heaps. *depot*: one class's spans that no heap
//! owns; with its transfer cache it is a *shelf*. *page runs*: free regions. *bank*: the part of the data area for one
//! NUMA node; all of it without nodes. *purge*: giving pages back to the kernel.
//!
//! # Flows
//! malloc = abi -> gate -> heap -> bin. free = abi -> gate -> map -> bin. Everything slower goes down one layer at a time and comes
//! back as a verdict; nothing calls upward. The layers, in the order in which they may import one another, are the modules below.
//!
//! # Use from Rust
//! ```
//! #[global_allocator]
//! static ALLOCATOR: spandrel::Spandrel = spandrel::Spandrel;
//! # fn main() { assert_eq!(vec![7_u8; 100].len(), 100); }
//! ```
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
mod api;
#[cfg(not(loom))]
mod central;
#[cfg(loom)]
#[path = "central/modelled.rs"]
mod central;
#[cfg(not(loom))]
pub mod config;
#[cfg(not(loom))]
mod control;
#[cfg(not(loom))]
pub mod diag;
#[cfg(not(loom))]
mod heap;
#[cfg(loom)]
#[path = "heap/modelled.rs"]
mod heap;
#[cfg(not(loom))]
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

#[cfg(not(loom))]
pub use api::Spandrel;
#[cfg(all(feature = "export", not(loom)))]
pub use api::{extension, modes as extension_modes};
#[cfg(not(loom))]
pub use stats::{descriptor, table};

/// Without `std` there is nobody else to say what a panic does: the process is aborted.
#[cfg(all(feature = "export", not(test), not(loom)))]
#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    diag::fatal(diag::Code::Corruption, "an invariant of the allocator is broken")
}
