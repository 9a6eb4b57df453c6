//! The behaviour at a limit, where there is no more memory, and when the process ends.

use super::FIXTURE;
use super::check::{Check, Environment, Result, end, lines, run, run_ffi, said, status};
use crate::evidence::figures::{Figure, Found};
use harness::build::{self, Source};
use harness::header::Variant;
use harness::programs::number;
use harness::{paths, sandbox};

const LIMIT: &str = "ALLOCATOR_PAGE_EXHAUSTION";
const EXHAUSTED: &str = "ALLOCATOR_EXHAUSTION";
const OPTION: &str = "ALLOCATOR_BAD_OPTION";
const LEAK: &str = "ALLOCATOR_SHUTDOWN_LEAK";
const OVERFLOW: &str = "ALLOCATOR_REMOTE_FREE_OVERFLOW";
const HARD: &str = "SPANDREL_HARD_LIMIT";

/// All of them.
pub(super) fn checks() -> Vec<Check> {
    let ffi = |key: &'static str,
               what: &'static str,
               code,
               file: &'static str,
               environment: &'static [(&str, &str)],
               lines| {
        Check::new(key, what, code, move || Ok(Found::Figures(end(&run_ffi(file, &[], environment)?, code, lines))))
            .quick()
    };
    vec![
        ffi(
            "soft",
            "above 32 MiB freed pages go back at once",
            LIMIT,
            "limits/limit_soft.c",
            &[("SPANDREL_SOFT_LIMIT", "32M"), ("SPANDREL_PURGE_DELAY", "never")],
            0,
        ),
        ffi("hard", "at 64 MiB every lane fails, and serves again", LIMIT, "limits/limit_hard.c", &[(HARD, "64M")], 1),
        ffi(
            "callback",
            "limits set by the program, and what it hears of them",
            LIMIT,
            "limits/limit_callback.c",
            &[],
            1,
        ),
        Check::new("below-use", "a limit below what is in use", OPTION, below_use).quick(),
        Check::new("hard.mebibytes", "MiB that a greedy program gets of 64", LIMIT, greedy).quick(),
        Check::new("contradiction", "a soft limit above the hard one", OPTION, contradiction).quick(),
        Check::new("address-space", "a greedy program under 128 MiB of address space", EXHAUSTED, || {
            greedy_under(libc::RLIMIT_AS, 128)
        })
        .quick(),
        Check::new("data", "a greedy program under 64 MiB of data", EXHAUSTED, || greedy_under(libc::RLIMIT_DATA, 64))
            .quick(),
        Check::new("pool.refused", "a pool that the kernel does not give", EXHAUSTED, pool_refused).quick(),
        Check::new("overflow", "blocks freed by others with no memory for batches", OVERFLOW, overflow),
        Check::new("shutdown.clean", "a program that frees all, from several threads", LEAK, || shutdown("0 0", 0, ""))
            .quick(),
        Check::new("shutdown.leak", "three blocks of three lanes stay", LEAK, || shutdown("3 0", 1, "3 blocks"))
            .quick(),
        Check::new("shutdown.status", "one block stays, and the program ends with 7", LEAK, || {
            shutdown("1 7", 1, "1 blocks")
        })
        .quick(),
        Check::new("shutdown.queues", "blocks freed by threads that are still alive", LEAK, queues).quick(),
    ]
}

fn below_use() -> Result<Found> {
    let outcome = run_ffi("limits/limit_below_use.c", &[], &[])?;
    let lines = outcome.diagnostics();
    let count = |code| lines.iter().filter(|line| line.code == code).count() as i64;
    Ok(Found::Figures(vec![
        Figure::number("status", status(&outcome)).is(0),
        Figure::number("option-lines", count(OPTION)).is(1),
        Figure::number(
            "named",
            lines.iter().filter(|line| line.text.contains("hard limit 20971520 is below")).count() as i64,
        )
        .is(1),
        Figure::number("limit-lines", count(LIMIT)).is(1),
    ]))
}

