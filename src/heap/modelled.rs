//! What the model checker compiles of this layer.

mod bin;
mod remote {
    mod inbox;
}
