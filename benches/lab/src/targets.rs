//! The targets and the published figures of Spandrel, and whether a result holds them.
//!
//! Knows: the form of `benches/targets.toml`, how each figure and its noise are computed. Must not know: how they are
//! printed.
//! Invariants: a figure misses only what it exceeds by more than the noise, which is that of the runs.

use crate::losses::{self, Outcome};
use crate::results::{Form, Group, Kind, Results, Role, Workload};
use crate::table::{Measure, mean_noise, mean_ratio};
use crate::work::matches;
use crate::{
    allocators::{SPANDREL, SPANDREL_HARDENED},
    figures::Figure,
};
use anyhow::{Context, Result};
use serde::Deserialize;
use std::fs;
use std::path::Path;
use verdict::{Found, verdict};

mod verdict;

pub use verdict::{Judged, Verdict};

/// The file, in the repository.
pub const FILE: &str = "benches/targets.toml";
/// Stands for the hardened peer that is closest to Spandrel.
const HARDENED_PEERS: &str = "hardened peers";
const BYTES_PER_KIB: f64 = 1024.0;
const PERCENT: f64 = 100.0;

/// All targets.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Targets {
    /// In the order of the report.
    pub target: Vec<Target>,
}

/// One target.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Target {
    /// The condition without its number, in words.
    pub text: String,
    /// The kind of figure.
    pub figure: Quantity,
    /// Whose figure.
    #[serde(default = "default_allocator")]
    pub of: String,
    /// The allocator that ratios are taken against, or `hardened peers` for the closest of these.
    #[serde(default)]
    pub against: String,
    /// Which work counts.
    #[serde(default)]
    pub rows: Rows,
    /// Work whose mean the mean is divided by.
    pub over: Option<Rows>,
    /// The largest figure that is wanted; of `idle`: times the live bytes.
    pub wanted: f64,
    /// Of `idle`: KiB beyond that.
    #[serde(default)]
    pub plus_kib: f64,
    /// The figures that were published where the target is missed or was surpassed; they stand in for it. Of `idle`:
    /// in times of the limit.
    #[serde(default)]
    pub published: Published,
    /// Where a reader meets it.
    pub claimed: Vec<Claim>,
}

/// Figures that were published, by the form of the run. Without one the target itself has to hold.
#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Published {
    /// In a full run.
    pub full: Option<Known>,
    /// In a quick one, which has other work.
    pub quick: Option<Known>,
    /// In one of hardened allocators (`make bench-security`).
    pub security: Option<Known>,
}

/// A figure that was measured, with its noise then.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Known {
    /// The figure.
    pub found: f64,
    /// As a share of it.
    pub noise: f64,
}

/// A page and the words in it that state a target or a figure.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Claim {
    /// The page, in the repository.
    pub page: String,
    /// The words.
    pub words: String,
}

/// The kind of figure that a target is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Quantity {
    /// Geometric mean of CPU times.
    Time,
    /// Geometric mean of wall times.
    Wall,
    /// Geometric mean of peaks.
    Memory,
    /// Resident memory after a peak against the bytes that are live.
    Idle,
    /// Rows lost in time.
    LostInTime,
    /// Rows lost in peak memory.
    LostInMemory,
}

/// A choice of work: `all`, `workloads`, `programs`, `threads N-M`, or a name with `*` and `?`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(transparent)]
pub struct Rows(String);

fn default_allocator() -> String {
    SPANDREL.to_owned()
}

impl Targets {
    /// Reads the file.
    ///
    /// # Errors
    /// When it is not there or not of its form.
    pub fn read(path: &Path) -> Result<Self> {
        let text = fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
        Self::parse(&text).with_context(|| format!("{} cannot be understood", path.display()))
    }

    /// Reads the text of such a file.
    ///
    /// # Errors
    /// When it is not of its form.
    pub fn parse(text: &str) -> Result<Self> {
        Ok(toml::from_str(text)?)
    }

    /// All of them against a result. Left out are those about an allocator that was not wanted, and those that runs of
    /// another form decide: mode `hardened` has targets for `security`, the default for the others.
    #[must_use]
    pub fn judge(&self, results: &Results) -> Vec<Judged> {
        let wanted = |name: &str| results.allocators.iter().any(|allocator| allocator.name == name);
        let decided = |target: &&Target| match results.made.form {
            Form::Part => true,
            form => (form == Form::Security) == (target.of == SPANDREL_HARDENED),
        };
        let mut judged = Vec::new();
        for target in self.target.iter().filter(|target| wanted(&target.of)).filter(decided) {
            match target.figure {
                Quantity::Idle => judged.extend(target.judge_idle(results)),
                _ => judged.push(target.judge(results)),
            }
        }
        judged
    }

