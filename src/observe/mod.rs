//! Layer 7: statistics and their writers. One snapshot feeds them all. Must not know the static state.

pub(crate) mod lanes;
pub(crate) mod leaks;
pub(crate) mod profile;
mod snapshot;
pub mod table;
pub(crate) mod text;
pub(crate) mod xml;

pub(crate) use snapshot::Snapshot;
