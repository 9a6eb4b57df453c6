//! Layer 4: what heaps share. Spans and their life, shelves (depot and transfer cache of a class), large blocks, direct mappings,
//! and the one function that says what a pointer is. Must not know threads.

mod batch;
#[cfg(debug_assertions)]
mod check;
mod deferred;
mod descriptor;
mod direct;
mod figures;
mod guards;
mod holes;
mod large;
mod list;
mod resolve;
mod shelf;
mod span;
mod store;

pub(crate) use batch::Batch;
#[cfg(debug_assertions)]
pub(crate) use check::{Verdict, must};
pub use descriptor::CentralDescriptor;
pub use figures::{CentralListFigures, LargeFigures};
pub(crate) use holes::Holes;
pub(crate) use large::Fresh;
pub(crate) use list::SpanList;
pub(crate) use resolve::Place;
pub(crate) use shelf::Returned;
pub(crate) use span::{Next, Refused, Span, State, found};
pub(crate) use store::Central;
