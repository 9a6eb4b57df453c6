#![expect(unsafe_code, reason = "marks blocks, gives locks back")]
//! ModeTable `hardened`: every block is noted from when it is made until it leaves the quarantine, so every free is checked when it happens,
//! whoever made the block. See `modes/hardened` for what blocks are marked with.
//!
//! Everything happens with the heap held, or on a thread that has none any more: a signal handler that interrupts it goes to libc.

use core::ffi::CStr;

use crate::base::class::{self, Class};
use crate::base::text::Line;
use crate::base::units::REQUEST_MAX;
use crate::central::{Place, Refused};
use crate::config::Options;
use crate::diag::{self, Code};
use crate::heap::{Freed, Heap};
use crate::modes::hardened::{CANARY_MIN, Marks, Note, Overwritten, Patient, Quarantine, Spares};
use crate::modes::ledger::Ledger;
use crate::process::feature::{Feature, Order};
use crate::process::state::PROCESS;
use crate::process::tally::Reason;
use crate::process::thread::{self, HeapAccess};
use crate::slow_path::foreign::{Foreign, judge};
use crate::slow_path::mode::{self, Mode, Print};
use crate::slow_path::request::{self, FreeSize, Request, Resized};
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
static SPARES: [Lock<Spares>; class::COUNT] = [const { Lock::new(Rank::Reserve, Spares::new()) }; class::COUNT];

/// The table.
pub(crate) static HARDENED: ModeTable = ModeTable::of::<Hardened>();

/// See the module.
struct Hardened;

/// Draws all secrets, at start.
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
    SPARES.iter().for_each(|spares| spares.lock().begin(next()));
}

impl Mode for Hardened {
    const NAME: &'static CStr = c"hardened";

    fn serve(heap: &Heap, request: Request) -> Option<*mut u8> {
        let padded = Request { size: request.size + CANARY_MIN, ..request };
        if padded.size > REQUEST_MAX {
            return None;
        }
        let block = match request::class_of(padded) {
            Some(class) => draw(heap, class, request)?,
            None => mode::serve(heap, padded)?,
        };
        let (made_by, whole) = (heap.thread.get(), whole_of(block)?);
        let note = Note { address: block.addr(), size: request.size, whole, made_by, freed_by: 0 };
        // SAFETY: the block is fresh.
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
                // The thread that was interrupted holds it; what it does cannot be known.
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
            // Neither lock is held while a block goes home.
            while let Some(patient) = { shard.lock().leave() } {
                discharge(heap, patient);
            }
        }
        for spares in &SPARES {
            while let Some(spare) = { spares.lock().take() } {
                free_home(heap, spare);
            }
        }
    }

    fn report(_: Print<'_>) {
        check_everything();
    }
}

/// The mode's locks for a fork.
static FORK: Feature = Feature { locks: Some((Order::AfterCentral, lock_for_fork, unlock_after_fork)), ..Feature::NONE };

fn lock_for_fork(patience: &Patience) {
    SPARES.iter().for_each(|lock| lock.lock_for_fork(patience));
    QUARANTINE.iter().for_each(|lock| lock.lock_for_fork(patience));
    NOTES.lock_for_fork(patience);
}

fn unlock_after_fork() {
    NOTES.unlock_after_fork();
    for shard in &QUARANTINE {
        shard.unlock_after_fork();
    }
    for spares in &SPARES {
        spares.unlock_after_fork();
    }
}

/// A block of `class` that nobody could foresee.
fn draw(heap: &Heap, class: Class, request: Request) -> Option<*mut u8> {
    let block = loop {
        let fresh = heap.alloc(PROCESS.shared(), class)?;
        let spares = SPARES.get(class.index())?;
        let drawn = spares.lock().exchange(fresh.expose_provenance(), class.size());
        if let Some(drawn) = drawn {
            break drawn;
        }
    };
    if request.zero {
        // SAFETY: the block was just taken out of the spares or the heap, and has at least so many bytes.
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

/// Whether a block starts there, or started while the memory around it was one.
fn starts_block(block: *mut u8) -> bool {
    let gone = || PROCESS.central.why_nowhere(block.addr()) == Refused::Double;
    whole_of(block).is_some() || matches!(PROCESS.central.resolve(block.addr()), Place::Nowhere) && gone()
}

/// Frees `block`; `check` is whether its canary is looked at now.
fn free(heap: Option<&Heap>, block: *mut u8, check: bool) -> Freed {
    let freed_by = heap.map_or_else(call::thread_id, |heap| heap.thread.get());
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
            bury(heap, note)
        }
        // The mapping of a large block is gone, and libc has it now.
        Some(_) if is_foreign(block) && judge(block.addr()) == Foreign::Libc => Freed::Foreign,
        Some(note) => {
            accuse(Code::DoubleFree, "free", block.addr(), "the block is free already", Some(&note));
            Freed::Misused
        }
        None if is_foreign(block) => Freed::Foreign,
        None => {
            accuse_unknown(block);
            Freed::Misused
        }
    }
}

