//! What helps tests: blocks filled with junk, and a look at what is live when the process ends.

use crate::control::introspect;
use crate::diag::{self, Code};
use crate::heap::Heap;
use crate::process::state::PROCESS;
use crate::stats::leaks::Leaks;
use crate::sys::atomic::Ordering;
use crate::sys::{call, libc};

/// What a fresh block is filled with, and a freed one.
const FRESH: u8 = 0xa5;
const FREED: u8 = 0x5a;
/// The exit status of a process that would have ended with 0, but has leaked.
const LEAK_STATUS: i32 = 23;

/// Fills a block that its owner does not have yet.
pub(crate) fn fill_fresh(address: usize, bytes: usize) {
    PROCESS.central.fill(address, bytes, FRESH);
}

/// Fills a block that is about to be freed, as far as it can be told to be one.
pub(crate) fn fill_freed(heap: &Heap, block: *mut u8) {
    if let Ok(Some(bytes)) = PROCESS.central.resolve(block.addr()).usable(block.addr(), heap.address()) {
        PROCESS.central.fill(block.addr(), bytes, FREED);
    }
}

/// Has the C library tell with which status the process ends; before any other handler is registered, so that it is told last.
pub(crate) fn watch_status() {
    libc::on_exit(keep_status);
}

extern "C" fn keep_status(status: i32, _: *mut core::ffi::c_void) {
    // Relaxed: the process has one thread that ends it.
    PROCESS.exit_status.store(status as u32, Ordering::Relaxed);
}

/// Reports what is live now that all destructors have run, and ends the process. What libc keeps for itself it is asked to free first,
/// after which nothing but the end may follow.
pub(crate) fn end_with_leaks() {
    libc::free_everything();
    introspect::collect(true);
    let Some(leaks) = introspect::with_snapshot(Leaks::of) else { return };
    // Relaxed: see `keep_status`.
    let mut status = PROCESS.exit_status.load(Ordering::Relaxed) as i32;
    if leaks.blocks() > 0 {
        diag::described(Code::ShutdownLeak, |line| leaks.describe(line), |bytes| PROCESS.reports.write(bytes));
        if status == 0 {
            status = LEAK_STATUS;
        }
    }
    call::exit(status);
}
