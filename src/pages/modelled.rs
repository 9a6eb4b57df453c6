//! The part of this layer that the model checker compiles.

pub(crate) mod limits;
pub(crate) mod map;
mod pending;

pub(crate) use map::Entry;
pub(crate) use pending::{Pending, Work};
