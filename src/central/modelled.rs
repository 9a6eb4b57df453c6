//! The part of this layer that the model checker compiles.

mod batch;
mod bill;
mod deferred;
mod ranges;

pub(crate) use batch::{Batch, Blocks};
pub(crate) use bill::Bill;
