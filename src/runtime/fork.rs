#![expect(unsafe_code, reason = "fork handlers")]
//! Fork: every lock is taken before, in order of rank, and given back after, so the child finds whole structures behind locks.
//! What other threads had in their hands is handed over when the child first needs memory; see `heap::orphan`.
//!
//! The handlers are registered before anyone else's, so ours run last before the fork and first after it, and nothing of the
//! program's runs while the locks are held. Where that fails (a static program whose constructor was faster), its calls count as
//! recursion and go to libc, whose own allocator is not locked yet. A fork out of a signal handler that interrupted the allocator takes no lock: the thread may hold
//! it already.

use super::background;
use super::process::PROCESS;
use super::thread;
use crate::sys::{call, libc};

/// Runs in the parent before a fork.
pub(super) extern "C" fn prepare() {
    if !thread::suspend() {
        return;
    }
    // libc's fork takes this lock after our handler; threads that hold it or a stream's may be waiting for ours.
    libc::lock_streams();
    PROCESS.registry.lock_for_fork();
    PROCESS.profiling.profile.lock_for_fork();
    PROCESS.central.lock_for_fork();
    if let Some(mode) = PROCESS.mode.get() {
        (mode.lock_for_fork)();
    }
}

/// Runs in the parent after a fork.
pub(super) extern "C" fn parent() {
    if unlock() {
        libc::unlock_streams();
        thread::resume();
    }
}

/// Runs in the child after a fork.
pub(super) extern "C" fn child() {
    if unlock() {
        libc::reset_streams();
        let own = thread::resume();
        if let Some(heap) = own {
            heap.thread.set(call::thread_id());
        }
        PROCESS.reporter.forget_writer();
        PROCESS.profiling.forget_writer();
        PROCESS.registry.orphan_all_but(own);
        background::forget();
    }
}

/// Gives the locks back; false if `prepare` took none.
fn unlock() -> bool {
    if !thread::is_suspended() {
        return false;
    }
    if let Some(mode) = PROCESS.mode.get() {
        // SAFETY: `prepare` took the mode's locks.
        unsafe { (mode.unlock_after_fork)() };
    }
    // SAFETY: `prepare` took the locks.
    unsafe { PROCESS.central.unlock_after_fork() };
    // SAFETY: `prepare` took the lock.
    unsafe { PROCESS.profiling.profile.unlock_after_fork() };
    // SAFETY: `prepare` took the lock.
    unsafe { PROCESS.registry.unlock_after_fork() };
    true
}
