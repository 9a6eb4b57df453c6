#![expect(unsafe_code, reason = "reads and writes the shadow")]
//! Mode `tracked`: every live block with its size, thread, age and call stack.
//!
//! The unit of the shadow at the start of a block names its note. A thread that allocates a block sets it; the thread
//! that frees the block takes it by an exchange, so of two frees of a block, wherever they come from, one finds
//! nothing and is reported. Notes and units need no lock and no heap, but each heap has free notes of its own, which
//! its thread takes while it is inside the heap: libc serves a signal handler that interrupts it, and libc's blocks
//! have no notes. Direct mappings, which the shadow does not reach, keep the note as their ticket.
//!
//! # Invariants
//! - The unit of a granule is [`NO_BLOCK`] unless a live block starts there. No block is smaller than a granule.

mod heap;
mod note;
mod report;
mod runtime;
mod second;

use core::ffi::CStr;

use self::heap::HeapNotes;
use self::note::{Act, Block, NO_BLOCK, Notes};
use self::report::{NAME, Shown};
use crate::base::text::Line;
use crate::central::{Place, Refused};
use crate::config::FRAMES_MAX;
use crate::diag::{self, Code, Misuse};
use crate::heap::{Freed, Heap};
use crate::pages::Unit;
use crate::process::feature::{Feature, Order};
use crate::process::state::PROCESS;
use crate::process::thread::{self, HeapAccess};
use crate::slow_path::mode::{self, Mode, Paths, Print};
use crate::slow_path::request::{FreeSize, NATURAL_ALIGN, Request, Resized};
use crate::slow_path::table::{IN_FORCE, ModeTable};
use crate::sys::atomic::{AtomicU32, Ordering};
use crate::sys::clock::{self, Epoch};
use crate::sys::lock::Patience;
use crate::unwind::{self, Frames, StackId, Stacks};

static NOTES: Notes = Notes::new();
static STACKS: Stacks = Stacks::new();
static EPOCH: Epoch = Epoch::new();

/// The table of functions of the mode.
pub(crate) static TRACKED: ModeTable = ModeTable::of::<Tracked>();

struct Tracked;

impl Mode for Tracked {
    const NAME: &'static CStr = c"tracked";
    const PATHS: Paths = Paths::Second(&second::SECOND);
    const SHADOW: Option<Unit> = Some(Unit::Word);

    fn serve(heap: &Heap, request: Request) -> Option<*mut u8> {
        // A block of a granule at least.
        let block = mode::serve(heap, Request { align: request.align.max(NATURAL_ALIGN), ..request })?;
        note(heap, block, request.size);
        Some(block)
    }

    fn free(heap: &Heap, block: *mut u8) -> Freed {
        match claim(block.addr()) {
            Claim::Live(note) => {
                forget(Some(heap), note);
                mode::free_on(heap, block)
            }
            Claim::Dead => misused(block),
            Claim::Outside => of_ticket(Some(heap), mode::free_on(heap, block)),
        }
    }

    fn free_alone(block: *mut u8) -> Freed {
        match claim(block.addr()) {
            Claim::Live(note) => {
                forget(None, note);
                mode::free_alone(block)
            }
            Claim::Dead => misused(block),
            Claim::Outside => of_ticket(None, mode::free_alone(block)),
        }
    }

    fn usable(block: *mut u8) -> Result<Option<usize>, Refused> {
        let Some(unit) = unit_of(block.addr()) else { return mode::usable(block) };
        // Relaxed: the program orders this call after the one that made the block.
        let is_live = unit.load(Ordering::Relaxed) != NO_BLOCK;
        if is_live { mode::bytes_at(block.addr()) } else { Err(refusal(block.addr())) }
    }

    fn resize(block: *mut u8, old: usize, size: usize) -> Option<Resized> {
        let HeapAccess::Own(heap) = thread::access() else { return None };
        // While the block is resized, its free is a mistake.
        let claimed = claim(block.addr());
        if matches!(claimed, Claim::Dead) {
            let _ = misused(block);
            return Some(Resized::Misused);
        }
        let resized = mode::resize(block, old, size);
        let known = match (&claimed, &resized) {
            (Claim::Live(note), _) => *note,
            (_, Some(Resized::At(moved))) => ticket_of(moved.addr()),
            _ => return resized,
        };
        if let Some(Resized::At(moved)) = resized {
            NOTES.change(known, &described(&heap, moved, size));
        }
        if let Some(unit) = unit_of(block.addr()) {
            // Release: as in `note`.
            unit.store(known, Ordering::Release);
        }
        resized
    }

