//! Idle return: memory that threads hold which do not call goes back. Rounds make offers; a heap whose thread does not take one is drained.

mod clock;
mod collect;
mod drain;
mod rounds;
pub(super) mod state;
