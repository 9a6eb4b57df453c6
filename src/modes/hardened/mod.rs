//! Mode `hardened` and its parts: the state of every block in the shadow, canaries behind its bytes, a quarantine in
//! each heap for small blocks and one of the process for large ones, and requests of no bytes.
//!
//! | File | Has |
//! |---|---|
//! | `path` | malloc and free without a lock |
//! | `mode` | the slow path |
//! | `blocks` | what is known of a block, and what is reported |
//! | `state`, `canary` | the state and the canaries of a block |
//! | `waiting`, `large`, `quarantine` | the quarantine of a heap, and that of large blocks |
//! | `outside`, `empty` | blocks that have no state in the shadow; the addresses for requests of no bytes |
//! | `exit` | the check at exit |

mod blocks;
mod canary;
mod empty;
mod exit;
mod large;
mod mode;
mod outside;
mod path;
mod quarantine;
mod state;
mod waiting;

pub(crate) use mode::{HARDENED, begin};
