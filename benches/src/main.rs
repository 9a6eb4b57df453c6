//! Counts the instructions of the allocation paths under callgrind, and fails when the hit path is over its limits.
//!
//! Knows: the command line and the table. Must not know: callgrind.

use anyhow::{Result, bail};
use clap::Parser;
use spandrel_benches::bench::Bench;
use spandrel_benches::cases;
use std::path::PathBuf;
use std::process::ExitCode;

#[derive(Debug, Parser)]
#[command(about = "Instructions of libspandrel.so per malloc and free, slow paths included")]
struct Arguments {
    /// Library to look into (default: the release build)
    #[arg(long)]
    library: Option<PathBuf>,
    /// Most instructions per pair (16 bytes, 500 bytes, mix in 256 slots, mix in 8192 slots) and per block (malloc in a row, free in
    /// order, free in random order)
    #[arg(long, value_delimiter = ',', num_args = 1)]
    limits: Vec<f64>,
}

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> Result<()> {
    let bench = Bench::prepare(arguments.library.as_deref())?;
    let cases = || cases::PAIRED.iter().map(|case| (case, "pair")).chain(cases::BULKED.iter().map(|case| (case, "block")));
    if !arguments.limits.is_empty() && arguments.limits.len() != cases().count() {
        bail!("--limits takes {} numbers", cases().count());
    }
    println!("Instructions inside {} (callgrind)", bench.library.display());
    let mut over = Vec::new();
    for (at, (case, unit)) in cases().enumerate() {
        let cost = bench.cost(case)?.instructions;
        let limit = arguments.limits.get(at);
        let is_over = limit.is_some_and(|limit| cost > *limit);
        let verdict =
            limit.map_or_else(String::new, |limit| format!("limit {limit:>5.1}  {}", if is_over { "OVER" } else { "ok" }));
        println!("  {:<32} {cost:>7.2} per {unit:<5}   {verdict}", case.text);
        if is_over {
            over.push(case.text);
        }
    }
    if !over.is_empty() {
        bail!("over the limit: {}", over.join(", "));
    }
    Ok(())
}
