#![expect(unsafe_code, reason = "marks blocks")]
//! Mode `hardened`: every block has a note from its allocation until it leaves the quarantine, so every free is checked
//! when it happens, on whichever thread.
//!
//! The mode works with the heap held, or on a thread that has no heap any more: libc serves a signal handler that
//! interrupts it.

use core::ffi::CStr;

use crate::base::class::{self, Class};
use crate::base::text::Line;
use crate::base::units::REQUEST_MAX;
use crate::central::{Place, Refused};
use crate::config::Options;
use crate::diag::{self, Code};
use crate::heap::{Freed, Heap};
use crate::modes::hardened::{CANARY_MIN, Held, Marks, Note, Overwritten, Quarantine, Shuffle};
use crate::modes::ledger::Ledger;
use crate::pages::Unit;
use crate::process::feature::{Feature, Order};
use crate::process::state::PROCESS;
use crate::process::tally::Reason;
use crate::process::thread::{self, HeapAccess};
use crate::slow_path::foreign::{Foreign, judge};
use crate::slow_path::mode::{self, Mode, Print};
use crate::slow_path::request::{FreeSize, Request, Resized};
use crate::slow_path::table::ModeTable;
use crate::sys::lock::{Lock, Patience, Rank};
use crate::sys::{call, memory};

/// Parts of the quarantine; a power of two.
const SHARDS: usize = 8;
/// Blocks of neighbouring addresses go to different shards.
const SHARD_SHIFT: u32 = 6;

static NOTES: Ledger<Note> = Ledger::new();
static MARKS: Marks = Marks::new();
static QUARANTINE: [Lock<Quarantine>; SHARDS] = [const { Lock::new(Rank::Reserve, Quarantine::new()) }; SHARDS];
static SHUFFLES: [Lock<Shuffle>; class::COUNT] = [const { Lock::new(Rank::Reserve, Shuffle::new()) }; class::COUNT];

/// The table of functions of the mode.
pub(crate) static HARDENED: ModeTable = ModeTable::of::<Hardened>();

struct Hardened;

/// Prepares the mode, and draws its secrets. Part of the start.
pub(crate) fn begin(options: &Options) {
    PROCESS.features.register(&FORK);
    MARKS.begin(call::random(), options.zero_on_free);
    PROCESS.central.allow_guards(options.guard_regions);
    let mut seed = call::random();
    let mut next = || {
        seed = seed.wrapping_add(1);
        seed
    };
    QUARANTINE.iter().for_each(|shard| shard.lock().begin(options.quarantine / SHARDS, next()));
    SHUFFLES.iter().for_each(|shuffle| shuffle.lock().begin(next()));
}

impl Mode for Hardened {
    const NAME: &'static CStr = c"hardened";
    const SHADOW: Option<Unit> = Some(Unit::Byte);

    fn serve(heap: &Heap, request: Request) -> Option<*mut u8> {
        let padded = Request { size: request.size + CANARY_MIN, ..request };
        if padded.size > REQUEST_MAX {
            return None;
        }
        let block = match mode::class_of(padded) {
            Some(class) => draw(heap, class, request)?,
            None => mode::serve(heap, padded)?,
        };
        let (made_by, whole) = (heap.thread.id.get(), whole_of(block)?);
        let note = Note { address: block.addr(), size: request.size, whole, made_by, freed_by: 0 };
        // SAFETY: the block was just allocated, and the program does not have it yet.
        unsafe { MARKS.guard(&note) };
        if NOTES.shard(note.address).insert(note) {
            return Some(block);
        }
        let _ = mode::free_on(heap, block);
        None
    }

    fn free(heap: &Heap, block: *mut u8) -> Freed {
        free(Some(heap), block, true)
    }

    fn free_overwritten(heap: &Heap, block: *mut u8) -> Freed {
        free(Some(heap), block, false)
    }

    fn free_alone(block: *mut u8) -> Freed {
        free(None, block, true)
    }

    fn usable(block: *mut u8) -> Result<Option<usize>, Refused> {
        let note = match thread::access() {
            HeapAccess::Libc(Reason::Recursion) => match NOTES.try_shard(block.addr()) {
                Some(shard) => shard.get(block.addr()).copied(),
                // The thread that was interrupted holds the shard, and may be changing the note.
                None => return Ok(whole_of(block)),
            },
            _held => NOTES.shard(block.addr()).get(block.addr()).copied(),
        };
        match note {
            Some(note) if note.is_live() => Ok(Some(note.size)),
            Some(_) => Err(Refused::Double),
            None if whole_of(block).is_none() && is_foreign(block) => Ok(None),
            None => Err(if starts_block(block) { Refused::Double } else { Refused::Inside }),
        }
    }

