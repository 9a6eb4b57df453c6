#![expect(unsafe_code, reason = "reads the header libc puts before a block, and hands blocks to libc")]
//! libc's blocks: requests that libc serves, and pointers that libc may have handed out.
//!
//! A foreign pointer comes from libc (calls before the start or from inside the allocator, programs that call
//! `__libc_malloc`, libraries that are bound to libc's malloc), or it is a misuse. libc reports many misuses with
//! messages that do not name their cause, so this module finds and reports those that it can.

use super::request::{NATURAL_ALIGN, Request};
use crate::base::lane::Lane;
use crate::central::Refused;
use crate::diag::{self, Code, Misuse};
use crate::process::state::PROCESS;
use crate::process::tally::Reason;
use crate::sys::{call, libc, memory, processor, startup};
use crate::unwind;

/// libc's blocks are multiples of this and aligned to it.
const ALIGN: usize = 16;
/// The smallest chunk of libc.
const CHUNK_MIN: usize = 32;
/// The flags in a chunk's size word, and each of them.
const FLAGS: usize = 7;
const IN_USE: usize = 1;
const MAPPED: usize = 2;
const OTHER_ARENA: usize = 4;
/// Largest heap of a secondary arena, and its alignment.
const ARENA_HEAP_MAX: usize = 64 << 20;
/// Bytes of the header before a block of libc.
const HEADER: usize = 2 * size_of::<usize>();
/// The smallest pages that any kernel has.
const PAGE_MIN: usize = 4096;
/// The largest stack that is plausible; above it the bounds of the stack are not trusted.
const STACK_MAX: usize = 1 << 30;

/// The origin of a foreign pointer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Foreign {
    /// libc can have handed it out.
    Libc,
    /// It is no block of any allocator, for this reason.
    Invalid(&'static str),
}

/// Has libc serve `request`, for `reason`.
#[cold]
pub(super) fn alloc(reason: Reason, request: Request) -> *mut u8 {
    if PROCESS.has_pool() {
        return alloc_of_pool(reason, request);
    }
    PROCESS.tally.divert(reason, request.size);
    if request.align > NATURAL_ALIGN {
        let block = libc::memalign(request.align, request.size);
        if request.zero && !block.is_null() {
            // SAFETY: `memalign` has just returned the block, which has at least `request.size` bytes.
            unsafe { memory::zero(block, request.size) };
        }
        block
    } else if request.zero {
        libc::calloc(1, request.size)
    } else {
        libc::malloc(request.size)
    }
}

/// A block of the pool for a thread that has no heap, or may not use it now. Null if it cannot take the locks.
fn alloc_of_pool(reason: Reason, request: Request) -> *mut u8 {
    if reason == Reason::Exhausted {
        diag::once(Code::PageExhaustion, "the pool has no room for the heap of another thread");
    }
    // A thread that gave its heap up can take the locks. One that was interrupted inside the allocator may hold them.
    if reason != Reason::Exiting {
        return core::ptr::null_mut();
    }
    let bank = PROCESS.central.pages.space().bank_here();
    let Some(fresh) = PROCESS.central.alloc_large(request.size, request.align, bank) else {
        return core::ptr::null_mut();
    };
    if request.zero {
        PROCESS.central.zero_large(&fresh, request.size);
    }
    fresh.hand_out()
}

/// Frees a block that Spandrel did not allocate, or reports the pointer.
#[cold]
pub(super) fn free(block: *mut u8) {
    match judge(block.addr()) {
        Foreign::Libc => free_known(block),
        Foreign::Invalid(what) => report("free", block, what),
    }
}

/// Frees a block of libc.
pub(super) fn free_known(block: *mut u8) {
    PROCESS.tally.free(Lane::Libc);
    // SAFETY: libc allocated it: `judge` found its header, or libc is the only allocator so far.
    unsafe { libc::free(block) };
}

/// Usable bytes of a block of libc; 0 if libc has no function that says so.
pub(super) fn usable_size(block: *mut u8) -> usize {
    // SAFETY: libc allocated it: `judge` found its header, or libc is the only allocator so far.
    unsafe { libc::usable_size(block) }
}

/// Has libc resize a block of its own.
pub(super) fn realloc(block: *mut u8, size: usize) -> *mut u8 {
    // SAFETY: libc allocated it: `judge` found its header, or libc is the only allocator so far.
    let moved = unsafe { libc::realloc(block, size) };
    PROCESS.tally.divert(Reason::ForceLibc, size);
    moved
}

