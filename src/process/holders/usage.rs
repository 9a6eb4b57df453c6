//! The use of named heaps by threads: the two words of a thread that uses one name a part of it, so that its calls take
//! that part's fast path and slow path, and the thread's own heap is like that of a thread that sleeps.
//!
//! A thread may use several, each above the one before. It then has a chain of parts, and the uppermost serves its
//! calls. The program's functions for limits may use other heaps and leave all, so a slow call may return to another
//! chain.

use super::parts::Unavailable;
use super::table::{FEATURE, Holder, find, records};
use crate::base::class::Class;
use crate::base::text::Line;
use crate::diag::{self, Code};
use crate::heap::{Heap, fast_path};
use crate::process::state::PROCESS;
use crate::process::thread::{self, HeapAccess};
use crate::sys::atomic::{AtomicBool, Ordering, spin};
use crate::sys::{call, tls};

/// Tries to take a part that another thread has for a moment.
const TRIES: u32 = 64;

/// How often a thread waits, and how long at a time, while another one adds a part to a shared heap: a tenth of a second in
/// all. That thread may have lost its processor.
const PAUSES: u32 = 1000;
const PAUSE_NANOSECONDS: u64 = 100_000;

/// Whether the feature has registered. Written by the first thread that makes a named heap.
static BEGUN: AtomicBool = AtomicBool::new(false);

/// Registers the part of named heaps in forks, before the first of them is made.
pub(crate) fn begin() {
    // Relaxed: registration is idempotent, and threads that use a heap come after the one that made it.
    if !BEGUN.swap(true, Ordering::Relaxed) {
        PROCESS.features.register(&FEATURE);
    }
}

/// The handle of the heap that the calling thread uses; 0 for its own.
#[inline]
pub(crate) fn current() -> usize {
    thread::at_rest().map_or(0, Heap::handle)
}

/// The heap that the calling thread uses. A new thread gets its own first.
#[inline]
fn here() -> Result<&'static Heap, Unavailable> {
    thread::at_rest().map_or_else(first_here, Ok)
}

/// Refuses where the calling thread is inside the allocator, and may hold a lock.
pub(crate) fn be_outside() -> Result<(), Unavailable> {
    here().map(drop)
}

#[cold]
fn first_here() -> Result<&'static Heap, Unavailable> {
    if let HeapAccess::Own(heap) = thread::access() {
        drop(heap);
    }
    thread::at_rest().ok_or(Unavailable::Inside)
}

/// Has `part`, which the calling thread took, lie above the heap that it uses.
#[inline]
fn put_above(here: &'static Heap, part: &Heap) {
    part.thread.id.set(here.thread.id.get());
    part.set_below(Some(here));
}

/// Has the calling thread use the heap with that handle from now on, or its own for 0; the handle of the one before. A
/// heap that it uses already, below others, stays where it is, and those above it are left.
#[inline]
pub(crate) fn switch(handle: usize) -> Result<usize, Unavailable> {
    let here = here()?;
    let before = here.handle();
    if handle == before {
        return Ok(before);
    }
    if let Some(lower) = here.chain().find(|heap| heap.handle() == handle) {
        leave_above(here, lower);
        return Ok(before);
    }
    let part = take(handle)?;
    put_above(here, part);
    thread::use_heap(part);
    Ok(before)
}

/// Leaves the parts from `here` down to `lower`, a heap of that chain, and uses it.
fn leave_above(here: &'static Heap, lower: &'static Heap) {
    let mut part = here;
    while !core::ptr::eq(part, lower) {
        let Some(below) = part.below() else { return };
        thread::use_heap(below);
        part.leave();
        part = below;
    }
}

/// A block for a request of `size` bytes from the bins of the heap with that handle, of which the calling thread takes
/// a part for that moment if it does not use one. Null where more is to be done than that: [`visit`] does it.
#[inline(always)]
pub(crate) fn pop(handle: usize, size: usize) -> *mut u8 {
    let Some(part) = find(handle).and_then(|holder| holder.parts.first()) else { return core::ptr::null_mut() };
    if tls::own_heap() == part.address() && part.handle() == handle {
        return fast_path::malloc(size, |_, _| core::ptr::null_mut());
    }
    if !part.take_for(tls::word_address()) {
        return core::ptr::null_mut();
    }
    if part.handle() != handle {
        part.leave_stale();
        return core::ptr::null_mut();
    }
    let block = part.pop_at_rest(size);
    part.end_pop();
    block
}

