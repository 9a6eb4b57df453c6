//! The process: its state, the start barrier, which heap a thread may work on now, fork. Must not know how a call is served.

pub(crate) mod background;
pub(crate) mod barrier;
pub(crate) mod fork;
pub(crate) mod state;
pub(crate) mod tally;
pub(crate) mod thread;
