//! Frees for other heaps: batches on their way from an outbox to an inbox.

pub(super) mod inbox;
pub(super) mod outbox;
mod receive;
pub(super) mod send;
