//! Control of the process: its start and its end, the mode in force, and the requests that a program makes of its
//! allocator. Only this layer names every feature; the layers below call those that registered. Must not know the
//! contracts of C.

mod conf;
pub(crate) mod dispatch;
pub(crate) mod heaps;
mod loaded;
pub(crate) mod requests;
mod start;
