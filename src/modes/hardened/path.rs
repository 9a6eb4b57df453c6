#![expect(unsafe_code, reason = "frees and hands out blocks by what the shadow says of them")]
//! The second path of the mode: malloc and free without a lock, a span or a call. All that it cannot decide, and every
//! misuse that it finds, is for the slow path (`super::mode`), which looks again before it reports.
//!
//! ```text
//! malloc(size)                                free(block)
//! |- pop the bin of size + 8                  |- a granule of the data area starts there, and is live
//! |- the block is not live                    |- the map says: a span of this heap
//! |- write the canary, twice                  |- both canaries are whole, and so is the end of the block before it
//! '- live                                     |- freed; zeroes
//!                                             |- takes a slot of the quarantine at random
//!                                             '- the block that leaves is all zeroes: push the bin
//! ```
//!
//! # Invariants
//! - A block is live before the program has it, and freed before it is filled with zeroes.
//! - All memory of a span that is not live is zero, but for what is being freed at the moment and for the first word of
//!   deferred blocks.

use super::blocks::{self, keys};
use super::canary::{CANARY, get, put, turned};
use super::mode::{self, Checked, Sent};
use super::state::{LIVE, SLACK_MAX, free_own, free_remote, is_live};
use super::waiting::{Kept, Left, WaitingSlot};
use crate::base::class::{Class, FAST_MAX, SMALL_MAX};
use crate::base::units::REGION_BYTES;
use crate::heap::FastHeap;
use crate::heap::second_path::{SecondPath, SlowAligned, SlowFree, SlowMalloc, SlowSizedFree};
use crate::pages::REGION_GRANULES;
use crate::pages::map::{BIN_BYTES, BINS_BYTES};
use crate::slow_path::free;
use crate::sys::atomic::{AtomicU8, Ordering};
use crate::sys::zeroes::{self, SHORT, STRIDE};

/// Blocks up to [`FAST_MAX`] are multiples of this, and so are all blocks of the mode: the smallest class is not used.
pub(super) const STEP: usize = STRIDE;
/// The bin of the class of so many bytes lies this many times as far behind the start of the heap.
const SCALE: usize = BIN_BYTES / STEP;

const _: () = assert!(STEP.is_multiple_of(CANARY));
const _: () = {
    let mut whole = STEP;
    while whole <= FAST_MAX {
        match Class::of_size(whole) {
            Some(class) => assert!(class.index() * BIN_BYTES == whole * SCALE),
            None => panic!("a class for each size"),
        }
        whole += STEP;
    }
};

/// The second path of the mode.
pub(super) static PATH: SecondPath =
    SecondPath { after_fast: false, malloc, zeroed: malloc, aligned, free, free_sized };

/// Serves calloc, too: free memory is all zeroes.
fn malloc(size: usize, heap: &FastHeap, slow: SlowMalloc) -> *mut u8 {
    // A request of 0 is for the slow path, and so is all above.
    if size.wrapping_sub(1) >= FAST_MAX - CANARY {
        return malloc_medium(size, heap, slow);
    }
    let whole = (size + CANARY + STEP - 1) & !(STEP - 1);
    // SAFETY: the bin of the class of `whole` bytes, of the calling thread's heap.
    let block = unsafe { heap.pop_at(whole * SCALE) };
    if block.is_null() {
        return malloc_coarse(size, heap, slow);
    }
    // SAFETY: the shadow reaches blocks of bins, and this one is the calling thread's.
    let unit = unsafe { blocks::shadow().byte(block.addr()) };
    // Relaxed: see `state`.
    if is_live(unit.load(Ordering::Relaxed)) {
        return blocks::twice(block, size, slow);
    }
    let (address, end) = (block.addr(), block.addr() + whole);
    let canary = keys().canary(end);
    // SAFETY: the last word of the block, which this thread has.
    unsafe { put(end - CANARY, canary) };
    // SAFETY: the canary fits behind the request.
    unsafe { put(address + size, turned(canary, size)) };
    // Relaxed: as above. The slack is less than a step.
    unit.store((whole - size + (LIVE as usize - CANARY)) as u8, Ordering::Relaxed);
    block
}

/// malloc of a class whose bin has no block: a block of the class that serves its requests in this heap.
#[inline(never)]
fn malloc_coarse(size: usize, heap: &FastHeap, slow: SlowMalloc) -> *mut u8 {
    let class = Class::of_size((size + CANARY).max(STEP));
    let serving = class.map(|class| heap.serving(class)).filter(|&serving| Some(serving) != class);
    let block = serving.map_or(core::ptr::null_mut(), |serving| pop(heap, serving, size));
    if block.is_null() { slow(size) } else { block }
}