fn greedy() -> Result<Found> {
    let outcome = run("greedy.c", &[], &[(HARD, "64M")])?;
    let mut figures = end(&outcome, LIMIT, 1);
    figures.push(Figure::number("mebibytes", number(&outcome, "mebibytes")?).within(56, 64));
    Ok(Found::Figures(figures))
}

fn contradiction() -> Result<Found> {
    let outcome = run("greedy.c", &[], &[("SPANDREL_SOFT_LIMIT", "90M"), (HARD, "64M")])?;
    Ok(Found::Figures(vec![
        Figure::number("status", status(&outcome)).is(0),
        Figure::number("lines", lines(&outcome, OPTION)).is(1),
        // The one that is named last is ignored, and the other in force.
        Figure::number("mebibytes", number(&outcome, "mebibytes")?).within(56, 64),
    ]))
}

fn greedy_under(resource: sandbox::Resource, mebibytes: u64) -> Result<Found> {
    let program = build::program(&Source::new(paths::program_source("greedy.c")), Variant::Preload)?;
    let mut command = harness::run::preloaded(program)?;
    sandbox::limit(&mut command, resource, mebibytes << 20);
    let outcome = harness::run::run(&mut command, 60)?;
    let mut figures = end(&outcome, EXHAUSTED, 1);
    figures.push(
        Figure::number("mebibytes", number(&outcome, "mebibytes")?)
            .within(mebibytes as i64 / 2, mebibytes as i64)
            .near(5, 1),
    );
    Ok(Found::Figures(figures))
}

/// Neither libc nor a smaller pool steps in: the program ends at its first block.
fn pool_refused() -> Result<Found> {
    let program = build::program(&Source::new(paths::program_source("pool.c")), Variant::Preload)?;
    let mut command = harness::run::preloaded(program)?;
    command.args(["no_memory", "0"]).env("SPANDREL_PROFILE", "freestanding").env("SPANDREL_POOL", "64M");
    sandbox::limit(&mut command, libc::RLIMIT_DATA, 32 << 20);
    let outcome = harness::run::run(&mut command, 20)?;
    Ok(Found::Figures(vec![
        Figure::number("status", status(&outcome)).at_least(1),
        Figure::number("lines", said(&outcome, EXHAUSTED, "every call fails")).is(1),
    ]))
}

fn overflow() -> Result<Found> {
    let outcome = run_ffi(
        "threads/remote_free_overflow.c",
        &[],
        &[("SPANDREL_PROFILE", "freestanding"), ("SPANDREL_POOL", "4M")],
    )?;
    let lines = outcome.diagnostics().iter().filter(|line| line.code == OVERFLOW).count() as i64;
    Ok(Found::Figures(vec![Figure::number("status", status(&outcome)).is(0), Figure::number("lines", lines).is(1)]))
}

/// A status of its own stays; 0 becomes 23 if anything is live.
fn shutdown(arguments: &str, lines: i64, what: &str) -> Result<Found> {
    let words: Vec<&str> = arguments.split(' ').collect();
    let outcome = run_ffi("modes/fixture_leaks.c", &words, &[("SPANDREL_LEAKS", "1")])?;
    let own: i64 = words.last().and_then(|word| word.parse().ok()).unwrap_or_default();
    let promised = if own == 0 && lines > 0 { 23 } else { own };
    Ok(Found::Figures(vec![
        Figure::number("status", status(&outcome)).is(promised),
        Figure::number("lines", said(&outcome, LEAK, what)).is(lines),
    ]))
}

/// All blocks return from the queues to their spans; what stays is what libc keeps for the thread that is alive.
fn queues() -> Result<Found> {
    const ENVIRONMENT: Environment<'_> = &[("SPANDREL_PROFILE", FIXTURE)];
    let outcome = run("promise.c", &["remote"], ENVIRONMENT)?;
    Ok(Found::Figures(vec![
        Figure::number("status", status(&outcome)).is(23),
        Figure::number("one-block", said(&outcome, LEAK, "1 blocks of")).is(1),
    ]))
}
