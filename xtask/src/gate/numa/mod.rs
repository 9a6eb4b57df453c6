//! Where pages lie on a machine with two NUMA nodes, which an emulator provides: what its guest printed, what it should
//! have printed, and what is recorded of it.
//!
//! Knows: the table that is printed. Must not know: the emulator, what is right.

mod console;
mod demand;
mod record;

use super::{Purpose, Scope, Subject, Tally, stale};
use crate::evidence::output;
use crate::repo;
use anyhow::{Context, Result};
use console::Told;
use demand::{ROWS, Row, faults};
use record::Record;
use std::fs;
use std::path::PathBuf;
use std::process::Command;

/// The code of the line by which the library says that it will not place pages.
const CODE: &str = "ALLOCATOR_NUMA_POLICY";

/// The machine with two nodes.
pub(super) struct Nodes;

impl Subject for Nodes {
    type Figures = Record;
    type Measured = Told;

    fn name(&self) -> &'static str {
        "numa"
    }

    fn title(&self) -> String {
        "On which of two NUMA nodes pages were. `make evidence` writes this file; README.md explains.".to_owned()
    }

    fn blank(&self) -> Option<Record> {
        Some(Record::default())
    }

    fn validate(&self, recorded: &Record) -> Result<()> {
        recorded.validate()
    }

    fn measure(&self, scope: &Scope, recorded: &Record, purpose: Purpose) -> Result<(Told, Tally)> {
        let console = scope.console.clone().map_or_else(run_guest, Ok)?;
        let text = fs::read(&console).with_context(|| console.display().to_string())?;
        let told = console::read(&String::from_utf8_lossy(&text)).with_context(|| console.display().to_string())?;
        println!("kernel {}; pages by node as the kernel counts them", told.kernel);
        println!("  {:<12} {:<42} {:>7} {:>7}  {:<21} again", "", "", "node 0", "node 1", "should be");
        let mut tally = Tally::default();
        for row in ROWS {
            let old = if purpose == Purpose::Check { recorded.stale(row, &told)? } else { None };
            let wrong = print(row, &told)?;
            tally.count(wrong.is_none() && old.is_none());
            for fault in wrong.into_iter().chain(old.map(|fault| format!("{fault} ({})", stale(self.name())))) {
                eprintln!("error: {fault}");
            }
        }
        let faults = faults(&told);
        tally.count(faults.is_empty());
        for fault in faults {
            eprintln!("error: {fault}");
        }
        Ok((told, tally))
    }

    fn text(&self, _: Record, measured: &Told) -> Result<String> {
        Ok(Record::of_now(measured)?.text())
    }

    fn kernel(&self, measured: &Told) -> Option<String> {
        Some(measured.kernel.clone())
    }
}

/// Runs the guest; the file with its output.
fn run_guest() -> Result<PathBuf> {
    let root = repo::root()?;
    let library = repo::library(None)?;
    let console = repo::target(&root).join("numa/console.txt");
    fs::create_dir_all(repo::target(&root).join("numa"))?;
    println!("booting a machine with two nodes, for {}", library.display());
    output(Command::new(root.join("scripts/numa-guest")).arg(&library).arg(&console))?;
    Ok(console)
}

/// Prints the line of a row; the fault, if its demand is not met.
fn print(row: &Row, told: &Told) -> Result<Option<String>> {
    let (pages, again) = row.figures(told)?;
    let met = row.is_met(pages, again);
    let demand = row.demand.text();
    let again = again.map_or(String::new(), |again| again.to_string());
    let verdict = if met { "" } else { "  WRONG" };
    println!("  {:<12} {:<42} {:>7} {:>7}  {demand:<21} {again:>5}{verdict}", row.policy, row.what, pages[0], pages[1]);
    Ok((!met).then(|| format!("{} {} should be {demand}: {pages:?} pages, {again} again", row.policy, row.case)))
}
