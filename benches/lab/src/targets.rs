//! The targets of Spandrel, and whether a result reaches them.
//!
//! Knows: the targets and how each is computed. Must not know: how they are printed.

use crate::allocators::{BASE, SPANDREL};
use crate::losses::{self, Outcome};
use crate::results::{Kind, Results, Workload};
use crate::table::{Measure, mean_ratio};

/// Geometric mean of times against the base.
pub const TIME: f64 = 0.85;
/// Geometric mean of peaks against the base.
pub const PEAK: f64 = 0.55;
/// Resident memory after idling, times the live bytes.
pub const IDLE_FACTOR: f64 = 1.2;
/// And so much on top.
pub const IDLE_KIB: f64 = 2048.0;

const BYTES_PER_KIB: f64 = 1024.0;

/// One target.
#[derive(Debug, Clone, PartialEq)]
pub struct Target {
    /// The condition, in words.
    pub text: String,
    /// The figures found.
    pub found: String,
    /// Whether that is enough; none where nothing was measured.
    pub reached: Option<bool>,
}

/// The most that may be resident after idling, in KiB.
#[must_use]
pub fn idle_limit(live_bytes: u64) -> f64 {
    IDLE_FACTOR * live_bytes as f64 / BYTES_PER_KIB + IDLE_KIB
}

/// Median KiB resident after idling and the limit, of one pair.
#[must_use]
pub fn idle(results: &Results, workload: &str, allocator: &str) -> Option<(f64, f64)> {
    let idles: Vec<_> = results.good(workload, allocator).filter_map(|run| run.said.as_ref()?.idle).collect();
    let after: Vec<f64> = idles.iter().map(|idle| idle.rss_kib_after).collect();
    Some((spandrel_xtask::stats::median(&after), idle_limit(idles.first()?.live_bytes)))
}

/// All targets against a result.
#[must_use]
pub fn judge(results: &Results) -> Vec<Target> {
    let mut targets = Vec::new();
    for (measure, limit, name) in [(Measure::Cpu, TIME, "CPU time"), (Measure::Peak, PEAK, "Peak memory")] {
        targets.push(mean(results, measure, limit, &format!("{name}, workloads and programs"), |_| true));
        targets.push(mean(results, measure, limit, &format!("{name}, workloads alone"), Workload::synthetic));
    }
    targets.push(none_lost(results, Measure::Cpu, "No workload slower than its fastest peer by more than the noise"));
    targets.push(none_lost(
        results,
        Measure::Peak,
        "No peak above 1.10 times the most frugal fast peer's (glibc aside)",
    ));
    for workload in results.workloads.iter().filter(|workload| workload.kind == Kind::Idle) {
        let found = idle(results, &workload.name, SPANDREL);
        targets.push(Target {
            text: format!("{}: at most 1.2 times the live bytes + 2 MiB resident after 2 s", workload.name),
            found: found.map_or_else(not_measured, |(after, limit)| format!("{after:.0} KiB of {limit:.0} KiB")),
            reached: found.map(|(after, limit)| after <= limit),
        });
    }
    targets
}

fn not_measured() -> String {
    "not measured".to_owned()
}

fn mean(results: &Results, measure: Measure, limit: f64, name: &str, among: impl Fn(&Workload) -> bool) -> Target {
    let found = mean_ratio(results, SPANDREL, BASE, measure, |workload| measure.counts(workload) && among(workload));
    Target {
        text: format!("{name}: geometric mean at most {limit:.2} of {BASE}"),
        found: found.map_or_else(not_measured, |mean| format!("{mean:.3}")),
        reached: found.map(|mean| mean <= limit),
    }
}

fn none_lost(results: &Results, measure: Measure, text: &str) -> Target {
    let verdicts = if measure == Measure::Cpu { losses::in_time(results) } else { losses::in_memory(results) };
    let lost =
        verdicts.iter().filter(|verdict| verdict.outcome == Outcome::Loss).count() + losses::failed(results).count();
    Target {
        text: text.to_owned(),
        found: if verdicts.is_empty() { not_measured() } else { format!("{lost} of {} lost", verdicts.len()) },
        reached: (!verdicts.is_empty()).then_some(lost == 0),
    }
}
