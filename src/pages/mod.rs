//! Address space: one reservation, the page map, metadata storage, page runs and their purge.
//!
//! Knows regions and runs; must not know what a run is used for.

mod area;
mod bank;
mod cache;
#[cfg(debug_assertions)]
mod check;
mod descriptor;
mod guards;
mod huge;
mod large;
pub(crate) mod limits;
pub(crate) mod map;
mod metadata;
mod pending;
mod placement;
mod purge;
mod reserve;
mod runs;
mod shadow;
mod space;
mod store;
mod tree;

pub(crate) use area::Area;
pub(crate) use bank::Bank;
pub use descriptor::{BANKS, PageFigures, PagesDescriptor};
pub(crate) use huge::{HUGE_BYTES, Huge};
pub(crate) use map::{Entry, Word};
pub(crate) use metadata::{METADATA_MAX, METADATA_MIN};
pub(crate) use pending::{Pending, Work};
pub(crate) use placement::Placement;
pub(crate) use purge::Purged;
pub(crate) use runs::Run;
pub(crate) use shadow::{REGION_GRANULES, Shadow, Unit};
pub(crate) use space::{Finder, Space};
pub(crate) use store::Pages;
pub(crate) use tree::SPAN_BYTES;
