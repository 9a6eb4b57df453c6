//! The part of this layer that the model checker compiles.

pub(crate) mod map;

pub(crate) use map::Entry;
