#![expect(unsafe_code, reason = "reads the shadow and bytes of blocks")]
//! All that the mode knows of blocks: their state, their canaries, and the reports of what is wrong with them. Takes no
//! lock but that of the list of direct mappings, so any thread may ask about any block.

use super::canary::{CANARY, Keys, Overwritten, get};
use super::state::{self, NEVER, TAIL, is_live};
use crate::base::text::Line;
use crate::base::units::REGION_BYTES;
use crate::central::{Place, Refused};
use crate::diag::{self, Code, Misuse};
use crate::heap::Freed;
use crate::heap::second_path::SlowMalloc;
use crate::pages::Shadow;
use crate::process::state::PROCESS;
use crate::sys::atomic::{AtomicU8, AtomicU64, Ordering};
use crate::sys::cell::SetOnce;
use crate::sys::memory;

/// The secrets of the process. Written at start; read by any thread.
static KEYS: SetOnce<Keys> = SetOnce::new();

/// Sets the secrets.
///
/// # Safety
/// - Called once, before any block of the mode.
pub(super) unsafe fn set_keys(keys: Keys) {
    // SAFETY: nothing reads the secrets yet.
    unsafe { KEYS.set(keys) };
}

/// The secrets of the process.
#[inline(always)]
pub(super) fn keys() -> &'static Keys {
    // SAFETY: the start of the mode set them, before there was any block to ask about.
    unsafe { KEYS.get() }
}

/// Looks at a word that does not fit the state of its block, before it counts as overwritten: other threads may be
/// making or freeing the block.
const LOOKS: usize = 64;

/// The shadow of the data area.
#[inline(always)]
pub(super) fn shadow() -> &'static Shadow {
    PROCESS.central.pages.space().shadow()
}

/// The state of the block that starts at `address`; `None` where none can.
pub(super) fn unit(address: usize) -> Option<&'static AtomicU8> {
    // SAFETY: the shadow reaches the granule.
    shadow().reaches(address).then(|| unsafe { shadow().byte(address) })
}

/// Bytes of the block of ours that starts at `block`, live or not; none where no block of ours starts.
pub(super) fn whole_of(block: *mut u8) -> Option<usize> {
    match PROCESS.central.resolve(block.addr()) {
        Place::Small { class, offset, .. } if class.geometry().locate(offset).1 => Some(class.size()),
        Place::Large { span, .. } => Some(span.large_bytes()),
        Place::Direct(direct) if direct.address == block.addr() => Some(direct.bytes),
        _ => None,
    }
}

/// Makes a block of `whole` bytes, which the caller has, live with canaries for `size` bytes; false, and reported, if
/// it is live already.
#[inline(always)]
pub(super) fn make_live(block: *mut u8, whole: usize, size: usize) -> bool {
    // SAFETY: the shadow reaches blocks of spans and large blocks.
    let unit = unsafe { shadow().byte(block.addr()) };
    // Relaxed: see `state`.
    if is_live(unit.load(Ordering::Relaxed)) {
        report_twice(block);
        return false;
    }
    // SAFETY: the caller has the block, which has so many bytes, enough for the request and a canary.
    let live = unsafe { keys().write(block.addr(), whole, size) };
    // Relaxed: as above.
    unit.store(live, Ordering::Relaxed);
    true
}

/// Reports that a bin has given out a block that is live, and serves the request otherwise.
#[cold]
#[inline(never)]
pub(super) fn twice(block: *mut u8, size: usize, slow: SlowMalloc) -> *mut u8 {
    report_twice(block);
    slow(size)
}

#[cold]
fn report_twice(block: *mut u8) {
    report_pointer("malloc", Code::DoubleFree, block.addr(), "a block that was freed twice is in use again");
}

/// Whether a sized free that names `size` may have `block`, as far as its state tells: where it does not, or the
/// canaries are wrong, the slow path finds out more.
pub(super) fn is_of_size(block: *mut u8, size: usize) -> bool {
    let Some(unit) = unit(block.addr()) else { return false };
    // Relaxed: see `state`.
    let state = unit.load(Ordering::Relaxed);
    if !is_live(state) {
        return false;
    }
    // SAFETY: a block is live there.
    whole_of(block).is_some_and(|whole| unsafe { keys().check(block.addr(), whole, state) } == Ok(size))
}

/// The requested size of a live block of `whole` bytes. Reports canaries that are not whole.
pub(super) fn check(call: &'static str, block: usize, whole: usize, state: u8) -> usize {
    // SAFETY: callers found a live block of so many bytes there, with that state.
    let found = unsafe { keys().check(block, whole, state) };
    found.unwrap_or_else(|Overwritten(place)| {
        let size = size_by_state(whole, state);
        report_write(Code::HeapOverflow, call, block, (place, "something wrote behind the block"), (size, whole));
        size
    })
}

/// The size of a live block by its state alone; the most that it can be where the size stood in the block.
fn size_by_state(whole: usize, state: u8) -> usize {
    whole - CANARY - if state == TAIL { 0 } else { usize::from(state - state::LIVE) }
}

