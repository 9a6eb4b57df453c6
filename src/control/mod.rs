//! Control of the process: its start and its end, the mode in force, plugins, and the requests that a program makes of its allocator. This is the
//! one place that names every feature; the layers below find them where they registered. Must not know the C contracts.

pub(crate) mod exit;
pub(crate) mod introspect;
#[cfg(feature = "export")]
mod loader;
pub(crate) mod plugin;
pub(crate) mod start;
pub(crate) mod switch;

pub(crate) use introspect::{collect, is_active, lane_of_pointer, page_bytes, retained_bytes, safepoint, trim, with_snapshot};
#[cfg(feature = "export")]
pub(crate) use loader::{flags_of_dlopen, next_dlopen};
pub(crate) use switch::{Refusal, mode_name, set_mode};
