//! The gate of the fast path: measures the flows, compares them with the evidence, and looks at the machine code of the hit path.
//!
//! Knows: the command line, the table, and what ends it with 1. Must not know: callgrind, TOML, x86.

use anyhow::{Context, Result};
use clap::Parser;
use spandrel_benches::ask;
use spandrel_benches::bench::Bench;
use spandrel_benches::cases::FLOWS;
use spandrel_benches::evidence::{Evidence, Measured, Verdict};
use spandrel_benches::{CODE, listing, section};
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
    verdict.over.extend(misplaced(&bench)?);
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

/// What of the hit path lies where the allocator would not look for it.
fn misplaced(bench: &Bench) -> Result<Vec<String>> {
    let library = &bench.library;
    let code = ask::output(Command::new("objdump").args(["--disassemble", "--wide", "--section=.text"]).arg(library))?;
    let symbols = ask::output(Command::new("nm").arg(library))?;
    let symbol = |name: &str| {
        let line = symbols.lines().find(|line| line.ends_with(&format!(" {name}")));
        let value = line.and_then(|line| line.split(' ').next()).with_context(|| format!("the library has no symbol {name}"))?;
        Ok::<u64, anyhow::Error>(u64::from_str_radix(value, 16)?)
    };
    // The word is the first of the thread's initialised ones.
    let relocations = ask::output(Command::new("readelf").args(["--relocs", "--wide"]).arg(library))?;
    let word = symbol("spandrel_tls_hot")?;
    let slot = relocations.lines().find_map(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let [offset, _, "R_X86_64_TPOFF64", addend] = fields[..] else { return None };
        (u64::from_str_radix(addend, 16) == Ok(word)).then(|| u64::from_str_radix(offset, 16).ok())?
    });
    let slot = slot.context("the library has no relocation for the thread's word")?;
    section::faults(&section::Layout { code: &code, hit_path: symbol("spandrel_hit_start")?..symbol("spandrel_hit_end")?, slot })
}
