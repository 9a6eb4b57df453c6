//! Stress for libspandrel: runs the scenarios of `driver/`, looks at their memory from outside, judges and draws.
//!
//! Knows the product only as a file to preload, never as Rust code. The scenarios, and the checks of their blocks,
//! are C, so that nothing but the allocator under test is between the two.

pub mod judge;
pub mod plot;
pub mod program;
pub mod report;
pub mod run;
pub mod sample;
pub mod scenario;
