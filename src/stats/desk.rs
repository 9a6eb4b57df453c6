#![expect(unsafe_code, reason = "hands out memory that one report at a time works in")]
//! Where a report works: a snapshot is some twelve kilobytes large, which is too much for the stack of whichever thread meets a report, and a
//! report must not need memory of the heap's. So there is one place for it, and a mapping for the time of the work where that is taken.

use core::cell::UnsafeCell;
use core::mem::MaybeUninit;

use super::Snapshot;
use crate::process::state::PROCESS;
use crate::process::thread;
use crate::sys::atomic::{AtomicBool, Ordering};
use crate::sys::memory;

/// See the module. A child of a fork whose parent was at work here finds it taken, and uses mappings.
struct Desk {
    /// Whether somebody is at work here. Any thread reads and writes.
    taken: AtomicBool,
    snapshot: UnsafeCell<MaybeUninit<Snapshot>>,
}

// SAFETY: the snapshot belongs to whoever took the desk.
unsafe impl Sync for Desk {}

static DESK: Desk = Desk { taken: AtomicBool::new(false), snapshot: UnsafeCell::new(MaybeUninit::uninit()) };

/// Does `work` with a snapshot of nothing yet; `None` where there is no memory for it.
fn with<R>(profile: &'static str, work: impl FnOnce(&mut Snapshot) -> R) -> Option<R> {
    // Acquire and Release: what one wrote is done with before the next begins.
    if !DESK.taken.swap(true, Ordering::Acquire) {
        // SAFETY: the place is this thread's until it is given back.
        let done = work(unsafe { Snapshot::place(DESK.snapshot.get().cast(), profile) });
        DESK.taken.store(false, Ordering::Release);
        return Some(done);
    }
    let address = memory::map(size_of::<Snapshot>()).ok()?;
    // SAFETY: the mapping is large enough, aligned to a page, and nobody else has it.
    let done = work(unsafe { Snapshot::place(core::ptr::with_exposed_provenance_mut(address), profile) });
    // SAFETY: made above; the snapshot is not used any more.
    let _ = unsafe { memory::unmap(address, size_of::<Snapshot>()) };
    Some(done)
}

/// What `look` makes of the figures of this moment, which are zeroes where libc serves everything; `None` where there is no memory for
/// them.
pub(crate) fn with_snapshot<R>(look: impl FnOnce(&Snapshot) -> R) -> Option<R> {
    if !PROCESS.is_ready() {
        return with("none: libc serves this process", |snapshot| look(snapshot));
    }
    with(PROCESS.options().profile.name, |snapshot| {
        // While the locks are taken this thread's heap is left alone.
        let held = thread::access();
        snapshot.take(PROCESS.shared());
        drop(held);
        look(snapshot)
    })
}
