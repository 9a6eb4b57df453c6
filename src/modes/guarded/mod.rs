//! Mode `guarded`: one request in some thousands gets a page of its own between guard pages. The default mode serves
//! all others, on the fast path unless a request is counted.
//!
//! The mode uses the pool with the heap held, or on a thread that has none; a signal handler, which may have
//! interrupted that, only tries its lock.

mod pool;

use core::ffi::{CStr, c_int, c_void};

use self::pool::{Act, Fate, Layout, PlaceState, Pool, PoolPlace, Refusal};
use crate::base::lane::Lane;
use crate::base::text::Line;
use crate::central::{Bill, Refused};
use crate::config::{FRAMES_MAX, Options};
use crate::diag::{self, Code, Family, Misuse};
use crate::heap::second_path::SAMPLED_BY_CALLS;
use crate::heap::{Freed, Heap, SampledBy};
use crate::process::feature::{Feature, Order};
use crate::process::state::PROCESS;
use crate::process::tally::Reason;
use crate::process::thread::{self, HeapAccess};
use crate::slow_path::inspect;
use crate::slow_path::mode::{self, Mode, Paths};
use crate::slow_path::request::{Request, Resized};
use crate::slow_path::sampled::{self, Sampler};
use crate::slow_path::table::{IN_FORCE, ModeTable};
use crate::sys::atomic::{AtomicUsize, Ordering};
use crate::sys::call;
use crate::sys::cell::StaticRef;
use crate::sys::lock::{Guard, Lock, Patience, Rank};
use crate::sys::memory;
use crate::sys::signal::{self, Action, Info};
use crate::unwind::{self, Stacks};

/// Attempts to lock the pool where a call must not wait.
const ATTEMPTS: usize = 1000;

static POOL: Lock<Pool> = Lock::new(Rank::Reserve, Pool::new());
static STACKS: Stacks = Stacks::new();
/// Where the pool is. Written at start, read by any thread.
static START: AtomicUsize = AtomicUsize::new(0);
static END: AtomicUsize = AtomicUsize::new(0);
/// The action on SIGSEGV before. Set once, before the handler is in force.
static BEFORE: StaticRef<Action> = StaticRef::none();

/// The table of functions of the mode.
pub(crate) static GUARDED: ModeTable = ModeTable::of::<Guarded>();

struct Guarded;

/// Reserves the pool and has requests sampled; without address space the mode is as the default one. Part of the start.
pub(crate) fn begin(options: &Options, page: usize) {
    PROCESS.features.register(&FORK);
    let layout = Layout { side: options.guarded_side, exact: options.guarded_exact };
    let Some((start, end)) = POOL.lock().begin(options.guarded_slots, page, layout, call::random()) else { return };
    // Relaxed: published by the start barrier.
    START.store(start, Ordering::Relaxed);
    END.store(end, Ordering::Relaxed);
    sampled::register(&SAMPLER);
    PROCESS.registry.sampling.switch(options.guarded_rate, SampledBy::Calls);
    if options.guarded_sigsegv
        && let Some(before) = signal::action(libc::SIGSEGV)
        && let Some([before]) = memory::map_values(1, |_| before)
    {
        BEFORE.set(Some(before));
        let _ = signal::handle(libc::SIGSEGV, on_fault, 0);
    }
}

/// Whether `address` lies among the sampled blocks.
pub(crate) fn is_of_pool(address: usize) -> bool {
    // Relaxed: the start barrier published both.
    (START.load(Ordering::Relaxed)..END.load(Ordering::Relaxed)).contains(&address)
}

impl Mode for Guarded {
    const NAME: &'static CStr = c"guarded";
    const PATHS: Paths = Paths::Second(&SAMPLED_BY_CALLS);
    // Those of the pool are not of spans.
    const NOTES: bool = false;

    /// Below the hard limit of a bill there may be room for a page, where there is none for a span: that of a freed
    /// sample, which is to serve again.
    fn serve(heap: &Heap, request: Request) -> Option<*mut u8> {
        mode::serve(heap, request).or_else(|| if heap.bill().is_some() { sample(heap, request) } else { None })
    }

    fn free(heap: &Heap, block: *mut u8) -> Freed {
        if is_of_pool(block.addr()) { free(heap.thread.id.get(), block, true) } else { mode::free_on(heap, block) }
    }

    fn free_overwritten(heap: &Heap, block: *mut u8) -> Freed {
        if is_of_pool(block.addr()) { free(heap.thread.id.get(), block, false) } else { mode::free_on(heap, block) }
    }