/// As [`pop`], a block that starts at a multiple of `align`, a power of two.
#[inline(always)]
pub(crate) fn pop_aligned(handle: usize, size: usize, align: usize) -> *mut u8 {
    Class::rounded(size, align).map_or(core::ptr::null_mut(), |size| pop(handle, size))
}

/// Does `work` on the heap with that handle, the calling thread's own for 0, and goes back to the one that it uses.
#[inline]
pub(crate) fn visit<R>(handle: usize, work: impl FnOnce() -> R) -> Result<R, Unavailable> {
    let here = here()?;
    if handle == here.handle() {
        return Ok(work());
    }
    if let Some(lower) = here.chain().find(|heap| heap.handle() == handle) {
        thread::use_heap(lower);
        let result = work();
        if is_current(lower) {
            thread::use_heap(here);
        } else {
            come_up(here, lower);
        }
        return Ok(result);
    }
    let (part, taken) = take_or_share(handle)?;
    let below = part.below();
    put_above(here, part);
    thread::use_heap(part);
    let result = work();
    if is_current(part) && part.below().is_some_and(|lower| core::ptr::eq(lower, here)) {
        thread::use_heap(here);
    } else if !come_down(here, part) {
        return Ok(result);
    }
    if taken {
        part.leave()
    } else {
        part.set_below(below)
    }
    Ok(result)
}

/// Whether the calling thread uses `heap`, above all others.
#[inline]
fn is_current(heap: &Heap) -> bool {
    thread::at_rest().is_some_and(|now| core::ptr::eq(now, heap))
}

/// Whether the calling thread uses `heap`, itself or below others.
fn is_used(heap: &Heap) -> bool {
    thread::at_rest().is_some_and(|now| now.chain().any(|lower| core::ptr::eq(lower, heap)))
}

/// Leaves the parts above `lower`, which the calling thread uses.
fn leave_down_to(lower: &'static Heap) {
    if let Some(now) = thread::at_rest() {
        leave_above(now, lower);
    }
}

/// Goes back to `here` from `lower`, a heap below it, after the program's functions used other heaps meanwhile, or left
/// all: the thread stays where they left it then, without the parts above `lower`.
#[cold]
fn come_up(here: &'static Heap, lower: &'static Heap) {
    if is_used(lower) {
        leave_down_to(lower);
        return thread::use_heap(here);
    }
    let mut part = here;
    while !core::ptr::eq(part, lower) {
        let Some(below) = part.below() else { return };
        part.leave();
        part = below;
    }
}

/// Goes back to `here` from `part`, a heap above it, after the program's functions used other heaps meanwhile, or left
/// all: the thread stays where they left it, if that is not above `here`. False if they left `part` as well.
#[cold]
fn come_down(here: &'static Heap, part: &'static Heap) -> bool {
    let has_part = is_used(part);
    if has_part {
        leave_down_to(part);
        if let Some(below) = part.below() {
            thread::use_heap(below);
        }
    }
    if is_used(here) {
        leave_down_to(here);
    }
    has_part
}

/// A part of the heap with that handle, and whether the calling thread took it. One that it has already is that of a
/// [`pop`] which a handler interrupted: a bin lets the handler in, and the part stays the interrupted call's.
#[inline]
fn take_or_share(handle: usize) -> Result<(&'static Heap, bool), Unavailable> {
    match take(handle) {
        Ok(part) => Ok((part, true)),
        Err(Unavailable::Inside) => interrupted(handle).map(|part| (part, false)).ok_or(Unavailable::Inside),
        Err(reason) => Err(reason),
    }
}

/// The part of the heap with that handle that the calling thread has taken and does not use, if there is one.
#[cold]
fn interrupted(handle: usize) -> Option<&'static Heap> {
    let thread = tls::word_address();
    find(handle)?.parts().find(|part| part.user() == thread && part.handle() == handle)
}

