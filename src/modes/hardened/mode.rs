#![expect(unsafe_code, reason = "has blocks wait")]
//! The slow path of mode `hardened`: what its second path (`super::path`) leaves to it, large blocks, and every misuse.
//!
//! Every call that names a block looks at its state, whichever thread owns the block, so every pointer that is not the
//! start of a live block is found at the call. The mode works with the heap held, or on a thread that has no heap any
//! more: libc serves a signal handler that interrupts it.

use core::ffi::CStr;

use super::blocks::{self, keys};
use super::canary::{CANARY, Keys};
use super::exit;
use super::large;
use super::outside::{self, EMPTY};
use super::path::{PATH, STEP};
use super::state::{self, FREED, is_live};
use super::waiting::{self, Kept, Left};
use crate::base::class::{Class, SMALL_MAX};
use crate::central::{Place, Refused};
use crate::config::Options;
use crate::heap::second_path;
use crate::heap::{FastHeap, Freed, Heap, Transit};
use crate::pages::Unit;
use crate::process::feature::{Feature, Order};
use crate::process::state::PROCESS;
use crate::slow_path::alloc;
use crate::slow_path::free as slow_free;
use crate::slow_path::mode::{self, Mode, Paths, Print};
use crate::slow_path::realloc::relocate;
use crate::slow_path::request::{FreeSize, Request, Resized};
use crate::slow_path::table::ModeTable;
use crate::sys::atomic::{AtomicU8, Ordering};
use crate::sys::{call, memory, zeroes};

/// The bytes that lie behind those of a large or direct block at least: a canary, and so much slack that it stands in
/// the last word.
const LARGE_PAD: usize = CANARY + STEP;
/// Blocks tried before the request fails, where a bin gives out blocks that are live.
const TRIES: usize = 64;

/// The table of functions of the mode.
pub(crate) static HARDENED: ModeTable = ModeTable::of::<Hardened>();

/// The mode.
pub(super) struct Hardened;

/// Frees blocks that have left the quarantine. Their spans may have another owner by now.
pub(super) struct Checked;

/// Frees blocks of other owners that the mode has checked: they are on their way, and all zeroes.
pub(super) struct Sent;

impl Mode for Sent {
    const NAME: &'static CStr = Hardened::NAME;

    fn free_overwritten(heap: &Heap, block: *mut u8) -> Freed {
        free_deferred(heap, block)
    }
}

impl Mode for Checked {
    const NAME: &'static CStr = Hardened::NAME;

    fn free(heap: &Heap, block: *mut u8) -> Freed {
        (TRANSIT.leaves)(block);
        mode::free_on(heap, block)
    }

    fn free_overwritten(heap: &Heap, block: *mut u8) -> Freed {
        free_deferred(heap, block)
    }
}

/// Prepares the mode, and draws its secrets. Part of the start.
pub(crate) fn begin(options: &Options) {
    zeroes::begin();
    PROCESS.features.register(&FEATURE);
    PROCESS.registry.transit.set(Some(&TRANSIT));
    // SAFETY: a start prepares one mode, once, before any block is made.
    unsafe { blocks::set_keys(Keys::new(call::random(), call::random())) };
    PROCESS.central.allow_guards(options.guard_regions);
    PROCESS.central.spread_fetches(options.spread, call::random());
    large::begin(options.quarantine_large, [call::random(), call::random()]);
    EMPTY.begin();
}

/// The mode's part in a fork, and in the life of a thread.
static FEATURE: Feature = Feature {
    locks: Some((Order::AfterCentral, large::lock_for_fork, large::unlock_after_fork)),
    thread_begins: Some(begin_thread),
    thread_ends: Some(empty_waiting),
    ..Feature::NONE
};

fn begin_thread(heap: &Heap) {
    Kept::begin(heap, call::random(), PROCESS.options().quarantine, PROCESS.registry.taken());
}

static TRANSIT: Transit = Transit {
    leaves: |block| {
        if let Some(unit) = blocks::unit(block.addr()) {
            state::leave(unit);
        }
    },
    arrives,
    held_back: |heap, class, number| {
        let block = Kept::of(heap)?.waiting_at(class, number)?;
        let freed = blocks::unit(block.addr()).is_some_and(state::is_freed);
        Some(if freed { block } else { core::ptr::null_mut() })
    },
    purge_one: large::purge_one,
};

/// A block has arrived at its owner: it must not have been freed there meanwhile. Then it waits, if the owner itself
/// receives it, and another one leaves. It was filled with zeroes when it was freed, and is not filled again: what was
/// written to it on its way is found when it leaves.
fn arrives(heap: &Heap, block: *mut u8, by_owner: bool) -> *mut u8 {
    if !blocks::unit(block.addr()).is_some_and(state::arrive) {
        blocks::report_refusal("free", block.addr());
        return core::ptr::null_mut();
    }
    match PROCESS.central.resolve(block.addr()) {
        Place::Small { class, .. } if by_owner => wait(heap, block, class, true).unwrap_or(core::ptr::null_mut()),
        _ => block,
    }
}

