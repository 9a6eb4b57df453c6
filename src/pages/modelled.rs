//! What the model checker compiles of this layer.

pub(crate) mod map;

pub(crate) use map::Entry;
