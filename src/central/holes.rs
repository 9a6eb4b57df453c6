#![expect(unsafe_code, reason = "purges pages inside spans")]
//! Holes: whole free pages inside spans that still hold blocks. They are purged once the span is at rest, or at once
//! where the program asks for it.
//!
//! The content of free blocks need not be kept, so their pages may be purged and read as zero later. The bitmap says
//! which blocks are free: blocks in a bin, in a batch or in an interrupted operation are marked as in use. A span is at
//! rest if between two checks no block was taken from it and its count of blocks did not change. [`Span::rest`] records
//! the last check and how much was purged; [`Span::take`] clears it.
//!
//! A mode may keep freed blocks in quarantine that are filled with zeroes. They are marked as in use, but their pages
//! may be purged as well, if no thread can take one of them meanwhile.

use super::span::{Span, WORD_BITS};
use super::store::Central;
use crate::base::class::{Class, Geometry, SPAN_BLOCKS_MAX, SPAN_REGIONS_MAX};
use crate::base::units::{KIB, REGION_BYTES, Region};
use crate::sys::zeroes;

/// In `Span::rest`: the span was checked, or purged; whether the blocks that a mode holds back counted as free; its
/// count then; and KiB purged since a block was last taken.
const PURGED: u32 = 1 << 31;
const SEEN: u32 = 1 << 30;
const WITH_WAITING: u32 = 1 << 29;
const COUNT: u32 = WITH_WAITING - (1 << COUNT_SHIFT);
const PURGED_KIB: u32 = (1 << COUNT_SHIFT) - 1;
const COUNT_SHIFT: u32 = 16;

const _: () = assert!(SPAN_BLOCKS_MAX <= (COUNT >> COUNT_SHIFT) as usize);
const _: () = assert!(SPAN_REGIONS_MAX as usize * REGION_BYTES / KIB <= PURGED_KIB as usize);

/// The outcome of purging a span's holes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[must_use]
pub(crate) enum Holes {
    /// There are none, an earlier call purged them, or the kernel keeps them.
    None,
    /// The span changed since the last check.
    Waiting,
    /// They were purged.
    Purged,
}

/// Which spans are purged.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Due {
    /// Those at rest.
    AtRest,
    /// All that changed since their holes were purged.
    Now,
    /// Those that changed since they were checked, and of them holes of at least a region alone: a purge costs a system
    /// call and an interrupt of the other processors, however small the hole, and a span whose blocks come back one after
    /// another is soon free as a whole.
    Shrinking,
}

/// The words of the largest bitmap.
const WORDS_MAX: usize = SPAN_BLOCKS_MAX.div_ceil(WORD_BITS as usize);

/// Blocks that a mode holds back, by their number; those that are null are none, and `None` ends them.
pub(crate) type Waiting<'a> = &'a dyn Fn(usize) -> Option<*mut u8>;

/// The bits of the blocks of a span whose memory may hold something.
struct Filled([u64; WORDS_MAX]);

impl Filled {
    /// Those of blocks that are out.
    fn of(span: &Span, geometry: &Geometry) -> Self {
        let mut words = [0; WORDS_MAX];
        words.iter_mut().zip(span.words(geometry)).for_each(|(copy, word)| *copy = word.get());
        Self(words)
    }

    /// Leaves out those of `waiting` that lie in the span at `start`, and that nothing has written to.
    fn leave_out(&mut self, geometry: &Geometry, start: usize, waiting: Waiting<'_>) {
        let size = geometry.size as usize;
        for block in (0..).map_while(waiting) {
            let offset = block.addr().wrapping_sub(start);
            if offset >= geometry.regions as usize * REGION_BYTES {
                continue;
            }
            let (index, _) = geometry.locate(offset);
            // SAFETY: a block of the span, which is readable, and of a mode whose blocks are whole strides.
            if unsafe { zeroes::is_clear(block, size) }
                && let Some(word) = self.0.get_mut((index / WORD_BITS) as usize)
            {
                *word &= !(1 << (index % WORD_BITS));
            }
        }
    }

