//! The requests of a program about named heaps beyond their use: make them, end them, and move blocks between them.
//!
//! A heap ends in one of three ways. If it is *destroyed* in the default mode or in mode `counting`, its spans are
//! released whole, after its blocks in other threads' batches were dropped ([`crate::heap`] lists all places of such
//! blocks). If it is destroyed in a mode that keeps records of blocks, each block is freed, and the rest is as for a
//! delete. If it is *deleted*, its parts retire like the heaps of threads that end, so that the central list gets spans
//! with live blocks. Sampled blocks, which are outside of spans and regions, are freed one by one, or lose their bill.

use super::{dispatch, start};
use crate::base::units::REGION_BYTES;
use crate::central::Place;
use crate::config::ModeName;
use crate::heap::Heap;
use crate::modes::counting;
use crate::process::holders::{self, Holder, Unavailable, Wanted};
use crate::process::state::PROCESS;
use crate::process::thread::{self, HeapAccess};
use crate::slow_path::mode::heap_of;
use crate::slow_path::realloc;
use crate::slow_path::request::Resized;
use crate::slow_path::sampled;
use crate::slow_path::table::{self, IN_FORCE};
use crate::sys::call;

/// Why a heap is not made.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum NoHeap {
    /// The call came from inside the allocator.
    Inside,
    /// There is no memory, or no place for another one.
    Memory,
    /// Spandrel does not serve the process, or the functions of a program do.
    Unserved,
}

/// Makes a heap: its handle.
pub(crate) fn create(wanted: &Wanted<'_>) -> Result<usize, NoHeap> {
    start::ensure();
    if !PROCESS.is_ready() || PROCESS.options().mode() == ModeName::Custom {
        return Err(NoHeap::Unserved);
    }
    holders::be_outside().map_err(|_| NoHeap::Inside)?;
    holders::create(wanted).ok_or(NoHeap::Memory)
}

/// How a heap ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum End {
    /// Its blocks are freed.
    Destroy,
    /// Its blocks stay.
    Delete,
}

/// Ends the heap with that handle. The calling thread must be outside the allocator, and no thread may use the heap.
pub(crate) fn end(handle: usize, how: End) -> Result<(), Unavailable> {
    let holder = holders::find_or_report(handle)?;
    holders::be_outside()?;
    holders::take_all(holder, handle)?;
    let removed = holders::remove(holder, handle);
    debug_assert!(removed, "one thread at a time ends a heap");
    // A handler would run while other heaps are held.
    let blocked = call::block_signals();
    adopt_orphans();
    let releases_whole = IN_FORCE.get().is_none_or(|mode| !mode.notes) && !PROCESS.inspects();
    match how {
        End::Destroy if releases_whole => destroy(holder, handle),
        End::Destroy => {
            free_all(holder, handle);
            retire(holder);
        }
        End::Delete => {
            while PROCESS.central.pop_off_bill(&holder.bill).is_some() {}
            each_apart(holder, false, |_| {});
            retire(holder);
        }
    }
    holder.put_back(handle);
    call::set_blocked_signals(blocked);
    Ok(())
}

/// Before a heap of a fork's child ends, the child must have what other threads of its parent held of it.
fn adopt_orphans() {
    if let HeapAccess::Own(_heap) = thread::access() {
        PROCESS.registry.adopt_all(PROCESS.shared());
    }
}

/// Releases the memory of a heap whose parts this thread took.
fn destroy(holder: &'static Holder, handle: usize) {
    let shared = PROCESS.shared();
    empty_batches(|heap| heap.drop_batches_of(handle, shared));
    each_apart(holder, true, dispatch::free);
    for part in parts_of(holder) {
        part.lock_spans();
        part.destroy(shared);
        part.close_offers();
        part.unlock_spans();
        shared.registry.release(part);
    }
    while let Some(region) = shared.central.pop_off_bill(&holder.bill) {
        counting::note_destroyed(shared.central.pages.space().address(region));
        if let Some(ticket) = shared.central.destroy_large(region)
            && ticket != 0
        {
            let _ = sampled::freed(ticket);
        }
    }
    shared.central.pages.keep_soft_limit();
    // The memory goes back after the delay, even if no thread frees anything any more.
    shared.registry.idle().want_round();
}

/// Does `empty` with all heaps, one after the other: a destroyed heap's blocks may be in batches of any.
fn empty_batches(empty: impl Fn(&Heap)) {
    // Blocks that wait to be freed may be the heap's. They go into batches of this thread.
    empty_own_batches(&empty);
    if let Some(here) = thread::at_rest() {
        PROCESS.registry.with_others(here, &empty);
    }
    // Other threads may have deferred more meanwhile, for want of memory.
    empty_own_batches(&empty);
}

/// Frees the blocks that wait for that, and does `empty` with the heap of the calling thread, in whose batches they
/// are.
fn empty_own_batches(empty: impl Fn(&Heap)) {
    if let HeapAccess::Own(heap) = thread::access() {
        table::free_deferred_blocks(&heap);
        empty(&heap);
    }
}

/// Frees all blocks of a heap, whose parts this thread took, in the mode in force.
fn free_all(holder: &'static Holder, handle: usize) {
    let shared = PROCESS.shared();
    empty_batches(|heap| heap.send_batches_of(handle, shared));
    holder.parts().for_each(|part| on_part(part, || free_blocks(part)));
    free_large(holder);
}

