//! Layer 3: address space. One reservation, the page map, metadata storage, page runs and their purge.
//!
//! Knows regions and runs; must not know what a run is used for.

mod age;
mod area;
mod bank;
#[cfg(debug_assertions)]
mod check;
mod divide;
mod explicit;
mod huge;
pub(crate) mod limits;
mod live;
pub(crate) mod map;
mod metadata;
mod node;
mod obtain;
mod pending;
mod prefault;
mod record;
mod runs;
mod space;
mod store;
mod tree;

pub(crate) use bank::Bank;
pub(crate) use huge::{HUGE_BYTES, Huge};
pub use live::{BANKS, PagesLive};
pub(crate) use map::Entry;
pub(crate) use metadata::{METADATA_MAX, METADATA_MIN};
pub(crate) use node::Placement;
pub(crate) use pending::Work;
pub(crate) use record::SPAN_BYTES;
pub(crate) use runs::Run;
pub(crate) use space::{Finder, Space};
pub use store::PageFigures;
pub(crate) use store::{Pages, Purged};
