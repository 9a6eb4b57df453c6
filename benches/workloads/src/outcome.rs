//! The figures of a run, in the form in which it prints them.
//!
//! Knows: the fields of the line. Must not know: how they are measured.

use crate::harness::account::Totals;
use serde::Serialize;

/// Resident memory before and after idling.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Idle {
    /// Bytes that stayed live.
    pub(crate) live_bytes: u64,
    /// Resident memory of the process before the frees.
    pub(crate) rss_kib_at_peak: u64,
    /// Resident memory after the pause.
    pub(crate) rss_kib_after: u64,
    /// Length of the pause.
    pub(crate) seconds: u64,
}

/// Percentiles of one kind of call, in ns.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Percentiles {
    pub(crate) p50: f64,
    pub(crate) p90: f64,
    pub(crate) p99: f64,
    pub(crate) p99_9: f64,
    pub(crate) p99_99: f64,
    pub(crate) max: f64,
    pub(crate) count: u64,
}

/// Single calls.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Latency {
    /// The smallest step of the clock.
    pub(crate) resolution_ns: f64,
    pub(crate) malloc: Percentiles,
    pub(crate) free: Percentiles,
}

/// The result of a workload.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    pub(crate) totals: Totals,
    pub(crate) idle: Option<Idle>,
    /// Milliseconds, resident KiB, live KiB.
    pub(crate) series: Option<Vec<[u64; 3]>>,
    pub(crate) latency: Option<Latency>,
}

/// The line that is printed.
#[derive(Debug, Serialize)]
pub(crate) struct Line {
    workload: &'static str,
    ops: u64,
    checksum: u64,
    malloc_peak_live_bytes: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    idle: Option<Idle>,
    #[serde(skip_serializing_if = "Option::is_none")]
    series: Option<Vec<[u64; 3]>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    latency: Option<Latency>,
}

impl From<Totals> for Outcome {
    fn from(totals: Totals) -> Self {
        Self { totals, ..Self::default() }
    }
}

impl Outcome {
    pub(crate) fn line(self, workload: &'static str) -> Line {
        Line {
            workload,
            ops: self.totals.ops,
            checksum: self.totals.checksum,
            malloc_peak_live_bytes: self.totals.peak_live,
            idle: self.idle,
            series: self.series,
            latency: self.latency,
        }
    }
}
