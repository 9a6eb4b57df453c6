//! What a program may ask of the allocator: is it active, what is where, give back what you can, these limits.

use super::start;
use crate::base::lane::Lane;
use crate::base::text::Line;
use crate::central::Place;
#[cfg(feature = "export")]
use crate::config::Mode;
use crate::diag::{self, Code};
use crate::heap;
use crate::modes::guarded;
use crate::pages::Purged;
use crate::pages::limits::UNLIMITED;
#[cfg(feature = "export")]
use crate::process::barrier::Phase;
use crate::process::state::PROCESS;
use crate::process::thread::{self, HeapAccess};
use crate::slow_path::table;
use crate::sys::call;

/// Runs given back in one trim, and the time after which it starts on no further one.
const TRIM_RUNS: usize = 1024;
const TRIM_MILLISECONDS: u64 = 100;

/// Whether Spandrel serves this process.
pub(crate) fn is_active() -> bool {
    start::ensure();
    PROCESS.is_ready()
}

/// Whether `dlopen` keeps RTLD_DEEPBIND: if the option says so, or if libc serves the process, whose malloc every
/// object finds then.
#[cfg(feature = "export")]
pub(crate) fn keeps_deepbind() -> bool {
    start::ensure();
    match PROCESS.barrier.phase() {
        // The options are not known yet. A block that both allocators know would be worse than another lookup order.
        Phase::Yours | Phase::Starting => false,
        Phase::Ready => PROCESS.options().keep_deepbind,
        Phase::Libc => PROCESS.options().keep_deepbind || PROCESS.options().mode() == Mode::Libc,
    }
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

/// Gives back what this thread's heap holds without need; with `everything` also the transfer caches and all free
/// pages.
pub(crate) fn collect(everything: bool) {
    let HeapAccess::Own(heap) = thread::access() else { return };
    let shared = PROCESS.shared();
    if everything {
        if let Some(mode) = table::in_force() {
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

/// Exchanges blocks with other threads: sends off those of theirs that were freed here, and takes in at least `most` of
/// what they sent, 0 for a usual number; whether more waits. Nothing for a thread without a heap, and from inside the
/// allocator.
pub(crate) fn safepoint(most: usize) -> bool {
    if !thread::has_heap() {
        return false;
    }
    let HeapAccess::Own(heap) = thread::access() else { return false };
    table::free_deferred_blocks(&heap);
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

/// Sets both limits, 0 for none; false where that cannot be: with a pool, or a soft limit that is not below the hard
/// one.
pub(crate) fn set_limits(soft: usize, hard: usize) -> bool {
    let contradict = soft != 0 && hard != 0 && soft >= hard;
    if !is_active() || PROCESS.has_pool() || contradict {
        return false;
    }
    let pages = &PROCESS.central.pages;
    let or_none = |bytes: usize| if bytes == 0 { UNLIMITED } else { bytes };
    pages.limits.set(or_none(soft), or_none(hard));
    PROCESS.set_bounds(false, hard != 0);
    let held = pages.held_bytes();
    if held > or_none(hard) {
        let mut what = Line::new();
        what.text("spandrel_set_limits: the hard limit ")
            .number(hard as u64)
            .text(" is below the bytes in use, ")
            .number(held as u64);
        diag::line(Code::BadOption, &[what.bytes(), b"; requests fail until enough is freed"]);
    }
    true
}
