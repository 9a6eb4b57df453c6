//! Layer 5: heaps. One thread's bins and spans, its inbox and outbox, and the registry of all heaps. Must not know when a thread
//! starts or ends, nor the C contracts.
//!
//! malloc -> pop a bin -> (empty) `refill`: inbox, own partial spans, transfer cache, depot, a new span.
//! free -> push a bin -> (full) `flush`: the bottom half to the bitmaps; blocks of others to the outbox.

mod array;
mod bin;
#[cfg(debug_assertions)]
mod check;
mod clock;
mod countdown;
mod counters;
mod flush;
mod free;
mod front;
mod idle;
mod inbox;
mod layout;
mod offer;
mod orphan;
mod outbox;
mod refill;
mod registry;
mod retire;
mod sampling;
mod scavenge;
#[cfg(test)]
mod tests;

pub use counters::Traffic;
pub(crate) use free::{Freed, free_unowned, report, report_from};
pub(crate) use front::Front;
pub(crate) use layout::Heap;
pub use layout::HeapLive;
pub(crate) use outbox::{Shared, settle, settle_block};
pub(crate) use registry::Registry;
pub(crate) use sampling::Unit;
