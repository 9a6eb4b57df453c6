//! The table of figures of a snapshot, by name, so that all writers have the same ones.
//!
//! Names are those of the Prometheus metrics without prefix; `_bytes` and `_blocks` are units. Must not know the
//! formats.

use super::bills::HolderFigures;
use super::snapshot::{ClassFigures, HeapFigures, Snapshot};
use crate::base::class::Class;
use crate::base::text::Inline;
use crate::base::units::REGION_BYTES;

/// Whether a figure goes up and down or only up.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum MetricType {
    /// Up and down.
    Gauge,
    /// Only up.
    Counter,
}

/// A figure's name and meaning. `figures!` makes a table of them, and the function that reads all their values.
pub(super) struct Figure {
    name: Inline<NAME_MAX>,
    pub(super) metric: MetricType,
    help: Inline<HELP_MAX>,
}

const NAME_MAX: usize = 17;
const HELP_MAX: usize = 87;

impl Figure {
    pub(super) const fn new(metric: MetricType, name: &str, help: &str) -> Self {
        Self { name: Inline::of(name), metric, help: Inline::of(help) }
    }

    pub(super) fn name(&self) -> &str {
        self.name.text()
    }

    pub(super) fn help(&self) -> &str {
        self.help.text()
    }
}

/// Makes a table of figures, and the function that reads their values, in the same order. No row has a pointer, which
/// the loader would write into every process.
macro_rules! figures {
    ($(#[$doc:meta])* $table:ident, $values:ident, $of:ident: $type:ty;
        $($metric:ident($name:literal, $help:literal, $value:expr $(,)?);)+) => {
        $(#[$doc])*
        pub(super) static $table: [Figure; [$($name),+].len()] = [$(Figure::new(MetricType::$metric, $name, $help)),+];

        /// The figures of that table.
        pub(super) fn $values($of: &$type) -> [u64; $table.len()] {
            [$($value),+]
        }
    };
}

/// A class with its figures.
pub(super) type OfClass = (Class, ClassFigures);

figures! {
    /// Of the process.
    PROCESS, process, s: Snapshot;
    Gauge("live_bytes", "Blocks that the program holds, by the size of the block.", s.live() as u64);
    Gauge("obtained_bytes", "Address space in use for blocks, free or not.", s.obtained() as u64);
    Gauge("binned_bytes", "Free blocks in bins of threads.", s.binned() as u64);
    Gauge("cached_bytes", "Free blocks in transfer caches.", s.cached() as u64);
    Gauge("in_flight_bytes", "Blocks that a thread freed for another heap, in flight.", s.in_flight() as u64);
    Gauge("span_bytes", "Regions cut into blocks of a class.", s.spans() as u64);
    Gauge(
        "span_free_bytes",
        "The part of these that holds no live block.",
        s.spans().saturating_sub(s.small_live()) as u64
    );
    Gauge("large_blocks", "Live blocks of the large lane.", s.large.large_blocks as u64);
    Gauge("large_bytes", "Their bytes.", s.large.large_bytes as u64);
    Gauge("direct_blocks", "Live blocks of the direct lane.", s.large.direct_blocks as u64);
    Gauge("direct_bytes", "Their bytes.", s.large.direct_bytes as u64);
    Gauge("held_bytes", "Spans, large and direct blocks, in whole regions: the sum of all bills.", s.held() as u64);
    Gauge("in_use_bytes", "Regions that are in no free run.", s.in_use() as u64);
    Gauge("hole_bytes", "Free pages of spans that were purged and not used again.", s.holes as u64);
    Gauge("dirty_bytes", "Free runs whose pages the kernel has not got back.", s.pages.dirty as u64);
    Gauge("clean_bytes", "Free runs that were purged, or never touched.", s.pages.clean as u64);
    Gauge("metadata_bytes", "Heaps, arrays of bins, bitmaps, batches.", s.pages.metadata as u64);
    Gauge("reserved_bytes", "Address space reserved.", s.pages.reserved as u64);
    Gauge("committed_bytes", "The part of it that is readable and writable.", s.pages.committed as u64);
    Gauge("huge_bytes", "The part of it where huge pages were asked for or set aside.", s.pages.huge as u64);
    Gauge("heaps", "Threads that have a heap.", s.heaps as u64);
    Counter("purges", "Runs given back to the kernel.", s.pages.purges as u64);
    Counter("purged_bytes", "Their bytes.", s.pages.purged as u64);
    Counter("refills", "Bins that ran empty and were filled.", s.events()[0]);
    Counter("own_refills", "Those served by spans of the thread's own.", s.total(ClassFigures::own));
    Counter("received_refills", "Those served by blocks that other threads freed.", s.total(|class| class.received));
    Counter("cache_hits", "Those served by the transfer cache.", s.total(|class| class.central.cache_hits));
    Counter("adopted_spans", "Those served by a span without an owner.", s.total(|class| class.central.adopted));
    Counter("made_spans", "Those that had to make a span.", s.total(|class| class.central.made));
    Counter("flushes", "Bins that were emptied by half or wholly.", s.events()[1]);
    Counter("sent_batches", "Batches of remote frees sent.", s.traffic.sent);
    Counter("sent_blocks", "Blocks in them.", s.traffic.sent_blocks);
    Counter("received_batches", "Batches of remote frees received by their heap.", s.traffic.received);
    Counter("received_blocks", "Blocks in them.", s.traffic.received_blocks);
    Gauge(
        "disturbed",
        "1 if a thread was inside the allocator meanwhile: blocks in flight may count as live.",
        u64::from(s.disturbed)
    );
}

figures! {
    /// Of a class.
    CLASS, class, of: OfClass;
    Gauge("live_blocks", "Blocks that the program holds.", of.1.live());
    Gauge("live_bytes", "Their bytes.", of.1.live() * of.0.size() as u64);
    Gauge("binned_blocks", "Free blocks in bins.", u64::from(of.1.binned));
    Gauge("cached_blocks", "Free blocks in the transfer cache.", u64::from(of.1.cached));
    Gauge("in_flight_blocks", "Freed blocks in flight between threads.", u64::from(of.1.in_flight));
    Gauge("partial_spans", "Spans of which blocks can be fetched.", u64::from(of.1.partial));
    Gauge("full_spans", "Spans with every block out.", u64::from(of.1.full));
    Gauge("tail_bytes", "Bytes of spans that are in no block.", tail(of.0) * u64::from(of.1.partial + of.1.full));
    Gauge("slack_bytes", "Most that blocks can be larger than their requests.", slack(of.0) * of.1.live());
    Counter("refills", "Bins that ran empty and were filled.", of.1.refills);
    Counter("flushes", "Bins that were emptied by half or wholly.", of.1.flushes);
    Counter("own_refills", "Refills served by spans of the thread's own.", of.1.own());
    Counter("received_refills", "Refills served by blocks that other threads freed.", of.1.received);
    Counter("cache_hits", "Refills served by the transfer cache.", of.1.central.cache_hits);
    Counter("adopted_spans", "Refills served by a span without an owner.", of.1.central.adopted);
    Counter("made_spans", "Refills that had to make a span.", of.1.central.made);
}

figures! {
    /// Of a heap.
    HEAP, heap, h: HeapFigures;
    Gauge("live_bytes", "Live blocks of its spans.", h.live);
    Gauge("binned_bytes", "Free blocks in its bins.", h.binned);
    Counter("refills", "Bins that ran empty and were filled.", h.refills);
    Counter("flushes", "Bins that were emptied by half or wholly.", h.flushes);
    Counter("sent_blocks", "Blocks of others that its threads freed.", h.traffic.sent_blocks);
    Counter("received_blocks", "Blocks of its own that others freed.", h.traffic.received_blocks);
}

/// Figures of a bill that are also there for the default heap, and for the heaps without a row: the first of the table.
pub(super) const SHARED: usize = 5;

figures! {
    /// Of a named heap.
    BILL, bill, t: HolderFigures;
    Gauge("held_bytes", "Spans and large blocks of a heap: the bytes that its limits bound.", t.held as u64);
    Gauge("span_bytes", "The part of these that is spans.", t.spans() as u64);
    Gauge("large_bytes", "The part of these that is large blocks.", t.large as u64);
    Gauge("live_bytes", "Blocks that the program holds, by the size of the block.", t.live_bytes as u64);
    Gauge("live_blocks", "How many these are.", t.live_blocks as u64);
    Gauge("peak_bytes", "The most bytes that the heap held.", t.peak as u64);
    Gauge("soft_limit_bytes", "The soft limit of the heap; 0 for none.", t.soft as u64);
    Gauge("hard_limit_bytes", "The hard limit of the heap; 0 for none.", t.hard as u64);
    Counter("refusals", "Requests that the hard limit refused.", t.refusals as u64);
    Gauge("parts", "Fast parts of the heap: the most threads that used it at a time.", t.parts as u64);
    Gauge("users", "Threads that use the heap now.", t.users as u64);
}

fn tail(class: Class) -> u64 {
    let geometry = class.geometry();
    (geometry.regions as usize * REGION_BYTES) as u64 - u64::from(geometry.capacity) * u64::from(geometry.size)
}

/// By how much a block of the class is larger than the smallest request that gets one.
fn slack(class: Class) -> u64 {
    let below = class.index().checked_sub(1).and_then(Class::from_index).map_or(0, Class::size);
    (class.size() - below - 1) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_fit_every_format() {
        let names = |all: &mut dyn Iterator<Item = &'static str>| {
            let mut seen: std::vec::Vec<_> = all.collect();
            assert!(seen.iter().all(|name| name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_')));
            let count = seen.len();
            seen.sort_unstable();
            seen.dedup();
            assert_eq!(seen.len(), count);
        };
        names(&mut PROCESS.iter().map(|figure| figure.name()));
        names(&mut CLASS.iter().map(|figure| figure.name()));
        names(&mut HEAP.iter().map(|figure| figure.name()));
        names(&mut BILL.iter().map(|figure| figure.name()));
    }

    #[test]
    fn the_figures_that_are_shared_are_those_that_can_be_added_up() {
        let one = HolderFigures { held: 5, large: 3, live_bytes: 4, live_blocks: 1, ..HolderFigures::NONE };
        let mut sum = HolderFigures { peak: 9, soft: 9, hard: 9, refusals: 9, parts: 9, users: 9, ..one };
        sum.include(&sum.clone());
        assert_eq!(bill(&sum), [10, 4, 6, 8, 2, 9, 9, 9, 9, 9, 9]);
        assert_eq!(bill(&one)[..SHARED], [5, 2, 3, 4, 1]);
    }

    #[test]
    fn slack_is_the_room_that_the_smallest_request_leaves() {
        for class in Class::all() {
            let smallest = class.size() - slack(class) as usize;
            assert_eq!(Class::of_size(smallest), Some(class));
            assert_ne!(Class::of_size(smallest - 1).filter(|_| smallest > 1), Some(class));
        }
    }
}