/// Reports a word before the small block at `block` that belongs to the block before it, and is not as it must be.
pub(super) fn check_before(call: &'static str, block: usize, whole: usize, state: u8) {
    if block.is_multiple_of(REGION_BYTES) {
        return;
    }
    let (place, left) = (block - CANARY, block - whole);
    // SAFETY: the shadow reaches the granule: one region before a block.
    let unit = unsafe { shadow().byte(left) };
    // SAFETY: the word lies in the region of the block, is aligned, and threads that write it store it whole.
    let word = unsafe { &*core::ptr::with_exposed_provenance::<AtomicU64>(place) };
    for _ in 0..LOOKS {
        // Acquire, so that the state is read after the word.
        let seen = word.load(Ordering::Acquire);
        // Relaxed: as above.
        let live = is_live(unit.load(Ordering::Relaxed));
        // A block that is being freed still has its canary. The slack may be mixed in.
        let is_canary = (seen ^ keys().canary(block)) < whole as u64;
        if is_canary || seen == 0 && !live {
            return;
        }
    }
    let size = size_by_state(whole, state);
    let what = "something wrote before the block, or behind the one before it";
    report_write(Code::HeapOverflow, call, block, (0, what), (size, whole));
    // Reported once: the word is made right, as far as it is known what is right.
    // Relaxed: as above.
    let before = unit.load(Ordering::Relaxed);
    if before != TAIL {
        word.store(if is_live(before) { keys().canary(block) } else { 0 }, Ordering::Relaxed);
    }
}

/// Reports a block that something wrote to after it was freed, and fills it with zeroes.
pub(super) fn report_written(block: *mut u8, whole: usize) {
    let words = (0..whole).step_by(CANARY);
    // SAFETY: the block has so many bytes.
    let place = words.map(|at| (at, unsafe { get(block.addr() + at) })).find(|&(_, word)| word != 0);
    let place = place.map_or(0, |(at, word)| at + (word.trailing_zeros() / u8::BITS) as usize);
    let what = "something wrote to the block after it was freed";
    report_write(Code::UseAfterFree, "free", block.addr(), (place, what), (0, whole));
    // SAFETY: the block has left the quarantine, and is the caller's.
    unsafe { memory::zero(block, whole) };
}

/// Why a pointer at which no live block starts is refused.
pub(super) fn refusal(address: usize) -> Refused {
    // Relaxed: see `state`.
    let state = unit(address).map_or(NEVER, |unit| unit.load(Ordering::Relaxed));
    let in_place = || matches!(PROCESS.central.resolve(address), Place::Nowhere);
    if state != NEVER || in_place() && PROCESS.central.why_nowhere(address) == Refused::Double {
        Refused::Double
    } else {
        Refused::Inside
    }
}

/// Reports a pointer at which no live block starts.
pub(super) fn report_refusal(call: &'static str, address: usize) {
    match refusal(address) {
        Refused::Double => report_pointer(call, Code::DoubleFree, address, "the block is free already"),
        Refused::Inside => report_pointer(call, Code::InvalidPointer, address, "no block starts there"),
        Refused::Destroyed => report_pointer(call, Code::HeapGone, address, "its heap was destroyed"),
    }
}

/// Refuses to free at `block`, where no live block starts.
pub(super) fn refuse(block: *mut u8) -> Freed {
    report_refusal("free", block.addr());
    Freed::Misused
}

fn report_pointer(call: &'static str, code: Code, address: usize, what: &'static str) {
    let tell = |line: &mut Line| {
        if let Some((start, whole)) = around(address) {
            // Relaxed: for a line of text.
            let state = unit(start).map_or(NEVER, |unit| unit.load(Ordering::Relaxed));
            // SAFETY: a block of so many bytes starts there.
            let size = if is_live(state) { unsafe { keys().check(start, whole, state) }.ok() } else { None };
            describe(line, size.unwrap_or(0), whole);
        }
    };
    diag::misuse_with(&Misuse { code, call, pointer: address, what, block_bytes: 0 }, tell, |_| {});
}

/// Where the small block around `address` starts, and its bytes.
fn around(address: usize) -> Option<(usize, usize)> {
    match PROCESS.central.resolve(address) {
        Place::Small { class, offset, .. } => {
            let (index, _) = class.geometry().locate(offset);
            (index < class.geometry().capacity)
                .then(|| (address - offset + index as usize * class.size(), class.size()))
        }
        _ => None,
    }
}

fn report_write(code: Code, call: &str, block: usize, (place, what): (usize, &str), (size, whole): (usize, usize)) {
    let tell = |line: &mut Line| {
        line.text(call).text("(").address(block).text("): ").text(what).text(", ").number(place as u64);
        describe(line.text(" bytes from its start"), size, whole);
    };
    diag::misuse_told(code, tell, |_| {});
}

/// Adds what is known of a block: its size, unless that is 0, and its bytes.
fn describe(line: &mut Line, size: usize, whole: usize) {
    if size > 0 {
        line.text(" (block of ").number(size as u64).text(" bytes in one of ").number(whole as u64).text(")");
    } else {
        line.text(" (block of ").number(whole as u64).text(" bytes)");
    }
}

/// Rewrites the canaries of a live block of `old` bytes in `wholes[0]` for `size` bytes in `wholes[1]`; `None` if
/// another thread has freed the block.
pub(super) fn resize(block: *mut u8, wholes: [usize; 2], old: usize, size: usize, state: u8) -> Option<()> {
    // Bytes that become the program's to read have no canary in them. The last word of a block that stays as long is
    // none of them, and keeps a canary: a free of the next block, on another thread, may look at it meanwhile.
    let last = wholes[0] - CANARY;
    // SAFETY: the bytes lie in the block, behind those that the program has used.
    unsafe { memory::zero(block.wrapping_add(old), CANARY.min(last - old)) };
    if wholes[0] != wholes[1] {
        // SAFETY: as above.
        unsafe { memory::zero(block.wrapping_add(last), CANARY) };
    }
    // SAFETY: the program resizes the block, so this call has it; it has room for the request and a canary.
    let live = unsafe { keys().write(block.addr(), wholes[1], size) };
    let unit = unit(block.addr())?;
    // Relaxed: see `state`.
    unit.compare_exchange(state, live, Ordering::Relaxed, Ordering::Relaxed).ok().map(drop)
}
