//! The contracts with programs: C's malloc family, C++'s operators, glibc's statistics, the extension header, Rust's
//! `GlobalAlloc`. Knows errno, alignment rules and null; must not know the internals.

#[cfg(feature = "export")]
mod c;
#[cfg(feature = "export")]
mod cxx;
#[cfg(feature = "export")]
mod dlopen;
#[cfg(feature = "export")]
pub mod extension;
#[cfg(feature = "export")]
mod glibc;
#[cfg(feature = "export")]
pub mod modes;
mod rust;
#[cfg(feature = "export")]
mod throwing;

pub use rust::Spandrel;
