//! Hardened allocators beside the defaults, in a few minutes: geometric means of CPU time and of peak memory.
//!
//! Knows: which allocators and which work, the table of the means. Must not know: how a run is made, attacks.

use crate::allocators::{self, BASE, Choice, HARDENED_PEERS, SPANDREL_HARDENED};
use crate::bench::Plan;
use crate::command::{Amount, DEFAULT_SEED, Lab, RESULTS, announce};
use crate::continued;
use crate::results::{Allocator, Form, Results, Workload};
use crate::schedule::{Earlier, Repetition};
use crate::table::{Measure, failure, mean_ratio};
use crate::targets::{self, Targets};
use crate::work::{self, Work};
use anyhow::Result;
use spandrel_xtask::programs;
use spandrel_xtask::programs::program::User;
use spandrel_xtask::repo;
use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::PathBuf;
use std::time::Duration;

/// Counted runs of a pair, amount of work.
const RUNS: u16 = 3;
const SCALE: f64 = 0.15;
const SECONDS_PER_MINUTE: f64 = 60.0;
const NAME_WIDTH: usize = 24;
const CELL_WIDTH: usize = 11;
/// Where results go, below the directory of the build.
pub const FOLDER: &str = "bench/security";

/// How long it may take, and what is compared.
#[derive(Debug, clap::Args)]
pub struct Security {
    /// Begin no work later than this
    #[arg(long, default_value_t = 5.0)]
    minutes: f64,
    /// Also the allocators that are not hardened, as far as time allows
    #[arg(long)]
    all: bool,
    /// Only workloads and programs of these names (`*` and `?` stand for letters)
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
    /// Go on with the results of an earlier run of the same libraries: its runs count, and what it lacks comes first
    #[arg(long = "continue", value_name = "RESULTS")]
    before: Option<PathBuf>,
    /// Counted runs at most
    #[arg(long, default_value_t = RUNS, value_parser = clap::value_parser!(u16).range(1..))]
    runs: u16,
    /// Amount of work; 1 is the full form
    #[arg(long, default_value_t = SCALE)]
    scale: f64,
    /// Seconds after which a run counts as failed
    #[arg(long, default_value_t = 30)]
    limit: u64,
    /// Draws the order of the runs
    #[arg(long, default_value_t = DEFAULT_SEED)]
    seed: u64,
    /// Spandrel's library (default: the release build)
    #[arg(long)]
    library: Option<PathBuf>,
    /// Where results go (default: target/bench/security)
    #[arg(long)]
    out: Option<PathBuf>,
}

/// Runs, writes and prints; false if a published figure is missed.
///
/// # Errors
/// When something needed is missing.
pub fn run(request: &Security) -> Result<bool> {
    let lab = Lab::prepare(request.out.as_deref(), FOLDER)?;
    let (works, left_out) = works(request, &lab)?;
    let named = [BASE, SPANDREL_HARDENED].iter().chain(HARDENED_PEERS).map(|name| (*name).to_owned());
    let columns = allocators::columns(&Choice {
        peers: &if request.all { Vec::new() } else { named.collect::<Vec<_>>() },
        modes: false,
        also: &[],
        library: &repo::library(request.library.as_deref())?,
        peers_dir: &lab.target.join("peers"),
    })?;
    announce(&works, &columns, &left_out);
    let runs = usize::from(request.runs);
    let repetition = Repetition {
        least: runs,
        most: runs,
        seed: request.seed,
        budget: Duration::from_secs_f64(request.minutes * SECONDS_PER_MINUTE),
    };
    let before = request.before.as_deref().map(Results::read).transpose()?;
    if let Some(before) = &before {
        let allocators: Vec<&Allocator> = columns.iter().map(|column| &column.allocator).collect();
        let names = works.iter().map(|work| work.workload.name.clone());
        continued::check(before, request.form(), request.scale, &allocators, names)?;
    }
    let earlier = before.as_ref().map_or(Earlier::default(), continued::earlier);
    let mut results = lab.measure(
        Plan { works: &works, columns: &columns, pairs: |_, _| true, repetition, earlier },
        Amount { form: request.form(), scale: request.scale, limit: Duration::from_secs(request.limit) },
        left_out,
    )?;
    if let Some(before) = &before {
        continued::join(&before.made, before.machine.load_before, &mut results);
        results.write(&lab.out.join(RESULTS))?;
    }
    let targets = Targets::read(&lab.root.join(targets::FILE))?;
    println!("\n{}\nresults:  {}", text(&results, &targets), lab.out.join(RESULTS).display());
    Ok(targets::say_missed(&targets, &results))
}

