//! Frees for other heaps: batches on their way from an outbox to an inbox.

pub(in crate::heap) mod inbox;
pub(in crate::heap) mod outbox;
