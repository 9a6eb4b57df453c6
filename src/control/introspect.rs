//! What a program may ask of the allocator: is it active, what is where, give back what you can.

use crate::base::lane::Lane;
use crate::central::Place;
use crate::heap;
use crate::modes::guarded;
use crate::pages::Purged;
use crate::process::barrier::Phase;
use crate::process::state::PROCESS;
use crate::process::thread::{self, HeapAccess};
use crate::slow_path::mode::free_deferred;
use crate::stats::Snapshot;
use crate::stats::desk;
use crate::sys::call;

/// Runs given back in one trim, and the time after which it starts on no further one.
const TRIM_RUNS: usize = 1024;
const TRIM_MILLISECONDS: u64 = 100;

/// Whether Spandrel serves this process.
pub(crate) fn is_active() -> bool {
    if PROCESS.barrier.phase() == Phase::Yours {
        // The first call of all makes the process ready.
        drop(thread::access());
    }
    PROCESS.is_ready()
}

/// The lane that owns `address`; libc for whatever is not ours.
pub(crate) fn lane_of_pointer(address: usize) -> Lane {
    if !PROCESS.is_ready() {
        return Lane::Libc;
    }
    match PROCESS.central.resolve(address) {
        Place::Small { .. } => Lane::Small,
        // Sampled blocks are runs whatever their size.
        Place::Large { span, .. } => Lane::of_size(span.large_bytes()),
        Place::Direct(_) => Lane::Direct,
        // A page of its own is a mapping of its own.
        Place::Foreign if guarded::is_of_pool(address) => Lane::Direct,
        Place::Nowhere | Place::Foreign => Lane::Libc,
    }
}

/// Gives back what this thread's heap holds without need; with `everything` also the transfer caches and all free pages.
pub(crate) fn collect(everything: bool) {
    let HeapAccess::Own(heap) = thread::access() else { return };
    let shared = PROCESS.shared();
    if everything {
        if let Some(mode) = PROCESS.mode.get() {
            (mode.give_up)(Some(&heap));
        }
        PROCESS.central.empty_caches(|batch| heap::deliver_each(shared, batch));
    }
    heap.collect(shared);
    if everything {
        let _ = purge(0);
    }
}

/// The blocks that a [`safepoint`] takes in where the caller names no number: what a large request takes in on its way.
const SAFEPOINT_BLOCKS: usize = 250;

/// Exchanges blocks with other threads: sends off those of theirs that were freed here, and takes in at least `most` of what they sent, 0
/// for a usual number; whether more waits. Nothing for a thread without a heap, and from inside the allocator.
pub(crate) fn safepoint(most: usize) -> bool {
    if !thread::has_heap() {
        return false;
    }
    let HeapAccess::Own(heap) = thread::access() else { return false };
    PROCESS.central.deferred.take(|block| free_deferred(&heap, block));
    heap.exchange(PROCESS.shared(), if most == 0 { SAFEPOINT_BLOCKS } else { most })
}

/// Gives free pages back to the kernel, but leaves `keep` bytes of them; whether any went. Bounded in time.
pub(crate) fn trim(keep: usize) -> bool {
    let HeapAccess::Own(heap) = thread::access() else { return false };
    let shared = PROCESS.shared();
    PROCESS.central.empty_caches(|batch| heap::deliver_each(shared, batch));
    heap.collect(shared);
    purge(keep)
}

/// Gives runs back, the oldest first, until at most `keep` bytes of them are left; whether any went.
fn purge(keep: usize) -> bool {
    let mut gone = false;
    if PROCESS.has_pool() {
        return gone;
    }
    let end = call::milliseconds() + TRIM_MILLISECONDS;
    for _ in 0..TRIM_RUNS {
        if retained_bytes() <= keep || call::milliseconds() >= end {
            break;
        }
        match PROCESS.central.pages.purge_oldest() {
            Purged::Nothing => break,
            Purged::Some => gone = true,
            Purged::Kept => {}
        }
    }
    gone
}

/// Bytes of a page of the kernel's.
pub(crate) fn page_bytes() -> usize {
    const USUAL: usize = 4096;
    if is_active() { PROCESS.central.pages.space().page_bytes() } else { USUAL }
}

/// Bytes of free runs that were not given back to the kernel yet.
pub(crate) fn retained_bytes() -> usize {
    if PROCESS.is_ready() { PROCESS.central.pages.figures().dirty } else { 0 }
}

/// What `look` makes of the figures of this moment, which are zeroes where libc serves everything; `None` where there is no memory for
/// them.
pub(crate) fn with_snapshot<R>(look: impl FnOnce(&Snapshot) -> R) -> Option<R> {
    if !PROCESS.is_ready() {
        return desk::with("none: libc serves this process", |snapshot| look(snapshot));
    }
    desk::with(PROCESS.options().profile.name, |snapshot| {
        // While the locks are taken this thread's heap is left alone.
        let access = thread::access();
        snapshot.take(PROCESS.shared());
        drop(access);
        look(snapshot)
    })
}
