//! Modes: how calls are served. A [`Mode`] allocates, frees, measures and resizes blocks once the slow path has access
//! to the thread's heap. The functions below the trait are those of the default mode, which the others fall back on.
//! Must not know the other modes.

use core::ffi::CStr;

use super::request::{FreeSize, Moved, NATURAL_ALIGN, Request, Resized};
use super::{inspect, sampled};
use crate::base::class::{Class, SMALL_MAX};
use crate::base::lane::Lane;
use crate::base::units::{LARGE_MAX, REGION_BYTES};
use crate::central::{Fresh, Place, Refused};
use crate::heap::second_path::SecondPath;
use crate::heap::{self, Freed, Heap};
use crate::pages::Unit;
use crate::process::holders;
use crate::process::state::PROCESS;
use crate::process::thread::{self, HeapAccess};
use crate::sys::tls;

/// realloc leaves a block in place if it is at most this many times as large as the new size.
const SLACK: usize = 2;

/// The function that a report hands its lines to.
pub(crate) type Print<'a> = &'a mut dyn FnMut(&[u8]);

/// Where the calls of a mode go before they take the slow path.
#[derive(Clone, Copy)]
pub(crate) enum Paths {
    /// To the fast path, then to the default second path: the mode sees only what these do not serve.
    Fast,
    /// To this second path, after the fast path or instead of it.
    Second(&'static SecondPath),
    /// Nowhere: threads use the inert heap, and the mode sees every call.
    Slow,
}

/// A way of serving calls. The defaults are those of mode `fast`.
pub(crate) trait Mode {
    /// The name, as `SPANDREL_MODE` has it.
    const NAME: &'static CStr;
    /// Where calls go before the slow path.
    const PATHS: Paths = Paths::Slow;
    /// Whether the heap profile may sample requests.
    const PROFILED: bool = false;
    /// Whether the mode keeps notes of blocks of spans, so that it must see the end of each.
    const NOTES: bool = true;
    /// The units of the shadow that the mode needs; none if it keeps nothing of a block there.
    const SHADOW: Option<Unit> = None;

    /// A large block out of the run cache; `None` if this call needs the heap.
    fn serve_cached(_: Request) -> Option<*mut u8> {
        None
    }

    /// Frees a large block into the run cache; false, and nothing has happened, if this call needs the heap.
    fn free_cached(_: *mut u8) -> bool {
        false
    }

    /// A block that meets `request`. `heap` is this thread's, and held.
    fn serve(heap: &Heap, request: Request) -> Option<*mut u8> {
        serve(heap, request)
    }

    /// Frees a block. `heap` is this thread's, and held.
    fn free(heap: &Heap, block: *mut u8) -> Freed {
        free_on(heap, block)
    }

    /// As [`Mode::free`], for a block whose free was deferred: its first eight bytes held a link, and are overwritten.
    fn free_overwritten(heap: &Heap, block: *mut u8) -> Freed {
        Self::free(heap, block)
    }

    /// Whether this is a block of the mode outside of the reservation.
    fn holds(_: *mut u8) -> bool {
        false
    }

    /// Whether the free of a block by a call that interrupted the allocator is to be deferred. If not, the mode has
    /// done or reported it, or leaves the block as it is. May take no lock.
    fn can_defer(_: *mut u8) -> bool {
        true
    }

    /// Frees a block on a thread that has given its heap up.
    fn free_alone(block: *mut u8) -> Freed {
        free_alone(block)
    }

    /// Usable bytes of a live block; `Ok(None)` for an address that is not Spandrel's.
    fn usable(block: *mut u8) -> Result<Option<usize>, Refused> {
        usable(block)
    }

    /// Resizes a block of `old` usable bytes without copying. `None` if it has to be copied.
    fn resize(block: *mut u8, old: usize, size: usize) -> Option<Resized> {
        resize(block, old, size)
    }

    /// Whether a block of `usable` bytes can come from a request of the size that a sized free names.
    fn can_be(usable: usize, named: FreeSize) -> bool {
        can_be(usable, named)
    }

    /// Usable bytes of a block for a request of the first argument's size, which has `usable` in mode `fast`.
    fn good_size(_: usize, usable: usize) -> usize {
        usable
    }

