//! The printed form of runs: a line for each, the command that repeats a failure, and a table of all samples.
//!
//! Knows: layout. Must not know: how runs are made.

use crate::run::{Done, Order, Outcome};
use anyhow::{Context, Result};
use std::fmt::Write;
use std::fs;
use std::path::Path;

/// The heading of the lines.
fn heading() -> String {
    format!(
        "{:<42} {:>11} {:>9} {:>9} {:>6}  {}",
        "scenario.profile", "operations", "live MiB", "RSS MiB", "ratio", "outcome"
    )
}

/// One line, and for a failure those that help.
fn line(done: &Done) -> String {
    let peaks = done.peaks();
    let outcome = match &done.outcome {
        Outcome::Passed => "passed".to_owned(),
        Outcome::Skipped(reason) => format!("skipped: {reason}"),
        Outcome::Failed(failure) => {
            let order = &done.order;
            format!("FAILED\n  {failure}\n  {}, seed {}; to repeat it:\n  {}", order.name(), order.seed, order.again())
        }
    };
    let (name, operations) = (done.order.name(), done.operations());
    format!("{name:<42} {operations:>11} {:>9.1} {:>9.1} {:>6.2}  {outcome}", peaks.live, peaks.resident, peaks.ratio())
}

/// Makes the runs one after another, and prints a line for each.
///
/// # Errors
/// When a run cannot be started.
pub fn run_all(orders: &[Order]) -> Result<Vec<Done>> {
    if let Some(first) = orders.first() {
        println!("{} runs of {:.1} seconds, seed {}", orders.len(), first.seconds, first.seed);
    }
    println!("{}", heading());
    let mut all = Vec::new();
    for order in orders {
        let done = order.run()?;
        println!("{}", line(&done));
        all.push(done);
    }
    Ok(all)
}

/// Writes all samples as a table of comma-separated values.
///
/// # Errors
/// When the file cannot be written.
pub fn write_samples(all: &[Done], path: &Path) -> Result<()> {
    let mut text =
        String::from("scenario,profile,seed,seconds,live_bytes,rss_bytes,rss_anon_bytes,checker_bytes,operations\n");
    for done in all {
        let (scenario, profile, seed) = (done.order.scenario.name, done.order.profile.name(), done.order.seed);
        for sample in &done.samples {
            let crate::sample::Sample { seconds, live, resident, anonymous, own, operations } = sample;
            let _ = writeln!(
                text,
                "{scenario},{profile},{seed},{seconds:.3},{live},{resident},{anonymous},{own},{operations}"
            );
        }
    }
    replace(path, &text)
}

/// Writes a file beside its place and renames it: another process may be reading or writing the same.
///
/// # Errors
/// When the file cannot be written.
pub fn replace(path: &Path, text: &str) -> Result<()> {
    let mut draft = path.as_os_str().to_owned();
    draft.push(format!(".{}", std::process::id()));
    fs::write(&draft, text)
        .and_then(|()| fs::rename(&draft, path))
        .with_context(|| format!("cannot write {}", path.display()))
}
