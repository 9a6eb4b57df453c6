//! Durations of single calls, reduced over the runs.
//!
//! Knows: which calls and percentiles are told. Must not know: how.

use crate::results::{Latency, Results};
use spandrel_tools::stats;

/// The calls that are timed.
pub const CALLS: &[&str] = &["malloc", "free"];

/// One percentile.
#[derive(Debug)]
pub struct Percentile {
    /// As it is written.
    pub name: &'static str,
    pick: fn(&Latency) -> f64,
}

/// The percentiles that are told.
pub const PERCENTILES: &[Percentile] = &[
    Percentile { name: "p50", pick: |latency| latency.p50 },
    Percentile { name: "p99", pick: |latency| latency.p99 },
    Percentile { name: "p99.9", pick: |latency| latency.p99_9 },
    Percentile { name: "p99.99", pick: |latency| latency.p99_99 },
    Percentile { name: "max", pick: |latency| latency.max },
];

impl Percentile {
    /// Its median over the runs of a pair, in nanoseconds.
    #[must_use]
    pub fn median(&self, results: &Results, workload: &str, allocator: &str, call: &str) -> Option<f64> {
        let value = |latency: &Latency| (self.pick)(latency);
        let values: Vec<f64> =
            results.good(workload, allocator).filter_map(|run| run.said.as_ref()?.latency.get(call).map(value)).collect();
        (!values.is_empty()).then(|| stats::median(&values))
    }
}
