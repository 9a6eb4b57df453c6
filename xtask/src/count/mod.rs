//! Counts the instructions of malloc and free under callgrind, and fails when a path is over its limit.
//!
//! Knows: the table. Must not know: callgrind.

pub mod bench;
mod callgrind;
pub mod cases;
pub mod listing;
pub mod slow_call;

use anyhow::{Context, Result, bail};
use bench::Bench;
use cases::Case;
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
    /// Also a pair of 16 bytes in each of these modes, with the most instructions that it may take
    #[arg(long, value_name = "MODE=NUMBER", value_delimiter = ',', value_parser = mode_limit)]
    modes: Vec<(String, f64)>,
}

/// A mode and its limit.
fn mode_limit(text: &str) -> Result<(String, f64), String> {
    let (mode, limit) = text.split_once('=').ok_or("takes MODE=NUMBER")?;
    let known = || cases::MODES.map(|(name, _)| name).join(", ");
    cases::in_mode(mode).ok_or_else(|| format!("counts the modes {}", known()))?;
    let limit = limit.parse().map_err(|_| format!("{limit} is no number"))?;
    Ok((mode.to_owned(), limit))
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
    let mut show = |case: &Case, name: String, unit: &str, limit: Option<&f64>| -> Result<()> {
        let cost = bench.cost(case)?.instructions;
        let is_over = limit.is_some_and(|limit| cost > *limit);
        let verdict = limit
            .map_or_else(String::new, |limit| format!("limit {limit:>6.1}  {}", if is_over { "OVER" } else { "ok" }));
        println!("  {name:<32} {cost:>7.2} per {unit:<5}   {verdict}");
        if is_over {
            over.push(name);
        }
        Ok(())
    };
    for (at, (case, unit)) in cases().enumerate().filter(|(_, (_, unit))| !request.pairs || *unit == "pair") {
        show(case, case.text.to_owned(), unit, request.limits.get(at))?;
    }
    for (mode, limit) in &request.modes {
        let case = cases::in_mode(mode).context("no such mode")?;
        show(&case, format!("{}, {mode}", case.text), "pair", Some(limit))?;
    }
    if !over.is_empty() {
        bail!("over the limit: {}", over.join(", "));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_of_modes_have_a_known_mode_and_a_number() {
        assert_eq!(mode_limit("counting=36.5"), Ok(("counting".to_owned(), 36.5)));
        assert!(mode_limit("hardened=x").is_err() && mode_limit("guarded").is_err());
        assert!(mode_limit("fast=3").unwrap_err().contains("counting, guarded"));
    }
}