    /// A line for each target that a complete run misses; none for a run with a choice of its own.
    #[must_use]
    pub fn missed(&self, results: &Results) -> Vec<String> {
        if results.made.form == Form::Part {
            return Vec::new();
        }
        let missed = self.judge(results).into_iter().filter(|judged| judged.verdict == Verdict::Missed);
        missed.map(|judged| format!("MISSED: {}: {} ({})", judged.text, judged.found, judged.page)).collect()
    }

    /// A line for each target that the run says nothing about.
    #[must_use]
    pub fn open(&self, results: &Results) -> Vec<String> {
        let open = self.judge(results).into_iter().filter(|judged| judged.verdict == Verdict::Open);
        open.map(|judged| format!("NOT MEASURED: {} ({})", judged.text, judged.page)).collect()
    }

    /// The most that may be resident after idling, in KiB; none if no target says so.
    #[must_use]
    pub fn idle_limit(&self, live_bytes: u64) -> Option<f64> {
        let target = self.target.iter().find(|target| target.figure == Quantity::Idle)?;
        Some(target.idle_limit(live_bytes))
    }
}

impl Target {
    fn judge(&self, results: &Results) -> Judged {
        let (found, against) = match self.figure {
            Quantity::LostInTime => (self.lost(results, Measure::Cpu), String::new()),
            Quantity::LostInMemory => (self.lost(results, Measure::Peak), String::new()),
            _ if self.against == HARDENED_PEERS => match self.closest(results) {
                Some((peer, found)) => (Some(found), format!(" of {peer}")),
                None => (None, String::new()),
            },
            _ => (self.mean(results, &self.against), format!(" of {}", self.against)),
        };
        let limit = self.limit(results.made.form);
        let words = |found: Found| match found.noise {
            _ if self.is_count() => format!("{:.0}", found.value),
            Some(noise) => format!("{:.3}{against}, noise {:.1} %", found.value, PERCENT * noise),
            None => format!("{:.3}{against}, too few runs to tell the noise", found.value),
        };
        let published = limit.map_or_else(String::new, |known| match self.is_count() {
            true => format!(", published: {:.0}", known.found),
            false => format!(", published: {:.2}", known.found),
        });
        Judged {
            text: match self.is_count() {
                true => format!("{}: at most {}", self.text, self.wanted),
                false => format!("{}: at most {:.2}{}", self.text, self.wanted, self.of_whom()),
            },
            found: found.map_or_else(|| "nothing".to_owned(), words) + &published,
            verdict: found.map_or(Verdict::Open, |found| self.known(results, verdict(found, self.wanted, limit))),
            page: self.claimed.first().map_or_else(String::new, |claim| claim.page.clone()),
        }
    }

    fn of_whom(&self) -> String {
        format!(" of {}", if self.against == HARDENED_PEERS { "each hardened peer" } else { &self.against })
    }

    fn is_count(&self) -> bool {
        matches!(self.figure, Quantity::LostInTime | Quantity::LostInMemory)
    }

    /// The figure that was published of runs of this form.
    fn limit(&self, form: Form) -> Option<Known> {
        match form {
            Form::Full => self.published.full,
            Form::Quick => self.published.quick,
            Form::Security => self.published.security,
            Form::Part => None,
        }
    }

    /// A verdict, unless the target is known to be missed and no figure was published of runs of this form.
    fn known(&self, results: &Results, verdict: Verdict) -> Verdict {
        let unknown =
            results.made.form == Form::Quick && self.published.quick.is_none() && self.published.full.is_some();
        if unknown && verdict == Verdict::Missed { Verdict::Open } else { verdict }
    }

    fn measure(&self) -> Measure {
        match self.figure {
            Quantity::Memory | Quantity::LostInMemory | Quantity::Idle => Measure::Peak,
            Quantity::Wall => Measure::Wall,
            Quantity::Time | Quantity::LostInTime => Measure::Cpu,
        }
    }

