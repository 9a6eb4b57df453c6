//! Control of the process: its start and its end, the mode in force, and the requests that a program makes of its allocator. This is the one place
//! that names every feature; the layers below find them where they registered. Must not know the C contracts.

pub(crate) mod dispatch;
mod loaded;
pub(crate) mod requests;
mod start;
pub(crate) mod switch;
