//! The attack suite: small programs that misuse an allocator in one way each, run under Spandrel's modes and its peers.
//!
//! A *case* is one misuse; a *row* is a case with a size of blocks and a number of threads. `driver/` has the cases and
//! the table of them; this crate runs each row in a process of its own, judges how it ended, and compares allocators.

pub mod allocators;
pub mod attack;
pub mod goals;
pub mod page;
pub mod program;
pub mod results;
pub mod suite;
pub mod summary;
