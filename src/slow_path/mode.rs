//! Modes: ways of serving calls. A [`Mode`] says how blocks are made, freed, measured and resized once the thread's heap is held. The functions below
//! the trait are the default way, which modes fall back on.

use core::ffi::CStr;

use super::request::{FreeSize, Moved, NATURAL_ALIGN, Request, Resized};
use super::{inspect, sampled};
use crate::base::class::{Class, SMALL_MAX};
use crate::base::lane::Lane;
use crate::base::units::LARGE_MAX;
use crate::central::{Fresh, Place, Refused};
use crate::heap::{self, Freed, Heap};
use crate::process::state::PROCESS;
use crate::process::thread::{self, HeapAccess};
use crate::sys::tls;

/// A block stays in place when it would not be more than this many times as large as asked for.
const SLACK: usize = 2;

/// Where lines of a report go.
pub(crate) type Print<'a> = &'a mut dyn FnMut(&[u8]);

/// How blocks are served. What a mode does not say is as in the default mode.
pub(crate) trait Mode {
    /// The name of the mode.
    const NAME: &'static CStr;
    /// Whether threads may stand on their own fronts, so that only slow calls are seen.
    const USES_FAST_PATH: bool = false;

    /// Whether requests may be sampled for the heap profile.
    const PROFILED: bool = false;

    /// A block. `heap` is this thread's, and held.
    fn serve(heap: &Heap, request: Request) -> Option<*mut u8> {
        serve(heap, request)
    }

    /// Frees a block. `heap` is this thread's, and held.
    fn free(heap: &Heap, block: *mut u8) -> Freed {
        free_on(heap, block)
    }

    /// As [`Mode::free`], for a block that a signal handler freed: its first eight bytes were written to meanwhile.
    fn free_overwritten(heap: &Heap, block: *mut u8) -> Freed {
        Self::free(heap, block)
    }

    /// Whether the mode has a block there that lies outside the heap's memory.
    fn holds(_: *mut u8) -> bool {
        false
    }

    /// Frees a block on a thread that has no heap any more.
    fn free_alone(block: *mut u8) -> Freed {
        free_alone(block)
    }

    /// Usable bytes of a live block; `None` within `Ok` for what is not ours.
    fn usable(block: *mut u8) -> Result<Option<usize>, Refused> {
        usable(block)
    }

    /// Resizes a block of `old` usable bytes without copying; `None` if it has to be copied.
    fn resize(block: *mut u8, old: usize, size: usize) -> Option<Resized> {
        resize(block, old, size)
    }

    /// Whether a block of `usable` bytes can have been asked for with the size that is named.
    fn can_be(usable: usize, named: FreeSize) -> bool {
        can_be(usable, named)
    }

    /// Usable bytes of a block of `size` bytes, of which the default mode makes `usable` usable.
    fn good_size(_: usize, usable: usize) -> usize {
        usable
    }

    /// Frees what the mode itself keeps from being used again.
    fn give_up(_: Option<&Heap>) {}

    /// Hands what is to be said at exit to `print`.
    fn report(_: Print<'_>) {}
}

/// The default mode.
pub(crate) struct Fast;

impl Mode for Fast {
    const NAME: &'static CStr = c"fast";
    const USES_FAST_PATH: bool = true;
}

/// libc serves every call. That is decided by the start barrier; this only names it.
pub(crate) struct Libc;

impl Mode for Libc {
    const NAME: &'static CStr = c"libc";
}

/// Owner of no span.
const NOBODY: usize = 0;

/// The default way to serve a request. `heap` is this thread's, and held.
pub(crate) fn serve(heap: &Heap, request: Request) -> Option<*mut u8> {
    if heap.is_sampled()
        && let Some(block) = sampled::serve(heap, request)
    {
        return Some(block);
    }
    serve_unsampled(heap, request)
}

/// As [`serve`], where the request is not to be sampled.
pub(crate) fn serve_unsampled(heap: &Heap, request: Request) -> Option<*mut u8> {
    let Some(class) = class_of(request) else { return serve_large(heap, request) };
    let fresh = heap.alloc_fresh(PROCESS.shared(), class)?;
    if request.zero {
        fresh.zero(request.size);
    }
    if PROCESS.inspects() {
        inspect::made(&fresh, request);
    }
    Some(fresh.hand_out())
}

/// The class whose blocks meet `request`; `None` for the large lanes.
#[inline(always)]
pub(crate) fn class_of(request: Request) -> Option<Class> {
    match request.align {
        0..NATURAL_ALIGN => Class::of_size(request.size),
        NATURAL_ALIGN => Class::of_size(request.size.max(NATURAL_ALIGN)),
        align => Class::aligned(request.size, align),
    }
}

#[cold]
fn serve_large(heap: &Heap, request: Request) -> Option<*mut u8> {
    heap.attend(PROCESS.shared());
    let bank = heap.locate(PROCESS.central.pages.space());
    Some(hand_out(PROCESS.central.alloc_large(request.size, request.align, bank)?, request))
}

/// A block fresh from the large or direct lane, filled as `request` wants it.
pub(crate) fn hand_out(fresh: Fresh, request: Request) -> *mut u8 {
    if request.zero {
        PROCESS.central.zero_large(&fresh, request.size);
    }
    if PROCESS.inspects() {
        inspect::made(&fresh, request);
    }
    fresh.hand_out()
}

/// The default way to free a block: to its heap, or to the large lanes. `heap` is this thread's, and held.
pub(crate) fn free_on(heap: &Heap, block: *mut u8) -> Freed {
    if PROCESS.inspects() {
        inspect::freeing(heap, block);
    }
    heap.free(PROCESS.shared(), block)
}

/// Frees a block on a thread that has no heap.
pub(crate) fn free_alone(block: *mut u8) -> Freed {
    match PROCESS.central.resolve(block.addr()) {
        Place::Small { class, .. } => match heap::deliver_block(PROCESS.shared(), block) {
            Ok(()) => Freed::Small,
            Err(refused) => {
                refused.report("free", block, class.size());
                Freed::Misused
            }
        },
        place => heap::free_unowned(&PROCESS.central, &place, block),
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

/// Resizes `block`, of `old` usable bytes, without copying; `None` if it has to be copied.
pub(crate) fn resize(block: *mut u8, old: usize, size: usize) -> Option<Resized> {
    if fits_in_place(old, size) {
        return Some(Resized::At(block));
    }
    // With junk every block moves, so that what is new in it is filled and what points to the old one is found out.
    if PROCESS.options().junk { None } else { resize_in_lane(block, size) }
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

/// Whether a block of `usable` bytes can have come from a request of that size: directly, or by a realloc that left it in place.
pub(crate) fn can_be(usable: usize, named: FreeSize) -> bool {
    let wanted = named.size.max(named.align);
    if named.size > usable {
        return false;
    }
    let exact = Class::aligned(named.size, named.align).map_or(usable > SMALL_MAX, |class| class.size() == usable);
    exact || wanted.saturating_mul(SLACK) >= usable || usable > SMALL_MAX && wanted > SMALL_MAX
}
