//! The cases of the driver and what one of each costs.
//!
//! Knows: how many runs cancel the set-up. Must not know: how instructions are counted.

use super::callgrind::{Counts, Run};
use anyhow::{Result, bail};
use std::path::{Path, PathBuf};

/// A case of the driver.
#[derive(Debug)]
pub struct Case {
    /// Its name on the driver's command line.
    pub name: &'static str,
    /// For the table.
    pub text: &'static str,
    /// The shorter run; the longer is twice that.
    count: u32,
    /// Units of work in one count.
    units: f64,
    /// The function of the driver to look into.
    inside: Option<&'static str>,
    /// Settings of the library.
    environment: &'static [(&'static str, &'static str)],
}

const PAIRS: u32 = 500_000;
const ROUNDS: u32 = 4;
/// As `BULK` in the driver.
const BULK: f64 = 50_000.0;

/// The fast path: a malloc and a free together.
pub const PAIRED: [Case; 5] = [
    Case { name: "pair-16", text: "malloc(16) + free", count: PAIRS, units: 1.0, inside: None, environment: &[] },
    Case { name: "pair-500", text: "malloc(500) + free", count: PAIRS, units: 1.0, inside: None, environment: &[] },
    Case {
        name: "mix-256",
        text: "16..1040 bytes in 256 slots",
        count: PAIRS,
        units: 1.0,
        inside: None,
        environment: &[],
    },
    Case {
        name: "mix-8192",
        text: "16..1040 bytes in 8192 slots",
        count: PAIRS,
        units: 1.0,
        inside: None,
        environment: &[],
    },
    Case { name: "pair-5000", text: "malloc(5000) + free", count: PAIRS, units: 1.0, inside: None, environment: &[] },
];

/// Many blocks taken and then given back. Each includes the fast path: 11 instructions of malloc, 18 of free.
pub const BULKED: [Case; 3] = [
    Case {
        name: "bulk-order",
        text: "malloc, 50000 in a row",
        count: ROUNDS,
        units: BULK,
        inside: Some("bulk_alloc"),
        environment: &[],
    },
    Case {
        name: "bulk-order",
        text: "free, in order",
        count: ROUNDS,
        units: BULK,
        inside: Some("bulk_free"),
        environment: &[],
    },
    Case {
        name: "bulk-random",
        text: "free, in random order",
        count: ROUNDS,
        units: BULK,
        inside: Some("bulk_free"),
        environment: &[],
    },
];

/// Calls of the fast path in one count of the case `few`: as `FEW` in the driver.
const FEW: f64 = 8.0;
/// Blocks in one count of the case `remote-part`: `PART` times `PARTS` in the driver.
const PARTS: f64 = 256.0 * 200.0;
const FEWS: u32 = 50_000;

/// A flow by itself, with the name it has in the evidence.
const fn flow(name: &'static str, text: &'static str, count: u32, units: f64, inside: &'static str) -> Case {
    Case { name, text, count, units, inside: Some(inside), environment: &[] }
}

/// With requests sampled for the heap profile, though so rarely that none is; the file cannot be made.
const SAMPLED: &[(&str, &str)] = &[("SPANDREL_HEAP_PROFILE", "/proc/none"), ("SPANDREL_HEAP_PROFILE_RATE", "512G")];

/// As [`flow`], with requests sampled.
const fn sampled(name: &'static str, text: &'static str, inside: &'static str) -> Case {
    Case { environment: SAMPLED, ..flow(name, text, FEWS, FEW, inside) }
}

