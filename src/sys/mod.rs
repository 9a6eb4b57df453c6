//! The machine and the C library. Knows system calls, `__libc_*`, the thread's words, atomics and locks; must not know
//! heaps or policy.

pub(crate) mod atomic;
pub(crate) mod call;
pub(crate) mod cell;
pub(crate) mod clock;
pub(crate) mod file;
pub(crate) mod libc;
pub(crate) mod local;
pub(crate) mod lock;
#[cfg(not(loom))]
pub(crate) mod mapping;
pub(crate) mod memory;
pub(crate) mod output;
pub(crate) mod signal;
pub(crate) mod startup;
pub(crate) mod stream;
pub(crate) mod tool;
mod x86_64;

pub(crate) use x86_64::{processor, tls, zeroes};