    fn can_be(usable: usize, named: FreeSize) -> bool {
        mode::can_be(usable, FreeSize { align: named.align.max(NATURAL_ALIGN), ..named })
    }

    fn good_size(_: usize, usable: usize) -> usize {
        usable.max(NATURAL_ALIGN)
    }

    fn report(print: Print<'_>) {
        // While the heap is held, nothing that this thread allocates is noted.
        let _held = thread::access();
        let options = PROCESS.options();
        let shown =
            Shown { top: options.tracked_top, runtime: options.tracked_runtime, frames: options.tracked_frames };
        report::report((&NOTES, mode::heap_of), &STACKS, &EPOCH, &shown, print);
    }
}

/// The mode's part in forks, and its memory for each heap.
static FEATURE: Feature = Feature {
    locks: Some((
        Order::AfterCentral,
        |patience: &Patience| NOTES.lock_for_fork(patience),
        || NOTES.unlock_after_fork(),
    )),
    thread_begins: Some(thread_begins),
    ..Feature::NONE
};

fn thread_begins(heap: &Heap) {
    let space = PROCESS.central.pages.space();
    NOTES.begin(space.data_bytes(), space.page_bytes());
    HeapNotes::prepare(heap, PROCESS.options().tracked_frames > 0);
}

/// Prepares the mode, and begins to measure ages. Part of the start.
pub(crate) fn begin() {
    PROCESS.features.register(&FEATURE);
    EPOCH.begin();
}

/// The unit of the shadow for a block that starts at `address`; `None` if the shadow reaches no such block.
#[inline(always)]
fn unit_of(address: usize) -> Option<&'static AtomicU32> {
    let shadow = PROCESS.central.pages.space().shadow();
    // SAFETY: the mode asks for words; the shadow reaches the address. Writers have a block there, or found one.
    shadow.reaches(address).then(|| unsafe { shadow.word(address) })
}

/// The finding of a free.
enum Claim {
    /// It has the live block, whose note this is.
    Live(u32),
    /// No live block starts there.
    Dead,
    /// The shadow has no answer.
    Outside,
}

/// Takes the unit of a block that the calling thread frees or resizes.
#[inline(always)]
fn claim(address: usize) -> Claim {
    let Some(unit) = unit_of(address) else { return Claim::Outside };
    // Relaxed: a hint, so that no unit is written where no block ever was.
    if unit.load(Ordering::Relaxed) == NO_BLOCK {
        return Claim::Dead;
    }
    // Acquire pairs with the Release in `note`: the note is written.
    match unit.swap(NO_BLOCK, Ordering::Acquire) {
        NO_BLOCK => Claim::Dead,
        note => Claim::Live(note),
    }
}

/// This thread, with the call stack of this call.
#[inline(always)]
fn act(part: Option<&HeapNotes>, thread: u32) -> Act {
    let wanted = PROCESS.options().tracked_frames;
    let stack = if wanted == 0 { 0 } else { stack_of(part, wanted) };
    Act { thread, stack: StackId(stack) }
}

fn stack_of(part: Option<&HeapNotes>, wanted: usize) -> u32 {
    let known = part.and_then(|part| {
        part.with_recent(|recent| recent.value(wanted, diag::is_call, |frames| STACKS.intern(frames).0))
    });
    known.unwrap_or_else(|| {
        let mut frames = [0; FRAMES_MAX];
        let wanted = frames.get_mut(..wanted).unwrap_or_default();
        let count = unwind::capture(0, wanted);
        STACKS.intern(wanted.get(..count).unwrap_or_default()).0
    })
}

fn described(heap: &Heap, block: *mut u8, size: usize) -> Block {
    let by = act(HeapNotes::of(heap), heap.thread.id.get());
    Block { address: block.addr(), size, made: clock::ticks(), by }
}

/// Notes a block that the thread of `heap`, which is inside it, has just allocated.
#[inline(always)]
fn note(heap: &Heap, block: *mut u8, size: usize) {
    let part = HeapNotes::of(heap);
    let note = NOTES.add(part.map(|part| &part.free), &described(heap, block, size));
    match unit_of(block.addr()) {
        // Release pairs with the Acquire in `claim`.
        Some(unit) => unit.store(note, Ordering::Release),
        None => PROCESS.central.set_ticket(block.addr(), true, note),
    }
}

