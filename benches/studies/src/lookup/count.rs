//! Counts the instructions of a lookup: this program under callgrind, with some passes and with twice as many.

use super::map::{Flat, Radix};
use super::scheme::{Given, Hash, HeaderByte, LastClass, Ranged, RegionHeader, Scheme};
use super::time::Course;
use super::{COUNTED, with_each};
use anyhow::{Context, Result, bail};
use spandrel_xtask::repo;
use std::env;
use std::fs;
use std::process::Command;

const PASSES: usize = 1;
const TOTALS: &str = "totals: ";

/// Makes `passes` passes with the way of that name.
pub(super) fn kernel(scheme: &str, passes: usize) -> Result<()> {
    let known = with_each!(matching(scheme, passes)).into_iter().find_map(|done| done);
    known.with_context(|| format!("no way of lookup is called {scheme}"))?.map(|lookups| println!("{lookups}"))
}

fn matching<S: Scheme + 'static>(wanted: &str, passes: usize) -> Option<Result<usize>> {
    (S::NAME == wanted).then(|| {
        let mut course = Course::<S>::new(COUNTED)?;
        (0..passes).map(|_| course.pass()).sum()
    })
}

/// Instructions of each way less those of the first (the first in full).
pub(super) fn instructions(names: &[&str]) -> Result<Vec<f64>> {
    let full: Vec<f64> = names.iter().map(|name| per_lookup(name)).collect::<Result<_>>()?;
    Ok(full.iter().enumerate().map(|(at, count)| if at == 0 { *count } else { count - full[0] }).collect())
}

fn per_lookup(name: &str) -> Result<f64> {
    let (short, lookups) = run(name, PASSES)?;
    let (long, _) = run(name, 2 * PASSES)?;
    Ok((long - short) as f64 / lookups as f64)
}

/// Instructions and lookups of one run.
fn run(name: &str, passes: usize) -> Result<(i64, usize)> {
    let output = repo::target(&repo::root()?).join("studies/callgrind.out");
    fs::create_dir_all(output.parent().context("no directory")?)?;
    let mut command = Command::new("valgrind");
    command.arg("--tool=callgrind").arg(format!("--callgrind-out-file={}", output.display()));
    command.arg(env::current_exe()?).args(["kernel", name, &passes.to_string()]);
    let done = command.output().context("cannot run valgrind: install the package `valgrind`")?;
    if !done.status.success() {
        bail!("{:?} ended with {}: {}", command, done.status, String::from_utf8_lossy(&done.stderr));
    }
    let lookups = String::from_utf8_lossy(&done.stdout).trim().parse().context("no number of lookups")?;
    let text = fs::read_to_string(&output)?;
    let total = text.lines().find_map(|line| line.strip_prefix(TOTALS)).context("callgrind wrote no totals")?;
    Ok((total.trim().parse()?, lookups))
}