#[inline(never)]
fn malloc_medium(size: usize, heap: &FastHeap, slow: SlowMalloc) -> *mut u8 {
    if size.wrapping_sub(1) >= SMALL_MAX - CANARY {
        return slow(size);
    }
    let class = Class::of_medium(size + CANARY);
    let block = pop(heap, class, size);
    if block.is_null() { slow(size) } else { block }
}

/// A block of `class` for a request of `size`, with canaries and live; null if the bin has none.
#[inline(always)]
fn pop(heap: &FastHeap, class: Class, size: usize) -> *mut u8 {
    // SAFETY: the bin of a class, of the calling thread's heap.
    let block = unsafe { heap.pop_at(class.index() * BIN_BYTES) };
    if block.is_null() || blocks::make_live(block, class.size(), size) { block } else { core::ptr::null_mut() }
}

fn aligned(align: usize, size: usize, heap: &FastHeap, slow: SlowAligned) -> *mut u8 {
    let class = Class::aligned(size.saturating_add(CANARY), align.max(STEP)).filter(|_| size > 0);
    let block = class.map_or(core::ptr::null_mut(), |class| pop(heap, class, size));
    if block.is_null() { slow(align, size) } else { block }
}

/// `slow` is not used: the slow path of the mode, which the compiler knows, needs no register.
fn free(block: *mut u8, heap: &FastHeap, _slow: SlowFree) {
    let shadow = blocks::shadow();
    // Addresses outside of the data area, and misaligned ones, are out of reach.
    let granule = shadow.granule(block.addr());
    if granule >= shadow.reach() {
        return mode::free_slow(block);
    }
    // SAFETY: the shadow reaches the granule.
    let slack = unsafe { shadow.load(granule) } ^ usize::from(LIVE);
    if slack > SLACK_MAX {
        return free_other(block, heap);
    }
    // SAFETY: a block is live there, so its region is committed; this second path is never the inert heap's.
    let offset = unsafe { heap.word_of(granule / REGION_GRANULES) }.bits() ^ heap.address();
    if offset > SHORT * SCALE {
        return free_long(block, heap, granule, slack, offset);
    }
    free_own_block::<SHORT>(block, heap, granule, slack, offset);
}

/// free of blocks that are filled and tested by a function: apart, so that `free` needs few registers.
#[inline(never)]
fn free_long(block: *mut u8, heap: &FastHeap, granule: usize, slack: usize, offset: usize) {
    if offset > FAST_MAX * SCALE {
        return free_other(block, heap);
    }
    free_own_block::<FAST_MAX>(block, heap, granule, slack, offset);
}

/// free of a live block of up to `MAX` bytes with so much `slack`, which starts at `granule`. Its bin lies `offset`
/// bytes behind the start of this heap.
#[inline(always)]
fn free_own_block<const MAX: usize>(block: *mut u8, heap: &FastHeap, granule: usize, slack: usize, offset: usize) {
    let (shadow, address) = (blocks::shadow(), block.addr());
    let whole = offset / SCALE;
    let end = keys().canary(address + whole);
    let size = whole - CANARY - slack;
    // SAFETY: the last word of the block.
    let last = unsafe { get(address + whole - CANARY) } ^ end;
    // SAFETY: the canary lies in the block.
    let behind = unsafe { get(address + size) } ^ turned(end, size);
    if last | behind | before(granule, address, whole) != 0 {
        return mode::free_slow(block);
    }
    let Some(kept) = Kept::of(heap) else { return mode::free_slow(block) };
    // SAFETY: the offset is less than that of the last bin, and a word is that of a bin.
    let waiting = unsafe { kept.at(offset) };
    // SAFETY: a block of this thread's heap starts there.
    let unit = unsafe { shadow.byte_of(granule) };
    free_own(unit);
    let place = waiting.place(kept.draw(end));
    let left = place.get_block();
    if left.is_null() {
        return wait_slow(block, heap, place, offset);
    }
    // The block was live, is of this class and of a span of this heap; blocks of the quarantine are of the same class.
    let clean = if MAX == SHORT {
        // SAFETY: as above.
        unsafe { zeroes::fill_and_test_short(block, left, whole) }
    } else {
        // SAFETY: as above.
        unsafe { zeroes::fill_and_test(block, left, whole) }
    };
    if !place.replace(left, block) {
        return wait_slow(block, heap, place, offset);
    }
    if !clean {
        return written(left, whole);
    }
    // SAFETY: the bin of the class, of this thread's heap. Blocks that come out of the quarantine are in no bin.
    if !unsafe { heap.push_fresh_at(offset, left) } {
        free::free::<Checked>(left);
    }
}

