//! The heap profile for tools outside the process. They ask for its start or its end by words that they write into the
//! process. They read it themselves, and the process does nothing for that.
//!
//! Must not know how samples are taken.

use super::PARTS;
use super::sampling::{FEATURE, NoProfile, PROFILING, start, stop};
use super::stacks::LAYOUT;
use crate::slow_path::sampled::{START, STOP, SamplesDescriptor};
use crate::sys::atomic::{AtomicUsize, Ordering};

/// A request of a tool outside the process, which writes all words but the result, then the byte of pending work.
#[repr(C)]
struct Outside {
    action: AtomicUsize,
    mean: AtomicUsize,
    result: AtomicUsize,
}

static OUTSIDE: Outside =
    Outside { action: AtomicUsize::new(0), mean: AtomicUsize::new(0), result: AtomicUsize::new(0) };

/// Where a tool has this process start or end a profile: the byte, its value, and the address of the request. Then
/// where it reads one.
pub(crate) fn outside() -> ([usize; 3], SamplesDescriptor) {
    let [byte, value] = FEATURE.outside();
    if byte == 0 {
        return ([byte, value, 0], SamplesDescriptor::NONE);
    }
    let [older, totals, frames, heap] = LAYOUT;
    let samples = SamplesDescriptor {
        on: core::ptr::from_ref(&PROFILING.on).addr(),
        mean: core::ptr::from_ref(&PROFILING.mean).addr(),
        since: core::ptr::from_ref(&PROFILING.since).addr(),
        newest: core::ptr::from_ref(&PROFILING.profile.newest.entry).addr(),
        peak_epoch: core::ptr::from_ref(&PROFILING.profile.peak_epoch).addr(),
        older,
        totals,
        frames,
        heap,
        parts: PARTS as usize,
    };
    ([byte, value, core::ptr::from_ref(&OUTSIDE).addr()], samples)
}

/// Does what a tool outside the process asks for.
pub(super) fn attend() {
    // Acquire pairs with `Flags::take`, before which the tool wrote all of the request. Relaxed from here on: the tool
    // writes nothing until it has the result.
    let done = match OUTSIDE.action.swap(0, Ordering::Acquire) {
        START => start(OUTSIDE.mean.load(Ordering::Relaxed)),
        STOP => {
            stop();
            Ok(())
        }
        _ => return,
    };
    let error = done.map_or_else(NoProfile::number, |()| 0);
    // Release: the tool has the samples begun once it has the result.
    OUTSIDE.result.store(1 + error as usize, Ordering::Release);
}