/// Has a block of `class`, which is not live, wait in the quarantine of `heap`, the calling thread's; the block that
/// leaves in its place. `filled`: with zeroes, when it was freed.
fn wait(heap: &Heap, block: *mut u8, class: Class, filled: bool) -> Option<*mut u8> {
    let whole = class.size();
    let Some((kept, waiting)) = Kept::of(heap).and_then(|kept| Some((kept, kept.slots_of(class)?))) else {
        if filled && !waiting::is_untouched(block, whole) {
            blocks::report_written(block, whole);
        } else {
            // SAFETY: the block is the caller's, and has so many bytes.
            unsafe { zeroes::fill(block, whole) };
        }
        return Some(block);
    };
    let place = waiting.place(kept.draw(keys().canary(block.addr())));
    // SAFETY: slots of the class, the block is of it, and the heap is this thread's.
    match unsafe { place.exchange(block, whole, filled) } {
        Left::None => None,
        Left::Clean(left) => Some(left),
        Left::Written(left) => {
            blocks::report_written(left, whole);
            Some(left)
        }
    }
}

impl Mode for Hardened {
    const NAME: &'static CStr = c"hardened";
    const PATHS: Paths = Paths::Second(&PATH);
    const SHADOW: Option<Unit> = Some(Unit::Byte);

    fn serve(heap: &Heap, request: Request) -> Option<*mut u8> {
        if request.size == 0 && request.align <= STEP {
            let block = EMPTY.alloc();
            if !block.is_null() {
                return Some(block);
            }
        }
        let padded = Request { size: request.size + CANARY, align: request.align.max(STEP), ..request };
        match mode::class_of(padded) {
            Some(class) => serve_small(heap, class, request.size),
            None => large::serve(heap, Request { size: request.size + LARGE_PAD, ..padded }, request.size),
        }
    }

    fn free(heap: &Heap, block: *mut u8) -> Freed {
        free(Some(heap), block)
    }

    fn free_overwritten(heap: &Heap, block: *mut u8) -> Freed {
        free_deferred(heap, block)
    }

    fn free_alone(block: *mut u8) -> Freed {
        free(None, block)
    }

    fn holds(block: *mut u8) -> bool {
        EMPTY.has(block)
    }

    fn can_defer(block: *mut u8) -> bool {
        if EMPTY.has(block) {
            let _ = outside::free_empty(block);
            return false;
        }
        let Some(unit) = blocks::unit(block.addr()) else { return true };
        // Relaxed: see `state`.
        let state = unit.load(Ordering::Relaxed);
        let first = is_live(state) && state::free_remote(unit, state);
        if !first {
            blocks::report_refusal("free", block.addr());
        }
        first
    }

    fn usable(block: *mut u8) -> Result<Option<usize>, Refused> {
        if EMPTY.has(block) {
            return outside::usable_empty(block);
        }
        let Some(unit) = blocks::unit(block.addr()) else { return outside::usable(block) };
        // Relaxed: see `state`.
        let state = unit.load(Ordering::Relaxed);
        match blocks::whole_of(block).filter(|_| is_live(state)) {
            Some(whole) => Ok(Some(blocks::check("realloc", block.addr(), whole, state))),
            None => Err(blocks::refusal(block.addr())),
        }
    }

    fn resize(block: *mut u8, old: usize, size: usize) -> Option<Resized> {
        if !PROCESS.options().realloc_moves
            && let Some(resized) = resize_in_place(block, old, size)
        {
            return Some(resized);
        }
        let alloc = |request: Request| second_path::malloc(request.size, FastHeap::current(), alloc_slow);
        let free = |block| second_path::free(block, free_slow);
        Some(relocate(block, old, size, alloc, free))
    }

    fn can_be(usable: usize, named: FreeSize) -> bool {
        named.size == usable
    }

    fn good_size(size: usize, _: usize) -> usize {
        size
    }

    fn reclaim(heap: Option<&Heap>) {
        if let Some(heap) = heap {
            empty_waiting(heap);
        }
        large::empty(|address| free_to_heap(heap, address));
    }

    fn report(_: Print<'_>) {
        exit::check_all();
    }
}

/// The slow path of free.
pub(super) fn free_slow(block: *mut u8) {
    slow_free::free::<Hardened>(block);
}

/// As the slow path of malloc, without `errno`.
pub(super) extern "C" fn alloc_slow(size: usize) -> *mut u8 {
    alloc::alloc::<Hardened>(Request { size, align: 1, zero: false })
}

fn serve_small(heap: &Heap, class: Class, size: usize) -> Option<*mut u8> {
    let class = heap.choose_class(class);
    for _ in 0..TRIES {
        let refills = heap.is_empty(class);
        let fresh = heap.alloc(PROCESS.shared(), class)?;
        if let Some(kept) = Kept::of(heap).filter(|_| refills) {
            kept.grow(heap, class);
        }
        if blocks::make_live(fresh, class.size(), size) {
            return Some(fresh);
        }
    }
    None
}

