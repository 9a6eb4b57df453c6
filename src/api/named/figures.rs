//! The figures of named heaps, and the questions which heap a block is of and a thread uses.

use core::num::NonZeroUsize;
use core::ptr::NonNull;

use super::HeapId;
use crate::api::rust::Spandrel;
use crate::pages::limits::UNLIMITED;
use crate::process::holders::{self, Figures, NAME_BYTES};
use crate::slow_path::mode;

/// Figures of a heap at one moment; sizes are in bytes. `NamedHeap::stats` takes them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct HeapStats {
    name: [u8; NAME_BYTES],
    /// Spans and large blocks: what the limits bound. Exact at any moment.
    pub held_bytes: usize,
    /// The most that `held_bytes` was.
    pub peak_bytes: usize,
    /// The part of `held_bytes` that is cut into small blocks.
    pub span_bytes: usize,
    /// The part of `held_bytes` that is large blocks.
    pub large_bytes: usize,
    /// Blocks that the program has, by the size of the block. A block that was freed while the thread used another
    /// heap counts until it arrives.
    pub live_bytes: usize,
    /// How many they are, without large ones.
    pub live_blocks: usize,
    /// The limits.
    pub soft_limit: Option<NonZeroUsize>,
    /// See `soft_limit`.
    pub hard_limit: Option<NonZeroUsize>,
    /// Requests that the hard limit refused.
    pub refusals: usize,
    /// The most threads that used the heap at the same time.
    pub parts: usize,
    /// Threads that use it now.
    pub users: usize,
}

impl HeapStats {
    fn of(figures: &Figures) -> Self {
        Self {
            name: figures.name,
            held_bytes: figures.held,
            peak_bytes: figures.peak,
            span_bytes: figures.held - figures.large,
            large_bytes: figures.large,
            live_bytes: figures.small_bytes + figures.large,
            live_blocks: figures.small_blocks,
            soft_limit: limit_of(figures.soft),
            hard_limit: limit_of(figures.hard),
            refusals: figures.refusals,
            parts: figures.parts,
            users: figures.users,
        }
    }

    /// The name of the heap; of one that code in another language named, as far as it is UTF-8.
    #[must_use]
    pub fn name(&self) -> &str {
        let bytes = self.name.split(|&byte| byte == 0).next().unwrap_or_default();
        bytes.utf8_chunks().next().map_or("", |chunk| chunk.valid())
    }
}

fn limit_of(bytes: usize) -> Option<NonZeroUsize> {
    NonZeroUsize::new(bytes).filter(|&bytes| bytes.get() != UNLIMITED)
}

/// The figures of a heap, if it is there.
pub(super) fn stats_of(heap: HeapId) -> Option<HeapStats> {
    holders::figures_of(heap.handle()).map(|figures| HeapStats::of(&figures))
}

/// Questions about heaps.
impl Spandrel {
    /// The named heap of the live block at `block`; `None` for the default heap, and for addresses that are no block's.
    #[must_use]
    pub fn heap_of(&self, block: NonNull<u8>) -> Option<HeapId> {
        HeapId::of(mode::heap_of(block.addr().get()))
    }

    /// The named heap that serves the calling thread; `None` for the default heap.
    #[must_use]
    pub fn current_heap(&self) -> Option<HeapId> {
        HeapId::of(holders::current())
    }

    /// Calls `visit` with each named heap and its figures, in no order.
    pub fn for_each_heap(&self, mut visit: impl FnMut(HeapId, &HeapStats)) {
        holders::each_handle(|handle| {
            if let Some(heap) = HeapId::of(handle)
                && let Some(stats) = stats_of(heap)
            {
                visit(heap, &stats);
            }
        });
    }
}
