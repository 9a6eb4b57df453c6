//! The requests of a program: whether Spandrel is active, and in which mode; the lane of a block; giving memory back,
//! limits, another mode.

use core::ffi::CStr;

use super::start;
use crate::base::lane::Lane;
use crate::base::text::Line;
use crate::central::Place;
use crate::config::ModeName;
use crate::diag::{self, Code};
use crate::heap::Heap;
use crate::modes::counting::{self, COUNTING};
use crate::modes::guarded;
use crate::pages::Purged;
use crate::pages::limits::UNLIMITED;
#[cfg(feature = "export")]
use crate::process::barrier::Phase;
use crate::process::state::PROCESS;
use crate::process::thread::{self, HeapAccess};
use crate::slow_path::table::{self, IN_FORCE, NoSwitch};
use crate::sys::call;

/// The most runs that one trim purges.
const TRIM_RUNS: usize = 1024;
/// The time after which a trim drains no further heap and purges no further run or span.
const TRIM_MILLISECONDS: u64 = 100;

/// Whether Spandrel serves this process.
pub(crate) fn is_active() -> bool {
    start::ensure();
    PROCESS.is_ready()
}

/// The name of the mode in force.
pub(crate) fn mode_name() -> &'static CStr {
    start::ensure();
    IN_FORCE.get().map_or(c"fast", |mode| mode.name)
}

/// Puts the mode of that name into force. Only `fast` and `counting` can be switched, into each other: neither keeps
/// anything about a block, so blocks of one are blocks of the other.
pub(crate) fn set_mode(name: &[u8]) -> Result<(), NoSwitch> {
    let wanted = ModeName::named(name).ok_or(NoSwitch::Unknown)?;
    if mode_name().to_bytes() == name {
        return Ok(());
    }
    match (wanted, IN_FORCE.get()) {
        (ModeName::Counting, None) => counting::switch(true),
        (ModeName::Fast, Some(mode)) if core::ptr::eq(mode, &COUNTING) => counting::switch(false),
        _ => return Err(NoSwitch::Unsafe),
    }
    Ok(())
}

/// Whether `dlopen` keeps RTLD_DEEPBIND: if the option says so, or if libc serves the process, so that an object that
/// finds libc's malloc shares the allocator with all others.
#[cfg(feature = "export")]
pub(crate) fn keeps_deepbind() -> bool {
    start::ensure();
    match PROCESS.barrier.phase() {
        // The options are not known yet. Another lookup order does less harm than a block that one allocator hands out
        // and the other frees.
        Phase::Yours | Phase::Starting => false,
        Phase::Ready => PROCESS.options().keep_deepbind,
        Phase::Libc => PROCESS.options().keep_deepbind || PROCESS.options().mode() == ModeName::Libc,
    }
}

/// The lane that `address` lies in; libc if it is not Spandrel's.
pub(crate) fn lane_of_pointer(address: usize) -> Lane {
    if !PROCESS.is_ready() {
        return Lane::Libc;
    }
    match PROCESS.central.resolve(address) {
        Place::Small { .. } => Lane::Small,
        // A sampled block is a run of its own, whatever its size.
        Place::Large { span, .. } => Lane::of_size(span.large_bytes()),
        Place::Direct(_) => Lane::Direct,
        // A block of mode `guarded` has pages of its own, as a direct one has.
        Place::Foreign if guarded::is_of_pool(address) => Lane::Direct,
        // Only the start of a large block is a place of its own.
        Place::Nowhere => {
            PROCESS.central.large_around(address).map_or(Lane::Libc, |span| Lane::of_size(span.large_bytes()))
        }
        Place::Foreign => Lane::Libc,
    }
}

/// Returns the free blocks of this thread's heap to their spans, and purges what comes free as usual. With `everything`
/// also empties the transfer caches and what the mode keeps, and does all that a trim does.
pub(crate) fn collect(everything: bool) {
    let HeapAccess::Own(heap) = thread::access() else { return };
    let shared = PROCESS.shared();
    if everything {
        if let Some(mode) = IN_FORCE.get() {
            (mode.reclaim)(Some(&heap));
        }
        shared.empty_caches();
    }
    heap.collect(shared);
    if everything {
        let _ = purge(&heap, 0);
    }
}

