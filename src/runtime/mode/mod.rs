//! The modes as manners of serving: each file joins what `modes/` knows to the heaps, and has the mode's static state. Must not know
//! the C contracts.

pub(super) mod counting;
pub(super) mod custom;
pub(super) mod guarded;
pub(super) mod hardened;
pub(super) mod tracked;
