//! Layer 8: the process. The only static state, the start barrier, what a thread is allowed to do now, fork, shutdown, and the gate
//! through which every call comes. Must not know the C contracts.

mod background;
mod barrier;
mod closed;
mod cold;
mod crash;
mod desk;
mod exit;
mod fixture;
mod fork;
pub(crate) mod gate;
mod introspect;
mod live;
#[cfg(feature = "export")]
mod loader;
mod manner;
mod mode;
mod plugin;
mod process;
mod profiling;
mod report;
mod resize;
mod start;
mod switch;
mod thread;

pub(crate) use closed::{set_limit_callback, set_limits};
pub(crate) use cold::Request;
pub(crate) use introspect::{collect, is_active, lane_of_pointer, page_bytes, retained_bytes, safepoint, trim, with_snapshot};
pub(crate) use live::descriptor;
#[cfg(feature = "export")]
pub(crate) use loader::{flags_of_dlopen, next_dlopen};
pub(crate) use manner::{alloc, free, free_sized, good_size, realloc, usable_size};
pub(crate) use mode::counting::outstanding;
pub(crate) use mode::custom::set_functions;
pub(crate) use mode::guarded::explain as explain_guarded;
pub(crate) use mode::tracked::{BlockInfo, block_info, is_tracking, walk};
pub(crate) use profiling::{NoProfile, dump as dump_profile, start as start_profile, stop as stop_profile};
pub(crate) use report::write_stats;
pub(crate) use resize::{FreeSize, Resized, fits_in_place};
pub(crate) use switch::{Refusal, mode_name, set_mode};
