//! The use of named heaps by threads: a thread that uses one stands on a part of it, so that its calls take that part's
//! fast path and slow path, and the thread's own heap waits like that of a thread that sleeps.
//!
//! A thread may use several, each above the one before. It then has a chain of parts, of which it uses the uppermost.

use super::accounts::Kind;
use super::table::{FEATURE, Tenant, find};
use crate::diag::{self, Code};
use crate::heap::Heap;
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

/// Why a thread does not get a heap.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Refused {
    /// There is no such heap any more.
    Gone,
    /// Another thread uses it.
    InUse,
    /// There is no memory.
    Memory,
    /// The call came from inside the allocator, or from a thread that ends.
    Inside,
}

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
fn here() -> Result<&'static Heap, Refused> {
    thread::at_rest().map_or_else(first_here, Ok)
}

#[cold]
fn first_here() -> Result<&'static Heap, Refused> {
    if let HeapAccess::Own(heap) = thread::access() {
        drop(heap);
    }
    thread::at_rest().ok_or(Refused::Inside)
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
pub(crate) fn switch(handle: usize) -> Result<usize, Refused> {
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
    thread::stand_on(part);
    Ok(before)
}

/// Leaves the parts from `here` down to `lower`, a heap of that chain, and uses it.
fn leave_above(here: &'static Heap, lower: &'static Heap) {
    let mut part = here;
    while !core::ptr::eq(part, lower) {
        let Some(below) = part.below() else { return };
        thread::stand_on(below);
        part.leave();
        part = below;
    }
}

/// Does `work` on the heap with that handle, the calling thread's own for 0, and goes back to the one that it uses.
#[inline]
pub(crate) fn visit<R>(handle: usize, work: impl FnOnce() -> R) -> Result<R, Refused> {
    let here = here()?;
    if handle == here.handle() {
        return Ok(work());
    }
    let is_it = |heap: &&'static Heap| heap.handle() == handle;
    let (heap, taken) = match here.chain().find(is_it) {
        Some(lower) => (lower, false),
        None => (take(handle)?, true),
    };
    if taken {
        put_above(here, heap);
    }
    thread::stand_on(heap);
    let result = work();
    // The program's functions, which the work may have called, may have left the thread on another part.
    if let Some(now) = thread::at_rest().filter(|now| now.chain().any(|at| core::ptr::eq(at, heap))) {
        leave_above(now, heap);
    }
    thread::stand_on(here);
    if taken {
        heap.leave();
    }
    Ok(result)
}

/// Takes a part of the heap with that handle for the calling thread.
#[inline]
fn take(handle: usize) -> Result<&'static Heap, Refused> {
    let tenant = find_or_report(handle)?;
    let thread = tls::word_address();
    for part in tenant.parts() {
        if part.take_for(thread) {
            return checked(tenant, handle, part);
        }
    }
    take_more(tenant, handle, thread)
}

/// As [`take`], where no part is free.
#[cold]
fn take_more(tenant: &'static Tenant, handle: usize, thread: usize) -> Result<&'static Heap, Refused> {
    let tries = if tenant.is_shared() { TRIES + PAUSES } else { TRIES };
    for number in 0..tries {
        for part in tenant.parts() {
            if part.take_for(thread) {
                return checked(tenant, handle, part);
            }
        }
        let may_add = tenant.is_shared() || tenant.parts.get().is_none();
        // Acquire pairs with the Release below, and with that of `take_all`.
        if may_add && !tenant.making.swap(true, Ordering::Acquire) {
            let may_add = tenant.is_shared() || tenant.parts.get().is_none();
            let part = if may_add && tenant.is(handle) { thread::make_part((handle, &tenant.bill)) } else { None };
            if let Some(part) = part {
                part.set_next_part(tenant.parts.get());
                tenant.parts.set(Some(part));
            }
            // Release pairs with the Acquire above.
            tenant.making.store(false, Ordering::Release);
            if may_add {
                return part.ok_or_else(|| if tenant.is(handle) { Refused::Memory } else { gone(handle) });
            }
        }
        if number < TRIES { spin() } else { call::pause(PAUSE_NANOSECONDS) }
    }
    Err(in_use(tenant))
}

/// The part, which the calling thread took, unless the heap is gone by now.
#[inline]
fn checked(tenant: &Tenant, handle: usize, part: &'static Heap) -> Result<&'static Heap, Refused> {
    if tenant.is(handle) && part.handle() == handle {
        return Ok(part);
    }
    part.leave();
    Err(gone(handle))
}

/// The live heap with that handle. Says once that a call named one that is gone.
#[inline]
pub(crate) fn find_or_report(handle: usize) -> Result<&'static Tenant, Refused> {
    match find(handle) {
        Some(tenant) if tenant.kind() == Kind::Heap => Ok(tenant),
        Some(_) => Err(Refused::Gone),
        None => Err(gone(handle)),
    }
}

/// As [`find_or_report`], also of an account, which has a bill and limits but cannot be used.
pub(crate) fn find_bill_or_report(handle: usize) -> Result<&'static Tenant, Refused> {
    find(handle).ok_or_else(|| gone(handle))
}

#[cold]
fn gone(handle: usize) -> Refused {
    diag::once_described(Code::HeapGone, |line| {
        line.text("a call names a heap that does not exist any more, ").address(handle);
    });
    Refused::Gone
}

/// Says once that two threads use a heap.
#[cold]
fn in_use(tenant: &Tenant) -> Refused {
    // Relaxed: the line is printed by whichever thread finds false.
    if !tenant.told_in_use.swap(true, Ordering::Relaxed) {
        let name = tenant.name();
        let name = name.split(|&byte| byte == 0).next().unwrap_or(&[]);
        diag::line(Code::HeapInUse, &[b"heap \"", name, b"\" is in use by another thread"]);
    }
    Refused::InUse
}

/// Takes all parts of a heap for the calling thread, and the right to add one, so that nothing else uses it; false, and
/// nothing is taken, if a thread uses it. [`Tenant::put_back`] or the next heap of that record ends it.
pub(crate) fn take_all(tenant: &Tenant) -> bool {
    // Acquire pairs with the Release in `take_more`.
    if tenant.making.swap(true, Ordering::Acquire) {
        let _ = in_use(tenant);
        return false;
    }
    let thread = tls::word_address();
    let taken = tenant.parts().take_while(|part| part.take_for(thread)).count();
    if taken == tenant.parts().count() {
        return true;
    }
    tenant.parts().take(taken).for_each(Heap::leave);
    // Release pairs with the Acquire in `take_more`.
    tenant.making.store(false, Ordering::Release);
    let _ = in_use(tenant);
    false
}

/// In the child of a fork: parts that threads used which the child does not have are free for use, but for those inside
/// which the fork caught a thread, and those of a heap that such a thread was destroying; these are orphans now.
pub(super) fn in_child(inside: bool) {
    if inside {
        return;
    }
    let thread = tls::word_address();
    super::table::each_record(|tenant| {
        let may_stay = |part: &Heap| part.user() == thread || part.outlive_user(tenant.is_live());
        // Both are read before a part is written, so that a child which only calls exec copies no page of any.
        if !tenant.parts().all(|part| part.user() == 0 && !part.is_torn()) || !tenant.is_live() {
            tenant.keep_parts(may_stay);
        }
        // Relaxed: the child has one thread.
        if tenant.making.load(Ordering::Relaxed) && tenant.is_live() {
            tenant.making.store(false, Ordering::Relaxed);
        }
    });
}
