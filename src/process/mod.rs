//! The process: its state, the start barrier, threads and the recursion guard, fork, and the features that registered.
//! Must not know how a call is served.

pub(crate) mod background;
pub(crate) mod barrier;
pub(crate) mod calling;
pub(crate) mod feature;
pub(crate) mod fork;
pub(crate) mod holders;
pub(crate) mod state;
pub(crate) mod tally;
pub(crate) mod thread;
