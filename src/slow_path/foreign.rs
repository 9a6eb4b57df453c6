#![expect(unsafe_code, reason = "reads the header libc puts before a block, and hands blocks to libc")]
//! libc's blocks: requests that libc serves, and pointers that libc may have handed out.
//!
//! A pointer that is none of ours comes from libc (calls before the start or from inside the allocator, programs that call
//! `__libc_malloc`, libraries that see only libc), or it is a mistake. libc aborts on many mistakes with a message about itself, so what
//! can be said of them is said here.

use super::request::{NATURAL_ALIGN, Request};
use crate::base::lane::Lane;
use crate::diag::{self, Code, Misuse};
use crate::process::state::PROCESS;
use crate::process::tally::Reason;
use crate::sys::{call, libc, memory, processor, startup};
use crate::unwind;

/// libc's blocks are multiples of this and aligned to it.
const ALIGN: usize = 16;
/// The smallest chunk of libc's.
const CHUNK_MIN: usize = 32;
/// Flags in a chunk's size word.
const FLAGS: usize = 7;
const IN_USE: usize = 1;
const MAPPED: usize = 2;
const OTHER_ARENA: usize = 4;
/// Largest heap of a secondary arena, and its alignment.
const ARENA_HEAP_MAX: usize = 64 << 20;
/// Bytes of the header before a block of libc's.
const HEADER: usize = 2 * size_of::<usize>();
/// No kernel has smaller pages.
const PAGE_MIN: usize = 4096;
/// A stack is not believed to be larger than this.
const STACK_MAX: usize = 1 << 30;

/// What a foreign pointer is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Foreign {
    /// libc could have made it.
    Libc,
    /// Nobody did; why.
    Nobody(&'static str),
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
            // SAFETY: libc just gave the block, which has so many bytes.
            unsafe { memory::zero(block, request.size) };
        }
        block
    } else if request.zero {
        libc::calloc(1, request.size)
    } else {
        libc::malloc(request.size)
    }
}

/// A block of the pool for a thread that has no heap, or may not touch it now; null where there cannot be one.
fn alloc_of_pool(reason: Reason, request: Request) -> *mut u8 {
    if reason == Reason::Exhausted {
        diag::once(Code::PageExhaustion, "the pool has no room for the heap of another thread");
    }
    // A thread that gave its heap up can take the locks; one that was interrupted inside may hold them.
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

/// Frees a block that is none of ours.
#[cold]
pub(super) fn free(block: *mut u8) {
    match judge(block.addr()) {
        Foreign::Libc => free_known(block),
        Foreign::Nobody(what) => report("free", block, what),
    }
}

/// Frees a block of libc's.
pub(super) fn free_known(block: *mut u8) {
    PROCESS.tally.free(Lane::Libc);
    // SAFETY: as far as can be told, libc made it.
    unsafe { libc::free(block) };
}

/// Usable bytes of a block of libc's; 0 where libc does not say.
pub(super) fn usable_size(block: *mut u8) -> usize {
    // SAFETY: as far as can be told, libc made it.
    unsafe { libc::usable_size(block) }
}

/// Has libc resize a block of its own.
pub(super) fn realloc(block: *mut u8, size: usize) -> *mut u8 {
    // SAFETY: as far as can be told, libc made it.
    let moved = unsafe { libc::realloc(block, size) };
    PROCESS.tally.divert(Reason::ForceLibc, size);
    moved
}

/// Reports a pointer that no allocator made.
pub(super) fn report(call: &'static str, block: *mut u8, what: &'static str) {
    diag::misuse(&Misuse { code: Code::InvalidPointer, call, pointer: block.addr(), what, block_bytes: 0 });
}

/// Judges a foreign `address`. In doubt it is libc's: better that libc complains of a mistake than that a right program dies.
pub(crate) fn judge(address: usize) -> Foreign {
    if !address.is_multiple_of(ALIGN) {
        return Foreign::Nobody("it is misaligned");
    }
    if address < ALIGN || !call::is_readable(address - size_of::<usize>()) {
        return Foreign::Nobody("no memory is there");
    }
    if is_on_stack(address) {
        return Foreign::Nobody("it points into the stack");
    }
    if unwind::is_in_object(address) {
        return Foreign::Nobody("it points into a program or library");
    }
    if is_chunk(address) { Foreign::Libc } else { Foreign::Nobody("no allocator of this process made it") }
}

/// Whether the two words before `address`, which are readable, could be the header of a chunk of libc's.
fn is_chunk(address: usize) -> bool {
    let chunk = address - HEADER;
    // SAFETY: both words lie in one aligned unit, whose second half was found readable.
    let [before, word] = unsafe { read(chunk) };
    let size = word & !FLAGS;
    if size < CHUNK_MIN || !size.is_multiple_of(ALIGN) || size > isize::MAX as usize {
        return false;
    }
    if word & MAPPED != 0 {
        // Both ends of a mapped chunk's mapping lie on pages, and it says how far into it the chunk starts.
        let (start, bytes) = (chunk.wrapping_sub(before), before.wrapping_add(size));
        let on_pages = start.is_multiple_of(PAGE_MIN) && bytes.is_multiple_of(PAGE_MIN) && bytes >= size;
        return on_pages && call::is_readable(start) && call::is_readable(start.wrapping_add(bytes - PAGE_MIN));
    }
    let behind = chunk.wrapping_add(size);
    if !call::is_readable(behind) || word & OTHER_ARENA != 0 && !is_in_arena(chunk, behind) {
        return false;
    }
    // SAFETY: the first word was found readable, and chunks are aligned, so the second is in the same page.
    let [_, next] = unsafe { read(behind) };
    // A chunk that is in use says so in the one behind it.
    next & IN_USE != 0
}

/// Whether the chunk lies in a heap of one of libc's secondary arenas, which are aligned to their largest size.
fn is_in_arena(chunk: usize, end: usize) -> bool {
    let heap = chunk & !(ARENA_HEAP_MAX - 1);
    if !call::is_readable(heap) {
        return false;
    }
    // SAFETY: the start of a page that was found readable.
    let [arena, _] = unsafe { read(heap) };
    // SAFETY: as above.
    let [bytes, _] = unsafe { read(heap + HEADER) };
    let plausible = bytes.is_multiple_of(PAGE_MIN) && bytes <= ARENA_HEAP_MAX && end <= heap + bytes;
    plausible && arena.is_multiple_of(ALIGN) && arena != 0 && call::is_readable(arena)
}

/// Two words.
///
/// # Safety
/// - They are readable.
unsafe fn read(address: usize) -> [usize; 2] {
    // SAFETY: the caller vouches for the words.
    unsafe { core::ptr::with_exposed_provenance::<[usize; 2]>(address).read() }
}

/// Whether `address` lies in the part of the main thread's stack that is in use, as seen from the main thread. Other stacks are
/// mappings like any other and may have libc's blocks as neighbours.
fn is_on_stack(address: usize) -> bool {
    let (pointer, end) = (processor::stack_pointer(), startup::stack_end());
    let most = call::stack_limit().map_or(STACK_MAX, |limit| limit as usize);
    (pointer..end).contains(&address) && end - pointer <= most.min(STACK_MAX)
}
