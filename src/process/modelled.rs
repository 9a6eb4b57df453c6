//! The modules of this layer that the model checker compiles.

mod barrier;
mod holders {
    mod calling;
    mod parts;
}
