//! Layer 8: the process. The only static state, the start barrier, what a thread is allowed to do now, fork, shutdown, and the gate
//! through which every call comes. Must not know the C contracts.

mod barrier;
mod closed;
mod cold;
mod exit;
mod fixture;
mod fork;
pub(crate) mod gate;
mod introspect;
mod process;
mod resize;
mod start;
mod thread;

pub(crate) use closed::{set_limit_callback, set_limits};
pub(crate) use cold::{Request, alloc, free};
pub(crate) use introspect::{collect, is_active, lane_of_pointer, page_bytes, retained_bytes, snapshot, trim};
pub(crate) use resize::{FreeSize, Resized, fits_in_place, free_sized, realloc, usable_size};
