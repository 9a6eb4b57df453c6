//! The thread that gives memory back in a process whose threads do not call, where the option asks for it. It blocks all signals, and sleeps
//! while there is nothing to do. A child of a fork starts its own in its first slow call.

use core::ffi::c_void;

use super::feature::Feature;
use super::state::PROCESS;
use super::thread::{self, HeapAccess};
use crate::diag::{self, Code};
use crate::sys::{call, libc};

/// Between two looks, in milliseconds, one part of the purge delay, but no less than this.
const PART: u32 = 4;
const NAP_MIN: u32 = 10;

static BACKGROUND: Feature = Feature { attend: start, in_child: |_| BACKGROUND.want_attention(), ..Feature::NONE };

/// Has the first slow call start the thread, which the start of the process cannot: creating a thread allocates.
pub(crate) fn register() {
    PROCESS.features.register(&BACKGROUND);
    BACKGROUND.want_attention();
}

fn start() {
    if PROCESS.central.pages.delay().is_some() && !PROCESS.has_pool() && !libc::start_thread(run) {
        diag::line(Code::BadOption, &[b"SPANDREL_IDLE_RETURN=thread: no thread can be started; calls return the memory"]);
    }
}

extern "C" fn run(_: *mut c_void) -> *mut c_void {
    call::name_thread(c"spandrel");
    loop {
        if let HeapAccess::Own(heap) = thread::access() {
            heap.work_in_background(PROCESS.shared());
        }
        let delay = PROCESS.central.pages.delay().unwrap_or(u32::MAX);
        if PROCESS.registry.idle().is_pending() || PROCESS.central.pages.is_dirty() {
            call::sleep((delay / PART).max(NAP_MIN));
        } else {
            PROCESS.registry.idle().wait();
        }
    }
}