    /// Frees the blocks that the mode keeps from being used again, such as a quarantine, because memory is used up or
    /// the program asks.
    fn reclaim(_: Option<&Heap>) {}

    /// Hands the lines of the mode's report at exit to the function.
    fn report(_: Print<'_>) {}
}

/// The default mode.
pub(crate) struct Fast;

impl Mode for Fast {
    const NAME: &'static CStr = c"fast";
    const PATHS: Paths = Paths::Fast;
    const NOTES: bool = false;

    #[inline]
    fn serve_cached(request: Request) -> Option<*mut u8> {
        let may = |heap: &Heap| !heap.is_sampled() && heap.bill().is_none() && request.align <= REGION_BYTES;
        let (_, now) = unheld().filter(|(heap, _)| may(heap))?;
        Some(hand_out(PROCESS.central.alloc_cached(request.size, now)?, request))
    }

    #[inline]
    fn free_cached(block: *mut u8) -> bool {
        block.addr().is_multiple_of(REGION_BYTES)
            && unheld().is_some_and(|(_, now)| PROCESS.central.free_cached(block.addr(), now))
    }
}

/// The calling thread's heap and the time, if a call may do without that heap: the thread has one, is outside the
/// allocator, and nothing waits for a slow call that holds it. Such a call may be interrupted anywhere, and the heap
/// drained meanwhile: the call touches words that threads exchange without a lock, and what they lead it to.
#[inline]
fn unheld() -> Option<(&'static Heap, u32)> {
    let (heap, pages) = (thread::at_rest()?, &PROCESS.central.pages);
    if !pages.has_cache() {
        // With a pool the kernel is not even asked for the time.
        return None;
    }
    let now = pages.now();
    let may = !PROCESS.inspects() && !pages.pending.any() && heap.is_attended(PROCESS.shared(), now);
    may.then_some((heap, now))
}

/// libc serves every call. The start barrier sees to that, so the type has a name and nothing else.
pub(crate) struct Libc;

impl Mode for Libc {
    const NAME: &'static CStr = c"libc";
}

/// The owner of a call that comes from no heap; no span has it.
const NO_OWNER: usize = 0;

/// The default way to serve a request. `heap` is this thread's, and held.
pub(crate) fn serve(heap: &Heap, request: Request) -> Option<*mut u8> {
    if heap.is_sampled()
        && let Some(block) = sampled::serve(heap, request)
    {
        return Some(block);
    }
    serve_unsampled(heap, request)
}

/// As [`serve`], without a sample.
pub(crate) fn serve_unsampled(heap: &Heap, request: Request) -> Option<*mut u8> {
    let Some(class) = class_of(request) else { return serve_large(heap, request) };
    let fresh = heap.alloc_fresh(PROCESS.shared(), heap.choose_class(class))?;
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

/// A block of the large or direct lane. Receives blocks that other threads freed first: a thread that makes only such
/// requests never refills a bin.
#[cold]
fn serve_large(heap: &Heap, request: Request) -> Option<*mut u8> {
    heap.attend(PROCESS.shared());
    let bank = heap.current_bank(PROCESS.central.pages.space());
    Some(hand_out(PROCESS.central.alloc_billed(request.size, request.align, bank, heap.bill())?, request))
}

/// The block of the large or direct lane, zeroed or filled as `request` and the options ask for.
pub(crate) fn hand_out(fresh: Fresh, request: Request) -> *mut u8 {
    if request.zero {
        PROCESS.central.zero_large(&fresh, request.size);
    }
    if PROCESS.inspects() {
        inspect::made(&fresh, request);
    }
    fresh.hand_out()
}

/// The default way to free a block. `heap` is this thread's, and held.
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

/// Usable bytes of `block`, by [`Place::usable`]. Refuses also those of its class that the owner freed last.
pub(crate) fn usable(block: *mut u8) -> Result<Option<usize>, Refused> {
    let place = PROCESS.central.resolve(block.addr());
    if was_just_freed(&place, block) { Err(Refused::Double) } else { bytes_of(block) }
}

/// Usable bytes of `block`. A thread with a heap holds its spans meanwhile, because other threads may return blocks to
/// them.
fn bytes_of(block: *mut u8) -> Result<Option<usize>, Refused> {
    let ask = |asker| PROCESS.central.resolve(block.addr()).usable(block.addr(), asker);
    if thread::has_heap()
        && let HeapAccess::Own(heap) = thread::access()
    {
        return ask(heap.address());
    }
    ask(NO_OWNER)
}

/// Usable bytes of the live block at `address`, which the caller knows to be one; an error where none can start.
pub(crate) fn bytes_at(address: usize) -> Result<Option<usize>, Refused> {
    PROCESS.central.resolve(address).usable(address, NO_OWNER)
}

/// The handle of the named heap that has the live block at `address`; 0 for the default heap, and where no block is.
pub(crate) fn heap_of(address: usize) -> usize {
    if !PROCESS.is_ready() {
        return 0;
    }
    let bill = match PROCESS.central.resolve(address) {
        Place::Small { entry, .. } if !entry.is_central() => return Heap::of_entry(entry).handle(),
        Place::Large { span, .. } => PROCESS.central.bill_of(span),
        Place::Foreign => sampled::bill_of(address),
        _ => None,
    };
    bill.map_or(0, holders::heap_of_bill)
}

/// Whether `block` is one of those of its class that the thread which owns its span freed last.
fn was_just_freed(place: &Place<'_>, block: *mut u8) -> bool {
    match place {
        Place::Small { class, entry, .. } if !entry.is_central() => {
            Heap::of_entry(*entry).has_lately(*class, block, entry.owner() == tls::own_heap())
        }
        _ => false,
    }
}

/// Resizes `block`, of `old` usable bytes, without copying. `None` if it has to be copied.
pub(crate) fn resize(block: *mut u8, old: usize, size: usize) -> Option<Resized> {
    if fits_in_place(old, size) {
        return Some(Resized::At(block));
    }
    // With junk every block moves, so that its new bytes are filled, and so are the old ones, which exposes old
    // pointers.
    if PROCESS.options().junk { None } else { resize_in_lane(block, size) }
}

/// Whether a small block of `old` usable bytes may stay in place for a request of `size` bytes.
#[inline]
pub(crate) fn fits_in_place(old: usize, size: usize) -> bool {
    old <= SMALL_MAX
        && size <= old
        && (size.saturating_mul(SLACK) >= old || Class::of_size(size).is_some_and(|class| class.size() == old))
}

/// Whether blocks that the calling thread makes are on a bill, so that one which is on none and has to move is copied.
fn is_billed_here() -> bool {
    thread::current().is_some_and(|heap| heap.bill().is_some())
}

/// Resizes a large or direct block without copying. `None` if it has to be copied.
fn resize_in_lane(block: *mut u8, size: usize) -> Option<Resized> {
    let moved = match PROCESS.central.resolve(block.addr()) {
        Place::Large { region, span } if Lane::of_size(size) == Lane::Large || size > LARGE_MAX && span.is_billed() => {
            let (old, ticket) = (span.large_bytes(), span.ticket());
            PROCESS.central.resize_large(region, size).then_some(Moved {
                address: block.addr(),
                direct: false,
                ticket,
                old,
                size,
            })
        }
        // The figures of lanes would count a block that changes its lane twice.
        Place::Large { region, span } if size > LARGE_MAX && !PROCESS.inspects() && !is_billed_here() => {
            let (old, ticket) = (span.large_bytes(), span.ticket());
            let address = PROCESS.central.move_large(region, size)?;
            Some(Moved { address, direct: true, ticket, old, size })
        }
        Place::Direct(direct) if size > LARGE_MAX && (size <= direct.bytes || !is_billed_here()) => {
            let address = PROCESS.central.resize_direct(direct, size)?;
            Some(Moved { address, direct: true, ticket: direct.ticket, old: direct.bytes, size })
        }
        _ => None,
    }?;
    sampled::resized(&moved);
    Some(Resized::At(core::ptr::with_exposed_provenance_mut(moved.address)))
}

/// Whether a block of `usable` bytes can come from a request of that size: directly, or by a realloc that left it in
/// place.
pub(crate) fn can_be(usable: usize, named: FreeSize) -> bool {
    let wanted = named.size.max(named.align);
    if named.size > usable {
        return false;
    }
    let exact = Class::aligned(named.size, named.align).map_or(usable > SMALL_MAX, |class| class.size() == usable);
    exact || wanted.saturating_mul(SLACK) >= usable || usable > SMALL_MAX && wanted > SMALL_MAX
}
