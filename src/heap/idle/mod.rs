//! Idle return: memory that threads hold which do not call goes back. Rounds make offers; a heap whose thread does not take one is drained.

pub(in crate::heap) mod clock;
pub(in crate::heap) mod collect;
pub(in crate::heap) mod countdown;
pub(in crate::heap) mod offer;
pub(in crate::heap) mod rounds;
