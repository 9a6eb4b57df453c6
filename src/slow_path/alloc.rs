#![expect(unsafe_code, reason = "hands blocks to libc")]
//! Calls that the fast path would not serve, in every state of process and thread.

use crate::base::class::Class;
use crate::base::lane::Lane;
use crate::base::units::{LARGE_MAX, REQUEST_MAX};
use crate::central::{Fresh, Place};
use crate::config::IdleReturn;
use crate::diag::{self, Code, Misuse};
use crate::heap::{self, Freed, Heap};
use crate::process::background;
use crate::process::state::PROCESS;
use crate::process::tally::Reason;
use crate::process::thread::{self, HeapAccess};
use crate::profile::sampling;
use crate::slow_path::exhaustion;
use crate::slow_path::foreign::{Foreign, judge};
use crate::slow_path::junk;
use crate::slow_path::mode::Mode;
use crate::sys::{call, libc};

/// What a block of malloc's is aligned to in any case, if it is as large as that.
const NATURAL_ALIGN: usize = 16;

/// What is asked for.
#[derive(Clone, Copy)]
pub(crate) struct Request {
    /// Bytes.
    pub(crate) size: usize,
    /// A power of two; 1 for malloc's own alignment.
    pub(crate) align: usize,
    /// Whether the bytes must read as zero.
    pub(crate) zero: bool,
}

/// A block that meets `request`, in the manner of `M`; null where that cannot be.
pub(crate) fn alloc<M: Mode>(request: Request) -> *mut u8 {
    if request.size > REQUEST_MAX {
        return core::ptr::null_mut();
    }
    match thread::access() {
        HeapAccess::Own(heap) => {
            heap.defer(|| PROCESS.central.deferred.take(|block| free_deferred::<M>(&heap, block)));
            if heap.is_offered() {
                heap.answer(PROCESS.shared());
            } else if heap.is_counted_down() {
                heap.answer_countdown(PROCESS.shared());
            }
            let served = M::serve(&heap, request);
            drop(heap);
            if let Some(limit) = PROCESS.central.pages.limits.take_news() {
                exhaustion::call_back(limit);
            }
            PROCESS.reporter.poll();
            if PROCESS.options().idle_return == IdleReturn::Thread {
                background::ensure();
            }
            served.unwrap_or_else(|| fall_back::<M>(request))
        }
        HeapAccess::Libc(reason) => divert(reason, request),
    }
}

/// A block from `heap`, which is this thread's and held, or from the large lanes.
pub(crate) fn serve(heap: &Heap, request: Request) -> Option<*mut u8> {
    let (block, lane) = match class_of(request) {
        Some(class) => {
            let block = heap.alloc(PROCESS.shared(), class)?;
            if request.zero {
                PROCESS.central.fill_zero(block.addr(), request.size);
            } else if PROCESS.options().junk {
                junk::fill_fresh(block.addr(), class.size());
            }
            (block, Lane::Small)
        }
        None => {
            heap.attend(PROCESS.shared());
            let bank = heap.locate(PROCESS.central.pages.space());
            return Some(hand_out(PROCESS.central.alloc_large(request.size, request.align, bank)?, request));
        }
    };
    if PROCESS.options().diag > 0 {
        PROCESS.tally.serve(lane, request.size);
    }
    Some(block)
}

/// A block fresh from the large or direct lane, filled as `request` wants it.
pub(crate) fn hand_out(fresh: Fresh, request: Request) -> *mut u8 {
    if request.zero {
        PROCESS.central.zero_large(fresh, request.size);
    } else if PROCESS.options().junk {
        junk::fill_fresh(fresh.address, fresh.bytes);
    }
    if PROCESS.options().diag > 0 {
        PROCESS.tally.serve(if fresh.direct { Lane::Direct } else { Lane::Large }, request.size);
    }
    core::ptr::with_exposed_provenance_mut(fresh.address)
}

pub(crate) fn class_of(request: Request) -> Option<Class> {
    match request.align {
        0..NATURAL_ALIGN => Class::of_size(request.size),
        NATURAL_ALIGN => Class::of_size(request.size.max(NATURAL_ALIGN)),
        align => Class::aligned(request.size, align),
    }
}

/// Spandrel's own memory is used up: small requests may still fit libc's heap; for others libc would ask the kernel the same. What is
/// about to be refused gets whatever free memory can be brought together.
#[cold]
fn fall_back<M: Mode>(request: Request) -> *mut u8 {
    if PROCESS.is_bounded() {
        return exhaustion::reclaim_or_fail::<M>(request);
    }
    exhaustion::explain();
    if Lane::of_size(request.size) == Lane::Direct || request.align > LARGE_MAX {
        return exhaustion::reclaim::<M>(request).unwrap_or(core::ptr::null_mut());
    }
    diag::once(Code::Exhaustion, "out of memory or address space");
    let block = divert(Reason::Exhausted, request);
    if block.is_null() { exhaustion::reclaim::<M>(request).unwrap_or(core::ptr::null_mut()) } else { block }
}

