//! The gate of the fast path: measures the flows, compares them with the evidence, and looks at the machine code of the hit path.
//!
//! Knows: the command line, the table, and what ends it with 1. Must not know: callgrind, TOML, x86.

use anyhow::{Context, Result};
use clap::Parser;
use spandrel_benches::ask;
use spandrel_benches::bench::Bench;
use spandrel_benches::cases::FLOWS;
use spandrel_benches::evidence::{Evidence, Measured, Verdict};
use spandrel_benches::{CODE, listing};
use spandrel_evidence::Origin;
use std::fs;
use std::path::PathBuf;
use std::process::{Command, ExitCode};

#[derive(Debug, Parser)]
#[command(about = "Measures Spandrel's flows and compares them with docs/evidence/fast-path.toml")]
struct Arguments {
    /// Library to look into (default: the release build)
    #[arg(long)]
    library: Option<PathBuf>,
    /// File to compare with (default: docs/evidence/fast-path.toml)
    #[arg(long)]
    evidence: Option<PathBuf>,
    /// Write the figures into the file instead; its budgets stay
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

/// False if something is over its budget or stale; that has been said.
fn run(arguments: &Arguments) -> Result<bool> {
    let bench = Bench::prepare(arguments.library.as_deref())?;
    let file = arguments.evidence.clone().unwrap_or_else(|| bench.root.join("docs/evidence/fast-path.toml"));
    let keys: Vec<&str> = FLOWS.iter().map(|(key, _)| *key).collect();
    let evidence = fs::read_to_string(&file).map_err(Into::into).and_then(|text| Evidence::parse(&text, &keys));
    let evidence = evidence.with_context(|| file.display().to_string())?;

    if !arguments.record {
        evidence.origin.descent(&bench.root).with_context(|| file.display().to_string())?;
    }

    let mut verdict = Verdict { over: listing::faults(&disassembled(&bench)?)?, stale: Vec::new() };
    println!("Inside {} per block (callgrind)", bench.library.display());
    let measured = measure(&bench, &evidence)?;
    let compared = evidence.compare(&measured);
    verdict.over.extend(compared.over);
    verdict.stale.extend(compared.stale);

    if !verdict.over.is_empty() {
        eprintln!("spandrel: {CODE}: {}", verdict.over.join("; "));
        return Ok(false);
    }
    if arguments.record {
        fs::write(&file, evidence.renewed(Origin::now(&bench.root)?, &measured).text(&keys))?;
        println!("written: {}", file.display());
    } else if !verdict.stale.is_empty() {
        eprintln!("error: {} is stale (`make evidence` renews it): {}", file.display(), verdict.stale.join("; "));
        return Ok(false);
    } else {
        println!("no call, lock prefix or system call on the hit path; all within budget and as recorded");
    }
    Ok(true)
}

/// Measures all flows, and prints a line for each as it is known.
fn measure(bench: &Bench, evidence: &Evidence) -> Result<Vec<Measured>> {
    println!("  {:<34} {:>12} {:>8}   {:>8} {:>8}", "", "instructions", "budget", "branches", "budget");
    let mut measured = Vec::new();
    for (key, case) in &FLOWS {
        let cost = bench.cost(case)?;
        let (instructions, branches) = evidence.budgets(key).context("no budget")?;
        println!("  {:<34} {:>12.2} {instructions:>8.2}   {:>8.2} {branches:>8.2}", case.text, cost.instructions, cost.branches);
        measured.push(Measured { key, what: case.text, cost });
    }
    Ok(measured)
}

/// The machine code, as `scripts/listing` finds it.
fn disassembled(bench: &Bench) -> Result<String> {
    let file = bench.scratch.join("listing.txt");
    let script = bench.root.join("scripts/listing");
    ask::output(Command::new(&script).arg(&bench.library).arg(&file))?;
    fs::read_to_string(&file).with_context(|| format!("no file {}", file.display()))
}