/// Gives the note of a block that is being freed back, and remembers what it said.
#[inline(always)]
fn forget(heap: Option<&Heap>, note: u32) {
    let part = heap.and_then(HeapNotes::of);
    let block = NOTES.remove(part.map(|part| &part.free), note);
    if let (Some(heap), Some(part), Some(block)) = (heap, part, block) {
        part.remember(&block, act(Some(part), heap.thread.id.get()));
    }
}

/// As [`forget`], for a direct mapping that was freed: its ticket is its note.
fn of_ticket(heap: Option<&Heap>, freed: Freed) -> Freed {
    let Freed::Sampled(note) = freed else { return freed };
    forget(heap, note);
    Freed::Direct
}

/// The note of the direct mapping that starts at `address`.
fn ticket_of(address: usize) -> u32 {
    match PROCESS.central.resolve(address) {
        Place::Direct(direct) if direct.address == address => direct.ticket,
        _ => NO_BLOCK,
    }
}

/// Why no live block starts at `address`, which the shadow reaches.
fn refusal(address: usize) -> Refused {
    if HeapNotes::find(address).is_some() {
        return Refused::Double;
    }
    match PROCESS.central.resolve(address) {
        Place::Small { class, offset, .. } if class.geometry().locate(offset).1 => Refused::Double,
        Place::Nowhere => PROCESS.central.why_nowhere(address),
        _ => Refused::Inside,
    }
}

/// Reports a free of what is no live block, with all that is known of an earlier one.
#[cold]
#[inline(never)]
fn misused(block: *mut u8) -> Freed {
    let address = block.addr();
    let gone = HeapNotes::find(address);
    let (code, what) = match refusal(address) {
        Refused::Double => (Code::DoubleFree, "the block is free already"),
        Refused::Inside => (Code::InvalidPointer, "no block starts there"),
        Refused::Destroyed => (Code::HeapGone, "its heap was destroyed"),
    };
    let misuse = Misuse { code, call: "free", pointer: address, what, block_bytes: gone.map_or(0, |gone| gone.size) };
    let more = |print: Print<'_>| {
        if let Some(gone) = &gone {
            show("allocated", gone.made, print);
            show("freed", gone.freed, print);
        }
    };
    diag::misuse_with(&misuse, |_| {}, more);
    Freed::Misused
}

/// Prints which thread did it, and with which call stack.
fn show(what: &str, act: Act, print: Print<'_>) {
    print(Line::new().text(NAME).text(what).text(" by thread ").number(u64::from(act.thread)).text(":").finish());
    diag::print_frames(NAME, STACKS.frames(act.stack).iter(), print);
}

/// A live block, for programs.
#[derive(Clone, Copy)]
pub(crate) struct BlockInfo {
    pub(crate) address: usize,
    /// As asked for.
    pub(crate) size: usize,
    /// Milliseconds since it was allocated.
    pub(crate) age: u64,
    /// The thread that allocated it, by the kernel's number.
    pub(crate) thread: u32,
    /// The call stack of that.
    pub(crate) frames: Frames,
}

fn info_of(block: &Block) -> BlockInfo {
    let Block { address, size, made, by } = *block;
    BlockInfo { address, size, age: EPOCH.age(made), thread: by.thread, frames: STACKS.frames(by.stack) }
}

/// Whether blocks are tracked.
pub(crate) fn is_tracking() -> bool {
    IN_FORCE.is(&TRACKED)
}

/// The live block that starts at `address`.
pub(crate) fn block_info(address: usize) -> Option<BlockInfo> {
    if !is_tracking() || !PROCESS.is_ready() {
        return None;
    }
    // Acquire pairs with the Release in `note`.
    let note = unit_of(address).map_or_else(|| ticket_of(address), |unit| unit.load(Ordering::Acquire));
    NOTES.copy(note).filter(|block| block.address == address).as_ref().map(info_of)
}

/// Calls `visit` with each live block until it returns false; how many calls returned true. No lock is held meanwhile,
/// so `visit` may allocate and free; it gets copies of the notes.
pub(crate) fn walk(mut visit: impl FnMut(BlockInfo) -> bool) -> usize {
    let live = (0..NOTES.limit()).filter_map(|place| NOTES.copy(place));
    live.map(|block| info_of(&block)).take_while(|info| visit(*info)).count()
}
