//! The part that heaps share: spans and their life, the central list and transfer cache of each class, large blocks,
//! direct mappings, and the one function that resolves a pointer. Must not know threads.

mod batch;
mod bill;
mod billing;
mod central_list;
#[cfg(debug_assertions)]
mod check;
mod deferred;
mod descriptor;
mod direct;
mod figures;
mod growth;
mod holes;
mod large;
mod ranges;
mod resolve;
mod span;
mod spans;
mod spread;
mod store;

pub(crate) use batch::{Batch, Blocks};
pub(crate) use bill::{Bill, FindBill};
pub(crate) use central_list::Returned;
#[cfg(debug_assertions)]
pub(crate) use check::{Verdict, must};
pub use descriptor::CentralDescriptor;
pub(crate) use direct::DirectBlock;
pub use figures::{CentralListFigures, LargeFigures, RECEIVED_PER_TURN};
pub(crate) use holes::{Due, Holes};
pub(crate) use large::{Fresh, ROOM_MAX, with_room};
pub(crate) use resolve::Place;
pub(crate) use span::{Refused, Span, State, found};
pub(crate) use spans::{Empty, Next, SpanList, Spans};
pub(crate) use store::Central;
