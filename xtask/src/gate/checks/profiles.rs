//! The promises of the six profiles: system calls, addresses, statuses, what goes back and when, what is locked.

use super::check::{Check, KINDS, Result, calls, count, end, lines, no_supervisor, run, run_refused, said, status};
use super::{FIXTURE, HOOKED, POOLED, PROFILES};
use crate::evidence::figures::{Figure, Found};
use harness::diag;
use harness::programs::number;

const POOL: &str = "ALLOCATOR_PAGE_EXHAUSTION";
const LOCK: &str = "ALLOCATOR_POOL_POLICY";
const LEAK: &str = "ALLOCATOR_SHUTDOWN_LEAK";
const OPTION: &str = "ALLOCATOR_BAD_OPTION";
const PROFILE: &str = "SPANDREL_PROFILE";
/// Killed for a system call that a filter forbids, as a shell tells it.
const FORBIDDEN: i64 = 128 + libc::SIGSYS as i64;
/// The status of a program that was clean and leaked.
const LEAKED: i64 = 23;

/// All of them.
pub(super) fn checks() -> Vec<Check> {
    let mut checks = vec![Check::new("unknown", "a profile that there is not", OPTION, unknown).quick()];
    for profile in PROFILES {
        let of = |name: &str| format!("{profile}.{name}");
        checks.extend([
            Check::new(of("name"), "the report of the process names it", OPTION, move || name(profile)).quick(),
            Check::new(of("calls"), "system calls for memory: first call, work, end", POOL, move || {
                system_calls(profile)
            })
            .quick(),
            Check::new(of("filter"), "work under a filter that kills at such calls", POOL, move || filtered(profile)),
            Check::new(of("pages"), "KiB resident and locked after the first call", LOCK, move || pages(profile))
                .quick(),
            Check::new(of("purge"), "hundredths of 24 MiB that went back within 1.5 s", POOL, move || purge(profile)),
            Check::new(of("bins"), "bytes of free blocks at hand after many", OPTION, move || bins(profile)).quick(),
            Check::new(of("addresses"), "how many of three runs differ in their addresses", OPTION, move || {
                addresses(profile)
            }),
            Check::new(of("junk"), "whether a fresh block is full of 0xA5", OPTION, move || junk(profile)).quick(),
            Check::new(of("leaks"), "three blocks that are never freed", LEAK, move || leaks(profile)).quick(),
        ]);
    }
    checks.push(Check::new(
        "realtime.nothing",
        "work under a filter that kills at any system call",
        POOL,
        no_call_at_all,
    ));
    checks.push(Check::new("realtime.no-lock", "the kernel refuses to lock the pool", LOCK, lock_refused).quick());
    checks
}

fn unknown() -> Result<Found> {
    let outcome = run("workload.c", &["1", "2"], &[(PROFILE, "hosted-huge"), ("SPANDREL_DIAG", "1")])?;
    let mut figures = end(&outcome, OPTION, 1);
    figures.push(Figure::word("profile", &diag::parse(&outcome.stderr)?.profile, "hosted-small"));
    Ok(Found::Figures(figures))
}

fn name(profile: &str) -> Result<Found> {
    let outcome = run("workload.c", &["1", "2"], &[(PROFILE, profile), ("SPANDREL_DIAG", "1")])?;
    outcome.clean()?;
    Ok(Found::Figures(vec![Figure::word("profile", &diag::parse(&outcome.stderr)?.profile, profile)]))
}

/// Nothing after the start where there is a pool; at the end only where leaks are looked for.
fn system_calls(profile: &str) -> Result<Found> {
    let Some(outcome) = count("promise.c", &["calls"], &[(PROFILE, profile)])? else { return Ok(no_supervisor()) };
    let pooled = POOLED.contains(&profile);
    let work = Figure::number("work", calls(&outcome, 1, &KINDS)?);
    let end = Figure::number("end", calls(&outcome, 2, &KINDS)?);
    Ok(Found::Figures(vec![
        Figure::number("start", calls(&outcome, 0, &KINDS)?).at_most(if pooled { 16 } else { 8 }),
        if pooled { work.is(0) } else { work.at_least(1) },
        if profile == FIXTURE { end } else { end.is(0) },
    ]))
}

