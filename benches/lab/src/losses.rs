//! Wins and losses: Spandrel against the best peer of each workload, in time and in peak memory.
//!
//! Knows: what counts as noise, as fast, as a loss. Must not know: how the report says it.
//! Invariants: every workload that Spandrel and a peer completed gets a verdict; one that Spandrel failed is a loss.

use crate::allocators::SPANDREL;
use crate::figures::{Figure, geometric_mean};
use crate::results::{Results, Workload};
use crate::table::{Measure, base, failure, figure};

/// A peer is fast on a workload when it takes at most this many times the time of the fastest.
pub const FAST: f64 = 1.25;
/// Peak memory may be this many times that of the most frugal fast peer.
pub const FRUGAL: f64 = 1.10;
/// Two figures that differ by less than this count as equal, however small the noise is.
const EQUAL: f64 = 0.01;
/// A loss beyond this wants a cause.
pub const WANTS_CAUSE: f64 = 0.05;

/// One comparison of Spandrel with a peer.
#[derive(Debug, Clone, PartialEq)]
pub struct Verdict {
    /// On which workload.
    pub workload: String,
    /// In what.
    pub measure: Measure,
    /// With whom.
    pub peer: String,
    /// Spandrel's figure.
    pub own: Figure,
    /// The peer's.
    pub theirs: Figure,
    /// The noise of the ratio of the two: a smaller deviation means nothing. None if there are too few runs to tell.
    pub noise: Option<f64>,
    /// How it ended.
    pub outcome: Outcome,
}

/// How a comparison ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Ahead beyond the noise.
    Win,
    /// Too close to say, or within what is allowed.
    Draw,
    /// Behind beyond the noise and what is allowed.
    Loss,
    /// Too few runs to tell.
    Open,
}

impl Verdict {
    /// Spandrel's median over the peer's.
    #[must_use]
    pub fn ratio(&self) -> f64 {
        self.own.median / self.theirs.median
    }
}

/// The peer with the smallest median among those that `allow` lets in.
fn least<'a>(
    results: &'a Results,
    workload: &str,
    measure: Measure,
    allow: impl Fn(&str) -> bool,
) -> Option<(&'a str, Figure)> {
    results
        .peers()
        .filter(|peer| allow(peer))
        .filter_map(|peer| Some((peer, figure(results, workload, peer, measure)?)))
        .min_by(|left, right| left.1.median.total_cmp(&right.1.median))
}

/// The fastest peer of a workload.
#[must_use]
pub fn fastest<'a>(results: &'a Results, workload: &str) -> Option<(&'a str, Figure)> {
    least(results, workload, Measure::Cpu, |_| true)
}

/// The peer that needs the least memory among the fast ones, the system's own aside.
#[must_use]
pub fn most_frugal<'a>(results: &'a Results, workload: &str) -> Option<(&'a str, Figure)> {
    let (_, best) = least(results, workload, Measure::Cpu, |peer| !results.is_system(peer))?;
    least(results, workload, Measure::Peak, |peer| {
        !results.is_system(peer)
            && figure(results, workload, peer, Measure::Cpu).is_some_and(|time| time.median <= FAST * best.median)
    })
}

/// The noise of the ratio of two figures, as it follows from the spread of both; none of too few runs.
#[must_use]
pub fn noise(left: &Figure, right: &Figure) -> Option<f64> {
    Some(left.noise()?.hypot(right.noise()?))
}

/// All comparisons of time, in the order of the workloads.
#[must_use]
pub fn in_time(results: &Results) -> Vec<Verdict> {
    let best = |workload: &Workload| fastest(results, &workload.name);
    compared(results, Measure::Cpu, 1.0, best)
}

/// All comparisons of peak memory, in the order of the workloads.
#[must_use]
pub fn in_memory(results: &Results) -> Vec<Verdict> {
    compared(results, Measure::Peak, FRUGAL, |workload| most_frugal(results, &workload.name))
}

/// Spandrel against the best peer of each workload; `allowed` is the ratio up to which it is no loss.
fn compared<'a>(
    results: &'a Results,
    measure: Measure,
    allowed: f64,
    best: impl Fn(&Workload) -> Option<(&'a str, Figure)>,
) -> Vec<Verdict> {
    let verdict = |workload: &Workload| {
        let own = figure(results, &workload.name, SPANDREL, measure)?;
        let (peer, theirs) = best(workload)?;
        let noise = noise(&own, &theirs);
        let ratio = own.median / theirs.median;
        let outcome = match noise.map(|noise| noise.max(EQUAL)) {
            None => Outcome::Open,
            Some(noise) if ratio > allowed * (1.0 + noise) => Outcome::Loss,
            Some(noise) if ratio < 1.0 - noise => Outcome::Win,
            Some(_) => Outcome::Draw,
        };
        Some(Verdict { workload: workload.name.clone(), measure, peer: peer.to_owned(), own, theirs, noise, outcome })
    };
    results.workloads.iter().filter(|workload| measure.counts(workload)).filter_map(verdict).collect()
}

/// Workloads that Spandrel failed, with the reason.
pub fn failed(results: &Results) -> impl Iterator<Item = (&str, &str)> {
    results
        .workloads
        .iter()
        .filter_map(|workload| Some((workload.name.as_str(), failure(results, &workload.name, SPANDREL)?)))
}

/// The geometric mean over all workloads of the best peer of each against the base.
#[must_use]
pub fn best_together(results: &Results, measure: Measure, among: impl Fn(&Workload) -> bool) -> Option<f64> {
    let base = base(results);
    let ratio = |workload: &Workload| {
        let (_, best) = least(results, &workload.name, measure, |_| true)?;
        let base = figure(results, &workload.name, base, measure)?;
        (base.median > 0.0).then_some(best.median / base.median)
    };
    geometric_mean(&results.workloads.iter().filter(|workload| among(workload)).filter_map(ratio).collect::<Vec<_>>())
}