    fn free_alone(block: *mut u8) -> Freed {
        if is_of_pool(block.addr()) { free(call::thread_id(), block, true) } else { mode::free_alone(block) }
    }

    fn holds(block: *mut u8) -> bool {
        is_of_pool(block.addr())
    }

    /// A block may end at the end of its page with fewer bytes than the link of a deferred free has: it keeps its slot.
    fn can_defer(block: *mut u8) -> bool {
        !is_of_pool(block.addr()) || block.addr().is_multiple_of(size_of::<usize>())
    }

    fn usable(block: *mut u8) -> Result<Option<usize>, Refused> {
        if !is_of_pool(block.addr()) {
            return mode::usable(block);
        }
        match with_pool(|pool| pool.place(block.addr()).copied()).flatten() {
            Some(place) if place.address != block.addr() || place.state == PlaceState::Unused => Err(Refused::Inside),
            Some(place) if place.state == PlaceState::Live => Ok(Some(place.size)),
            Some(place) if place.with_heap => Err(Refused::Destroyed),
            Some(_) => Err(Refused::Double),
            None => Err(Refused::Inside),
        }
    }

    fn resize(block: *mut u8, old: usize, size: usize) -> Option<Resized> {
        if is_of_pool(block.addr()) { None } else { mode::resize(block, old, size) }
    }

    /// A sampled block has no byte more than was asked for.
    fn good_size(size: usize, _: usize) -> usize {
        size
    }
}

/// How requests are sampled; no large block of the pool is ever resized, and none has a ticket.
static SAMPLER: Sampler = Sampler { sample, freed: |_| {}, resized: |_| {}, bill_of, take_off_bill };

/// The mode's locks for a fork.
static FORK: Feature =
    Feature { locks: Some((Order::AfterCentral, lock_for_fork, unlock_after_fork)), ..Feature::NONE };

fn lock_for_fork(patience: &Patience) {
    POOL.lock_for_fork(patience);
}

fn unlock_after_fork() {
    POOL.unlock_after_fork();
}

/// This thread, whose number is `thread`, its call and its stack.
fn act(thread: u32) -> Act {
    let mut frames = [0; FRAMES_MAX];
    let wanted = frames.get_mut(..PROCESS.options().guarded_frames).unwrap_or_default();
    let (mut trace, family) = diag::trace();
    let count = trace.frames(wanted);
    Act { thread, stack: STACKS.intern(frames.get(..count).unwrap_or_default()), family }
}

#[cold]
#[inline(never)]
fn sample(heap: &Heap, request: Request) -> Option<*mut u8> {
    let made = act(heap.thread.id.get());
    // The lock is released before a report.
    let made = POOL.lock().alloc(request.size, request.align, made, heap.bill());
    let address = match made {
        Ok(address) => address,
        // A sample is meant to leave most requests out; one that takes every request promises more.
        Err(Refusal::Full) if PROCESS.options().guarded_rate == 1 => {
            let what = "all slots hold live blocks; SPANDREL_GUARDED_SLOTS sets how many there are";
            diag::once(Code::GuardedSlots, what);
            return None;
        }
        Err(Refusal::Full | Refusal::Unfit | Refusal::Limit | Refusal::Kernel) => return None,
    };
    inspect::count(Lane::Direct, request.size);
    Some(core::ptr::with_exposed_provenance_mut(address))
}

/// The bill of the live block at `address`, if that is one of the pool.
fn bill_of(address: usize) -> Option<&'static Bill> {
    if is_of_pool(address) { with_pool(|pool| pool.bill_of(address)).flatten() } else { None }
}

/// As [`sampled::take_off_bill`].
fn take_off_bill(bill: &'static Bill, after: usize, frees: bool) -> Option<usize> {
    let _held = thread::access();
    POOL.lock().take_off_bill(bill, after, frees)
}

#[cold]
#[inline(never)]
fn free(thread: u32, block: *mut u8, check: bool) -> Freed {
    let address = block.addr();
    let here = act(thread);
    let (fate, place) = {
        let mut pool = POOL.lock();
        (pool.free(address, here, check), pool.nearest(address).copied())
    };
    let made = place.and_then(|place| place.made.family);
    let (code, what) = match fate {
        Fate::Freed if is_mismatch(made, here.family) => (Code::CallMismatch, "another kind of call made the block"),
        Fate::Freed => return Freed::Direct,
        Fate::Overflowed(_) => (Code::HeapOverflow, "something wrote behind the block"),
        Fate::Underflowed(_) => (Code::HeapOverflow, "something wrote before the block"),
        Fate::Double if place.is_some_and(|place| place.with_heap) => (Code::HeapGone, "its heap was destroyed"),
        Fate::Double => (Code::DoubleFree, "the block is free already"),
        Fate::Inside => (Code::InvalidPointer, "no block starts there"),
    };
    let tell = |line: &mut Line| {
        if let Some(place) = &place {
            describe(place, line);
        }
    };
    // The block is freed, here and now.
    let was_live = matches!(fate, Fate::Freed | Fate::Overflowed(_) | Fate::Underflowed(_));
    let misuse = Misuse { code, call: "free", pointer: address, what, block_bytes: 0 };
    diag::misuse_with(&misuse, tell, |print| {
        if !was_live {
            let mut line = Line::new();
            line.text(NAME).text("freed now by thread ").number(u64::from(thread)).text(", by the calls above");
            print(line.finish());
        }
        if let Some(place) = &place {
            show(place, print);
        }
    });
    if was_live { Freed::Direct } else { Freed::Misused }
}

