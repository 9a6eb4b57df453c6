//! The memory as it was read: the library's own snapshot, and behind it every span, large block and free run.

use super::words::word;
use spandrel::descriptor::{HeapFigures, Snapshot};
use spandrel::table::{ClassInfo, REGION_BYTES};

/// The owner of a span.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Owner {
    /// The heap of this thread.
    Thread(u32),
    /// The central list of its class: the next thread that needs a span takes it.
    CentralList,
}

/// A span.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Span {
    /// Its first region.
    pub(crate) region: usize,
    /// How it is cut.
    pub(crate) class: ClassInfo,
    /// Blocks that are out: live, or free in bins and caches.
    pub(crate) out: usize,
    /// Whose it is.
    pub(crate) owner: Owner,
}

/// A large block.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Large {
    /// Its first region.
    pub(crate) region: usize,
    /// Its usable bytes.
    pub(crate) bytes: usize,
}

/// A free run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Run {
    /// Its first region.
    pub(crate) region: usize,
    /// How many regions.
    pub(crate) regions: usize,
    /// Whether the kernel has not got its pages back.
    pub(crate) dirty: bool,
}

/// See the module.
pub(crate) struct Picture {
    /// The figures.
    pub(crate) snapshot: Snapshot,
    /// Every thread that has a heap.
    pub(crate) heaps: Vec<HeapFigures>,
    /// In order of region.
    pub(crate) spans: Vec<Span>,
    /// In order of region.
    pub(crate) large: Vec<Large>,
    /// In order of region.
    pub(crate) runs: Vec<Run>,
    /// Where region 0 is.
    pub(crate) data: usize,
    /// Parts that contradicted each other, because the process went on meanwhile.
    pub(crate) torn: usize,
}

impl Picture {
    /// Adds the runs that wait in the cache for large blocks, given its words, as far as they are free.
    pub(super) fn add_cached(&mut self, words: &[u8], is_free: impl Fn(&Run) -> bool) {
        let run = |at| {
            let word = word(words, at);
            Run { region: word >> u32::BITS, regions: word & 0xfff, dirty: true }
        };
        let cached = (0..words.len()).step_by(size_of::<usize>()).map(run);
        let free: Vec<Run> = cached.filter(|run| run.regions > 0 && is_free(run)).collect();
        self.snapshot.pages.dirty += free.iter().map(|run| run.regions * REGION_BYTES).sum::<usize>();
        self.runs.extend(free);
        self.runs.sort_by_key(|run| run.region);
    }
}
