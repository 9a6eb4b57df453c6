//! The modules of this folder that the model checker compiles.

mod bin;
mod remote {
    mod inbox;
}
