//! What the model checker compiles of this layer.

mod batch;
mod late;

pub(crate) use batch::Batch;