    /// Calls `see` with each stretch of blocks without contents: the first, and the one behind the last.
    fn each_gap(&self, geometry: &Geometry, mut see: impl FnMut(u32, u32)) {
        let mut low = 0;
        while low < geometry.capacity {
            let high = self.run_end(geometry, low, false);
            if high > low {
                see(low, high);
            }
            low = self.run_end(geometry, high, true);
        }
    }

    /// Where the blocks from `index` on that are `filled`, or not, end.
    fn run_end(&self, geometry: &Geometry, mut index: u32, filled: bool) -> u32 {
        while index < geometry.capacity {
            let place = index % WORD_BITS;
            let word = self.0.get((index / WORD_BITS) as usize).map_or(0, |word| word >> place);
            let run = if filled { word.trailing_ones() } else { word.trailing_zeros() }.min(WORD_BITS - place);
            index += run;
            if run < WORD_BITS - place {
                break;
            }
        }
        index.min(geometry.capacity)
    }
}

impl Central {
    /// Checks the holes of a span of `class` that the caller may change, and purges them if they are due. `waiting`
    /// counts as free; nothing takes one of these out meanwhile.
    pub(crate) fn purge_holes(&self, class: Class, region: Region, due: Due, waiting: Option<Waiting<'_>>) -> Holes {
        let (geometry, span) = (class.geometry(), self.span(region));
        let page = self.pages.space().page_bytes();
        let size = geometry.size as usize;
        if waiting.is_none() && (span.available(geometry) as usize) * size < page {
            return Holes::None;
        }
        let holes = span.look(due, waiting.is_some());
        if holes != Holes::Purged {
            return holes;
        }
        let start = self.pages.space().address(region);
        let end = start + geometry.regions as usize * REGION_BYTES;
        let mut filled = Filled::of(span, geometry);
        if let Some(waiting) = waiting {
            filled.leave_out(geometry, start, waiting);
        }
        let least = if due == Due::Shrinking { page.max(REGION_BYTES) } else { page };
        let mut purged = 0;
        filled.each_gap(geometry, |low, high| {
            let from = (start + low as usize * size).next_multiple_of(page);
            // Behind the last block lies nothing.
            let to = if high == geometry.capacity { end } else { (start + high as usize * size) & !(page - 1) };
            // SAFETY: whole pages of blocks that are not out, or zero; the caller keeps others from taking them.
            if from + least <= to && unsafe { self.pages.purge_hole(from, to - from) } {
                purged += to - from;
            }
        });
        span.note_purged(purged);
        if purged > 0 { Holes::Purged } else { Holes::None }
    }
}

impl Span {
    /// Notes a check; `Purged` if the span is to be purged now, which happens once until it changes. The small holes that
    /// `Shrinking` leaves are due once the span is at rest.
    fn look(&self, due: Due, with_waiting: bool) -> Holes {
        let (before, count) = (self.rest.get(), self.used() << COUNT_SHIFT);
        let same = before & (SEEN | PURGED) != 0 && before & COUNT == count;
        let purged = if with_waiting { PURGED | WITH_WAITING } else { PURGED };
        if same && before & purged == purged {
            return Holes::None;
        }
        let (mark, holes) = match due {
            Due::Shrinking if same => return Holes::Waiting,
            Due::Shrinking => (SEEN, Holes::Purged),
            Due::AtRest if !same => (SEEN, Holes::Waiting),
            Due::AtRest | Due::Now => (purged, Holes::Purged),
        };
        self.rest.set(mark | count | before & PURGED_KIB);
        holes
    }

    fn note_purged(&self, bytes: usize) {
        self.rest.set(self.rest.get() & !PURGED_KIB | (bytes / KIB) as u32 & PURGED_KIB);
    }

    /// Bytes of free pages that were purged since a block was last taken. A moment old for threads that may not change
    /// the span.
    pub(crate) fn purged_bytes(&self) -> usize {
        (self.rest.get() & PURGED_KIB) as usize * KIB
    }
}
