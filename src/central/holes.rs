#![expect(unsafe_code, reason = "purges pages inside spans")]
//! Holes: whole free pages inside spans that still hold blocks. They are purged once the span is at rest.
//!
//! Free blocks have no contents to keep, so their pages may be purged and read as zero later. A span is at rest if its
//! count of blocks is the same at two checks. A span that changed and has the same count again is purged too early,
//! which costs page faults and nothing else.

use super::span::Span;
use super::store::Central;
use crate::base::class::{Class, Geometry};
use crate::base::units::{REGION_BYTES, Region};

/// In `Span::rest`, above the count at the last check: the span was checked, or purged.
const SEEN: u32 = 1 << 30;
const PURGED: u32 = 1 << 31;

/// The outcome of purging a span's holes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[must_use]
pub(crate) enum Holes {
    /// There are none, or an earlier call purged them.
    None,
    /// The span changed since the last check.
    Waiting,
    /// They were purged.
    Purged,
}

impl Central {
    /// Checks the holes of a partial span of `class` that the caller may change, and purges them if it is at rest.
    pub(crate) fn purge_holes(&self, class: Class, region: Region) -> Holes {
        let (geometry, span) = (class.geometry(), self.span(region));
        let page = self.pages.space().page_bytes();
        let size = geometry.size as usize;
        if (span.available(geometry) as usize) * size < page {
            return Holes::None;
        }
        let due = span.look();
        if due != Holes::Purged {
            return due;
        }
        let start = self.pages.space().address(region);
        let end = start + geometry.regions as usize * REGION_BYTES;
        span.each_gap(geometry, |low, high| {
            let from = (start + low as usize * size).next_multiple_of(page);
            // Behind the last block lies nothing.
            let to = if high == geometry.capacity { end } else { (start + high as usize * size) & !(page - 1) };
            if from < to {
                // SAFETY: whole pages of blocks that are not out; the caller keeps others from taking them meanwhile.
                unsafe { self.pages.purge_hole(from, to - from) };
            }
        });
        Holes::Purged
    }
}

impl Span {
    /// Notes a check; `Purged` if the span is to be purged now, which happens once per rest.
    fn look(&self) -> Holes {
        let (before, count) = (self.rest.get(), self.used());
        let (holes, after) = match before {
            _ if before == count | PURGED => (Holes::None, before),
            _ if before == count | SEEN => (Holes::Purged, count | PURGED),
            _ => (Holes::Waiting, count | SEEN),
        };
        self.rest.set(after);
        holes
    }

    /// Calls `see` with each stretch of blocks that are not out: the first, and the one behind the last.
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

    /// Where the blocks from `index` on that are `out`, or not, end.
    fn run_end(&self, geometry: &Geometry, mut index: u32, out: bool) -> u32 {
        while index < geometry.capacity {
            let place = index % u64::BITS;
            let word = self.word(geometry, index).get() >> place;
            let run = if out { word.trailing_ones() } else { word.trailing_zeros() }.min(u64::BITS - place);
            index += run;
            if run < u64::BITS - place {
                break;
            }
        }
        index.min(geometry.capacity)
    }
}