/// The end of `free` where the slot is empty, or where a handler has changed it meanwhile.
#[cold]
#[inline(never)]
fn wait_slow(block: *mut u8, heap: &FastHeap, place: WaitingSlot, offset: usize) {
    // SAFETY: the block is freed, and of the class of these slots.
    settle(heap, offset, unsafe { place.exchange(block, offset / SCALE, false) }, offset / SCALE);
}

/// Puts the block that has left the quarantine into its bin.
fn settle(heap: &FastHeap, offset: usize, left: Left, whole: usize) {
    match left {
        Left::None => {}
        // SAFETY: the bin of the class, of this thread's heap.
        Left::Clean(left) if unsafe { heap.push_fresh_at(offset, left) } => {}
        Left::Clean(left) => free::free::<Checked>(left),
        Left::Written(left) => written(left, whole),
    }
}

/// Bits of the word before a block that are not as they must be: those of the canary of the block before it, if that is
/// live, else zeroes. The first block of a region has no such word: a guard may lie there.
#[inline(always)]
fn before(granule: usize, address: usize, whole: usize) -> u64 {
    if address.is_multiple_of(REGION_BYTES) {
        return 0;
    }
    // In doubt the slow path looks again.
    // SAFETY: the shadow reaches the granules of the first region, where no block is, and this one lies behind it.
    let left = unsafe { blocks::shadow().load(granule - whole / STEP) };
    let expected = if is_live(left as u8) { keys().canary(address) } else { 0 };
    // SAFETY: the word lies in the region of the block, which is committed.
    unsafe { get(address - CANARY) ^ expected }
}

/// Reports a block of the quarantine that something wrote to, and frees it.
#[cold]
#[inline(never)]
fn written(block: *mut u8, whole: usize) {
    blocks::report_written(block, whole);
    free::free::<Checked>(block);
}

/// free of all blocks but the smallest of this heap: of larger classes, with more slack than the state has room for,
/// and of other heaps.
#[inline(never)]
fn free_other(block: *mut u8, heap: &FastHeap) {
    let address = block.addr();
    let granule = blocks::shadow().granule(address);
    // SAFETY: the caller found that the shadow reaches it.
    let unit = unsafe { blocks::shadow().byte_of(granule) };
    // Relaxed: see `state`.
    let state = unit.load(Ordering::Relaxed);
    if !is_live(state) {
        return mode::free_slow(block);
    }
    // SAFETY: a block is live there, so its region is committed.
    let entry = unsafe { heap.word_of(granule / REGION_GRANULES) }.entry();
    let Some(class) = entry.class() else { return mode::free_slow(block) };
    let whole = class.size();
    // SAFETY: a live block of the class starts there.
    if unsafe { keys().check(address, whole, state) }.is_err() || before(granule, address, whole) != 0 {
        return mode::free_slow(block);
    }
    if entry.bits() ^ heap.address() >= BINS_BYTES {
        return free_to_other(block, heap, (unit, state), whole);
    }
    let Some(kept) = Kept::of(heap) else { return mode::free_slow(block) };
    let offset = class.index() * BIN_BYTES;
    // SAFETY: the offset of a bin.
    let waiting = unsafe { kept.at(offset) };
    free_own(unit);
    let place = waiting.place(kept.draw(keys().canary(address + whole)));
    // SAFETY: the block was live, is of this class and of a span of this heap.
    settle(heap, offset, unsafe { place.exchange(block, whole, false) }, whole);
}

/// free of a block of another heap, or of the central list.
fn free_to_other(block: *mut u8, heap: &FastHeap, (unit, state): (&AtomicU8, u8), whole: usize) {
    if !free_remote(unit, state) {
        return mode::free_slow(block);
    }
    // SAFETY: of several threads that free the block this one was first, so it has the block.
    unsafe { zeroes::fill(block, whole) };
    if !heap.send_fast::<false>(block) {
        free::free::<Sent>(block);
    }
}

fn free_sized(block: *mut u8, size: usize, heap: &FastHeap, slow: SlowSizedFree) {
    if blocks::is_of_size(block, size) {
        free(block, heap, mode::free_slow);
    } else {
        slow(block, size);
    }
}
