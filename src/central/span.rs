#![expect(unsafe_code, reason = "views records as spans and metadata as bitmaps")]
//! A span: regions cut into blocks of one class. Its header and bitmap lie out of line.
//!
//! The bitmap has a bit for every block, set while the block is *out*, that is, live or in a bin or batch. Only the
//! bitmap decides whether a block is free, so a double free is found here. Blocks are taken in order of address, so
//! that pages that were never needed stay untouched. Must not know who owns the span.
//!
//! # Invariants
//! - `used` is the number of set bits; a bit that belongs to no block is never set.
//! - Only the thread that holds the lock of the owner changes a span: that of the heap's spans, or that of the central
//!   list.

use core::cell::Cell;
use core::mem::offset_of;

use super::batch::Block;
use crate::base::class::{Class, Divisor, Geometry};
use crate::base::units::{REGION_BYTES, Region};
use crate::pages::{Finder, Pages, SPAN_BYTES, Space, Word};
use crate::sys::atomic::{AtomicU8, AtomicU32, AtomicUsize};
use crate::sys::cell::Relaxed;

const INLINE_WORDS: usize = 7;
pub(super) const WORD_BITS: u32 = u64::BITS;
/// Fewer blocks in a row are returned one by one.
const ROW_MIN: u32 = 4;
/// In `Span::used`: every block is out. It is the sign bit, so that one comparison finds both counts that need work.
const FULL: u32 = 1 << 31;

/// The use of a region.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub(crate) enum State {
    /// No span, or not yet.
    Unused = 0,
    /// Blocks can be fetched.
    Partial,
    /// Every block is out.
    Full,
    /// One large block, no cutting.
    Large,
    /// A span that was released.
    FreedSpan,
    /// A large block that was freed.
    FreedLarge,
    /// A span or a large block whose heap was destroyed.
    Destroyed,
}

/// Why a block cannot be taken back.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Refused {
    /// It is free already.
    Double,
    /// No block starts there.
    Inside,
    /// It went with its heap, which the program destroyed.
    Destroyed,
}

/// The header of a region. Of a span of several regions the first one's counts, but for `first`.
#[repr(C)]
pub(crate) struct Span {
    /// Neighbours in the owner's list, as region numbers.
    pub(crate) next: Cell<u32>,
    pub(crate) previous: Cell<u32>,
    /// The first region of the span that this region belongs to. Written when the span is made; read by any thread, for
    /// any address.
    pub(super) first: Relaxed<AtomicU32>,
    /// Written as `used` is. Any thread reads it; where an old value would do harm, it reads again under a lock.
    pub(super) state: Relaxed<AtomicU8>,
    /// Whether it lies between guard regions. Only the first region's counts; cleared when the run is given back.
    pub(super) guarded: Cell<bool>,
    /// Regions of the run of a large block, where these are more than its bytes need; else 0. Written by the thread
    /// that has the block. Of a span of a class 1 if every second block is left out ([`super::spread`]), else 0,
    /// written when the span is made.
    pub(super) room: Cell<u16>,
    /// Blocks that are out, and [`FULL`]. Written by the thread that may change the span; read by any thread for
    /// figures.
    used: Relaxed<AtomicU32>,
    /// The state of its holes, which [`super::holes`] explains. Written as `used` is; read by any thread for figures.
    pub(super) rest: Relaxed<AtomicU32>,
    /// The bitmap, unless it is `inline`.
    bitmap: Cell<*const Cell<u64>>,
    /// Usable bytes of a large block. Written by the thread that has the block; read by any, for any address.
    pub(super) bytes: Relaxed<AtomicUsize>,
    pub(super) inline: [Cell<u64>; INLINE_WORDS],
}

const _: () = assert!(size_of::<Span>() <= SPAN_BYTES);

/// The word in the map, and the header, of the region of a block.
#[inline(always)]
pub(crate) fn found(finder: Finder, block: Block) -> (Word, &'static Span) {
    // SAFETY: a span gave the block out, so its region is committed, with word and record.
    let word = unsafe { finder.word(block.addr()) };
    // SAFETY: as above; a record is aligned, zero-initialised memory of enough bytes that stays for the life of the
    // process.
    (word, unsafe { &*finder.record(block.addr()).cast::<Span>() })
}

