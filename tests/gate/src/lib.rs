//! The gate of memory control: what the library promises of profiles, page backend, hooks, limits and modes, looked at from outside.
//!
//! Knows the product only as a file to preload, never as Rust code. What the programs do is C, in `tests/programs` and `ffi-tests`.

pub mod check;
pub mod files;
pub mod machine;
