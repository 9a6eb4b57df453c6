//! What only this architecture has: its instructions, its way into the kernel, how it finds a thread's words. Another
//! one fills the same names.

pub(crate) mod processor;
pub(crate) mod tls;
