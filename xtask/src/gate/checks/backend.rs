//! The page backend's calls of the kernel, the pages it gives back, the bytes calloc finds, and the blocks left when
//! the kernel refuses.

use super::HOOKED;
use super::check::{Check, KINDS, Result, calls, count, end, no_supervisor, run, run_ffi};
use crate::evidence::figures::{Figure, Found};
use harness::injection::{self, Sweep};
use harness::programs::number;

const CODE: &str = "ALLOCATOR_PAGE_EXHAUSTION";
const CORRUPT: &str = "ALLOCATOR_CORRUPTION";
/// Of all points at which the kernel can refuse, how many lie between two that are tried. `make test` tries them all.
const STRIDE: i64 = 12;

/// All of them.
pub(super) fn checks() -> Vec<Check> {
    let mut checks = Vec::new();
    for kind in ["small", "large", "direct", "aligned"] {
        for (name, delay) in [("later", "never"), ("at-once", "0")] {
            let key = format!("calls.{kind}.{name}");
            let what = format!("fill, free, trim and fill again with {kind} blocks, purge delay {delay}");
            checks.push(Check::new(key, what, CODE, move || backend(kind, delay)).quick());
        }
    }
    checks.extend([
        Check::new("mappings", "mappings before and after a heavy load of every kind", CODE, mappings),
        Check::new("statistics", "system calls that malloc_stats tells, beside those counted", CODE, statistics)
            .quick(),
        Check::new("prefault.touch", "faults in 64 MiB of fresh blocks, written to", CODE, || prefault("touch"))
            .quick(),
        Check::new("prefault.populate", "faults in 64 MiB of fresh blocks, one call each", CODE, || {
            prefault("populate")
        })
        .quick(),
        Check::new("prefault.off", "faults in 64 MiB of fresh blocks", CODE, || prefault("off")).quick(),
        Check::new("idle.calls", "hundredths of 160 MiB, mostly freed by sleepers, that went back", CODE, || {
            idle("calls", "calls")
        }),
        Check::new("idle.thread", "the same with a thread for it, and no calls at all", CODE, || {
            idle("silent", "thread")
        }),
        Check::new("idle.off", "the same with idle return switched off", CODE, || idle("calls", "off")),
        Check::new("no-effect", "a kernel on which giving back has no effect", CORRUPT, without_effect).quick(),
        Check::new("refused.alone", "each of some calls refused in turn, under load", CODE, || refused(1, &[])),
        Check::new("refused.in-a-row", "the same with fifteen that follow", CODE, || refused(16, &[])),
        Check::new("refused.huge-pages", "the same, alone, in a server with huge pages", CODE, || {
            refused(1, &[("SPANDREL_PROFILE", HOOKED), ("SPANDREL_HUGEPAGES", "thp")])
        }),
    ]);
    checks
}

/// One thread and no clock: the same calls each time.
fn backend(kind: &str, delay: &str) -> Result<Found> {
    let environment = [("SPANDREL_PURGE_DELAY", delay), ("SPANDREL_IDLE_RETURN", "off")];
    let Some(outcome) = count("backend.c", &[kind], &environment)? else { return Ok(no_supervisor()) };
    let all: Vec<usize> = (0..=5).collect();
    let sum = |kinds: &[&str]| all.iter().map(|part| calls(&outcome, *part, kinds)).sum::<Result<i64>>();
    let resident =
        |name: &'static str| Ok::<Figure, String>(Figure::number(name, number(&outcome, name)?).near(10, 1024));
    let full = number(&outcome, "full")?;
    Ok(Found::Figures(vec![
        Figure::number("start", calls(&outcome, 0, &KINDS)?).at_most(8),
        Figure::number("fill", calls(&outcome, 1, &KINDS)?),
        Figure::number("free", calls(&outcome, 2, &KINDS)?),
        Figure::number("trim", calls(&outcome, 3, &KINDS)?),
        Figure::number("refill", calls(&outcome, 4, &KINDS)?),
        Figure::number("mmap", sum(&["mmap"])?),
        Figure::number("mprotect", sum(&["mprotect"])?),
        Figure::number("madvise", sum(&["madvise"])?),
        Figure::number("mremap", sum(&["mremap"])?),
        Figure::number("munmap", sum(&["munmap"])?),
        Figure::number("others", sum(&["mlock", "brk", "mbind"])?).is(0),
        Figure::number("purged", sum(&["purged"])?),
        resident("full")?,
        resident("trimmed")?.at_most(full.min(4 * 1024)),
        Figure::number("dirty", number(&outcome, "dirty")?).is(0),
    ]))
}

fn mappings() -> Result<Found> {
    let outcome = run("mappings.c", &[], &[])?;
    outcome.clean()?;
    let (before, after) = (number(&outcome, "before")?, number(&outcome, "after")?);
    // Eight stacks of threads with their guards may stay cached by libc.
    Ok(Found::Figures(vec![
        Figure::number("before", before).at_most(24).near(0, 4),
        Figure::number("grown", after - before).at_most(24).varying(),
    ]))
}

fn statistics() -> Result<Found> {
    let Some((counted, seen)) = injection::statistics()? else { return Ok(no_supervisor()) };
    Ok(Found::Figures(vec![
        Figure::number("uncounted", seen - counted).is(0),
        Figure::number("seen", seen).at_least(50).varying(),
    ]))
}

fn prefault(way: &str) -> Result<Found> {
    let outcome = run("faults.c", &["100000"], &[("SPANDREL_PREFAULT", way)])?;
    outcome.clean()?;
    let faults = Figure::number("faults", number(&outcome, "faults")?).varying();
    Ok(Found::Figures(vec![if way == "off" { faults.at_least(4000) } else { faults.at_most(100) }]))
}

/// Blocks that stay in use lie in every span, so most of this is holes.
fn idle(what: &str, way: &str) -> Result<Found> {
    let arguments = [what, "stays"];
    let arguments = if way == "off" { &arguments } else { &arguments[..1] };
    let outcome = run("idle.c", arguments, &[("SPANDREL_IDLE_RETURN", way)])?;
    outcome.clean()?;
    let (full, now) = (number(&outcome, "full")?, number(&outcome, "now")?);
    let returned = Figure::number("returned", (full - now) * 100 / full).varying();
    Ok(Found::Figures(vec![if way == "off" { returned.at_most(80) } else { returned.at_least(85) }]))
}

/// Every block of calloc's is zero all the same.
fn without_effect() -> Result<Found> {
    let outcome = run_ffi("memory/purge_without_effect.c", &[], &[("SPANDREL_PURGE_DELAY", "0")])?;
    Ok(Found::Figures(end(&outcome, CODE, 0)))
}

fn refused(count: i64, environment: &[(&str, &str)]) -> Result<Found> {
    let Some(sweep) = injection::sweep(count, STRIDE, environment)? else { return Ok(no_supervisor()) };
    let Sweep { calls, points, failed, broken } = sweep;
    if let Some(first) = broken.first() {
        eprintln!("{first}");
    }
    let refused: i64 = failed.values().sum();
    Ok(Found::Figures(vec![
        Figure::number("calls", calls).at_least(STRIDE).varying(),
        Figure::number("points", points).at_least(1).varying(),
        Figure::number("refused", refused).at_least(1).varying(),
        Figure::number("not-whole", broken.len() as i64).is(0),
    ]))
}
