//! Figures of the central store: of each class, and of large and direct blocks.

use super::store::Central;
use crate::base::class::Class;
use crate::pages::Entry;
use crate::sys::atomic::Ordering;

/// Refills by received blocks after which a heap's count turns over.
pub const RECEIVED_PER_TURN: u64 = 1 << u8::BITS;

/// Counts of what the central list of a class gave out.
#[derive(Clone, Copy, Default, Debug)]
pub struct CentralListFigures {
    /// Batches that heaps took from the transfer cache so far.
    pub cache_hits: u64,
    /// Spans of the list that heaps adopted so far.
    pub adopted: u64,
    /// Spans that had to be made, because there was neither.
    pub made: u64,
}

/// Blocks that no class holds.
#[derive(Clone, Copy, Default, Debug)]
pub struct LargeFigures {
    /// Live direct blocks and their bytes; blocks that a mode places apart are among them.
    pub direct_blocks: usize,
    /// See `direct_blocks`.
    pub direct_bytes: usize,
    /// Live large blocks.
    pub large_blocks: usize,
    /// Their bytes.
    pub large_bytes: usize,
    /// Bytes of their regions.
    pub region_bytes: usize,
}

impl LargeFigures {
    /// Bytes that these blocks hold: regions, and mappings.
    #[must_use]
    pub const fn held(&self) -> usize {
        self.region_bytes + self.direct_bytes
    }
}

impl Central {
    /// The figures of one central list. `see` is given the blocks of its transfer cache.
    pub(crate) fn list_figures(&self, class: Class, see: impl FnMut(*mut u8)) -> CentralListFigures {
        let [taken, adopted] = self.with_list(class, |list| {
            list.each_cached(see);
            list.given()
        });
        CentralListFigures { cache_hits: taken as u64, adopted: adopted as u64, made: self.made(class) as u64 }
    }

    /// Notes that a heap's count of refills of `class` by received blocks, one byte, turned over.
    pub(crate) fn count_received_turn(&self, class: Class) {
        if let Some(store) = self.of_class(class) {
            // Relaxed: a counter.
            store.received_turns.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Refills of `class` by received blocks that heaps no longer have in their counts.
    pub(crate) fn received_refills(&self, class: Class) -> u64 {
        // Relaxed: a counter.
        self.of_class(class).map_or(0, |store| store.received_turns.load(Ordering::Relaxed) as u64 * RECEIVED_PER_TURN)
    }

    /// Live direct blocks and their bytes, and those of the blocks that a mode places apart.
    pub(crate) fn direct_figures(&self) -> (usize, usize) {
        let ((blocks, bytes), apart) = (self.direct.totals(), self.apart.get());
        (blocks + apart[0], bytes + apart[1])
    }

    /// The map's entry of the region of `block`; [`Entry::NONE`] for all that is not in our data area.
    pub(crate) fn entry_of(&self, block: *mut u8) -> Entry {
        let space = self.pages.space();
        space.region_of(block.addr()).map_or(Entry::NONE, |region| space.entry(region))
    }
}
