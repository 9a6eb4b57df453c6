//! The figures of a result as rows and columns: medians per workload and allocator, ratios, geometric means.
//!
//! Knows: how runs are reduced. Must not know: how a table is printed or drawn.

use crate::allocators::{BASE, SPANDREL};
use crate::figures::{Figure, geometric_mean};
use crate::losses::noise;
use crate::results::{Group, Kind, Results, Run, Workload};
use spandrel_xtask::stats;
use std::fmt::Write;

const NAME_WIDTH: usize = 20;
const CELL_WIDTH: usize = 11;

/// The figure that is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Measure {
    /// User and system time.
    Cpu,
    /// Time from start to end.
    Wall,
    /// Peak resident memory.
    Peak,
    /// Page faults.
    Faults,
}

impl Measure {
    /// The value of one run.
    #[must_use]
    pub fn of(self, run: &Run) -> f64 {
        match self {
            Self::Cpu => run.cpu,
            Self::Wall => run.wall,
            Self::Peak => run.peak_kib,
            Self::Faults => run.minor_faults + run.major_faults,
        }
    }

    /// True for a workload that says something about this. Some take a set time, or do work beside the allocator's, so
    /// that their times say nothing; one that times single calls keeps records of its own, so that its peak does not
    /// either.
    #[must_use]
    pub fn counts(self, workload: &Workload) -> bool {
        match self {
            Self::Peak => workload.kind != Kind::Latency,
            Self::Cpu | Self::Wall | Self::Faults => matches!(workload.kind, Kind::Time | Kind::Program),
        }
    }
}

/// The figure of one pair; none if it has no good run or any bad one.
#[must_use]
pub fn figure(results: &Results, workload: &str, allocator: &str, measure: Measure) -> Option<Figure> {
    if failure(results, workload, allocator).is_some() {
        return None;
    }
    let values: Vec<f64> = results.good(workload, allocator).map(|run| measure.of(run)).collect();
    Figure::of(&values)
}

/// The first failure of one pair.
#[must_use]
pub fn failure<'a>(results: &'a Results, workload: &str, allocator: &str) -> Option<&'a str> {
    results
        .runs
        .iter()
        .filter(|run| run.workload == workload && run.allocator == allocator)
        .find_map(|run| run.failure.as_deref())
}

/// Median over median of the base.
#[must_use]
pub fn ratio(results: &Results, workload: &str, allocator: &str, base: &str, measure: Measure) -> Option<f64> {
    let own = figure(results, workload, allocator, measure)?.median;
    let base = figure(results, workload, base, measure)?.median;
    (base > 0.0).then_some(own / base)
}

/// The geometric mean of the ratios over the workloads of a kind that both completed.
#[must_use]
pub fn mean_ratio(
    results: &Results,
    allocator: &str,
    base: &str,
    measure: Measure,
    among: impl Fn(&Workload) -> bool,
) -> Option<f64> {
    let among = results.workloads.iter().filter(|workload| among(workload));
    let ratios: Vec<f64> =
        among.filter_map(|workload| ratio(results, &workload.name, allocator, base, measure)).collect();
    geometric_mean(&ratios)
}

/// The noise of such a mean: that of the ratios, which cancels out in part. A ratio of too few runs is taken to be as
/// noisy as the others are; none if that is so of most.
#[must_use]
pub fn mean_noise(
    results: &Results,
    allocator: &str,
    base: &str,
    measure: Measure,
    among: impl Fn(&Workload) -> bool,
) -> Option<f64> {
    let pair = |workload: &Workload| {
        let figure = |name: &str| figure(results, &workload.name, name, measure);
        figure(allocator).zip(figure(base)).filter(|(_, base)| base.median > 0.0)
    };
    let pairs: Vec<_> = results.workloads.iter().filter(|workload| among(workload)).filter_map(pair).collect();
    let squares: Vec<f64> =
        pairs.iter().filter_map(|(own, base)| noise(own, base)).map(|noise| noise * noise).collect();
    (squares.len() * 2 > pairs.len()).then(|| (stats::mean(&squares) / pairs.len() as f64).sqrt())
}

/// The columns and rows of one group: what a table or picture of its own shows.
#[derive(Debug)]
pub struct Selection<'a> {
    /// Of which group.
    pub group: Group,
    /// The allocators, those that all groups are compared with first.
    pub names: Vec<&'a str>,
    /// The work that allocators of the group did.
    pub workloads: Vec<&'a Workload>,
}

impl<'a> Selection<'a> {
    /// Those of a group, or none if none of its allocators ran.
    #[must_use]
    pub fn of(results: &'a Results, group: Group) -> Option<Self> {
        let own: Vec<&str> = results
            .present()
            .filter(|allocator| allocator.group == group)
            .map(|allocator| allocator.name.as_str())
            .collect();
        if own.is_empty() {
            return None;
        }
        let did = |workload: &&Workload| {
            results.runs.iter().any(|run| run.workload == workload.name && own.contains(&run.allocator.as_str()))
        };
        let workloads: Vec<&Workload> = if group == Group::Default {
            results.workloads.iter().collect()
        } else {
            results.workloads.iter().filter(did).collect()
        };
        let led = [BASE, SPANDREL]
            .into_iter()
            .filter(|name| !own.contains(name) && results.present().any(|allocator| allocator.name == *name));
        Some(Self { group, names: led.chain(own.iter().copied()).collect(), workloads })
    }