/// Whether a block that calls of the family `made` may have made must not go back by one of `freed`.
fn is_mismatch(made: Option<Family>, freed: Option<Family>) -> bool {
    let differ = made.zip(freed).is_some_and(|(made, freed)| made != freed);
    differ && PROCESS.options().guarded_mismatch
}

fn describe(place: &PoolPlace, line: &mut Line) {
    let state = if place.state == PlaceState::Live { "live" } else { "freed" };
    line.text(" (").text(state).text(" block of ").number(place.size as u64).text(" bytes at ").address(place.address);
    if let Some(family) = place.made.family {
        line.text(", made by ").text(family.name());
    }
    if place.state == PlaceState::Freed && place.with_heap {
        line.text(", freed with its heap");
    }
    line.text(")");
}

const NAME: &str = "spandrel: guarded: ";

/// Prints which thread allocated the block, and which freed it.
fn show(place: &PoolPlace, print: &mut dyn FnMut(&[u8])) {
    show_act("allocated", place.made, print);
    if place.state == PlaceState::Freed && place.freed.thread != 0 {
        show_act(if place.with_heap { "freed with its heap" } else { "freed" }, place.freed, print);
    }
}

fn show_act(what: &str, act: Act, print: &mut dyn FnMut(&[u8])) {
    show_frames(what, act.thread, STACKS.frames(act.stack).iter(), print);
}

fn show_frames(what: &str, thread: u32, frames: impl Iterator<Item = usize>, print: &mut dyn FnMut(&[u8])) {
    print(Line::new().text(NAME).text(what).text(" by thread ").number(u64::from(thread)).text(":").finish());
    diag::print_frames(NAME, frames, print);
}

/// Does `work` with the pool; `None` in a signal handler that may have interrupted another use of it.
fn with_pool<T>(work: impl FnOnce(&Pool) -> T) -> Option<T> {
    match thread::access() {
        HeapAccess::Libc(Reason::Recursion) => try_pool().map(|pool| work(&pool)),
        _held => Some(work(&POOL.lock())),
    }
}

fn try_pool() -> Option<Guard<'static, Pool>> {
    (0..ATTEMPTS).find_map(|_| POOL.try_lock())
}

/// Prints what is known of `address`; false if that is nothing. For any thread and any signal handler.
pub(crate) fn explain(address: usize) -> bool {
    if !IN_FORCE.is(&GUARDED) || !is_of_pool(address) {
        return false;
    }
    let Some(place) = try_pool().and_then(|pool| pool.nearest(address).copied()) else { return false };
    let freed = place.state == PlaceState::Freed;
    let code = if freed { Code::UseAfterFree } else { Code::HeapOverflow };
    let mut print = |bytes: &[u8]| call::write(2, bytes);
    let tell = |line: &mut Line| {
        line.text("access to ").address(address);
        if address < place.address {
            line.text(", ").number((place.address - address) as u64).text(" bytes before a");
        } else {
            line.text(", ").number((address - place.address) as u64).text(" bytes from the start of a");
        }
        describe(&place, line);
    };
    diag::described(code, tell, print);
    show(&place, &mut print);
    true
}

/// The handler of SIGSEGV: explains the fault and puts the action before back, for the instruction faults again.
extern "C" fn on_fault(_: c_int, info: &mut Info, _: *mut c_void) {
    if let Some(before) = BEFORE.get() {
        signal::put_back(libc::SIGSEGV, before);
    }
    if explain(signal::address_of(info)) {
        let mut frames = [0; FRAMES_MAX];
        let count = unwind::capture(0, &mut frames);
        let frames = frames.get(..count).unwrap_or_default();
        show_frames("accessed", call::thread_id(), frames.iter().copied(), &mut |bytes| call::write(2, bytes));
    }
}
