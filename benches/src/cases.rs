//! The cases of the driver and what one of each costs.
//!
//! Knows: how many runs cancel the set-up. Must not know: how instructions are counted.

use crate::callgrind::Run;
use anyhow::{Result, bail};
use std::path::{Path, PathBuf};

/// A case of the driver.
#[derive(Debug)]
pub(crate) struct Case {
    /// Its name on the driver's command line.
    pub(crate) name: &'static str,
    /// For the table.
    pub(crate) text: &'static str,
    /// The shorter run; the longer is twice that.
    count: u32,
    /// Units of work in one count.
    units: f64,
    /// The function of the driver to look into.
    inside: Option<&'static str>,
}

const PAIRS: u32 = 500_000;
const ROUNDS: u32 = 4;
/// As `BULK` in the driver.
const BULK: f64 = 50_000.0;

/// The hit path: a malloc and a free together.
pub(crate) const PAIRED: [Case; 4] = [
    Case { name: "pair-16", text: "malloc(16) + free", count: PAIRS, units: 1.0, inside: None },
    Case { name: "pair-500", text: "malloc(500) + free", count: PAIRS, units: 1.0, inside: None },
    Case { name: "mix-256", text: "16..1040 bytes in 256 slots", count: PAIRS, units: 1.0, inside: None },
    Case { name: "mix-8192", text: "16..1040 bytes in 8192 slots", count: PAIRS, units: 1.0, inside: None },
];

/// Many blocks taken and then given back. Each includes the hit path: 12 instructions of malloc, 17 of free.
pub(crate) const BULKED: [Case; 3] = [
    Case { name: "bulk-order", text: "malloc, 50000 in a row", count: ROUNDS, units: BULK, inside: Some("bulk_alloc") },
    Case { name: "bulk-order", text: "free, in order", count: ROUNDS, units: BULK, inside: Some("bulk_free") },
    Case { name: "bulk-random", text: "free, in random order", count: ROUNDS, units: BULK, inside: Some("bulk_free") },
];

/// Instructions of the library per unit of a case: the difference of a run and one of twice the length.
pub(crate) fn cost(case: &Case, driver: &Path, library: &Path, scratch: &Path) -> Result<f64> {
    let output: PathBuf = scratch.join("callgrind.out");
    let run = Run { program: driver, library, output, inside: case.inside };
    let short = run.instructions(&[case.name, &case.count.to_string()])?;
    let long = run.instructions(&[case.name, &(2 * case.count).to_string()])?;
    if short == 0 || long < short {
        bail!("{}: no instructions of {} were counted ({short}, {long})", case.name, library.display());
    }
    Ok((long - short) as f64 / (f64::from(case.count) * case.units))
}
