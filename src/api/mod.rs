//! The contracts with programs: C's malloc family, C++'s operators, glibc's statistics and the extension header in the
//! product; `GlobalAlloc` and Rust's own calls in the package for Rust. Knows errno, alignment rules and null; must not
//! know the internals.

/// Keeps the compiler from making one function of this and another with the same code: reports tell calls apart by
/// where their functions start. A comment for the assembler, no instruction.
#[cfg(feature = "export")]
macro_rules! keep_apart {
    ($name:literal) => {
        // SAFETY: no instruction.
        unsafe { core::arch::asm!(concat!("# ", $name), options(nomem, nostack, preserves_flags)) }
    };
}

#[cfg(not(feature = "export"))]
mod allocator;
#[cfg(all(not(feature = "export"), feature = "allocator-api2"))]
mod api2;
#[cfg(feature = "export")]
mod at_fork;
#[cfg(feature = "export")]
mod c;
#[cfg(feature = "export")]
pub mod classes;
#[cfg(feature = "export")]
mod cxx;
#[cfg(feature = "export")]
mod dlopen;
mod error;
#[cfg(feature = "export")]
pub mod extension;
#[cfg(feature = "export")]
mod glibc;
#[cfg(feature = "export")]
pub mod heaps;
#[cfg(feature = "export")]
pub mod modes;
#[cfg(not(feature = "export"))]
mod named;
#[cfg(not(feature = "export"))]
mod report;
#[cfg(not(feature = "export"))]
mod rust;
#[cfg(feature = "export")]
mod sized_new;
#[cfg(feature = "export")]
mod throwing;

#[cfg(not(feature = "export"))]
pub use allocator::AllocError;
#[cfg(not(feature = "export"))]
pub use named::{HeapId, HeapOptions, HeapScope, HeapStats, Limit, LimitMet, NamedHeap};
#[cfg(not(feature = "export"))]
pub use report::{ClassStats, Stats, VERSION};
#[cfg(not(feature = "export"))]
pub use rust::Spandrel;
