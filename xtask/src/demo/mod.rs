//! Real programs with and without the preload: same output, and time and memory side by side.
//!
//! Knows: the order of the runs and what has to match. Must not know: any particular program (see `programs`).

mod report;

use crate::programs;
use crate::programs::program::{Program, User};
use crate::programs::session::Session;
use crate::repo;
use crate::run::Launcher;
use anyhow::{Result, bail};
use report::Row;
use std::path::{Path, PathBuf};

/// The programs and the number of runs.
#[derive(Debug, clap::Args)]
pub struct Request {
    /// Counted runs of each kind per program
    #[arg(long, short = 'n', default_value_t = 3)]
    pub repetitions: usize,
    /// Library to preload (default: the release build)
    #[arg(long)]
    pub library: Option<PathBuf>,
    /// Only these programs, separated by commas
    #[arg(long, value_delimiter = ',')]
    pub only: Vec<String>,
    /// Only print the Debian packages of what is missing
    #[arg(long)]
    pub missing: bool,
}

/// The fewest programs that make a demonstration.
const FEWEST: usize = 10;

/// Runs the demonstration.
///
/// # Errors
/// When a program is missing, fails, or prints something else with the preload.
pub fn run(request: &Request) -> Result<()> {
    let wanted = |program: &&Program| request.only.is_empty() || request.only.iter().any(|name| name == program.name);
    let all = programs::of(User::Demo);
    if let Some(name) = request.only.iter().find(|name| all.iter().all(|program| program.name != **name)) {
        bail!("there is no program {name:?}");
    }
    let selected: Vec<&Program> = all.into_iter().filter(wanted).collect();
    if request.missing {
        for program in selected.iter().filter(|program| !program.missing().is_empty()) {
            println!("{}", program.packages.join(" "));
        }
        return Ok(());
    }
    let library = repo::library(request.library.as_deref())?;
    let scratch = repo::target(&repo::root()?).join("demo");
    println!("{} with and without LD_PRELOAD={}", count(selected.len(), "program"), library.display());
    println!(
        "{} of each kind after one warm-up; user+sys time and peak memory are medians.\n",
        count(request.repetitions, "interleaved run")
    );
    println!("{}", report::heading());
    let mut rows = Vec::new();
    for program in selected {
        let row = row(program, &scratch, &library, request.repetitions);
        println!("{row}");
        rows.push(row);
    }
    println!("\n{}", report::served(&rows));
    verdict(&rows, request.only.is_empty())
}

fn count(number: usize, noun: &str) -> String {
    format!("{number} {noun}{}", if number == 1 { "" } else { "s" })
}

fn row(program: &'static Program, scratch: &Path, library: &Path, repetitions: usize) -> Row {
    let missing = program.missing();
    if !missing.is_empty() {
        return Row::without(program, format!("not installed: {}", missing.join(", ")));
    }
    let compared = Launcher::new(scratch).and_then(|launcher| {
        let session = Session { program, launcher: &launcher, dir: &scratch.join(program.name) };
        session.compare(library, repetitions)
    });
    match compared {
        Ok(comparison) => Row::of(program, comparison),
        Err(error) => Row::without(program, format!("{error:#}")),
    }
}

fn verdict(rows: &[Row], complete: bool) -> Result<()> {
    let matched = rows.iter().filter(|row| row.matched()).count();
    let failed = rows.iter().filter(|row| row.failed()).count();
    for row in rows.iter().filter(|row| !row.matched()) {
        println!("{}: {}", row.program.name, row.problem());
    }
    println!("{matched} of {} ran with the same output with and without the preload", count(rows.len(), "program"));
    if failed > 0 {
        bail!("{} did not", count(failed, "program"));
    }
    if complete && matched < FEWEST {
        bail!("fewer than {FEWEST} programs ran");
    }
    Ok(())
}