/// With a pool the program comes to its end, through exhaustion too; without one the first call for memory ends it.
fn filtered(profile: &str) -> Result<Found> {
    let outcome = run("pool.c", &["no_memory", "2"], &[(PROFILE, profile)])?;
    if POOLED.contains(&profile) {
        return Ok(Found::Figures(end(&outcome, POOL, 1)));
    }
    Ok(Found::Figures(vec![Figure::number("status", status(&outcome)).is(FORBIDDEN)]))
}

fn no_call_at_all() -> Result<Found> {
    Ok(Found::Figures(end(&run("pool.c", &["nothing", "0"], &[(PROFILE, "realtime")])?, POOL, 1)))
}

fn pages(profile: &str) -> Result<Found> {
    const KIB: i64 = 1024;
    let pooled = POOLED.contains(&profile);
    let environment = [(PROFILE, profile), ("SPANDREL_POOL", "32M")];
    let outcome = run("resident.c", &[], if pooled { &environment } else { &environment[..1] })?;
    outcome.diagnostics().iter().find(|line| line.code == LOCK).map_or(Ok(()), |line| Err(line.text.to_owned()))?;
    outcome.clean()?;
    let (resident, locked) = (number(&outcome, "resident")?, number(&outcome, "locked")?);
    let (resident, locked) =
        (Figure::number("resident", resident).near(20, KIB), Figure::number("locked", locked).near(5, 64));
    Ok(Found::Figures(if profile == "realtime" {
        vec![resident.at_least(30 * KIB), locked.at_least(30 * KIB)]
    } else {
        vec![resident.at_most(8 * KIB), locked.is(0)]
    }))
}

fn lock_refused() -> Result<Found> {
    let environment = [(PROFILE, "realtime"), ("SPANDREL_POOL", "32M")];
    let outcome = run_refused("resident.c", &environment, libc::SYS_mlock, libc::EPERM)?;
    let mut figures = end(&outcome, LOCK, 1);
    figures.push(Figure::number("resident", number(&outcome, "resident")?).at_least(30 * 1024).near(20, 1024));
    figures.push(Figure::number("locked", number(&outcome, "locked")?).is(0));
    Ok(Found::Figures(figures))
}

/// A busy machine may be late, but what must stay stays.
fn purge(profile: &str) -> Result<Found> {
    let outcome = run("promise.c", &["purge", "1500"], &[(PROFILE, profile), ("SPANDREL_LEAKS", "0")])?;
    outcome.clean()?;
    let figure = Figure::number("returned", number(&outcome, "returned")?).varying();
    Ok(Found::Figures(vec![if profile == "hosted-small" { figure.at_least(60) } else { figure.at_most(10) }]))
}

fn bins(profile: &str) -> Result<Found> {
    let outcome = run("promise.c", &["bins"], &[(PROFILE, profile)])?;
    outcome.clean()?;
    let figure = Figure::number("binned", number(&outcome, "binned")?).near(10, 0);
    let large = profile == HOOKED || profile == "compiler-internal";
    Ok(Found::Figures(vec![if large { figure.within(128 << 10, 512 << 10) } else { figure.at_most(64 << 10) }]))
}

fn addresses(profile: &str) -> Result<Found> {
    let mut sums = Vec::new();
    for _ in 0..3 {
        // The program asks for more than the smallest pools have.
        let outcome = run("addresses.c", &[], &[(PROFILE, profile), ("SPANDREL_LEAKS", "0")])?;
        sums.push(number(&outcome, "sum")?);
    }
    sums.sort_unstable();
    sums.dedup();
    Ok(Found::Figures(vec![if profile == FIXTURE {
        Figure::number("different", sums.len() as i64).is(1)
    } else {
        Figure::number("different", sums.len() as i64).at_least(2).varying()
    }]))
}

fn junk(profile: &str) -> Result<Found> {
    let outcome = run("promise.c", &["fresh"], &[(PROFILE, profile)])?;
    outcome.clean()?;
    Ok(Found::Figures(vec![Figure::number("junk", number(&outcome, "junk")?).is(i64::from(profile == FIXTURE))]))
}

fn leaks(profile: &str) -> Result<Found> {
    let outcome = run("promise.c", &["leak", "3"], &[(PROFILE, profile)])?;
    let told = if profile == FIXTURE { 1 } else { 0 };
    Ok(Found::Figures(vec![
        Figure::number("status", status(&outcome)).is(told * LEAKED),
        Figure::number("lines", lines(&outcome, LEAK)).is(told),
        Figure::number("exact", said(&outcome, LEAK, "3 blocks")).is(told),
    ]))
}
