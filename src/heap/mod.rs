//! Layer 5: heaps. One thread's bins and spans, its inbox and outbox, and the registry of all heaps. Must not know when a thread
//! starts or ends, nor the C contracts.
//!
//! malloc -> pop a bin -> (empty) `refill`: inbox, own partial spans, transfer cache, depot, a new span.
//! free -> push a bin -> (full) `flush`: the bottom half to the bitmaps; blocks of others to the outbox.

mod bin;
mod bin_array;
#[cfg(debug_assertions)]
mod check;
mod counters;
mod fast;
mod flush;
mod free;
mod idle;
mod layout;
mod orphan;
mod refill;
mod registry;
mod remote;
mod retire;
mod sampling;
#[cfg(test)]
mod tests;

pub use counters::Traffic;
pub(crate) use fast::FastHeap;
pub(crate) use free::{Freed, free_unowned, report, report_from};
pub(crate) use layout::Heap;
pub use layout::HeapLive;
pub(crate) use registry::Registry;
pub(crate) use remote::outbox::{Shared, deliver_block, deliver_each};
pub(crate) use sampling::Unit;
