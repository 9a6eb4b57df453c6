//! The thread that gives memory back while nobody calls, for who asked for it. It blocks all signals, sleeps for good while nothing
//! happens, and is started again by the first call that needs it in the child of a fork.

use core::ffi::c_void;

use crate::diag::{self, Code};
use crate::process::state::PROCESS;
use crate::process::thread::{self, HeapAccess};
use crate::sys::atomic::Ordering;
use crate::sys::{call, libc};

/// Between two looks, in milliseconds, one part of the purge delay, but no less than this.
const PART: u32 = 4;
const NAP_MIN: u32 = 10;

/// Starts the thread, unless there is one. The caller holds nothing.
pub(crate) fn ensure() {
    // Relaxed: only who comes first matters.
    if PROCESS.background.load(Ordering::Relaxed) || PROCESS.background.swap(true, Ordering::Relaxed) {
        return;
    }
    if PROCESS.central.pages.delay().is_some() && !PROCESS.has_pool() && !libc::start_thread(run) {
        diag::line(Code::BadOption, &[b"SPANDREL_IDLE_RETURN=thread: no thread can be started; calls do the work"]);
    }
}

/// The child of a fork has no such thread.
pub(crate) fn forget() {
    // Relaxed: the child has one thread.
    PROCESS.background.store(false, Ordering::Relaxed);
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
