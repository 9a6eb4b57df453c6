#![expect(unsafe_code, reason = "fork handlers")]
//! Fork: every lock is taken before, in order of rank, and given back after, so the child finds whole structures behind locks.
//! What other threads had in their hands is handed over when the child first needs memory; see `heap::orphan`.

use super::process::PROCESS;
use super::thread::LAST_MARK;
use crate::heap::Heap;
use crate::sys::tls;

/// Runs in the parent before a fork.
pub(super) extern "C" fn prepare() {
    PROCESS.registry.lock_for_fork();
    PROCESS.central.lock_for_fork();
}

/// Runs in the parent after a fork.
pub(super) extern "C" fn parent() {
    // SAFETY: `prepare` took the locks.
    unsafe { PROCESS.central.unlock_after_fork() };
    // SAFETY: `prepare` took the lock.
    unsafe { PROCESS.registry.unlock_after_fork() };
}

/// Runs in the child after a fork.
pub(super) extern "C" fn child() {
    parent();
    let home = tls::home();
    // SAFETY: words above the marks name this thread's heap.
    let own = (home > LAST_MARK).then(|| unsafe { Heap::at(home) });
    PROCESS.registry.orphan_all_but(own);
}
