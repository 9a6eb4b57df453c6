//! The targets of Spandrel, and whether a result reaches them.
//!
//! Knows: the targets and how each is computed. Must not know: how they are printed.

use crate::allocators::{BASE, SPANDREL, SPANDREL_HARDENED};
use crate::losses::{self, Outcome};
use crate::results::{Group, Kind, Results, Role, Workload};
use crate::table::{Measure, mean_ratio};
use std::ops::RangeInclusive;

/// Geometric mean of times against the base.
pub const TIME: f64 = 0.85;
/// Geometric mean of peaks against the base.
pub const PEAK: f64 = 0.55;
/// Geometric mean of the times of mode `hardened` against the base.
pub const HARDENED_TIME: f64 = 1.15;
/// The same over real programs alone.
pub const HARDENED_PROGRAMS: f64 = 1.05;
/// Geometric mean of the peaks of mode `hardened` against those of the default mode.
pub const HARDENED_PEAK: f64 = 1.3;
/// Wall time of mode `hardened` against the default mode where some threads work, times that where one does.
pub const HARDENED_THREADS: f64 = 1.1;
const SOME_THREADS: RangeInclusive<usize> = 2..=4;
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
        let against_base = Mean { own: SPANDREL, base: BASE, measure, limit };
        targets.push(against_base.judge(results, &format!("{name}, workloads and programs"), |_| true));
        targets.push(against_base.judge(results, &format!("{name}, workloads alone"), Workload::synthetic));
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
    if results.present().any(|allocator| allocator.name == SPANDREL_HARDENED) {
        targets.extend(hardened(results));
    }
    targets
}

/// The targets of mode `hardened`.
#[must_use]
pub fn hardened(results: &Results) -> Vec<Target> {
    let mean = |base, measure, limit| Mean { own: SPANDREL_HARDENED, base, measure, limit };
    let time = mean(BASE, Measure::Cpu, HARDENED_TIME);
    let programs = mean(BASE, Measure::Cpu, HARDENED_PROGRAMS);
    let peak = mean(SPANDREL, Measure::Peak, HARDENED_PEAK);
    vec![
        time.judge(results, "Hardened: CPU time, workloads and programs", |_| true),
        programs.judge(results, "Hardened: CPU time, programs alone", |workload| !workload.synthetic()),
        peak.judge(results, "Hardened: peak memory, workloads and programs", |_| true),
        fastest_hardened(results),
        threads_hardened(results),
    ]
}

/// Whether several threads cost mode `hardened` no more than one, against the default mode.
fn threads_hardened(results: &Results) -> Target {
    let wall = |threads: RangeInclusive<usize>| {
        mean_ratio(results, SPANDREL_HARDENED, SPANDREL, Measure::Wall, |workload| {
            Measure::Wall.counts(workload) && threads.contains(&workload.threads)
        })
    };
    let found = wall(1..=1).zip(wall(SOME_THREADS));
    Target {
        text: format!(
            "Hardened: wall time against {SPANDREL}, workloads of {} to {} threads: at most {HARDENED_THREADS:.2} times that of one",
            SOME_THREADS.start(),
            SOME_THREADS.end()
        ),
        found: found.map_or_else(not_measured, |(one, some)| format!("{some:.3} and {one:.3} for one")),
        reached: found.map(|(one, some)| some <= HARDENED_THREADS * one),
    }
}

/// Whether mode `hardened` takes less time than each hardened peer, over the workloads that both completed.
fn fastest_hardened(results: &Results) -> Target {
    let against = |peer: &str| {
        mean_ratio(results, SPANDREL_HARDENED, peer, Measure::Cpu, |workload| Measure::Cpu.counts(workload))
    };
    let closest = results
        .present()
        .filter(|allocator| allocator.group == Group::Hardened && allocator.role == Role::Peer)
        .filter_map(|allocator| Some((allocator.name.as_str(), against(&allocator.name)?)))
        .max_by(|left, right| left.1.total_cmp(&right.1));
    Target {
        text: "Hardened: less CPU time than each hardened peer: geometric mean below 1".to_owned(),
        found: closest.map_or_else(not_measured, |(peer, ratio)| format!("{ratio:.3} of {peer}")),
        reached: closest.map(|(_, ratio)| ratio < 1.0),
    }
}

fn not_measured() -> String {
    "not measured".to_owned()
}

/// A target for a geometric mean.
struct Mean {
    own: &'static str,
    base: &'static str,
    measure: Measure,
    limit: f64,
}

impl Mean {
    fn judge(&self, results: &Results, name: &str, among: impl Fn(&Workload) -> bool) -> Target {
        let Self { own, base, measure, limit } = *self;
        let found = mean_ratio(results, own, base, measure, |workload| measure.counts(workload) && among(workload));
        Target {
            text: format!("{name}: geometric mean at most {limit:.2} of {base}"),
            found: found.map_or_else(not_measured, |mean| format!("{mean:.3}")),
            reached: found.map(|mean| mean <= limit),
        }
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