/// The parts of a heap, of which each may be released before the next is asked for.
fn parts_of(holder: &'static Holder) -> impl Iterator<Item = &'static Heap> + use<> {
    let mut next = holder.parts().next();
    core::iter::from_fn(move || {
        let part = next?;
        next = part.next_part();
        Some(part)
    })
}

/// Has the parts of a heap, which this thread took, retire like heaps of threads that end.
fn retire(holder: &'static Holder) {
    for part in parts_of(holder) {
        let Some(here) = thread::at_rest() else { return };
        thread::use_heap(part);
        if let HeapAccess::Own(guard) = thread::access() {
            thread::give_up(guard, here.address());
        }
        thread::use_heap(here);
    }
}

/// Does `work` while the calling thread uses `part`, which it took.
fn on_part(part: &'static Heap, work: impl FnOnce()) {
    let Some(here) = thread::at_rest() else { return };
    thread::use_heap(part);
    work();
    thread::use_heap(here);
}

/// Frees all blocks of spans of `part`, which the calling thread uses, in the mode in force.
fn free_blocks(part: &Heap) {
    let shared = PROCESS.shared();
    // The blocks in inbox, quarantine and bins are free already. A quarantine takes in what comes out of the inbox.
    if let HeapAccess::Own(heap) = thread::access() {
        let _ = heap.exchange(shared, usize::MAX);
        PROCESS.features.thread_ends(&heap);
        heap.collect_wholly(shared);
    }
    // In the child of a fork, a block that a thread was freeing then is out of its span and not live.
    let is_live = |block| IN_FORCE.get().is_none_or(|mode| (mode.is_live)(block));
    for region in shared.central.pages.regions() {
        part.each_out(shared, region, |address| {
            let block = core::ptr::with_exposed_provenance_mut(address);
            if is_live(block) {
                dispatch::free(block);
            }
        });
    }
}

/// Frees all large blocks of a heap in the mode in force.
fn free_large(holder: &'static Holder) {
    let central = &PROCESS.central;
    while let Some(region) = central.pop_off_bill(&holder.bill) {
        dispatch::free(core::ptr::with_exposed_provenance_mut(central.pages.space().address(region)));
    }
    each_apart(holder, true, dispatch::free);
}

/// Takes all sampled blocks of a heap that lie apart off its bill, and does `work` with each, which `frees` it or not.
fn each_apart(holder: &'static Holder, frees: bool, work: impl Fn(*mut u8)) {
    let mut last = 0;
    while let Some(address) = sampled::take_off_bill(&holder.bill, last, frees) {
        last = address;
        work(core::ptr::with_exposed_provenance_mut(address));
    }
}

/// Gives the live block at `block` to the heap with that handle, the calling thread's own for 0: where it is then,
/// which for a large block is where it was.
pub(crate) fn give(handle: usize, block: *mut u8) -> Result<*mut u8, Unavailable> {
    holders::be_outside()?;
    if give_in_place(handle, block)? {
        return Ok(block);
    }
    match relocate(handle, block, dispatch::usable_size(block))? {
        Resized::At(moved) => Ok(moved),
        Resized::OutOfMemory | Resized::Misused => Err(Unavailable::Memory),
    }
}

/// Makes `block` hold `size` bytes as a block of the heap with that handle, the calling thread's own for 0.
///
/// A large block that is another heap's is copied as well: it must stay that heap's where this fails.
pub(crate) fn resize(handle: usize, block: *mut u8, size: usize) -> Result<Resized, Unavailable> {
    if heap_of(block.addr()) == handle {
        holders::visit(handle, || dispatch::realloc(block, size))
    } else {
        relocate(handle, block, size)
    }
}

/// Whether the live block at `block` is the heap's, or a large one, which is the heap's now.
fn give_in_place(handle: usize, block: *mut u8) -> Result<bool, Unavailable> {
    let to = if handle == 0 { None } else { Some(holders::find_or_report(handle)?) };
    if heap_of(block.addr()) == handle {
        return Ok(true);
    }
    let central = &PROCESS.central;
    let Place::Large { region, span } = central.resolve(block.addr()) else { return Ok(false) };
    let bytes = span.large_regions() as usize * REGION_BYTES;
    if to.is_some_and(|holder| !holder.admit_or_tell(bytes)) {
        return Err(Unavailable::Memory);
    }
    central.take_off_bill(region);
    if let Some(holder) = to {
        central.put_on_bill(region, &holder.bill);
        if !holder.is(handle) {
            // Another thread ended the heap meanwhile.
            central.take_off_bill(region);
            return Err(Unavailable::Gone);
        }
    }
    Ok(true)
}

/// Moves `block` to a block of `size` bytes of the heap with that handle.
fn relocate(handle: usize, block: *mut u8, size: usize) -> Result<Resized, Unavailable> {
    let old = dispatch::usable_size(block);
    // A mode may have blocks without a usable byte.
    if old == 0 && IN_FORCE.get().is_none_or(|mode| !(mode.is_live)(block)) {
        return Ok(Resized::Misused);
    }
    holders::visit(handle, || realloc::relocate(block, old, size, dispatch::alloc, dispatch::free))
}

/// Sets the limits of the heap with that handle; [`crate::pages::limits::UNLIMITED`] for none.
pub(crate) fn set_limits(handle: usize, soft: usize, hard: usize) -> Result<(), Unavailable> {
    holders::find_bill_or_report(handle)?.bill.set_limits(soft, hard);
    Ok(())
}
