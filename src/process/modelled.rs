//! What the model checker compiles of this layer.

mod barrier;
