//! Modes: other ways of serving calls than the default. They do not know one another. Must not know when one is chosen.

pub(crate) mod counting;
pub(crate) mod custom;
pub(crate) mod guarded;
pub(crate) mod hardened;
pub(crate) mod tracked;