/// The header of `region`, which is committed. Zeroed records are valid headers of unused regions.
#[inline]
pub(super) fn header(space: &Space, region: Region) -> &Span {
    // SAFETY: a record is aligned, zero-initialised memory of enough bytes that stays for the life of the process.
    unsafe { &*space.record(region).cast::<Span>() }
}

/// How many of the first `blocks` lie at `first`, `first + step` and so on.
fn row_len(blocks: &[*mut u8], first: usize, step: usize) -> usize {
    let (mut row, mut expected) = (0, first);
    // Eight at a time without a branch between, of which the compiler makes wide operations.
    for eight in blocks.as_chunks::<8>().0 {
        let place = |index: usize| expected.wrapping_add(index.wrapping_mul(step));
        let unlike = eight.iter().enumerate().fold(0, |bits, (index, block)| bits | block.addr() ^ place(index));
        if unlike != 0 {
            break;
        }
        row += eight.len();
        expected = expected.wrapping_add(step.wrapping_mul(eight.len()));
    }
    let rest = blocks.get(row..).unwrap_or(&[]).iter();
    let follows = |block: &&*mut u8| {
        let follows = block.addr() == expected;
        expected = expected.wrapping_add(step);
        follows
    };
    row + rest.take_while(follows).count()
}

/// Fills `places` with blocks of `size` bytes that lie in a row, downwards from `last`.
fn put_row(places: &mut [*mut u8], last: usize, size: usize) {
    let mut address = last;
    for place in places {
        *place = core::ptr::with_exposed_provenance_mut(address);
        address = address.wrapping_sub(size);
    }
}

impl Span {
    /// Offsets of the fields that `CentralDescriptor` describes.
    pub(super) const OFFSETS: [usize; 6] = [
        offset_of!(Self, first),
        offset_of!(Self, used),
        offset_of!(Self, state),
        offset_of!(Self, rest),
        offset_of!(Self, bytes),
        offset_of!(Self, bitmap),
    ];
    pub(super) const LARGE_OFFSETS: [usize; 2] = [offset_of!(Self, room), offset_of!(Self, inline)];
    /// In the word for what is out: every block is.
    pub(super) const FULL: usize = FULL as usize;

    /// Makes a span of `class` out of the run at `region`, with every second block left out if it is `spaced`; false if
    /// there is no memory for its bitmap.
    pub(super) fn make(pages: &Pages, region: Region, class: Class, spaced: bool) -> bool {
        let space = pages.space();
        let geometry = class.geometry();
        let words = geometry.bitmap_words();
        let span = header(space, region);
        let bitmap = if words <= INLINE_WORDS {
            span.inline.as_ptr()
        } else {
            match pages.acquire_metadata(words * size_of::<u64>()) {
                Some(piece) => piece.cast_const().cast(),
                None => return false,
            }
        };
        span.bitmap.set(bitmap);
        for word in span.words(geometry) {
            word.set(0);
        }
        span.used.set(0);
        span.room.set(u16::from(spaced));
        span.rest.set(0);
        span.state.set(State::Partial as u8);
        for step in 0..geometry.regions {
            let part = header(space, region.plus(step));
            part.first.set(region.0);
            if step > 0 {
                part.state.set(State::Unused as u8);
            }
        }
        true
    }

    /// Releases the bitmap of an unused span of `class`.
    pub(super) fn unmake(&self, pages: &Pages, class: Class) {
        self.state.set(State::FreedSpan as u8);
        let bitmap = self.bitmap.replace(core::ptr::null());
        if bitmap != self.inline.as_ptr() {
            let bytes = class.geometry().bitmap_words() * size_of::<u64>();
            // SAFETY: `make` acquired it with the same bytes.
            unsafe { pages.release_metadata(bitmap.cast_mut().cast(), bytes) };
        }
    }

    /// The first region of the span.
    #[inline]
    pub(crate) fn first(&self) -> Region {
        Region(self.first.get())
    }

