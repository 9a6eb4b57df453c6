//! Leaks: the blocks that are live when nothing should be, counted by size. Must not know the static state.

use crate::base::class::{self, Class};
use crate::base::text::Line;
use crate::heap::Shared;

/// Blocks that are live.
pub(crate) struct Leaks {
    small: [usize; class::COUNT],
    large: usize,
    large_bytes: usize,
}

impl Leaks {
    /// Counts them, in a process at rest whose transfer caches are empty.
    pub(crate) fn find(shared: Shared<'_>) -> Self {
        let figures = shared.central.figures();
        let mut leaks = Self {
            small: [0; class::COUNT],
            large: figures.large_blocks + figures.direct_blocks,
            large_bytes: figures.large_bytes + figures.direct_bytes,
        };
        shared.central.each_span(|span, entry, region| {
            if span.first() == region
                && let Some(count) = entry.class().and_then(|class| leaks.small.get_mut(class.index()))
            {
                *count += span.used() as usize;
            }
        });
        shared.registry.each(|heap| {
            for (class, count) in Class::all().zip(&mut leaks.small) {
                *count = count.saturating_sub(heap.binned(class));
            }
        });
        leaks
    }

    /// How many there are.
    pub(crate) fn blocks(&self) -> usize {
        self.small.iter().sum::<usize>() + self.large
    }

    fn bytes(&self) -> usize {
        self.by_size().map(|(size, count)| size * count).sum::<usize>() + self.large_bytes
    }

    fn by_size(&self) -> impl Iterator<Item = (usize, usize)> {
        Class::all().map(Class::size).zip(self.small).filter(|(_, count)| *count > 0)
    }

    /// Adds to `line` how many blocks and bytes there are, and of which sizes, the smallest first.
    pub(crate) fn describe(&self, line: &mut Line) {
        line.number(self.blocks() as u64).text(" blocks of ").number(self.bytes() as u64).text(" bytes are live at exit:");
        for (size, count) in self.by_size() {
            line.text(" ").number(count as u64).text("x").number(size as u64);
        }
        if self.large > 0 {
            line.text(" and ").number(self.large as u64).text(" large");
        }
    }
}
