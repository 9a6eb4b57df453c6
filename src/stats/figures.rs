//! The table of figures of a snapshot, by name, so that all writers have the same ones.
//!
//! Names are those of the Prometheus metrics without prefix; `_bytes` and `_blocks` are units. Must not know the
//! formats.

use super::snapshot::{ClassFigures, HeapFigures, Snapshot};
use crate::base::class::Class;
use crate::base::units::REGION_BYTES;

/// Whether a figure goes up and down or only up.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Kind {
    /// Up and down.
    Gauge,
    /// Only up.
    Counter,
}

/// A figure of `T`.
pub(super) struct Figure<T: ?Sized> {
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    pub(super) help: &'static str,
    pub(super) value: fn(&T) -> u64,
}

const fn gauge<T>(name: &'static str, help: &'static str, value: fn(&T) -> u64) -> Figure<T> {
    Figure { name, kind: Kind::Gauge, help, value }
}

const fn counter<T>(name: &'static str, help: &'static str, value: fn(&T) -> u64) -> Figure<T> {
    Figure { name, kind: Kind::Counter, help, value }
}

/// A class with its figures.
pub(super) type OfClass = (Class, ClassFigures);

/// Of the process.
pub(super) static PROCESS: [Figure<Snapshot>; 28] = [
    gauge("live_bytes", "Blocks that the program holds, by the size of the block.", |s| s.live() as u64),
    gauge("obtained_bytes", "Address space in use for blocks, free or not.", |s| s.obtained() as u64),
    gauge("binned_bytes", "Free blocks in bins of threads.", |s| s.binned() as u64),
    gauge("cached_bytes", "Free blocks in transfer caches.", |s| s.cached() as u64),
    gauge("in_flight_bytes", "Blocks that a thread freed for another heap, in flight.", |s| s.in_flight() as u64),
    gauge("span_bytes", "Regions cut into blocks of a class.", |s| s.spans() as u64),
    gauge("span_free_bytes", "The part of these that holds no live block.", |s| {
        s.spans().saturating_sub(s.small_live()) as u64
    }),
    gauge("large_blocks", "Live blocks of the large lane.", |s| s.large.large_blocks as u64),
    gauge("large_bytes", "Their bytes.", |s| s.large.large_bytes as u64),
    gauge("direct_blocks", "Live blocks of the direct lane.", |s| s.large.direct_blocks as u64),
    gauge("direct_bytes", "Their bytes.", |s| s.large.direct_bytes as u64),
    gauge("in_use_bytes", "Regions that are in no free run.", |s| s.in_use() as u64),
    gauge("dirty_bytes", "Free runs whose pages the kernel has not got back.", |s| s.pages.dirty as u64),
    gauge("clean_bytes", "Free runs that were purged, or never touched.", |s| s.pages.clean as u64),
    gauge("metadata_bytes", "Heaps, arrays of bins, bitmaps, batches.", |s| s.pages.metadata as u64),
    gauge("reserved_bytes", "Address space reserved.", |s| s.pages.reserved as u64),
    gauge("committed_bytes", "The part of it that is readable and writable.", |s| s.pages.committed as u64),
    gauge("huge_bytes", "The part of it where huge pages were asked for or set aside.", |s| s.pages.huge as u64),
    gauge("heaps", "Threads that have a heap.", |s| s.heaps as u64),
    counter("purges", "Runs given back to the kernel.", |s| s.pages.purges as u64),
    counter("purged_bytes", "Their bytes.", |s| s.pages.purged as u64),
    counter("refills", "Bins that ran empty and were filled.", |s| s.events()[0]),
    counter("flushes", "Bins that were emptied by half or wholly.", |s| s.events()[1]),
    counter("sent_batches", "Batches of remote frees sent.", |s| s.traffic.sent),
    counter("sent_blocks", "Blocks in them.", |s| s.traffic.sent_blocks),
    counter("received_batches", "Batches of remote frees received by their heap.", |s| s.traffic.received),
    counter("received_blocks", "Blocks in them.", |s| s.traffic.received_blocks),
    gauge("disturbed", "1 if a thread was inside the allocator meanwhile: blocks in flight may count as live.", |s| {
        u64::from(s.disturbed)
    }),
];

/// Of a class.
pub(super) static CLASS: [Figure<OfClass>; 14] = [
    gauge("live_blocks", "Blocks that the program holds.", |(_, f)| f.live()),
    gauge("live_bytes", "Their bytes.", |(c, f)| f.live() * c.size() as u64),
    gauge("binned_blocks", "Free blocks in bins.", |(_, f)| u64::from(f.binned)),
    gauge("cached_blocks", "Free blocks in the transfer cache.", |(_, f)| u64::from(f.cached)),
    gauge("in_flight_blocks", "Freed blocks in flight between threads.", |(_, f)| u64::from(f.in_flight)),
    gauge("partial_spans", "Spans of which blocks can be fetched.", |(_, f)| u64::from(f.partial)),
    gauge("full_spans", "Spans with every block out.", |(_, f)| u64::from(f.full)),
    gauge("tail_bytes", "Bytes of spans that are in no block.", |(c, f)| tail(*c) * u64::from(f.partial + f.full)),
    gauge("slack_bytes", "Most that blocks can be larger than their requests.", |(c, f)| slack(*c) * f.live()),
    counter("refills", "Bins that ran empty and were filled.", |(_, f)| f.refills),
    counter("flushes", "Bins that were emptied by half or wholly.", |(_, f)| f.flushes),
    counter("cache_hits", "Refills served by the transfer cache.", |(_, f)| f.central.cache_hits),
    counter("adopted_spans", "Refills served by a span without an owner.", |(_, f)| f.central.adopted),
    counter("made_spans", "Refills that had to make a span.", |(_, f)| f.central.made),
];

/// Of a heap.
pub(super) static HEAP: [Figure<HeapFigures>; 6] = [
    gauge("live_bytes", "Live blocks of its spans.", |h| h.live),
    gauge("binned_bytes", "Free blocks in its bins.", |h| h.binned),
    counter("refills", "Bins that ran empty and were filled.", |h| h.refills),
    counter("flushes", "Bins that were emptied by half or wholly.", |h| h.flushes),
    counter("sent_blocks", "Blocks of others that its threads freed.", |h| h.traffic.sent_blocks),
    counter("received_blocks", "Blocks of its own that others freed.", |h| h.traffic.received_blocks),
];

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
        names(&mut PROCESS.iter().map(|figure| figure.name));
        names(&mut CLASS.iter().map(|figure| figure.name));
        names(&mut HEAP.iter().map(|figure| figure.name));
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
