#![expect(unsafe_code, reason = "copies blocks")]
//! realloc, usable size, sized frees: calls that ask what a block is.

use super::alloc::{self, Request};
use super::mode::Mode;
use super::sampled::{self, Moved};
use super::{foreign, free};
use crate::base::class::{Class, SMALL_MAX};
use crate::base::lane::Lane;
use crate::base::units::{LARGE_MAX, REQUEST_MAX};
use crate::central::{Place, Refused};
use crate::diag::{self, Code, Misuse};
use crate::heap::Heap;
use crate::process::state::PROCESS;
use crate::process::thread::{self, HeapAccess};
use crate::slow_path::foreign::{Foreign, judge};
use crate::sys::{memory, tls};

/// A block stays in place when it would not be more than this many times as large as asked for.
const SLACK: usize = 2;

/// What a block turned out to be.
enum Known {
    /// Ours, of so many usable bytes.
    Ours(usize),
    /// libc's.
    Libc,
    /// Nobody's; reported.
    Nobody,
}

/// What became of a realloc.
pub(crate) enum Resized {
    /// The block, where it is now.
    At(*mut u8),
    /// There is no memory; the old block is as it was.
    OutOfMemory,
    /// The pointer was no block; reported.
    Misused,
}

/// The size a sized free names.
#[derive(Clone, Copy)]
pub(crate) struct FreeSize {
    /// As given to malloc.
    pub(crate) size: usize,
    /// As given to an aligned call; 1 if none was.
    pub(crate) align: usize,
}

/// Owner of no span.
const NOBODY: usize = 0;

fn identify<M: Mode>(call: &'static str, block: *mut u8) -> Known {
    if !PROCESS.is_ready() {
        return Known::Libc;
    }
    match M::usable(block) {
        Ok(Some(bytes)) => Known::Ours(bytes),
        Ok(None) => match judge(block.addr()) {
            Foreign::Libc => Known::Libc,
            Foreign::Nobody(what) => {
                foreign::report(call, block, what);
                Known::Nobody
            }
        },
        Err(refused) => {
            refused.report(call, block, 0);
            Known::Nobody
        }
    }
}

/// Usable bytes of `block`, as [`Place::usable`] tells; refused also where this thread has just freed it.
pub(crate) fn usable(block: *mut u8) -> Result<Option<usize>, Refused> {
    let place = PROCESS.central.resolve(block.addr());
    if was_just_freed(&place, block) { Err(Refused::Double) } else { bytes_of(block) }
}

/// Usable bytes of `block`. A thread with a heap holds its spans meanwhile, for others may return blocks to them.
fn bytes_of(block: *mut u8) -> Result<Option<usize>, Refused> {
    let ask = |asker| PROCESS.central.resolve(block.addr()).usable(block.addr(), asker);
    if tls::own_heap() > thread::LAST_MARK
        && let HeapAccess::Own(heap) = thread::access()
    {
        return ask(heap.address());
    }
    ask(NOBODY)
}

/// Whether this thread's last free was of `block`.
fn was_just_freed(place: &Place<'_>, block: *mut u8) -> bool {
    match place {
        Place::Small { class, entry, .. } if entry.owner() == tls::own_heap() => Heap::of_entry(*entry).has_last(*class, block),
        _ => false,
    }
}

/// Usable bytes of `block`, which is not null; 0 for a misused pointer.
pub(crate) fn usable_size<M: Mode>(block: *mut u8) -> usize {
    match identify::<M>("malloc_usable_size", block) {
        Known::Ours(bytes) => bytes,
        Known::Libc => foreign::usable_size(block),
        Known::Nobody => 0,
    }
}

/// Makes `block`, which is not null, hold `size` bytes, which is not 0.
pub(crate) fn realloc<M: Mode>(block: *mut u8, size: usize) -> Resized {
    let old = match identify::<M>("realloc", block) {
        Known::Ours(bytes) => bytes,
        Known::Nobody => return Resized::Misused,
        Known::Libc => return realloc_foreign::<M>(block, size),
    };
    if size > REQUEST_MAX {
        return Resized::OutOfMemory;
    }
    M::resize(block, old, size).unwrap_or_else(|| relocate::<M>(block, old, size))
}