/// Takes a part of the heap with that handle for the calling thread.
#[inline]
fn take(handle: usize) -> Result<&'static Heap, Unavailable> {
    let (holder, thread) = (find_or_report(handle)?, tls::word_address());
    match holder.parts.take(handle, thread) {
        Some(Ok(part)) => Ok(part),
        Some(Err(reason)) => Err(reported(holder, handle, reason)),
        None => take_more(holder, handle, thread),
    }
}

/// As [`take`], where no part is free.
#[cold]
fn take_more(holder: &'static Holder, handle: usize, thread: usize) -> Result<&'static Heap, Unavailable> {
    if !holder.is_shared() && interrupted(handle).is_some() {
        return Err(Unavailable::Inside);
    }
    let tries = if holder.is_shared() { TRIES + PAUSES } else { TRIES };
    let make = || thread::make_part((handle, &holder.bill));
    for number in 0..tries {
        let taken = holder.parts.take(handle, thread);
        if let Some(taken) = taken.or_else(|| holder.parts.add(handle, holder.is_shared(), make)) {
            return taken.map_err(|reason| reported(holder, handle, reason));
        }
        if number < TRIES { spin() } else { call::pause(PAUSE_NANOSECONDS) }
    }
    Err(in_use(holder))
}

/// The live heap with that handle. Says once that a call named one that is gone.
#[inline]
pub(crate) fn find_or_report(handle: usize) -> Result<&'static Holder, Unavailable> {
    match find(handle) {
        Some(holder) if holder.kind().is_heap() => Ok(holder),
        Some(_) => Err(Unavailable::Gone),
        None => Err(gone(handle)),
    }
}

/// As [`find_or_report`], also of an account, which has a bill and limits but cannot be used.
pub(crate) fn find_bill_or_report(handle: usize) -> Result<&'static Holder, Unavailable> {
    find(handle).ok_or_else(|| gone(handle))
}

/// Says once why a thread does not get a heap, if the program is at fault.
#[cold]
fn reported(holder: &Holder, handle: usize, reason: Unavailable) -> Unavailable {
    match reason {
        Unavailable::Gone => gone(handle),
        Unavailable::InUse => in_use(holder),
        Unavailable::Memory | Unavailable::Inside => reason,
    }
}

#[cold]
fn gone(handle: usize) -> Unavailable {
    if handle == 0 {
        // The default heap, which is no heap of the program's.
        return Unavailable::Gone;
    }
    diag::once_described(Code::HeapGone, |line| {
        line.text("a call names a heap that does not exist any more, ").address(handle);
    });
    Unavailable::Gone
}

/// Says once that a heap is in use.
#[cold]
fn in_use(holder: &Holder) -> Unavailable {
    // Relaxed: the line is printed by whichever thread finds false.
    if !holder.told_line.swap(true, Ordering::Relaxed) {
        let own = holder.parts().any(|part| part.user() == tls::word_address());
        let mut line = Line::new();
        holder.quote(line.text("heap "));
        line.text(" is in use by ").text(if own { "this thread" } else { "another thread" });
        diag::line(Code::HeapInUse, &[line.bytes()]);
    }
    Unavailable::InUse
}

/// Takes all parts of the heap with that handle for the calling thread, so that nothing else uses it. Nothing is taken if a
/// thread uses it, is in its function, or ended it. Ended by [`Holder::put_back`].
pub(crate) fn take_all(holder: &Holder, handle: usize) -> Result<(), Unavailable> {
    let taken = holder.parts.take_all(handle, tls::word_address(), &PROCESS.central.pages.pending);
    taken.map_err(|reason| reported(holder, handle, reason))
}

/// In the child of a fork: parts that threads used which the child does not have are free for use, but for those inside
/// which the fork caught a thread, and those of a heap that such a thread was destroying; these are orphans now.
pub(super) fn in_child(inside: bool) {
    if inside {
        return;
    }
    let thread = tls::word_address();
    records().for_each(|holder| {
        let may_stay = |part: &Heap| part.user() == thread || part.outlive_user(holder.is_live());
        // Both are read before a part is written, so that a child which only calls exec copies no page of any.
        if !holder.parts().all(|part| part.user() == 0 && !part.is_torn()) || !holder.is_live() {
            holder.parts.keep(may_stay);
        }
        holder.parts.forget_others(thread, &PROCESS.central.pages.pending);
    });
}