/// Resizes a small block in its class, or a large one where it is; `None` if it has to move.
fn resize_in_place(block: *mut u8, old: usize, size: usize) -> Option<Resized> {
    let unit = blocks::unit(block.addr())?;
    // Relaxed: see `state`.
    let state = unit.load(Ordering::Relaxed);
    let wholes = match PROCESS.central.resolve(block.addr()) {
        Place::Small { class, .. } => {
            let wanted = Class::of_size((size + CANARY).max(STEP))?;
            let fits = wanted == class || FastHeap::current().serving(wanted) == class;
            fits.then_some([class.size(); 2])?
        }
        Place::Large { region, span } => {
            let (whole, wanted) = (span.large_bytes(), size.saturating_add(LARGE_PAD));
            // A block that shrinks by half moves, as do those that become small.
            if size <= SMALL_MAX
                || wanted <= whole / 2
                || wanted > whole && !PROCESS.central.resize_large(region, wanted)
            {
                return None;
            }
            [whole, span.large_bytes()]
        }
        _ => return None,
    };
    match blocks::resize(block, wholes, old, size, state) {
        Some(()) => Some(Resized::At(block)),
        None => {
            blocks::report_refusal("realloc", block.addr());
            Some(Resized::Misused)
        }
    }
}

/// Frees `block`, whatever it is.
fn free(heap: Option<&Heap>, block: *mut u8) -> Freed {
    if EMPTY.has(block) {
        return outside::free_empty(block);
    }
    let Some(unit) = blocks::unit(block.addr()) else {
        return outside::free(block, |address| free_to_heap(heap, address));
    };
    // Relaxed: see `state`.
    let state = unit.load(Ordering::Relaxed);
    let place = PROCESS.central.resolve(block.addr());
    let whole = match &place {
        Place::Small { class, .. } => class.size(),
        Place::Large { span, .. } => span.large_bytes(),
        _ => 0,
    };
    if !is_live(state) || whole == 0 {
        return blocks::refuse(block);
    }
    blocks::check("free", block.addr(), whole, state);
    let is_small = matches!(place, Place::Small { .. });
    if is_small {
        blocks::check_before("free", block.addr(), whole, state);
    }
    if !state::free_remote(unit, state) {
        return blocks::refuse(block);
    }
    if is_small { retire_small(heap, block, unit) } else { retire_large(heap, block, unit, whole) }
}

/// Has a small block, whose state is that of a remote free, wait or go to its owner.
fn retire_small(heap: Option<&Heap>, block: *mut u8, unit: &AtomicU8) -> Freed {
    let Place::Small { class, entry, .. } = PROCESS.central.resolve(block.addr()) else { return Freed::Misused };
    if let Some(heap) = heap.filter(|heap| heap.address() == entry.owner()) {
        // Relaxed: see `state`. This thread holds the spans of the owner.
        unit.store(FREED, Ordering::Relaxed);
        return match wait(heap, block, class, false) {
            Some(left) => Checked::free(heap, left),
            None => Freed::Small,
        };
    }
    // SAFETY: the program freed the block, this thread was first to note it, and it has so many bytes.
    unsafe { memory::zero(block, class.size()) };
    free_to_heap(heap, block.addr());
    Freed::Small
}

fn retire_large(heap: Option<&Heap>, block: *mut u8, unit: &AtomicU8, whole: usize) -> Freed {
    // Relaxed: see `state`. No other thread frees the block now.
    unit.store(FREED, Ordering::Relaxed);
    if let Some(region) = PROCESS.central.pages.space().region_of(block.addr()) {
        // In the quarantine it is nobody's.
        PROCESS.central.take_off_bill(region);
    }
    let release = |address| free_to_heap(heap, address);
    if !large::keep(block.addr(), whole, release) {
        large::hold(block.addr(), whole, release);
    }
    Freed::Large
}

/// Frees a block whose free was deferred: it is on its way since then, and its first word held a link.
fn free_deferred(heap: &Heap, block: *mut u8) -> Freed {
    let Some(unit) = blocks::unit(block.addr()) else {
        return outside::free(block, |address| free_to_heap(Some(heap), address));
    };
    match PROCESS.central.resolve(block.addr()) {
        Place::Large { span, .. } => retire_large(Some(heap), block, unit, span.large_bytes()),
        _ => retire_small(Some(heap), block, unit),
    }
}

fn free_to_heap(heap: Option<&Heap>, address: usize) {
    let block = core::ptr::with_exposed_provenance_mut(address);
    let _ = match heap {
        Some(heap) => mode::free_on(heap, block),
        None => mode::free_alone(block),
    };
}

/// Frees the blocks that wait in the quarantine of `heap`, which the calling thread holds.
fn empty_waiting(heap: &Heap) {
    let Some(kept) = Kept::of(heap) else { return };
    kept.empty(|block, class| {
        if !waiting::is_untouched(block, class.size()) {
            blocks::report_written(block, class.size());
        }
        let _ = Checked::free(heap, block);
    });
}
