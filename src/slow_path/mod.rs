//! The slow path: calls that the fast path does not serve.

pub(crate) mod alloc;
pub(crate) mod exhaustion;
pub(crate) mod foreign;
pub(crate) mod junk;
pub(crate) mod mode;
pub(crate) mod realloc;