    fn resize(_: *mut u8, _: usize, _: usize) -> Option<Resized> {
        // Every block moves, so that old pointers to it are found out.
        None
    }

    fn can_be(usable: usize, named: FreeSize) -> bool {
        named.size == usable
    }

    fn good_size(size: usize, _: usize) -> usize {
        size
    }

    fn give_up(heap: Option<&Heap>) {
        for shard in &QUARANTINE {
            // Neither lock is held while a block is freed.
            while let Some(block) = { shard.lock().take() } {
                release(heap, block);
            }
        }
        for shuffle in &SHUFFLES {
            while let Some(block) = { shuffle.lock().take() } {
                free_to_heap(heap, block);
            }
        }
    }

    fn report(_: Print<'_>) {
        check_all();
    }
}

/// The mode's locks for a fork.
static FORK: Feature =
    Feature { locks: Some((Order::AfterCentral, lock_for_fork, unlock_after_fork)), ..Feature::NONE };

fn lock_for_fork(patience: &Patience) {
    SHUFFLES.iter().for_each(|lock| lock.lock_for_fork(patience));
    QUARANTINE.iter().for_each(|lock| lock.lock_for_fork(patience));
    NOTES.lock_for_fork(patience);
}

fn unlock_after_fork() {
    NOTES.unlock_after_fork();
    for shard in &QUARANTINE {
        shard.unlock_after_fork();
    }
    for shuffle in &SHUFFLES {
        shuffle.unlock_after_fork();
    }
}

/// A block of `class`, drawn at random.
fn draw(heap: &Heap, class: Class, request: Request) -> Option<*mut u8> {
    let block = loop {
        let fresh = heap.alloc(PROCESS.shared(), class)?;
        let shuffle = SHUFFLES.get(class.index())?;
        let drawn = shuffle.lock().exchange(fresh.expose_provenance(), class.size());
        if let Some(drawn) = drawn {
            break drawn;
        }
    };
    if request.zero {
        // SAFETY: the block was just allocated, and has at least so many bytes.
        unsafe { memory::zero(core::ptr::with_exposed_provenance_mut(block), request.size) };
    }
    Some(core::ptr::with_exposed_provenance_mut(block))
}

/// Bytes of the block of ours that starts at `block`, live or not; none where no block of ours starts.
fn whole_of(block: *mut u8) -> Option<usize> {
    match PROCESS.central.resolve(block.addr()) {
        Place::Small { class, offset, .. } if class.geometry().locate(offset).1 => Some(class.size()),
        Place::Large { span, .. } => Some(span.large_bytes()),
        Place::Direct(direct) if direct.address == block.addr() => Some(direct.bytes),
        _ => None,
    }
}

fn is_foreign(block: *mut u8) -> bool {
    matches!(PROCESS.central.resolve(block.addr()), Place::Foreign)
}

/// Whether a block starts at `block`, or did before its memory was freed.
fn starts_block(block: *mut u8) -> bool {
    let gone = || PROCESS.central.why_nowhere(block.addr()) == Refused::Double;
    whole_of(block).is_some() || matches!(PROCESS.central.resolve(block.addr()), Place::Nowhere) && gone()
}

/// Frees `block`; `check` is whether to check its canary now.
fn free(heap: Option<&Heap>, block: *mut u8, check: bool) -> Freed {
    let freed_by = heap.map_or_else(call::thread_id, |heap| heap.thread.id.get());
    let known = {
        let mut shard = NOTES.shard(block.addr());
        shard.get_mut(block.addr()).map(|note| {
            let before = *note;
            note.freed_by = if before.is_live() { freed_by } else { before.freed_by };
            before
        })
    };
    match known {
        Some(note) if note.is_live() => {
            let note = Note { freed_by, ..note };
            if check {
                check_canary("free", &note);
            }
            quarantine(heap, note)
        }
        // The mapping of a large block is gone, and libc has it now.
        Some(_) if is_foreign(block) && judge(block.addr()) == Foreign::Libc => Freed::Foreign,
        Some(note) => {
            report_pointer(Code::DoubleFree, block.addr(), "the block is free already", Some(&note));
            Freed::Misused
        }
        None if is_foreign(block) => Freed::Foreign,
        None => {
            report_unknown(block);
            Freed::Misused
        }
    }
}