/// Counts a realloc that libc served because the block was its own.
pub(crate) fn note_forced(size: usize) {
    PROCESS.tally.divert(Reason::ForceLibc, size);
}

/// Has libc serve `request`.
pub(crate) fn divert(reason: Reason, request: Request) -> *mut u8 {
    if PROCESS.has_pool() {
        return exhaustion::serve_alone(reason, request);
    }
    PROCESS.tally.divert(reason, request.size);
    if request.align > NATURAL_ALIGN {
        let block = libc::memalign(request.align, request.size);
        if request.zero && !block.is_null() {
            PROCESS.central.fill_zero(block.addr(), request.size);
        }
        block
    } else if request.zero {
        libc::calloc(1, request.size)
    } else {
        libc::malloc(request.size)
    }
}

/// Frees `block`, wherever it is from, in the manner of `M`.
pub(crate) fn free<M: Mode>(block: *mut u8) {
    if block.is_null() {
        return;
    }
    let freed = match thread::access() {
        HeapAccess::Own(heap) => {
            heap.defer(|| PROCESS.central.deferred.take(|late| free_deferred::<M>(&heap, late)));
            if heap.is_offered() {
                heap.answer(PROCESS.shared());
            }
            let freed = M::free(&heap, block);
            drop(heap);
            PROCESS.reporter.poll();
            freed
        }
        HeapAccess::Libc(_) if !PROCESS.is_ready() => {
            // Nothing is ours yet, or ever.
            PROCESS.tally.free(Lane::Libc);
            // SAFETY: the program got the block from libc, the only allocator so far.
            return unsafe { libc::free(block) };
        }
        HeapAccess::Libc(Reason::Recursion) => free_reentrant::<M>(block),
        HeapAccess::Libc(_) => M::free_alone(block),
    };
    let lane = match freed {
        Freed::Small => Lane::Small,
        Freed::Large => Lane::Large,
        Freed::Direct => Lane::Direct,
        Freed::Sampled(ticket) => sampling::freed(ticket),
        Freed::Foreign => return free_foreign(block),
        Freed::Misused => return,
    };
    if PROCESS.options().diag > 0 {
        PROCESS.tally.free(lane);
    }
}

/// Frees a block that waited because nobody could free it when it was freed.
pub(crate) fn free_deferred<M: Mode>(heap: &Heap, block: *mut u8) {
    match M::free_overwritten(heap, block) {
        Freed::Foreign => free_foreign(block),
        Freed::Sampled(ticket) => drop(sampling::freed(ticket)),
        Freed::Small | Freed::Large | Freed::Direct | Freed::Misused => {}
    }
}

/// Frees `block` on its heap or another one, or in the large lanes; `heap` is this thread's and held.
pub(crate) fn free_on(heap: &Heap, block: *mut u8) -> Freed {
    if PROCESS.options().junk {
        junk::fill_freed(heap, block);
    }
    heap.free(PROCESS.shared(), block)
}

/// Frees a block on a thread that has no heap.
pub(crate) fn free_alone(block: *mut u8) -> Freed {
    match PROCESS.central.resolve(block.addr()) {
        Place::Small { class, .. } => match heap::deliver_block(PROCESS.shared(), block) {
            Ok(()) => Freed::Small,
            Err(refused) => {
                heap::report(refused, block, class.size());
                Freed::Misused
            }
        },
        place => heap::free_unowned(&PROCESS.central, &place, block),
    }
}

/// The call interrupted the allocator, which may hold locks: only what needs none can be asked.
fn free_reentrant<M: Mode>(block: *mut u8) -> Freed {
    let space = PROCESS.central.pages.space();
    let may_be_direct = block.addr().is_multiple_of(space.page_bytes()) && call::is_readable(block.addr());
    if !space.reserves(block.addr()) && !may_be_direct && !M::holds(block) {
        return Freed::Foreign;
    }
    // SAFETY: the program gives up a block, which is at least eight bytes long, aligned to that, and readable as blocks are.
    unsafe { PROCESS.central.deferred.push(block) };
    Freed::Small
}

/// Frees a block that is none of ours.
pub(crate) fn free_foreign(block: *mut u8) {
    match judge(block.addr()) {
        Foreign::Libc => {
            PROCESS.tally.free(Lane::Libc);
            // SAFETY: as far as can be told, libc made it.
            unsafe { libc::free(block) };
        }
        Foreign::Nobody(what) => misuse("free", block, what),
    }
}

/// Reports a pointer that no allocator made.
pub(crate) fn misuse(call: &'static str, block: *mut u8, what: &'static str) {
    diag::misuse(&Misuse { code: Code::InvalidPointer, call, pointer: block.addr(), what, block_bytes: 0 });
}