    /// The use of the region.
    pub(crate) fn state(&self) -> State {
        match self.state.get() {
            1 => State::Partial,
            2 => State::Full,
            3 => State::Large,
            4 => State::FreedSpan,
            5 => State::FreedLarge,
            6 => State::Destroyed,
            _ => State::Unused,
        }
    }

    /// Makes a span of blocks partial or full.
    pub(crate) fn set_state(&self, state: State) {
        self.state.set(state as u8);
        self.used.set(self.used() | if state == State::Full { FULL } else { 0 });
    }

    /// Blocks that can be fetched.
    #[inline]
    pub(crate) fn available(&self, geometry: &Geometry) -> u32 {
        let all = if self.is_spaced() { geometry.capacity.div_ceil(2) } else { geometry.capacity };
        all - self.used()
    }

    /// Whether every second block of this span of a class is left out.
    #[inline]
    pub(super) fn is_spaced(&self) -> bool {
        self.room.get() != 0
    }

    /// Blocks that are out.
    #[inline]
    pub(crate) fn used(&self) -> u32 {
        self.used.get() & !FULL
    }

    /// Takes `count` blocks, at most `available`, in order of address. `start` is where the span starts. The first goes
    /// to `slot`, each further one to the slot below.
    ///
    /// # Safety
    /// - `slot` and the `count - 1` before it can be written.
    pub(crate) unsafe fn take(&self, geometry: &Geometry, start: usize, count: usize, slot: *mut *mut u8) {
        debug_assert!(count <= self.available(geometry) as usize);
        self.rest.set(0);
        let size = geometry.size as usize;
        let (mut slot, mut rest) = (slot, count);
        for (step, word) in self.words(geometry).iter().enumerate() {
            let mut free = !word.get();
            if rest == 0 {
                break;
            }
            if free == 0 {
                continue;
            }
            let base = start + step * WORD_BITS as usize * size;
            let first = free.trailing_zeros();
            let row = (free >> first).trailing_ones().min(rest as u32);
            if row >= ROW_MIN {
                let above = slot.wrapping_add(1);
                slot = slot.wrapping_sub(row as usize);
                // SAFETY: a place for each of `count` blocks can be written, and `row` are left or more.
                let places = unsafe { core::slice::from_raw_parts_mut(above.wrapping_sub(row as usize), row as usize) };
                put_row(places, base + (first + row - 1) as usize * size, size);
                free &= !(u64::MAX >> (WORD_BITS - row) << first);
                rest -= row as usize;
            }
            while free != 0 && rest > 0 {
                let block = core::ptr::with_exposed_provenance_mut(base + free.trailing_zeros() as usize * size);
                // SAFETY: as above.
                unsafe { slot.write(block) };
                slot = slot.wrapping_sub(1);
                free &= free - 1;
                rest -= 1;
            }
            word.set(!free);
        }
        self.count_up((count - rest) as u32);
    }

    /// Counts blocks that were taken.
    #[inline(always)]
    pub(super) fn count_up(&self, blocks: u32) {
        self.used.set(self.used() + blocks);
    }

    /// Notes that the block at `offset` is no longer out; false if it was not. `divisor` is that of the class, a copy
    /// that a loop keeps in a register. `count_down` has to follow.
    #[inline(always)]
    pub(crate) fn clear_block(&self, divisor: Divisor, offset: usize) -> bool {
        let (index, exact) = divisor.locate(offset);
        // SAFETY: `make` gave the bitmap a bit for every block that could start in the span.
        let word = unsafe { self.bitmap.get().add((index / WORD_BITS) as usize) };
        // SAFETY: as above; the bitmap stays while the span is in use.
        let word = unsafe { &*word };
        let bits = word.get();
        let cleared = bits & !(1 << (index % WORD_BITS));
        if !exact || cleared == bits {
            return false;
        }
        word.set(cleared);
        true
    }