/// Resizes `block`, of `old` usable bytes, without copying; `None` if it has to be copied.
pub(crate) fn resize(block: *mut u8, old: usize, size: usize) -> Option<Resized> {
    if fits_in_place(old, size) {
        return Some(Resized::At(block));
    }
    // With junk every block moves, so that what is new in it is filled and what points to the old one is found out.
    if PROCESS.options().junk { None } else { resize_in_lane(block, size) }
}

/// Resizes a block of libc's by copying it to one of ours, so that the proof of `SPANDREL_DIAG` holds for it too. Where libc serves
/// everything, or does not say how large the block is, it stays libc's.
fn realloc_foreign<M: Mode>(block: *mut u8, size: usize) -> Resized {
    let bytes = if PROCESS.is_ready() { foreign::usable_size(block) } else { 0 };
    if bytes > 0 {
        return relocate::<M>(block, bytes, size);
    }
    let moved = foreign::realloc(block, size);
    if moved.is_null() { Resized::OutOfMemory } else { Resized::At(moved) }
}

/// Whether a block of `old` usable bytes may stay as it is for a request of `size` bytes.
#[inline]
pub(crate) fn fits_in_place(old: usize, size: usize) -> bool {
    old <= SMALL_MAX
        && size <= old
        && (size.saturating_mul(SLACK) >= old || Class::of_size(size).is_some_and(|class| class.size() == old))
}

/// Resizes large and direct blocks without copying; `None` if the block has to move to another lane or place.
fn resize_in_lane(block: *mut u8, size: usize) -> Option<Resized> {
    let moved = match PROCESS.central.resolve(block.addr()) {
        Place::Large { region, span } if Lane::of_size(size) == Lane::Large => {
            let (old, ticket) = (span.large_bytes(), span.ticket());
            PROCESS.central.resize_large(region, size).then_some(Moved {
                address: block.addr(),
                direct: false,
                ticket,
                old,
                size,
            })
        }
        Place::Direct(direct) if size > LARGE_MAX => {
            let address = PROCESS.central.resize_direct(direct, size)?;
            Some(Moved { address, direct: true, ticket: direct.ticket, old: direct.bytes, size })
        }
        _ => None,
    }?;
    sampled::resized(&moved);
    Some(Resized::At(core::ptr::with_exposed_provenance_mut(moved.address)))
}

fn relocate<M: Mode>(block: *mut u8, old: usize, size: usize) -> Resized {
    let moved = alloc::alloc::<M>(Request { size, align: 1, zero: false });
    if moved.is_null() {
        return Resized::OutOfMemory;
    }
    // SAFETY: two blocks, of which this call holds both, and no more bytes than either has.
    unsafe { memory::copy(block, moved, old.min(size)) };
    free::free::<M>(block);
    Resized::At(moved)
}

/// Frees `block` after a look at whether it can have been asked for with that size.
pub(crate) fn free_sized<M: Mode>(block: *mut u8, named: FreeSize) {
    if PROCESS.is_ready()
        && let Ok(Some(usable)) = M::usable(block)
        && !M::can_be(usable, named)
    {
        let what = "the size named cannot be that of the block";
        let call = if named.align > 1 { "free_aligned_sized" } else { "free_sized" };
        let code = Code::SizeMismatch;
        return diag::misuse(&Misuse { code, call, pointer: block.addr(), what, block_bytes: usable });
    }
    free::free::<M>(block);
}

/// Whether a block of `usable` bytes can have come from a request of that size: directly, or by a realloc that left it in place.
pub(crate) fn can_be(usable: usize, named: FreeSize) -> bool {
    let wanted = named.size.max(named.align);
    if named.size > usable {
        return false;
    }
    let exact = Class::aligned(named.size, named.align).map_or(usable > SMALL_MAX, |class| class.size() == usable);
    exact || wanted.saturating_mul(SLACK) >= usable || usable > SMALL_MAX && wanted > SMALL_MAX
}
