//! Heaps: one thread's bins and spans, its inbox and outbox, and the registry of all heaps. Must not know when a thread
//! starts or ends, nor C's contracts.
//!
//! malloc -> pop a bin -> (empty) `refill`: inbox, own partial spans, transfer cache, central list, a new span.
//! free -> push a bin -> (full) `flush`: the bottom half returns to its spans; blocks of other heaps go to the outbox.

mod bin;
mod bin_drain;
#[cfg(debug_assertions)]
mod check;
mod counters;
mod descriptor;
pub(crate) mod fast_path;
mod figures;
mod generation;
mod idle;
mod layout;
mod named;
mod offer;
mod orphan;
mod parts;
mod refill;
mod registry;
mod remote;
mod retire;
mod returns;
mod sampling;
pub(crate) mod second_path;
#[cfg(test)]
mod tests;
mod user;

pub use counters::Traffic;
pub use descriptor::HeapDescriptor;
pub(crate) use fast_path::FastHeap;
pub(crate) use layout::Heap;
pub(crate) use registry::{Registry, Shared, Transit};
pub(crate) use remote::send::deliver_block;
pub(crate) use returns::{Freed, free_unowned};
pub(crate) use sampling::SampledBy;
pub(crate) use user::User;
