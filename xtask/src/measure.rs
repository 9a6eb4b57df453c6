//! Compares a command with and without the preload: CPU time and peak memory over many interleaved runs.
//!
//! Knows: how to repeat and reduce. Must not know: what the command is.

use crate::run::{End, Launcher, Outcome, Task};
use crate::{repo, stats};
use anyhow::{Context, Result, bail};
use std::path::{Path, PathBuf};
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(300);
const MILLIS: f64 = 1e3;

/// The command to compare, and the limits.
#[derive(Debug, clap::Args)]
pub struct Request {
    /// Interleaved runs of each kind
    #[arg(long, short = 'n', default_value_t = 200)]
    pub runs: usize,
    /// Library to preload (default: the release build)
    #[arg(long)]
    pub library: Option<PathBuf>,
    /// Fail above this ratio of median CPU times
    #[arg(long)]
    pub max_ratio: Option<f64>,
    /// Fail above this difference of median peaks, in KiB
    #[arg(long)]
    pub max_extra_kib: Option<f64>,
    /// The command
    #[arg(trailing_var_arg = true, default_value = "/bin/true")]
    pub command: Vec<String>,
}

/// The measurements of one kind of run.
#[derive(Debug, Default)]
struct Series {
    cpu: Vec<f64>,
    peak_kib: Vec<f64>,
}

impl Series {
    fn add(&mut self, outcome: &Outcome) -> Result<()> {
        if outcome.end != End::Code(0) {
            bail!("the command ended with {:?}: {}", outcome.end, String::from_utf8_lossy(&outcome.stderr));
        }
        self.cpu.push(outcome.usage.cpu);
        self.peak_kib.push(outcome.usage.peak_kib);
        Ok(())
    }

    fn row(&self, name: &str) -> String {
        format!(
            "{name:<10} {:>12.3} {:>12.3} {:>12.3} {:>12.0} {:>12.0}",
            stats::median(&self.cpu) * MILLIS,
            stats::minimum(&self.cpu) * MILLIS,
            stats::mean(&self.cpu) * MILLIS,
            stats::median(&self.peak_kib),
            stats::minimum(&self.peak_kib)
        )
    }
}

/// Runs the comparison and prints it.
///
/// # Errors
/// When a run fails or a limit is exceeded.
pub fn compare(request: &Request) -> Result<()> {
    let library = repo::library(request.library.as_deref())?;
    let (name, arguments) = request.command.split_first().context("no command")?;
    let scratch = repo::target(&repo::root()?).join("measure");
    let launcher = Launcher::new(&scratch)?;
    let task = Task {
        program: repo::program(name).with_context(|| format!("{name} is not installed"))?,
        arguments: arguments.to_vec(),
        dir: scratch,
        environment: Vec::new(),
        input: None,
        limit: LIMIT,
    };
    let (alone, preloaded) = interleave(&launcher, &task, &library, request.runs)?;
    println!(
        "{} interleaved runs of `{}`; user+sys time in ms, peak memory in KiB",
        request.runs,
        request.command.join(" ")
    );
    println!("{:<10} {:>12} {:>12} {:>12} {:>12} {:>12}", "", "median", "minimum", "mean", "peak median", "peak min");
    println!("{}", alone.row("alone"));
    println!("{}", preloaded.row("preloaded"));
    let ratio = stats::ratio(stats::median(&preloaded.cpu), stats::median(&alone.cpu));
    let extra = stats::median(&preloaded.peak_kib) - stats::median(&alone.peak_kib);
    println!("time ratio {ratio:.3} (of medians), peak difference {extra:+.0} KiB");
    if request.max_ratio.is_some_and(|limit| ratio > limit) {
        bail!("time ratio {ratio:.3} is over the limit");
    }
    if request.max_extra_kib.is_some_and(|limit| extra > limit) {
        bail!("peak difference {extra:.0} KiB is over the limit");
    }
    Ok(())
}

/// One uncounted run of each kind, then pairs in alternating order.
fn interleave(launcher: &Launcher, task: &Task, library: &Path, runs: usize) -> Result<(Series, Series)> {
    let (mut alone, mut preloaded) = (Series::default(), Series::default());
    launcher.run(task, None)?;
    launcher.run(task, Some(library))?;
    for round in 0..runs {
        let first_preloaded = round % 2 == 1;
        for with in [first_preloaded, !first_preloaded] {
            let outcome = launcher.run(task, with.then_some(library))?;
            if with { preloaded.add(&outcome)? } else { alone.add(&outcome)? }
        }
    }
    Ok((alone, preloaded))
}
