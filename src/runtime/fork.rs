#![expect(unsafe_code, reason = "fork handlers")]
//! Fork: every lock is taken before, in order of rank, and given back after, so the child finds whole structures behind locks.
//! What other threads had in their hands is handed over when the child first needs memory; see `heap::orphan`.
//!
//! Between the handlers run those of the program, which may allocate: such calls count as recursion and go to libc, whose own
//! allocator is not locked yet. A fork out of a signal handler that interrupted the allocator takes no lock: the thread may hold
//! it already.

use super::process::PROCESS;
use super::thread;

/// Runs in the parent before a fork.
pub(super) extern "C" fn prepare() {
    if !thread::suspend() {
        return;
    }
    PROCESS.registry.lock_for_fork();
    PROCESS.central.lock_for_fork();
}

/// Runs in the parent after a fork.
pub(super) extern "C" fn parent() {
    if unlock() {
        thread::resume();
    }
}

/// Runs in the child after a fork.
pub(super) extern "C" fn child() {
    if unlock() {
        let own = thread::resume();
        PROCESS.registry.orphan_all_but(own);
    }
}

/// Gives the locks back; false if `prepare` took none.
fn unlock() -> bool {
    if !thread::is_suspended() {
        return false;
    }
    // SAFETY: `prepare` took the locks.
    unsafe { PROCESS.central.unlock_after_fork() };
    // SAFETY: `prepare` took the lock.
    unsafe { PROCESS.registry.unlock_after_fork() };
    true
}
