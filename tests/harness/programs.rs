//! Programs of `tests/programs/`, run preloaded, and the `name=number` lines they print.

use crate::build::{self, Source};
use crate::header::Variant;
use crate::paths;
use crate::run::{self, Outcome};

/// One run of a program under the preload.
#[derive(Clone, Debug)]
pub struct Program<'a> {
    /// File name in `tests/programs/`.
    pub file: &'a str,
    /// Command line.
    pub arguments: &'a [&'a str],
    /// Environment on top of the preload.
    pub environment: &'a [(&'a str, &'a str)],
    /// Seconds until it counts as hanging.
    pub timeout: u64,
}

impl Program<'_> {
    /// Builds and runs; the outcome is not judged.
    pub fn run(&self) -> Result<Outcome, String> {
        let program = build::program(&Source::new(paths::program_source(self.file)), Variant::Preload)?;
        let mut command = run::preloaded(program)?;
        command.args(self.arguments).envs(self.environment.iter().copied());
        run::run(&mut command, self.timeout)
    }

    /// Builds, runs, and wants exit 0 without a diagnostic.
    pub fn run_clean(&self) -> Result<Outcome, String> {
        let outcome = self.run()?;
        outcome.clean()?;
        Ok(outcome)
    }
}

/// The number after `name=` on standard output.
pub fn number(outcome: &Outcome, name: &str) -> Result<i64, String> {
    let words = outcome.stdout.split_whitespace().filter_map(|word| word.split_once('='));
    let mut found = words.filter(|(key, _)| *key == name);
    let value = found.next().ok_or_else(|| format!("no {name}= printed\n{outcome}"))?.1;
    value.parse().map_err(|_| format!("{name}={value} is not a number"))
}

/// Wants `late <= early + allowance`.
pub fn bounded(outcome: &Outcome, allowance: i64) -> Result<(), String> {
    let (early, late) = (number(outcome, "early")?, number(outcome, "late")?);
    if late <= early + allowance {
        return Ok(());
    }
    Err(format!("grew from {early} to {late} KiB, more than {allowance} KiB\n{outcome}"))
}
