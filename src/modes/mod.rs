//! Layer 6: alternatives to the usual way of serving a call, one file each; they do not know one another. Must not know when they
//! are chosen.

pub(crate) mod counter;
pub(crate) mod custom;
pub(crate) mod guarded;
pub(crate) mod hardened;
pub(crate) mod libc;
pub(crate) mod tally;
pub(crate) mod tracked;
