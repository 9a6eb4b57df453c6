//! The check of a heap after each slow call. In builds with debug assertions alone.
//!
//! Each check covers the class that was refilled or flushed last and one more in turn. One check in [`ROUND`] also
//! covers what heaps share: page runs and the registry.

use super::bin::Bin;
use super::layout::Heap;
use crate::base::class::{self, Class};
use crate::central::{Verdict, must};
use crate::heap::registry::Shared;

/// Checks of a heap between two of the page runs and the registry.
const ROUND: u32 = 64;

impl Heap {
    /// Checks the heap. The caller holds its spans.
    pub(crate) fn check(&self, shared: Shared<'_>) -> Verdict {
        let count = self.counters.next_check();
        let turn = Class::from_index(count as usize % class::COUNT);
        for class in [self.counters.last(), turn].into_iter().flatten() {
            self.check_class(shared, class)?;
            shared.central.check_central_list(class)?;
        }
        if count.is_multiple_of(ROUND) {
            shared.central.pages.check_runs()?;
            shared.registry.check()?;
        }
        Ok(())
    }

    fn check_class(&self, shared: Shared<'_>, class: Class) -> Verdict {
        let bin = self.bin(class);
        bin.check()?;
        // No other thread changes the bin meanwhile: the caller holds the spans, and is the heap's thread.
        let blocks = (1..=bin.len()).map(|index| bin.block(index));
        must(
            blocks.into_iter().all(|block| is_out(shared, class, block)),
            "a bin has a block that is not out of a span of its class: it was freed twice, or the bin is damaged",
        )?;
        let entry = self.entry(class);
        shared.central.check_spans(self.spans(class), class, entry)
    }
}

fn is_out(shared: Shared<'_>, class: Class, block: *mut u8) -> bool {
    shared.central.is_block_out(class, block)
}

impl Bin {
    fn check(&self) -> Verdict {
        must(self.is_ordered(), "a bin's ends are out of order")?;
        must(self.len() <= self.capacity(), "a bin holds more than it has room for")
    }
}