/// The blocks that a [`safepoint`] receives if the caller names no number; a large request receives as many.
const SAFEPOINT_BLOCKS: usize = 250;

/// Exchanges blocks with other threads: does deferred frees, sends the outbox off, and receives `most` blocks of the
/// inbox and the rest of the last batch; 0 stands for [`SAFEPOINT_BLOCKS`]. Returns whether more are left. Does
/// nothing on a thread without a heap, and from inside the allocator.
pub(crate) fn safepoint(most: usize) -> bool {
    if !thread::has_heap() {
        return false;
    }
    let HeapAccess::Own(heap) = thread::access() else { return false };
    table::free_deferred_blocks(&heap);
    heap.exchange(PROCESS.shared(), if most == 0 { SAFEPOINT_BLOCKS } else { most })
}

/// Purges free runs, but keeps `keep` bytes of them, and the free pages inside spans. Returns whether it purged any.
/// Bounded in time.
pub(crate) fn trim(keep: usize) -> bool {
    let HeapAccess::Own(heap) = thread::access() else { return false };
    let shared = PROCESS.shared();
    shared.empty_caches();
    heap.collect(shared);
    purge(&heap, keep)
}

/// Returns the free blocks of threads that sleep to their spans, then purges runs, the oldest first, until at most
/// `keep` dirty bytes are left, then the holes of spans. Returns whether it purged any.
fn purge(heap: &Heap, keep: usize) -> bool {
    let mut gone = false;
    if PROCESS.has_pool() {
        return gone;
    }
    let end = call::milliseconds() + TRIM_MILLISECONDS;
    heap.offer_or_drain_all(PROCESS.shared(), end);
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
    gone | heap.purge_all_holes(PROCESS.shared(), end)
}

/// Bytes of a page of the kernel.
pub(crate) fn page_bytes() -> usize {
    const USUAL: usize = 4096;
    if is_active() { PROCESS.central.pages.space().page_bytes() } else { USUAL }
}

/// Bytes of dirty free runs: those that were not purged.
pub(crate) fn retained_bytes() -> usize {
    if PROCESS.is_ready() { PROCESS.central.pages.figures().dirty } else { 0 }
}

/// Has the pages of freed runs stay with the process, or go back after the delay of the options again. Whether it is so
/// from now on. A pool keeps all of its pages.
#[cfg(feature = "export")]
pub(crate) fn keep_freed_pages(keep: bool) -> bool {
    if !is_active() || PROCESS.has_pool() {
        return keep && has_pool();
    }
    let delay = PROCESS.options().purge_delay.filter(|_| !keep);
    PROCESS.central.pages.set_delay(delay);
    keep == delay.is_none()
}

/// Whether all memory is that of a pool.
#[cfg(feature = "export")]
pub(crate) fn has_pool() -> bool {
    is_active() && PROCESS.has_pool()
}

/// Whether fresh and freed blocks are filled with bytes other than zero.
#[cfg(feature = "export")]
pub(crate) fn fills_blocks() -> bool {
    is_active() && PROCESS.options().junk
}

/// Sets both limits; 0 stands for none. False with a pool, or if the soft limit is not below the hard one.
pub(crate) fn set_limits(soft: usize, hard: usize) -> bool {
    let contradict = soft != 0 && hard != 0 && soft >= hard;
    if !is_active() || PROCESS.has_pool() || contradict {
        return false;
    }
    let pages = &PROCESS.central.pages;
    let or_none = |bytes: usize| if bytes == 0 { UNLIMITED } else { bytes };
    pages.limits.set(or_none(soft), or_none(hard));
    PROCESS.set_bounds(false, hard != 0);
    pages.keep_soft_limit();
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
