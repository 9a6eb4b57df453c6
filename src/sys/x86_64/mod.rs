//! The parts that only this architecture has: its instructions, its system calls, its access to a thread's words. A
//! module for another architecture provides the same names.

pub(crate) mod processor;
pub(crate) mod tls;
pub(crate) mod zeroes;