impl Security {
    /// Names and amounts on the command line are a choice of their own.
    fn form(&self) -> Form {
        let complete = self.only.is_empty() && self.scale == SCALE && self.runs >= RUNS;
        if complete { Form::Security } else { Form::Part }
    }
}

/// The workloads and programs whose time says something; and those that cannot run, with the reason.
fn works(request: &Security, lab: &Lab) -> Result<(Vec<Work>, BTreeMap<String, String>)> {
    let wanted =
        |name: &str| request.only.is_empty() || request.only.iter().any(|pattern| work::matches(pattern, name));
    let timed = |work: &Work| Measure::Cpu.counts(&work.workload) && wanted(&work.workload.name);
    let mut works: Vec<Work> = work::synthetics(&lab.binary())?.into_iter().filter(timed).collect();
    let mut left_out = BTreeMap::new();
    for program in programs::of(User::Lab).iter().filter(|program| wanted(program.name)) {
        let missing = program.missing();
        if missing.is_empty() {
            works.push(Work::program(program));
        } else {
            left_out.insert(program.name.to_owned(), format!("not installed: {}", missing.join(", ")));
        }
    }
    Ok((works, left_out))
}

/// The table of the means, the failures, and the targets of mode `hardened`.
#[must_use]
pub fn text(results: &Results, targets: &Targets) -> String {
    let mut text = format!(
        "Geometric means against {BASE}: CPU time over workloads and programs, over either alone, peak memory\n{:NAME_WIDTH$}",
        ""
    );
    for heading in ["time", "workloads", "programs", "memory", "completed"] {
        let _ = write!(text, "{heading:>CELL_WIDTH$}");
    }
    text.push('\n');
    for allocator in results.present() {
        let name = allocator.name.as_str();
        let mean = |measure, among: fn(&Workload) -> bool| {
            let ratio =
                mean_ratio(results, name, BASE, measure, |workload| Measure::Cpu.counts(workload) && among(workload));
            ratio.map_or_else(|| "-".to_owned(), |ratio| format!("{ratio:.3}"))
        };
        let _ = write!(text, "{name:NAME_WIDTH$}");
        for cell in [
            mean(Measure::Cpu, |_| true),
            mean(Measure::Cpu, Workload::synthetic),
            mean(Measure::Cpu, |workload| !workload.synthetic()),
            mean(Measure::Peak, |_| true),
            completed(results, allocator),
        ] {
            let _ = write!(text, "{cell:>CELL_WIDTH$}");
        }
        text.push('\n');
    }
    text.push('\n');
    for workload in &results.workloads {
        for allocator in results.present() {
            if let Some(reason) = failure(results, &workload.name, &allocator.name) {
                let _ = writeln!(text, "{} fails {}: {reason}", allocator.name, workload.name);
            }
        }
    }
    let hardened =
        Targets { target: targets.target.iter().filter(|one| one.of == SPANDREL_HARDENED).cloned().collect() };
    for judged in hardened.judge(results) {
        let _ = writeln!(text, "{:<20} {}: {}", judged.verdict.words(), judged.text, judged.found);
    }
    text + &left_out_text(results)
}

/// How many pieces of work an allocator completed, of how many that were begun.
fn completed(results: &Results, allocator: &Allocator) -> String {
    let begun = |workload: &&Workload| {
        results.runs.iter().any(|run| run.workload == workload.name && run.allocator == allocator.name)
    };
    let done = |workload: &&Workload| failure(results, &workload.name, &allocator.name).is_none();
    let all: Vec<&Workload> = results.workloads.iter().filter(begun).collect();
    format!("{}/{}", all.iter().filter(|workload| done(workload)).count(), all.len())
}

/// A line for each reason, with the names of the work.
fn left_out_text(results: &Results) -> String {
    let mut by_reason = BTreeMap::<&str, Vec<&str>>::new();
    for (name, reason) in &results.made.left_out {
        by_reason.entry(reason).or_default().push(name);
    }
    by_reason.iter().fold(String::new(), |mut text, (reason, names)| {
        let _ = writeln!(text, "without {}: {reason}", names.join(", "));
        text
    })
}
