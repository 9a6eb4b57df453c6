//! Counts the instructions of malloc and free under callgrind, and fails when a path is over its limit.
//!
//! Knows: the table. Must not know: callgrind.

pub mod bench;
mod callgrind;
pub mod cases;
pub mod listing;
pub mod slow_call;

use anyhow::{Result, bail};
use bench::Bench;
use std::path::PathBuf;

/// The cases and limits.
#[derive(Debug, clap::Args)]
pub struct Request {
    /// Library to look into (default: the release build)
    #[arg(long)]
    library: Option<PathBuf>,
    /// Most instructions per pair (16 bytes, 500 bytes, mix in 256 slots, mix in 8192 slots) and per block (malloc in a
    /// row, free in order, free in random order)
    #[arg(long, value_delimiter = ',', num_args = 1)]
    limits: Vec<f64>,
    /// Only the pairs, which are the fast path
    #[arg(long)]
    pairs: bool,
}

/// Prints what each case costs.
///
/// # Errors
/// When a case is over its limit or cannot be counted.
pub fn run(request: &Request) -> Result<()> {
    let bench = Bench::prepare(request.library.as_deref())?;
    let cases =
        || cases::PAIRED.iter().map(|case| (case, "pair")).chain(cases::BULKED.iter().map(|case| (case, "block")));
    if !request.limits.is_empty() && request.limits.len() != cases().count() {
        bail!("--limits takes {} numbers", cases().count());
    }
    println!("Instructions inside {} (callgrind)", bench.library.display());
    let mut over = Vec::new();
    for (at, (case, unit)) in cases().enumerate().filter(|(_, (_, unit))| !request.pairs || *unit == "pair") {
        let cost = bench.cost(case)?.instructions;
        let limit = request.limits.get(at);
        let is_over = limit.is_some_and(|limit| cost > *limit);
        let verdict = limit
            .map_or_else(String::new, |limit| format!("limit {limit:>5.1}  {}", if is_over { "OVER" } else { "ok" }));
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
