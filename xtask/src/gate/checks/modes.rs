//! Which mode serves, and what becomes of options that cannot be.

use super::check::{Check, Environment, Result, run, run_ffi, said, status};
use crate::evidence::figures::{Figure, Found};
use harness::diag;

const OPTION: &str = "ALLOCATOR_BAD_OPTION";
const MODE: &str = "SPANDREL_MODE";

/// Options that contradict a profile, or one another; what the line names.
const BAD: [(&str, Environment<'static>, &str); 16] = [
    ("mode", &[(MODE, "fastest")], "SPANDREL_MODE=fastest"),
    ("mode-of-a-pool", &[("SPANDREL_PROFILE", "freestanding"), (MODE, "counting")], "SPANDREL_MODE=counting"),
    ("pool-too-small", &[("SPANDREL_PROFILE", "freestanding"), ("SPANDREL_POOL", "1M")], "SPANDREL_POOL=1M"),
    ("no-pool", &[("SPANDREL_PROFILE", "realtime"), ("SPANDREL_POOL", "none")], "SPANDREL_POOL=none"),
    ("pool-of-a-host", &[("SPANDREL_POOL", "32M")], "SPANDREL_POOL=32M"),
    ("lock-of-a-host", &[("SPANDREL_LOCK", "1")], "SPANDREL_LOCK=1"),
    ("reserve-of-a-pool", &[("SPANDREL_PROFILE", "realtime"), ("SPANDREL_RESERVE", "1G")], "SPANDREL_RESERVE=1G"),
    ("purge-of-a-pool", &[("SPANDREL_PROFILE", "realtime"), ("SPANDREL_PURGE_DELAY", "5")], "SPANDREL_PURGE_DELAY=5"),
    ("libc-of-a-pool", &[("SPANDREL_PROFILE", "freestanding"), ("SPANDREL_FORCE_LIBC", "1")], "SPANDREL_FORCE_LIBC=1"),
    (
        "limit-of-a-pool",
        &[("SPANDREL_PROFILE", "freestanding"), ("SPANDREL_SOFT_LIMIT", "8M")],
        "SPANDREL_SOFT_LIMIT=8M",
    ),
    (
        "limits",
        &[("SPANDREL_SOFT_LIMIT", "900M"), ("SPANDREL_HARD_LIMIT", "800M")],
        "the soft limit must be below the hard one",
    ),
    ("reserve-too-small", &[("SPANDREL_RESERVE", "1M")], "SPANDREL_RESERVE=1M"),
    (
        "libc-and-mode",
        &[("SPANDREL_FORCE_LIBC", "1"), (MODE, "counting")],
        "SPANDREL_FORCE_LIBC and SPANDREL_MODE contradict",
    ),
    (
        "thread-without-purge",
        &[("SPANDREL_PURGE_DELAY", "never"), ("SPANDREL_IDLE_RETURN", "thread")],
        "nothing to do with",
    ),
    ("value", &[("SPANDREL_PURGE_DELAY", "soon")], "SPANDREL_PURGE_DELAY=soon"),
    ("name", &[("SPANDREL_PURGE_DELAYS", "5")], "SPANDREL_PURGE_DELAYS=5"),
];

/// All of them.
pub(super) fn checks() -> Vec<Check> {
    let mut checks = vec![
        Check::new("fast", "calls that libc serves", OPTION, || served("fast")).quick(),
        Check::new("libc", "calls that libc serves", OPTION, || served("libc")).quick(),
    ];
    for (key, argument, mode) in
        [("counting", "counting", "counting"), ("counting.switched", "fast", "fast"), ("libc.switched", "libc", "libc")]
    {
        let what = "outstanding blocks, and which modes can be switched to";
        checks.push(Check::new(key, what, OPTION, move || counting(argument, mode)).quick());
    }
    for (key, environment, what) in BAD {
        let title = format!("{what}: one line, and the program runs");
        checks.push(Check::new(format!("refused.{key}"), title, OPTION, move || refused(environment, what)).quick());
    }
    checks
}

fn served(mode: &str) -> Result<Found> {
    let outcome = run("workload.c", &["2", "10"], &[(MODE, mode), ("SPANDREL_DIAG", "1")])?;
    outcome.clean()?;
    let report = diag::parse(&outcome.stderr)?;
    let ours = ["small", "large", "direct"].map(|lane| report.lane(lane).calls as i64).iter().sum::<i64>();
    let theirs = report.lane("libc").calls as i64;
    let (ours, theirs) = (Figure::number("ours", ours).varying(), Figure::number("of-libc", theirs).varying());
    Ok(Found::Figures(if mode == "libc" {
        vec![ours.is(0), theirs.at_least(1000)]
    } else {
        vec![ours.at_least(1000), theirs.at_most(10)]
    }))
}

fn counting(argument: &str, mode: &str) -> Result<Found> {
    let outcome = run_ffi("modes/mode_counting.c", &[argument], &[(MODE, mode)])?;
    outcome.clean()?;
    let lines =
        outcome.stderr.lines().filter(|line| line.starts_with("spandrel: counting: outstanding blocks ")).count();
    Ok(Found::Figures(vec![
        Figure::number("status", status(&outcome)).is(0),
        Figure::number("reports", lines as i64).is(i64::from(mode != "libc")),
    ]))
}

fn refused(environment: Environment<'_>, what: &str) -> Result<Found> {
    let outcome = run("workload.c", &["1", "2"], environment)?;
    Ok(Found::Figures(vec![
        Figure::number("status", status(&outcome)).is(0),
        Figure::number("lines", said(&outcome, OPTION, what)).is(1),
    ]))
}