/// Puts a block that the program freed into the quarantine, and frees those that have to leave it.
fn quarantine(heap: Option<&Heap>, note: Note) -> Freed {
    let shard = &QUARANTINE[note.address >> SHARD_SHIFT & (SHARDS - 1)];
    let stays = shard.lock().has_room_for(note.whole);
    if stays || PROCESS.options().zero_on_free {
        // SAFETY: the program freed the block, and its note names this thread as the one that did.
        unsafe { MARKS.fill(&note) };
    }
    // A fresh canary: an overflow that was reported is not reported again.
    // SAFETY: as above.
    unsafe { MARKS.guard(&note) };
    if !stays || !shard.lock().add(Held { address: note.address, whole: note.whole }) {
        // Its note stays until another block has the address.
        free_to_heap(heap, note.address);
    }
    loop {
        // The lock is not held while the block is freed.
        let due = shard.lock().take_due();
        let Some(block) = due else { break };
        release(heap, block);
    }
    match Class::of_size(note.whole) {
        Some(class) if class.size() == note.whole => Freed::Small,
        _ => Freed::Large,
    }
}

/// Frees a block that has left the quarantine.
fn release(heap: Option<&Heap>, block: Held) {
    // The ledger's shard is unlocked before the block is freed.
    let note = NOTES.shard(block.address).remove(block.address);
    if let Some(note) = note {
        check_freed(&note);
        free_to_heap(heap, note.address);
    }
}

fn free_to_heap(heap: Option<&Heap>, address: usize) {
    let block = core::ptr::with_exposed_provenance_mut(address);
    let _ = match heap {
        Some(heap) => mode::free_on(heap, block),
        None => mode::free_alone(block),
    };
}

fn check_canary(call: &'static str, note: &Note) {
    // SAFETY: callers pass the note of a block that is live, just freed, or in the quarantine.
    if let Err(Overwritten(place)) = unsafe { MARKS.check_canary(note) } {
        report_write(Code::HeapOverflow, call, place, "something wrote behind the block", note);
    }
}

fn check_freed(note: &Note) {
    // SAFETY: callers pass the note of a block that is in the quarantine or just leaves it.
    if let Err(Overwritten(place)) = unsafe { MARKS.check_fill(note) } {
        report_write(Code::UseAfterFree, "free", place, "something wrote to the block after it was freed", note);
    }
    check_canary("free", note);
}

/// Checks the marks of all blocks, when the process ends.
fn check_all() {
    let _held = thread::access();
    for shard in NOTES.shards() {
        shard.iter().filter(|note| note.is_live()).for_each(|note| check_canary("exit", note));
    }
    for shard in &QUARANTINE {
        for block in shard.lock().blocks() {
            let note = NOTES.shard(block.address).get(block.address).copied();
            if let Some(note) = note {
                check_freed(&note);
            }
        }
    }
}

/// Reports a pointer that `free` cannot have.
fn report_pointer(code: Code, pointer: usize, what: &str, note: Option<&Note>) {
    let tell = |line: &mut Line| {
        line.text("free(").address(pointer).text("): ").text(what);
        if let Some(note) = note {
            describe(note, line);
        }
    };
    diag::misuse_told(code, tell, |_| {});
}

/// Reports a write to the byte `place` bytes behind the start of a block.
fn report_write(code: Code, call: &str, place: usize, what: &str, note: &Note) {
    let tell = |line: &mut Line| {
        line.text(call).text("(").address(note.address).text("): ").text(what).text(", ").number(place as u64);
        describe(note, line.text(" bytes from its start"));
    };
    diag::misuse_told(code, tell, |_| {});
}

fn describe(note: &Note, line: &mut Line) {
    line.text(" (block of ").number(note.size as u64).text(" bytes in one of ").number(note.whole as u64);
    line.text(", made by thread ").number(u64::from(note.made_by));
    if note.is_live() {
        line.text(", live)");
    } else {
        line.text(", freed by thread ").number(u64::from(note.freed_by)).text(")");
    }
}

/// Reports a pointer into our memory that has no note: it points into a block, to one that has left the quarantine, or
/// to none.
fn report_unknown(block: *mut u8) {
    let address = block.addr();
    if starts_block(block) {
        return report_pointer(Code::DoubleFree, address, "the block is free already, or never was one", None);
    }
    let around = start_of(block).and_then(|start| NOTES.shard(start).get(start).copied());
    report_pointer(Code::InvalidPointer, address, "no block starts there, it points into one", around.as_ref());
}

/// Where the block around `block` starts.
fn start_of(block: *mut u8) -> Option<usize> {
    match PROCESS.central.resolve(block.addr()) {
        Place::Small { class, offset, .. } => {
            let (index, _) = class.geometry().locate(offset);
            Some(block.addr() - offset + index as usize * class.size())
        }
        Place::Direct(direct) => Some(direct.address),
        _ => None,
    }
}
