//! Leaks: the blocks that are live when nothing should be, counted by size. Must not know the static state.

use super::snapshot::Snapshot;
use crate::base::class::{self, Class};
use crate::base::text::Line;

/// Blocks that are live.
pub(crate) struct Leaks {
    small: [usize; class::COUNT],
    large: usize,
    large_bytes: usize,
}

impl Leaks {
    /// Counts them, in a process at rest.
    pub(crate) fn of(snapshot: &Snapshot) -> Self {
        let large = &snapshot.large;
        Self {
            small: snapshot.classes.map(|figures| figures.live() as usize),
            large: large.large_blocks + large.direct_blocks,
            large_bytes: large.large_bytes + large.direct_bytes,
        }
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
