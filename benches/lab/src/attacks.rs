//! Time against attacks: the means of a run beside the recorded results of the attack suite, as a picture.
//!
//! Knows: the recorded files, which record of one belongs to which of the other. Must not know: how an attack or a run
//! is made.
//! Invariants: an allocator without figures from both is not drawn, and is named.

use crate::allocators::{BASE, SPANDREL};
use crate::command;
use crate::plot;
use crate::publish;
use crate::results::{Allocator, Form, Group, Results, Workload};
use crate::security::FOLDER;
use crate::table::{Measure, mean_ratio};
use crate::targets::{self, Targets};
use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};
use spandrel_attack::results::Counts;
use spandrel_xtask::repo;
use std::fs;
use std::path::{Path, PathBuf};

/// The recorded means, in the repository.
pub const TIMES: &str = "docs/benchmarks/security.json";
/// The recorded results of the attack suite.
pub const ATTACKS: &str = "docs/attacks/results.json";
/// The picture.
pub const PICTURE: &str = "docs/pictures/security.svg";

/// The means of a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Times {
    /// Date and time of the run (UTC).
    pub date: String,
    /// The commit that was measured.
    pub commit: String,
    /// Its command line.
    pub command: String,
    /// Model of the processor.
    pub cpu: String,
    /// Load average before the first run.
    pub load_before: f64,
    /// The full run that the means of other allocators come from; none where this run had all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub others_from: Option<Others>,
    /// Allocators that ran.
    pub allocators: Vec<Mean>,
}

/// A full run of the same commit, whose default allocators a run of hardened ones left out.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Others {
    /// Date and time of the run (UTC).
    pub date: String,
    /// Its command line.
    pub command: String,
    /// The allocators whose means come from it.
    pub allocators: Vec<String>,
}

/// The means of one allocator against the base of the tables.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Mean {
    /// Its name.
    pub name: String,
    /// Its group.
    pub group: Group,
    /// Of CPU time over workloads and programs.
    pub time: f64,
    /// Of CPU time over programs alone.
    pub programs: Option<f64>,
    /// Of peak memory over workloads and programs.
    pub memory: f64,
    /// Over how many workloads and programs.
    pub over: usize,
}

impl Times {
    /// The means of results. Modes for diagnosis have none: they ran on a part of the work.
    #[must_use]
    pub fn of(results: &Results) -> Self {
        let counts = |workload: &Workload| Measure::Cpu.counts(workload);
        let mean = |allocator: &Allocator| {
            let name = allocator.name.as_str();
            let ratio = |measure, among: fn(&Workload) -> bool| {
                mean_ratio(results, name, BASE, measure, |workload| counts(workload) && among(workload))
            };
            let completed = |workload: &&Workload| {
                counts(workload) && crate::table::ratio(results, &workload.name, name, BASE, Measure::Cpu).is_some()
            };
            Some(Mean {
                name: name.to_owned(),
                group: allocator.group,
                time: rounded(ratio(Measure::Cpu, |_| true)?),
                programs: ratio(Measure::Cpu, |workload| !workload.synthetic()).map(rounded),
                memory: rounded(ratio(Measure::Peak, |_| true)?),
                over: results.workloads.iter().filter(completed).count(),
            })
        };
        Self {
            date: results.made.date.clone(),
            commit: results.made.commit.clone(),
            command: results.made.command.clone(),
            cpu: results.machine.cpu.clone(),
            load_before: results.machine.load_before,
            others_from: None,
            allocators: results.present().filter(|one| one.group != Group::Modes).filter_map(mean).collect(),
        }
    }

    /// The same, and the means of the default allocators that are in `full` alone.
    ///
    /// # Errors
    /// When `full` measured another commit.
    pub fn with_others(mut self, full: &Results) -> Result<Self> {
        let full = Self::of(full);
        if full.commit != self.commit {
            bail!("the full run measured {}, and this one {}: run both at one commit", full.commit, self.commit);
        }
        let has = |name: &str| self.allocators.iter().any(|mean| mean.name == name);
        let is_other = |mean: &Mean| mean.group == Group::Default && !has(&mean.name);
        let others: Vec<Mean> = full.allocators.into_iter().filter(is_other).collect();
        let names = others.iter().map(|mean| mean.name.clone()).collect();
        self.others_from = Some(Others { date: full.date, command: full.command, allocators: names });
        self.allocators.extend(others);
        Ok(self)
    }

    /// Reads a file.
    ///
    /// # Errors
    /// When it is not there or not of this form.
    pub fn read(path: &Path) -> Result<Self> {
        read(path)
    }
}

/// With as many digits as mean something.
fn rounded(ratio: f64) -> f64 {
    const PLACES: f64 = 1e3;
    (ratio * PLACES).round() / PLACES
}

/// The part of the attack suite's results that is drawn.
#[derive(Debug, Clone, Deserialize)]
pub struct Attacks {
    /// The day.
    pub date: String,
    /// The commit that was attacked.
    pub commit: String,
    /// The allocators, absent ones included.
    pub allocators: Vec<Attacked>,
}

