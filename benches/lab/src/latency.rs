//! Durations of single calls, reduced over the runs.
//!
//! Knows: which calls and percentiles the report shows. Must not know: how it shows them.

use crate::figures::Figure;
use crate::results::{Calls, Latency, Results};

/// One of the calls that are timed.
#[derive(Debug)]
pub struct Call {
    /// As it is written.
    pub name: &'static str,
    pick: fn(&Calls) -> &Latency,
}

/// The calls that are timed.
pub const CALLS: &[Call] =
    &[Call { name: "malloc", pick: |calls| &calls.malloc }, Call { name: "free", pick: |calls| &calls.free }];

/// One percentile.
#[derive(Debug)]
pub struct Percentile {
    /// As it is written.
    pub name: &'static str,
    pick: fn(&Latency) -> f64,
}

/// The percentiles that the report shows.
pub const PERCENTILES: &[Percentile] = &[
    Percentile { name: "p50", pick: |latency| latency.p50 },
    Percentile { name: "p99", pick: |latency| latency.p99 },
    Percentile { name: "p99.9", pick: |latency| latency.p99_9 },
    Percentile { name: "p99.99", pick: |latency| latency.p99_99 },
    Percentile { name: "max", pick: |latency| latency.max },
];

impl Percentile {
    /// Its figure over the runs of a pair, in nanoseconds.
    #[must_use]
    pub fn figure(&self, results: &Results, workload: &str, allocator: &str, call: &Call) -> Option<Figure> {
        let value = |calls: &Calls| (self.pick)((call.pick)(calls));
        let values: Vec<f64> = results
            .good(workload, allocator)
            .filter_map(|run| run.said.as_ref()?.latency.as_ref().map(value))
            .collect();
        Figure::of(&values)
    }
}