    /// Those of all groups that ran.
    pub fn all(results: &'a Results) -> impl Iterator<Item = Self> {
        [Group::Default, Group::Hardened, Group::Modes].into_iter().filter_map(|group| Self::of(results, group))
    }

    /// The group in words that may follow a title; empty for the default one.
    #[must_use]
    pub fn title(&self) -> &'static str {
        match self.group {
            Group::Default => "",
            Group::Hardened => ", hardened allocators",
            Group::Modes => ", modes of Spandrel",
        }
    }

    /// The ending of names of files; empty for the default group.
    #[must_use]
    pub fn ending(&self) -> &'static str {
        match self.group {
            Group::Default => "",
            Group::Hardened => "-hardened",
            Group::Modes => "-modes",
        }
    }

    /// The geometric mean of an allocator's ratios over the workloads here that say something about the measure.
    #[must_use]
    pub fn mean(
        &self,
        results: &Results,
        allocator: &str,
        measure: Measure,
        among: impl Fn(&Workload) -> bool,
    ) -> Option<f64> {
        mean_ratio(results, allocator, base(results), measure, |workload| {
            measure.counts(workload) && among(workload) && self.workloads.iter().any(|here| here.name == workload.name)
        })
    }
}

/// The base of a result: the one of the tables if it ran, else the first allocator that did.
#[must_use]
pub fn base(results: &Results) -> &str {
    let first = results.present().next().map_or("", |allocator| allocator.name.as_str());
    if results.present().any(|allocator| allocator.name == BASE) { BASE } else { first }
}

/// A table of ratios for the terminal, with the base's own medians in its column.
#[must_use]
pub fn text(results: &Results, selection: &Selection<'_>, measure: Measure) -> String {
    let base = base(results);
    let (names, title) = (&selection.names, selection.title());
    let mut text = match measure {
        Measure::Cpu => format!("CPU time{title}, against {base} (its own column in seconds), ± spread in %\n"),
        Measure::Peak => format!("Peak memory{title}, against {base} (its own column in MiB)\n"),
        Measure::Wall => format!("Wall time{title}, against {base} (its own column in seconds)\n"),
        Measure::Faults => format!("Page faults{title}, against {base} (its own column in thousands)\n"),
    };
    let _ = write!(text, "{:NAME_WIDTH$}", "");
    for name in names {
        let short: String = short(name).chars().take(CELL_WIDTH - 1).collect();
        let _ = write!(text, "{short:>CELL_WIDTH$}");
    }
    text.push('\n');
    for workload in &selection.workloads {
        let _ = write!(text, "{:NAME_WIDTH$}", workload.name.chars().take(NAME_WIDTH - 1).collect::<String>());
        for name in names {
            let _ = write!(text, "{:>CELL_WIDTH$}", cell(results, &workload.name, name, base, measure));
        }
        text.push('\n');
    }
    let _ = write!(text, "{:NAME_WIDTH$}", "geometric mean");
    for name in names {
        let mean = selection
            .mean(results, name, measure, |_| true)
            .map_or_else(|| "-".to_owned(), |mean| format!("{mean:.3}"));
        let _ = write!(text, "{mean:>CELL_WIDTH$}");
    }
    text.push('\n');
    text
}

/// A name that still differs from others when it is cut off.
fn short(name: &str) -> String {
    let mut short = name.to_owned();
    for (long, brief) in [
        ("debian-", "d-"),
        ("spandrel-", "s-"),
        ("hardened-malloc", "hmalloc"),
        ("-secure", "-sec"),
        ("-checks", "-chk"),
    ] {
        short = short.replace(long, brief);
    }
    short
}

fn cell(results: &Results, workload: &str, allocator: &str, base: &str, measure: Measure) -> String {
    const KIB_PER_MIB: f64 = 1024.0;
    const THOUSAND: f64 = 1000.0;
    if failure(results, workload, allocator).is_some() {
        return "FAILED".to_owned();
    }
    let Some(figure) = figure(results, workload, allocator, measure) else { return "-".to_owned() };
    let value = match (allocator == base, measure) {
        (true, Measure::Cpu | Measure::Wall) => format!("{:.3}", figure.median),
        (true, Measure::Peak) => format!("{:.1}", figure.median / KIB_PER_MIB),
        (true, Measure::Faults) => format!("{:.1}", figure.median / THOUSAND),
        (false, _) => ratio(results, workload, allocator, base, measure)
            .map_or_else(|| "-".to_owned(), |ratio| format!("{ratio:.2}")),
    };
    let spread = if measure == Measure::Cpu { format!("±{:.0}", 100.0 * figure.spread) } else { String::new() };
    format!("{value}{spread:>4}")
}