/// The verdicts on one allocator.
#[derive(Debug, Clone, Deserialize)]
pub struct Attacked {
    /// Its name there.
    pub name: String,
    /// Its mode or options.
    pub mode: String,
    /// Why it was not attacked; none if it was.
    #[serde(default)]
    pub absent: Option<String>,
    /// Rows by verdict.
    pub counts: Counts,
}

impl Attacked {
    /// Its name among the columns of the lab.
    #[must_use]
    pub fn column(&self) -> String {
        match (self.name.as_str(), self.mode.as_str()) {
            (SPANDREL, "fast") | (_, "") => self.name.clone(),
            (name, mode) => format!("{name}-{}", mode.replace(' ', "-")),
        }
    }
}

impl Attacks {
    /// Reads a file.
    ///
    /// # Errors
    /// When it is not there or not of this form.
    pub fn read(path: &Path) -> Result<Self> {
        read(path)
    }
}

fn read<T: for<'a> Deserialize<'a>>(path: &Path) -> Result<T> {
    let text = fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    serde_json::from_str(&text).with_context(|| format!("{} has another form", path.display()))
}

/// One mark of the picture.
#[derive(Debug, Clone, PartialEq)]
pub struct Mark {
    /// The column of the lab.
    pub name: String,
    /// CPU time against the base.
    pub time: f64,
    /// The share of attacks that were stopped.
    pub stopped: f64,
}

/// The marks of the allocators that have figures from both, and the names of those that have from one alone.
#[must_use]
pub fn marks(times: &Times, attacks: &Attacks) -> (Vec<Mark>, Vec<String>) {
    let attacked = |name: &str| {
        let found = attacks.allocators.iter().filter(|one| one.absent.is_none()).find(|one| one.column() == name);
        found.and_then(|one| one.counts.stopped())
    };
    let marks: Vec<Mark> = times
        .allocators
        .iter()
        .filter_map(|mean| Some(Mark { name: mean.name.clone(), time: mean.time, stopped: attacked(&mean.name)? }))
        .collect();
    let of_both = |name: &str| marks.iter().any(|mark| mark.name == name);
    let mut alone: Vec<String> = times.allocators.iter().map(|mean| mean.name.clone()).collect();
    alone.extend(attacks.allocators.iter().map(Attacked::column));
    alone.retain(|name| !of_both(name));
    alone.dedup();
    (marks, alone)
}

/// Which results to record for the picture.
#[derive(Debug, clap::Args)]
pub struct Publish {
    /// results.json of a run (default: that of the last `make bench-security`)
    results: Option<PathBuf>,
    /// results.json of a full run of the same commit, for the default allocators that the other one left out
    #[arg(long)]
    others: Option<PathBuf>,
}

/// Records the means of a run and draws the picture.
///
/// # Errors
/// When the results cannot be read, have no hardened allocator, miss what is published, or did not measure it.
pub fn publish(request: &Publish) -> Result<()> {
    let root = repo::root()?;
    let last = repo::target(&root).join(FOLDER).join(command::RESULTS);
    let results = Results::read(request.results.as_deref().unwrap_or(&last))?;
    publish::refuse(&results, &Targets::read(&root.join(targets::FILE))?, Form::Security)?;
    let others = request.others.as_deref().map(Results::read).transpose()?;
    record(&results, others.as_ref(), &root)
}

/// Records the means of results and draws the picture.
///
/// # Errors
/// When there is no hardened allocator, or something cannot be written.
fn record(results: &Results, others: Option<&Results>, root: &Path) -> Result<()> {
    let times = Times::of(results);
    let times = others.map_or(Ok(times.clone()), |full| times.with_others(full))?;
    if !times.allocators.iter().any(|mean| mean.group == Group::Hardened) {
        bail!("no hardened allocator completed a workload in these results");
    }
    let path = root.join(TIMES);
    fs::write(&path, serde_json::to_string_pretty(&times)? + "\n")
        .with_context(|| format!("cannot write {}", path.display()))?;
    println!("times:   {}", path.display());
    picture()
}

/// Draws the picture of the recorded figures.
///
/// # Errors
/// When they cannot be read or the picture cannot be written.
pub fn picture() -> Result<()> {
    let root = repo::root()?;
    let path = root.join(PICTURE);
    let (svg, alone) = drawn(&root)?;
    fs::write(&path, svg).with_context(|| format!("cannot write {}", path.display()))?;
    println!("picture: {}", path.display());
    if !alone.is_empty() {
        println!("not in it, for want of times or of attacks: {}", alone.join(", "));
    }
    Ok(())
}

/// The picture of the recorded figures of a repository, and the names of allocators that are not in it.
///
/// # Errors
/// When the figures cannot be read.
pub fn drawn(root: &Path) -> Result<(String, Vec<String>)> {
    let (times, attacks) = (Times::read(&root.join(TIMES))?, Attacks::read(&root.join(ATTACKS))?);
    let (marks, alone) = marks(&times, &attacks);
    Ok((plot::attacks(&marks)?, alone))
}