/// The flows of the evidence: the key there, and the case. Per block; calls in a row include the fast path.
pub const FLOWS: [(&str, Case); 15] = [
    ("malloc-16", flow("few-16", "malloc(16), fast path", FEWS, FEW, "few_alloc")),
    ("malloc-500", flow("few-500", "malloc(500), fast path", FEWS, FEW, "few_alloc")),
    ("malloc-2000", flow("few-2000", "malloc(2000), fast path", FEWS, FEW, "few_alloc")),
    ("free-16", flow("few-16", "free of 16 bytes, fast path", FEWS, FEW, "few_free")),
    ("free-500", flow("few-500", "free of 500 bytes, fast path", FEWS, FEW, "few_free")),
    ("free-2000", flow("few-2000", "free of 2000 bytes, fast path", FEWS, FEW, "few_free")),
    ("malloc-16-sampled", sampled("few-16", "malloc(16), sampling on", "few_alloc")),
    ("malloc-2000-sampled", sampled("few-2000", "malloc(2000), sampling on", "few_alloc")),
    ("refill", flow("bulk-order", "malloc, 50000 in a row", ROUNDS, BULK, "bulk_alloc")),
    ("flush-in-order", flow("bulk-order", "free, 50000 in order", ROUNDS, BULK, "bulk_free")),
    ("flush-at-random", flow("bulk-random", "free, 50000 in random order", ROUNDS, BULK, "bulk_free")),
    ("remote-free", flow("remote-part", "free in another thread, 256", ROUNDS, PARTS, "part_free")),
    ("drain", flow("remote-part", "malloc of what came back, 256", ROUNDS, PARTS, "part_alloc")),
    ("remote-free-asleep", flow("remote-all", "the same, 50000, owner asleep", ROUNDS, BULK, "bulk_free")),
    ("drain-asleep", flow("remote-all", "malloc, once it is awake", ROUNDS, BULK, "bulk_alloc")),
];

/// The modes whose pairs have limits, and their settings.
pub const MODES: [(&str, &[(&str, &str)]); 4] = [
    ("counting", &[("SPANDREL_MODE", "counting")]),
    ("guarded", &[("SPANDREL_MODE", "guarded")]),
    ("tracked", &[("SPANDREL_MODE", "tracked"), ("SPANDREL_TRACKED_FRAMES", "1")]),
    ("hardened", &[("SPANDREL_MODE", "hardened")]),
];
/// Some modes take many times the instructions of the default.
const MODE_PART: u32 = 5;

/// A malloc(16) and a free together, in the mode of that name; `None` if there is no such mode.
#[must_use]
pub fn in_mode(name: &str) -> Option<Case> {
    let (_, environment) = MODES.iter().find(|(mode, _)| *mode == name)?;
    PAIRED.first().map(|case| case.variant(environment, MODE_PART))
}

impl Case {
    /// The same with other settings of the library, and with fewer runs, one in `part`, for those that make it slow.
    #[must_use]
    pub const fn variant(&self, environment: &'static [(&'static str, &'static str)], part: u32) -> Self {
        let Self { name, text, count, units, inside, .. } = *self;
        Self { name, text, count: count / part, units, inside, environment }
    }
}

/// The cost of one unit of a case inside the library.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Cost {
    /// Instructions.
    pub instructions: f64,
    /// Branches that are conditional or indirect.
    pub branches: f64,
}

/// The cost of one unit of a case inside the library: the difference of a run and one of twice the length.
///
/// # Errors
/// When the driver cannot be run under callgrind, or nothing of the library was counted.
pub fn cost(case: &Case, driver: &Path, library: &Path, scratch: &Path) -> Result<Cost> {
    let output: PathBuf = scratch.join("callgrind.out");
    let run = Run { program: driver, library, output, inside: case.inside, environment: case.environment };
    let short = run.counts(&[case.name, &case.count.to_string()])?;
    let long = run.counts(&[case.name, &(2 * case.count).to_string()])?;
    let units = f64::from(case.count) * case.units;
    let per_unit = |of: fn(&Counts) -> u64| of(&long).checked_sub(of(&short)).map(|spent| spent as f64 / units);
    match (per_unit(|counts| counts.instructions), per_unit(|counts| counts.branches)) {
        (Some(instructions), Some(branches)) if instructions > 0.0 => Ok(Cost { instructions, branches }),
        _ => bail!("{}: no instructions of {} were counted ({short:?}, {long:?})", case.name, library.display()),
    }
}
