//! What the model checker compiles of this layer.

mod batch;
mod deferred;

pub(crate) use batch::{Batch, Blocks};