/// Reports a pointer that is no block of any allocator. One that was a direct block is no longer mapped, and known for
/// a while.
pub(super) fn report(call: &'static str, block: *mut u8, what: &'static str) {
    if PROCESS.is_ready() && PROCESS.central.was_direct(block.addr()) {
        return Refused::Double.report(call, block, 0);
    }
    diag::misuse(&Misuse { code: Code::InvalidPointer, call, pointer: block.addr(), what, block_bytes: 0 });
}

/// Judges a foreign `address`. In doubt the answer is libc: a mistake may then abort in libc, but no correct program is
/// aborted here.
pub(crate) fn judge(address: usize) -> Foreign {
    if !address.is_multiple_of(ALIGN) {
        return Foreign::Invalid("it is misaligned");
    }
    if address < ALIGN || !call::is_readable(address - size_of::<usize>()) {
        return Foreign::Invalid("no memory is there");
    }
    if is_on_stack(address) {
        return Foreign::Invalid("it points into the stack");
    }
    if unwind::is_in_object(address) {
        return Foreign::Invalid("it points into a program or library");
    }
    if is_chunk(address) { Foreign::Libc } else { Foreign::Invalid("no allocator of this process made it") }
}

/// Whether the two words before `address`, which are readable, can be the header of a chunk of libc.
fn is_chunk(address: usize) -> bool {
    let chunk = address - HEADER;
    // SAFETY: both words lie in one aligned unit of 16 bytes, and `judge` found its second half readable.
    let [before, word] = unsafe { read(chunk) };
    let size = word & !FLAGS;
    if size < CHUNK_MIN || !size.is_multiple_of(ALIGN) || size > isize::MAX as usize {
        return false;
    }
    if word & MAPPED != 0 {
        // The mapping of a mapped chunk starts and ends at pages; the first word says how far into it the chunk lies.
        let (start, bytes) = (chunk.wrapping_sub(before), before.wrapping_add(size));
        let on_pages = start.is_multiple_of(PAGE_MIN) && bytes.is_multiple_of(PAGE_MIN) && bytes >= size;
        return on_pages && call::is_readable(start) && call::is_readable(start.wrapping_add(bytes - PAGE_MIN));
    }
    let behind = chunk.wrapping_add(size);
    if !call::is_readable(behind) || word & OTHER_ARENA != 0 && !is_in_arena(chunk, behind) {
        return false;
    }
    // SAFETY: the first word is readable, as just found, and chunks are aligned, so the second is in the same page.
    let [_, next] = unsafe { read(behind) };
    // The flag of a chunk in use is in the header of the chunk behind it.
    next & IN_USE != 0
}

/// Whether the chunk lies in a heap of one of libc's secondary arenas, which are aligned to their largest size.
fn is_in_arena(chunk: usize, end: usize) -> bool {
    let heap = chunk & !(ARENA_HEAP_MAX - 1);
    if !call::is_readable(heap) {
        return false;
    }
    // SAFETY: `heap` is the start of a page, which was just found readable.
    let [arena, _] = unsafe { read(heap) };
    // SAFETY: the two words behind those lie in the same page.
    let [bytes, _] = unsafe { read(heap + HEADER) };
    let plausible = bytes.is_multiple_of(PAGE_MIN) && bytes <= ARENA_HEAP_MAX && end <= heap + bytes;
    plausible && arena.is_multiple_of(ALIGN) && arena != 0 && call::is_readable(arena)
}

/// The two words at `address`.
///
/// # Safety
/// - Both words are readable, and `address` is aligned for them.
unsafe fn read(address: usize) -> [usize; 2] {
    // SAFETY: `# Safety` demands two readable words there; every pattern of bits is a `usize`.
    unsafe { core::ptr::with_exposed_provenance::<[usize; 2]>(address).read() }
}

/// Whether `address` lies in the part of the main thread's stack that is in use, if the main thread asks. Stacks of
/// other threads are ordinary mappings, so blocks of libc may lie next to them.
fn is_on_stack(address: usize) -> bool {
    let (pointer, end) = (processor::stack_pointer(), startup::stack_end());
    let most = call::stack_limit().map_or(STACK_MAX, |limit| limit as usize);
    (pointer..end).contains(&address) && end - pointer <= most.min(STACK_MAX)
}
