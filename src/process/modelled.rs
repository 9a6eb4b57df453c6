//! The modules of this layer that the model checker compiles.

mod barrier;
mod calling;
mod holders {
    mod parts;
}
