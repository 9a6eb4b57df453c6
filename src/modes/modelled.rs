//! The part of this layer that the model checker compiles.

mod hardened {
    mod state;
}
