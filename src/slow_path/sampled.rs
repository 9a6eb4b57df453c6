//! Requests of a heap that counts them: to sample one now and then, or because a countdown to the next look at the clock runs. The heap profile
//! registers how a sample is made and freed.

use super::request::{Moved, Request};
use crate::base::lane::Lane;
use crate::heap::Heap;
use crate::process::state::PROCESS;
use crate::sys::cell::StaticRef;

/// What is done about samples.
pub(crate) struct Sampler {
    /// A sampled block; `None` if the request is to be served as others are. The heap is the thread's, and held.
    pub(crate) sample: fn(&Heap, Request) -> Option<*mut u8>,
    /// The sampled block of that ticket was freed.
    pub(crate) freed: fn(u32),
    /// A large block was resized without copying.
    pub(crate) resized: fn(&Moved),
}

static SAMPLER: StaticRef<Sampler> = StaticRef::none();

/// Has `sampler` make and free samples. Part of the start.
pub(crate) fn register(sampler: &'static Sampler) {
    SAMPLER.set(Some(sampler));
}

/// Counts `request`; the block, if it is one to be sampled.
#[cold]
#[inline(never)]
pub(super) fn serve(heap: &Heap, request: Request) -> Option<*mut u8> {
    if heap.is_counted_down() {
        heap.end_of_countdown(PROCESS.shared());
    }
    if !heap.is_sample(request.size) {
        return None;
    }
    SAMPLER.get().and_then(|sampler| (sampler.sample)(heap, request))
}

/// Notes that the sampled block of `ticket` was freed; the lane that it was in.
pub(super) fn freed(ticket: u32) -> Lane {
    if let Some(sampler) = SAMPLER.get() {
        (sampler.freed)(ticket);
    }
    Lane::Large
}

/// Notes that a large block was resized without copying.
pub(super) fn resized(moved: &Moved) {
    if let Some(sampler) = SAMPLER.get() {
        (sampler.resized)(moved);
    }
}