    /// As `clear_block` in a span of one region, for as many of `blocks` as lie upwards or downwards without a gap:
    /// memory that was filled in order is often freed in order, and then whole words of the bitmap change at once. How
    /// many; none where fewer than [`ROW_MIN`] do or one of them was not out.
    pub(crate) fn clear_row(&self, geometry: &Geometry, blocks: &[*mut u8]) -> u32 {
        let [first, second, ..] = blocks else { return 0 };
        let (step, size) = (second.addr().wrapping_sub(first.addr()), geometry.size as usize);
        let (index, exact) = geometry.locate(first.addr() % REGION_BYTES);
        let room = if step == size {
            geometry.capacity.saturating_sub(index)
        } else if step == size.wrapping_neg() {
            index + 1
        } else {
            0
        };
        let row = row_len(blocks.get(..room as usize).unwrap_or(blocks), first.addr(), step) as u32;
        let low = if step == size { index } else { index.saturating_sub(row.saturating_sub(1)) };
        if exact && row >= ROW_MIN && self.clear_range(geometry, low, row) { row } else { 0 }
    }

    /// Clears `count` bits from bit `low`; false, and nothing is changed, if one of them is not set.
    fn clear_range(&self, geometry: &Geometry, low: u32, count: u32) -> bool {
        let end = low + count;
        let words = || {
            (low / WORD_BITS..end.div_ceil(WORD_BITS)).map(|place| {
                let base = place * WORD_BITS;
                let first = low.max(base) - base;
                let bits = (end - base).min(WORD_BITS) - first;
                (self.word(geometry, base), (u64::MAX >> (WORD_BITS - bits)) << first)
            })
        };
        let all_out = words().all(|(word, mask)| word.get() & mask == mask);
        if all_out {
            words().for_each(|(word, mask)| word.set(word.get() & !mask));
        }
        all_out
    }

    /// Takes back the block at `offset` from the start of the span; true if the owner has to settle the span now.
    pub(crate) fn give_back(&self, geometry: &Geometry, offset: usize) -> Result<bool, Refused> {
        self.is_out(geometry, offset)?;
        self.clear_block(geometry.divisor(), offset);
        Ok(self.count_down(1))
    }

    /// Counts returned blocks, at least one; true if the owner has to settle the span now: it was full, or is
    /// empty.
    #[inline(always)]
    pub(crate) fn count_down(&self, blocks: u32) -> bool {
        let used = self.used.get() as i32;
        // SAFETY: blocks were out and counted, so what is left is not below zero, or `FULL` as a number.
        let left = unsafe { used.unchecked_sub(blocks as i32) };
        self.used.set(left as u32);
        left <= 0
    }

    /// Whether the block at `offset` is out; an error if none starts there.
    pub(crate) fn is_out(&self, geometry: &Geometry, offset: usize) -> Result<(), Refused> {
        let (index, exact) = geometry.locate(offset);
        if !exact || index >= geometry.capacity {
            return Err(Refused::Inside);
        }
        if self.word(geometry, index).get() >> (index % WORD_BITS) & 1 == 0 { Err(Refused::Double) } else { Ok(()) }
    }

    /// Blocks that are out, by the bitmap.
    pub(super) fn counted(&self, geometry: &Geometry) -> u32 {
        self.words(geometry).iter().map(|word| word.get().count_ones()).sum()
    }

    /// Counts the bitmap again, after a fork that may have caught the owner between two stores.
    pub(super) fn recount(&self, geometry: &Geometry) {
        self.used.set(self.counted(geometry));
        self.set_state(self.state());
    }

    /// The word with the bit of block `index`, which lies in the span.
    #[inline(always)]
    pub(super) fn word(&self, geometry: &Geometry, index: u32) -> &Cell<u64> {
        let place = (index / WORD_BITS) as usize;
        debug_assert!(place < geometry.bitmap_words());
        // SAFETY: `make` gave the bitmap a bit for every block that could start in the span.
        let word = unsafe { self.bitmap.get().add(place) };
        // SAFETY: as above; the bitmap stays while the span is in use.
        unsafe { &*word }
    }

    #[inline]
    pub(super) fn words(&self, geometry: &Geometry) -> &[Cell<u64>] {
        // SAFETY: `make` gave the bitmap that many words, aligned; they stay while the span is in use.
        unsafe { core::slice::from_raw_parts(self.bitmap.get(), geometry.bitmap_words()) }
    }
}
