//! Requests of a heap that counts requested bytes: either to sample some for the heap profile, or for a countdown of
//! idle return, at whose end the thread reads the clock. The heap profile registers the functions that make and free
//! samples; mode `guarded` registers its own.

use super::request::{Moved, Request};
use crate::base::lane::Lane;
use crate::central::Bill;
use crate::heap::Heap;
use crate::process::state::PROCESS;
use crate::sys::cell::StaticRef;

/// Words of a request about the heap profile that a tool outside the process makes: what to do, the bytes between
/// samples, and what came of it (0 while it is not done, then 1 more than an error number).
pub const REQUEST_WORDS: usize = 3;
/// Starts to take samples.
pub const START: usize = 1;
/// Takes no more samples.
pub const STOP: usize = 2;

/// Where the heap profile of a process is, for tools that read it from outside: addresses in the process, and offsets
/// in the record of a stack. All zero where requests cannot be sampled.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SamplesDescriptor {
    /// The switch: a byte, 1 while samples are taken.
    pub on: usize,
    /// The bytes between samples, on average: a word.
    pub mean: usize,
    /// When samples were first taken, in nanoseconds since 1970: a word, 0 for never.
    pub since: usize,
    /// Where the record of the newest stack is: a word, 0 for none.
    pub newest: usize,
    /// The epoch of the peak: a word.
    pub peak_epoch: usize,
    /// In a record: where the record of the stack before it is.
    pub older: usize,
    /// In a record: objects and bytes asked for, live, and live at the peak, then the epoch of which the last two are;
    /// of another epoch they are the same as live. Seven words.
    pub totals: usize,
    /// In a record: where its frames are, the innermost first, and how many. Two words.
    pub frames: usize,
    /// In a record: where the name of the named heap is that the thread used, 64 bytes with zeroes at the end, or 0. A
    /// word.
    pub heap: usize,
    /// The parts of an object in which objects are counted.
    pub parts: usize,
}

impl SamplesDescriptor {
    /// No profile can be.
    pub const NONE: Self =
        Self { on: 0, mean: 0, since: 0, newest: 0, peak_epoch: 0, older: 0, totals: 0, frames: 0, heap: 0, parts: 0 };
}

/// The functions that make and free samples.
pub(crate) struct Sampler {
    /// Allocates a sampled block. `None` if the request has to be served without a sample. The heap is the thread's,
    /// and held.
    pub(crate) sample: fn(&Heap, Request) -> Option<*mut u8>,
    /// Notes that the sampled block with that ticket was freed.
    pub(crate) freed: fn(u32),
    /// Notes that a large block was resized without copying.
    pub(crate) resized: fn(&Moved),
    /// The bill of the live sampled block at that address, if the block lies apart.
    pub(crate) bill_of: fn(usize) -> Option<&'static Bill>,
    /// Takes sampled blocks that lie apart off a bill; see [`take_off_bill`].
    pub(crate) take_off_bill: fn(&'static Bill, usize, bool) -> Option<usize>,
}

/// The sampler in force. Written by the start, read by any thread.
static SAMPLER: StaticRef<Sampler> = StaticRef::none();

/// Has `sampler` make and free samples. Part of the start.
pub(crate) fn register(sampler: &'static Sampler) {
    SAMPLER.set(Some(sampler));
}

/// Counts `request`. Returns its block if the count makes it a sample.
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

/// Notes that the sampled block with `ticket` was freed. Returns its lane: a sampled block has a run of its own.
pub(crate) fn freed(ticket: u32) -> Lane {
    if let Some(sampler) = SAMPLER.get() {
        (sampler.freed)(ticket);
    }
    Lane::Large
}

/// The bill of the live sampled block at `address`, if the block lies outside of spans, runs and direct mappings.
pub(crate) fn bill_of(address: usize) -> Option<&'static Bill> {
    SAMPLER.get().and_then(|sampler| (sampler.bill_of)(address))
}

/// Takes a live sampled block off `bill` that lies outside of spans, runs and direct mappings, because its heap ends:
/// the block's address. `after` is the last one found so, 0 at first. `frees`: the heap is destroyed, and the caller
/// frees the block. The calling thread is outside the allocator.
pub(crate) fn take_off_bill(bill: &'static Bill, after: usize, frees: bool) -> Option<usize> {
    SAMPLER.get().and_then(|sampler| (sampler.take_off_bill)(bill, after, frees))
}

/// Notes that a large block was resized without copying.
pub(super) fn resized(moved: &Moved) {
    if let Some(sampler) = SAMPLER.get() {
        (sampler.resized)(moved);
    }
}
