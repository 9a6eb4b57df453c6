//! The background thread (`SPANDREL_IDLE_RETURN=thread`): does the rounds of idle return and the purges in a process
//! whose threads make no calls. It blocks all signals, and sleeps while nothing is dirty and no round is in progress. A
//! fork does not copy it, so a child starts its own in its first slow call.

use core::ffi::c_void;

use super::feature::Feature;
use super::state::PROCESS;
use super::thread::{self, HeapAccess};
use crate::diag::{self, Code};
use crate::sys::{call, libc};

/// While there is work, the thread sleeps for one part in this many of the purge delay between two steps of it.
const PART: u32 = 4;
/// The shortest such sleep, in milliseconds.
const NAP_MIN: u32 = 10;

static BACKGROUND: Feature =
    Feature { attend: Some(start), in_child: Some(|_| BACKGROUND.want_attention()), ..Feature::NONE };

/// Has the first slow call start the thread. The start of the process cannot, because creating a thread allocates.
pub(crate) fn register() {
    PROCESS.features.register(&BACKGROUND);
    BACKGROUND.want_attention();
}

fn start() {
    if PROCESS.central.pages.delay().is_some() && !PROCESS.has_pool() && !libc::start_thread(run) {
        let what = b"SPANDREL_IDLE_RETURN=thread: no thread can be started; calls return the memory";
        diag::line(Code::BadOption, &[what]);
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
