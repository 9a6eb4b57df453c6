//! Idle return: memory held by threads that do not call returns to the kernel. Rounds make offers to heaps; a heap
//! whose thread does not take its offer is drained by another thread.

mod clock;
mod collect;
mod drain;
mod rounds;
pub(super) mod state;
