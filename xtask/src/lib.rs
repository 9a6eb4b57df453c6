//! The developer tools of Spandrel as a library: what the program `xtask` does, in parts that other tools can use.
//!
//! Knows: the layout of the repository, the C surface, what the reports print. Must not know: the allocator's inner
//! workings.

#![forbid(unsafe_code)]

pub mod count;
pub mod demo;
#[cfg(feature = "tables")]
pub mod docs;
pub mod evidence;
pub mod follow;
#[cfg(feature = "gate")]
pub mod gate;
pub mod header;
#[cfg(feature = "tables")]
pub mod index;
pub mod layers;
#[cfg(feature = "tables")]
pub mod manual;
pub mod measure;
pub mod programs;
pub mod prose;
pub mod repo;
pub mod run;
pub mod stats;
pub mod symbols;
