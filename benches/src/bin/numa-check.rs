//! The check of NUMA: runs the guest, judges where pages were, and compares with the evidence.
//!
//! Knows: the command line, the table, and what ends it with 1. Must not know: the emulator, TOML, what is right.

use anyhow::{Context, Result};
use clap::Parser;
use spandrel_benches::ask;
use spandrel_benches::numa::console::{self, Told};
use spandrel_benches::numa::demand::{ROWS, faults};
use spandrel_benches::numa::record::Record;
use spandrel_evidence::Origin;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

#[derive(Debug, Parser)]
#[command(about = "Looks where pages lie on a machine with two NUMA nodes, and compares with docs/evidence/numa.toml")]
struct Arguments {
    /// Library to look at (default: the release build)
    #[arg(long)]
    library: Option<PathBuf>,
    /// File to compare with (default: docs/evidence/numa.toml)
    #[arg(long)]
    evidence: Option<PathBuf>,
    /// What a guest printed before, to be judged instead of a new one
    #[arg(long)]
    console: Option<PathBuf>,
    /// Write the figures into the file instead of comparing
    #[arg(long)]
    record: bool,
}

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// False if pages are where they should not be, or the file is stale; that has been said.
fn run(arguments: &Arguments) -> Result<bool> {
    let root = ask::root()?;
    let file = arguments.evidence.clone().unwrap_or_else(|| root.join("docs/evidence/numa.toml"));
    let console = match &arguments.console {
        Some(console) => console.clone(),
        None => run_guest(&root, arguments.library.as_deref())?,
    };
    let text = fs::read(&console).with_context(|| console.display().to_string())?;
    let told = console::read(&String::from_utf8_lossy(&text)).with_context(|| console.display().to_string())?;
    let mut wrong = print(&told)?;
    wrong.extend(faults(&told));
    if !wrong.is_empty() {
        for what in wrong {
            eprintln!("error: {what}");
        }
        return Ok(false);
    }
    if arguments.record {
        fs::write(&file, Record::of_now(origin(&root, &told)?, &told)?.text())?;
        println!("written: {}", file.display());
        return Ok(true);
    }
    let record = fs::read_to_string(&file).map_err(Into::into).and_then(|text| Record::parse(&text));
    let record = record.and_then(|record| record.origin.descent(&root).map(|()| record));
    let stale = record.with_context(|| file.display().to_string())?.stale(&told)?;
    if stale.is_empty() {
        println!("all pages are where they should be, and as recorded");
    } else {
        eprintln!("error: {} is stale (`make evidence` renews it): {}", file.display(), stale.join("; "));
    }
    Ok(stale.is_empty())
}

/// Has the guest run; where its console is.
fn run_guest(root: &Path, library: Option<&Path>) -> Result<PathBuf> {
    let library = ask::library(root, library)?;
    let console = ask::target(root).join("numa/console.txt");
    fs::create_dir_all(ask::target(root).join("numa"))?;
    println!("booting a machine with two nodes, for {}", library.display());
    ask::output(Command::new(root.join("scripts/numa-guest")).arg(&library).arg(&console))?;
    Ok(console)
}

/// Prints a line for each row; those that are not met.
fn print(told: &Told) -> Result<Vec<String>> {
    println!("kernel {}; pages by node as the kernel tells", told.kernel);
    println!("  {:<12} {:<42} {:>7} {:>7}  {:<21} again", "", "", "node 0", "node 1", "should be");
    let mut wrong = Vec::new();
    for row in ROWS {
        let (pages, again) = row.figures(told)?;
        let met = row.is_met(pages, again);
        let demand = row.demand.text();
        let again = again.map_or(String::new(), |again| again.to_string());
        let verdict = if met { "" } else { "  WRONG" };
        println!("  {:<12} {:<42} {:>7} {:>7}  {demand:<21} {again:>5}{verdict}", row.policy, row.what, pages[0], pages[1]);
        if !met {
            wrong.push(format!("{} {} should be {demand}: {pages:?} pages, {again} again", row.policy, row.case));
        }
    }
    Ok(wrong)
}

/// The kernel is the guest's.
fn origin(root: &Path, told: &Told) -> Result<Origin> {
    Ok(Origin { kernel: told.kernel.clone(), ..Origin::now(root)? })
}
