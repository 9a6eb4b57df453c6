#![expect(unsafe_code, reason = "has libspandrel fill structures, in memory that one thread at a time uses")]
//! The values below `stats`: figures of Spandrel at the moment of the last `epoch`, as jemalloc's.
//!
//! # Invariants
//! - Any thread reads the words at any time; one thread at a time writes them. They are independent of one another, so
//!   `Relaxed` is enough: a reader during a refresh may see some of before and some of after.

use core::cell::UnsafeCell;
use core::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering};

use crate::foreign::{ClassStats, Stats, getpid, spandrel_every_class_stats, spandrel_stats};

/// More than there are size classes.
const CLASSES_MAX: usize = 128;

/// A figure of the process.
#[derive(Clone, Copy)]
pub(crate) enum Figure {
    /// Live blocks.
    Allocated,
    /// Those of size classes.
    SmallAllocated,
    /// Spans, large blocks and direct mappings.
    Active,
    /// Spandrel's own structures.
    Metadata,
    /// The bytes that may be in memory: active, dirty, metadata.
    Resident,
    /// Address space in use.
    Mapped,
    /// The part of it that is free and was given back.
    Retained,
    /// Free pages that were not given back.
    Dirty,
    /// Free blocks in bins of threads and in transfer caches.
    Cached,
    /// Threads that have a heap.
    Heaps,
}

const FIGURES: usize = Figure::Heaps as usize + 1;

/// A figure of a size class.
#[derive(Clone, Copy)]
pub(crate) enum OfClass {
    /// Bytes of a block.
    BlockBytes,
    /// Bytes of a span.
    SpanBytes,
    /// Blocks of a span.
    SpanBlocks,
    /// Live blocks.
    Live,
    /// Spans.
    Spans,
    /// Spans from which blocks can be fetched.
    Partial,
    /// Bins refilled so far.
    Refills,
    /// Bins flushed so far.
    Flushes,
}

const OF_CLASS: usize = OfClass::Flushes as usize + 1;

/// The figures of the last refresh.
struct Kept {
    /// How often they were refreshed.
    epoch: AtomicU64,
    /// The process that refreshes them now; 0 for none. In the child of a fork a refresh of the parent's does not count.
    refreshing: AtomicU32,
    figures: [AtomicUsize; FIGURES],
    class_count: AtomicUsize,
    classes: [[AtomicUsize; OF_CLASS]; CLASSES_MAX],
    /// Filled by libspandrel. Belongs to the thread that refreshes.
    scratch: UnsafeCell<[ClassStats; CLASSES_MAX]>,
}

// SAFETY: the scratch is used by one thread at a time, the one that set `refreshing`; all else is atomic.
unsafe impl Sync for Kept {}

static KEPT: Kept = Kept {
    epoch: AtomicU64::new(0),
    refreshing: AtomicU32::new(0),
    figures: [const { AtomicUsize::new(0) }; FIGURES],
    class_count: AtomicUsize::new(0),
    classes: [const { [const { AtomicUsize::new(0) }; OF_CLASS] }; CLASSES_MAX],
    scratch: UnsafeCell::new([ClassStats::NONE; CLASSES_MAX]),
};

/// Takes the figures of this moment. Does nothing while another thread does so.
pub(crate) fn refresh() {
    let own = getpid().unsigned_abs();
    // Relaxed: the exchange below decides.
    let before = KEPT.refreshing.load(Ordering::Relaxed);
    // Acquire pairs with the Release below: the refresh before has left the scratch.
    if before == own || KEPT.refreshing.compare_exchange(before, own, Ordering::Acquire, Ordering::Relaxed).is_err() {
        return;
    }
    take();
    // Release pairs with the Acquire above.
    KEPT.refreshing.store(0, Ordering::Release);
}

fn take() {
    let mut stats = Stats::default();
    // SAFETY: the structure is that of libspandrel, up to its size.
    if !unsafe { spandrel_stats(&raw mut stats, size_of::<Stats>()) } {
        return;
    }
    // SAFETY: the places are as many, and each of that size; this thread refreshes.
    let filled = unsafe { spandrel_every_class_stats(KEPT.scratch.get().cast(), CLASSES_MAX, size_of::<ClassStats>()) };
    // SAFETY: this thread refreshes, and nothing else uses the scratch.
    let classes = unsafe { &*KEPT.scratch.get() };
    let mut small = 0;
    for (class, kept) in classes.iter().zip(&KEPT.classes).take(filled) {
        small += class.live_blocks * class.block_bytes;
        keep(
            kept,
            &[
                class.block_bytes,
                class.span_bytes,
                class.span_blocks,
                class.live_blocks,
                class.partial_spans + class.full_spans,
                class.partial_spans,
                class.refills as usize,
                class.flushes as usize,
            ],
        );
    }
    // Relaxed: see above.
    KEPT.class_count.store(filled.min(CLASSES_MAX), Ordering::Relaxed);
    let active = stats.span_bytes + stats.live_bytes.saturating_sub(small);
    keep(
        &KEPT.figures,
        &[
            stats.live_bytes,
            small,
            active,
            stats.metadata_bytes,
            active + stats.dirty_bytes + stats.metadata_bytes,
            stats.obtained_bytes.max(active + stats.dirty_bytes) + stats.metadata_bytes,
            stats.obtained_bytes.saturating_sub(active + stats.dirty_bytes),
            stats.dirty_bytes,
            stats.binned_bytes + stats.cached_bytes + stats.in_flight_bytes,
            stats.heaps,
        ],
    );
    // Relaxed: see above.
    KEPT.epoch.fetch_add(1, Ordering::Relaxed);
}

fn keep<const COUNT: usize>(places: &[AtomicUsize; COUNT], values: &[usize; COUNT]) {
    for (place, &value) in places.iter().zip(values) {
        // Relaxed: see above.
        place.store(value, Ordering::Relaxed);
    }
}

/// How often the figures were refreshed. The first reader refreshes them.
pub(crate) fn epoch() -> u64 {
    // Relaxed: see above.
    if KEPT.epoch.load(Ordering::Relaxed) == 0 {
        refresh();
    }
    // Relaxed: see above.
    KEPT.epoch.load(Ordering::Relaxed)
}

/// A figure of the process.
pub(crate) fn get(figure: Figure) -> usize {
    let _ = epoch();
    // Relaxed: see above.
    KEPT.figures.get(figure as usize).map_or(0, |word| word.load(Ordering::Relaxed))
}

/// How many size classes there are.
pub(crate) fn class_count() -> usize {
    let _ = epoch();
    // Relaxed: see above.
    KEPT.class_count.load(Ordering::Relaxed)
}

/// A figure of the class of that number; `None` if there is no such class.
pub(crate) fn of_class(index: usize, figure: OfClass) -> Option<usize> {
    let word = KEPT.classes.get(index).filter(|_| index < class_count())?.get(figure as usize)?;
    // Relaxed: see above.
    Some(word.load(Ordering::Relaxed))
}