    fn mean(&self, results: &Results, against: &str) -> Option<Found> {
        let measure = self.measure();
        let of = |rows: &Rows| {
            let among = |workload: &Workload| measure.counts(workload) && rows.has(workload);
            let value = mean_ratio(results, &self.of, against, measure, among)?;
            Some(Found { value, noise: mean_noise(results, &self.of, against, measure, among) })
        };
        let found = of(&self.rows)?;
        let Some(over) = &self.over else { return Some(found) };
        let over = of(over)?;
        Some(Found {
            value: found.value / over.value,
            noise: found.noise.zip(over.noise).map(|(one, two)| one.hypot(two)),
        })
    }

    /// The hardened peer that comes closest.
    fn closest<'a>(&self, results: &'a Results) -> Option<(&'a str, Found)> {
        results
            .present()
            .filter(|allocator| allocator.group == Group::Hardened && allocator.role == Role::Peer)
            .filter_map(|peer| Some((peer.name.as_str(), self.mean(results, &peer.name)?)))
            .max_by(|left, right| left.1.value.total_cmp(&right.1.value))
    }

    /// How many rows are lost; their noise is in each of the verdicts already.
    fn lost(&self, results: &Results, measure: Measure) -> Option<Found> {
        let verdicts = if measure == Measure::Cpu { losses::in_time(results) } else { losses::in_memory(results) };
        let known = verdicts.iter().filter(|verdict| verdict.outcome != Outcome::Open).count();
        let lost = verdicts.iter().filter(|verdict| verdict.outcome == Outcome::Loss).count();
        let value = (lost + losses::failed(results).count()) as f64;
        (known > 0).then_some(Found { value, noise: Some(0.0) })
    }

    fn idle_limit(&self, live_bytes: u64) -> f64 {
        self.wanted * live_bytes as f64 / BYTES_PER_KIB + self.plus_kib
    }

    /// One verdict for each idle workload that has these rows.
    fn judge_idle(&self, results: &Results) -> Vec<Judged> {
        let rows = results.workloads.iter().filter(|row| row.kind == Kind::Idle && self.rows.has(row));
        let judge = |row: &Workload| {
            let found = idle(results, &row.name, &self.of);
            let limit = found.map_or(0.0, |(_, live_bytes)| self.idle_limit(live_bytes));
            let published = self.limit(results.made.form);
            let verdict = found.map_or(Verdict::Open, |(after, _)| {
                let found = Found { value: after.median / limit, noise: after.noise() };
                self.known(results, verdict(found, 1.0, published))
            });
            let words = |after: Figure| {
                let known =
                    published.map_or_else(String::new, |known| format!(", published: {:.0} KiB", known.found * limit));
                format!("{:.0} KiB of {limit:.0} KiB{known}", after.median)
            };
            Judged {
                text: format!("{}: {}", row.name, self.text),
                found: found.map_or_else(|| "nothing".to_owned(), |(after, _)| words(after)),
                verdict,
                page: self.claimed.first().map_or_else(String::new, |claim| claim.page.clone()),
            }
        };
        rows.map(judge).collect()
    }
}

/// Prints a line for each target that is missed; false if there was one.
#[must_use]
pub fn say_missed(targets: &Targets, results: &Results) -> bool {
    let missed = targets.missed(results);
    missed.iter().for_each(|line| println!("{line}"));
    missed.is_empty()
}

/// Resident KiB after idling, and the bytes that were live, of one pair.
#[must_use]
pub fn idle(results: &Results, workload: &str, allocator: &str) -> Option<(Figure, u64)> {
    let idles: Vec<_> = results.good(workload, allocator).filter_map(|run| run.said.as_ref()?.idle).collect();
    let after: Vec<f64> = idles.iter().map(|idle| idle.rss_kib_after).collect();
    Some((Figure::of(&after)?, idles.first()?.live_bytes))
}

impl Rows {
    /// True for work of this choice.
    #[must_use]
    pub fn has(&self, workload: &Workload) -> bool {
        match self.0.as_str() {
            "" | "all" => true,
            "workloads" => workload.synthetic(),
            "programs" => !workload.synthetic(),
            pattern => match pattern.strip_prefix("threads ") {
                Some(range) => {
                    let (from, to) = range.split_once('-').unwrap_or((range, range));
                    let number = |text: &str| text.parse::<usize>().ok();
                    number(from).zip(number(to)).is_some_and(|(from, to)| (from..=to).contains(&workload.threads))
                }
                None => matches(pattern, &workload.name),
            },
        }
    }
}