/// Takes a block from the program into the quarantine.
fn bury(heap: Option<&Heap>, note: Note) -> Freed {
    let shard = &QUARANTINE[note.address >> SHARD_SHIFT & (SHARDS - 1)];
    let stays = shard.lock().has_room_for(note.whole);
    if stays || PROCESS.options().zero_on_free {
        // SAFETY: the program gave the block up.
        unsafe { MARKS.bury(&note) };
    }
    // Whatever was found before, what is found from here on came later.
    // SAFETY: as above.
    unsafe { MARKS.guard(&note) };
    let patient = Patient { address: note.address, whole: note.whole };
    if !stays || !shard.lock().admit(patient) {
        // Its note stays until there is another block.
        go_home(heap, &note);
    }
    loop {
        // The lock is not held while the block goes home.
        let next = shard.lock().discharge();
        let Some(patient) = next else { break };
        discharge(heap, patient);
    }
    match Class::of_size(note.whole) {
        Some(class) if class.size() == note.whole => Freed::Small,
        _ => Freed::Large,
    }
}

/// Lets a block be used again.
fn discharge(heap: Option<&Heap>, patient: Patient) {
    // The shard is free again when the block goes home.
    let note = NOTES.shard(patient.address).remove(patient.address);
    if let Some(note) = note {
        check_buried(&note);
        go_home(heap, &note);
    }
}

fn go_home(heap: Option<&Heap>, note: &Note) {
    free_home(heap, note.address);
}

fn free_home(heap: Option<&Heap>, address: usize) {
    let block = core::ptr::with_exposed_provenance_mut(address);
    let _ = match heap {
        Some(heap) => mode::free_on(heap, block),
        None => mode::free_alone(block),
    };
}

fn check_canary(call: &'static str, note: &Note) {
    // SAFETY: callers pass the note of a block that is live or just freed.
    if let Err(Overwritten(place)) = unsafe { MARKS.check_canary(note) } {
        accuse_write(Code::HeapOverflow, call, place, "something wrote behind the block", note);
    }
}

fn check_buried(note: &Note) {
    // SAFETY: the block is in the quarantine or just leaves it.
    if let Err(Overwritten(place)) = unsafe { MARKS.check_buried(note) } {
        accuse_write(Code::UseAfterFree, "free", place, "something wrote to the block after it was freed", note);
    }
    check_canary("free", note);
}

/// Looks at all marks when the process ends.
fn check_everything() {
    let _held = thread::access();
    for shard in NOTES.shards() {
        shard.iter().filter(|note| note.is_live()).for_each(|note| check_canary("exit", note));
    }
    for shard in &QUARANTINE {
        shard.lock().each(|patient| {
            let note = NOTES.shard(patient.address).get(patient.address).copied();
            if let Some(note) = note {
                check_buried(&note);
            }
        });
    }
}

fn accuse(code: Code, call: &str, pointer: usize, what: &str, note: Option<&Note>) {
    let tell = |line: &mut Line| {
        line.text(call).text("(").address(pointer).text("): ").text(what);
        if let Some(note) = note {
            describe(note, line);
        }
    };
    diag::misuse_told(code, tell, |_| {});
}

fn accuse_write(code: Code, call: &str, place: usize, what: &str, note: &Note) {
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

/// Reports a pointer of ours that is no block: into a live one, into a freed one, to one that has left the quarantine, or to nothing.
fn accuse_unknown(block: *mut u8) {
    let address = block.addr();
    if starts_block(block) {
        return accuse(Code::DoubleFree, "free", address, "the block is free already, or never was one", None);
    }
    let around = start_of(block).and_then(|start| NOTES.shard(start).get(start).copied());
    accuse(Code::InvalidPointer, "free", address, "no block starts there, it points into one", around.as_ref());
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
