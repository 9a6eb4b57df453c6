//! Memory refused at every point in turn: each system call for memory that the library makes under load fails once, and in a row
//! with those that follow. Nothing may crash, tear, leak or stay refused.

use std::collections::BTreeMap;
use std::process::ExitCode;

use harness::build::{self, Source};
use harness::expect::End;
use harness::header::Variant;
use harness::paths;
use harness::programs::number;
use harness::run::{self, Outcome};
use harness::suite::{case_if, main as run_cases};

const KINDS: [&str; 4] = ["mmap", "mprotect", "madvise", "mremap"];
/// What libc keeps for the program's threads after they have ended.
const LIVE_MAX: i64 = 4096;
/// Stacks that libc keeps, and arenas of its own where it had to help out.
const MAPPINGS_MAX: i64 = 24;

type Environment = &'static [(&'static str, &'static str)];

/// One run with `count` refusals from call `first` on.
fn inject(first: i64, count: i64, environment: Environment) -> Result<Outcome, String> {
    let supervisor = build::program(&Source::new(paths::program_source("inject.c")), Variant::Glibc)?;
    let program = build::program(&Source::new(paths::program_source("survive.c")), Variant::Preload)?;
    let mut command = run::command(supervisor);
    command.args([first.to_string(), count.to_string()]).arg(program);
    command.env("SUPERVISED_PRELOAD", paths::shared_library()?).env("SPANDREL_PURGE_DELAY", "10");
    run::run(command.envs(environment.iter().copied()), 30)
}

fn judge(outcome: &Outcome) -> Result<(), String> {
    let lines = outcome.diagnostics();
    let codes = ["ALLOCATOR_EXHAUSTION", "ALLOCATOR_REMOTE_FREE_OVERFLOW"];
    let said = codes.map(|code| lines.iter().filter(|line| line.code == code).count());
    let said = said.iter().all(|count| *count <= 1) && said.iter().sum::<usize>() == lines.len();
    let whole = outcome.end == End::Exit(0) && number(outcome, "live_after")? <= LIVE_MAX;
    if said && whole && number(outcome, "mappings")? <= MAPPINGS_MAX { Ok(()) } else { Err(format!("not whole\n{outcome}")) }
}

/// Refuses from each call on in turn, and wants every kind of call among those refused.
fn sweep(count: i64, environment: Environment) -> Result<(), String> {
    let undisturbed = inject(0, 0, environment)?;
    judge(&undisturbed)?;
    let calls = number(&undisturbed, "calls")?;
    let mut failed = BTreeMap::from(KINDS.map(|kind| (kind, 0)));
    for first in 1..=calls {
        let outcome = inject(first, count, environment)?;
        judge(&outcome).map_err(|error| format!("{count} refusals from call {first} of {calls} on: {error}"))?;
        for (kind, sum) in &mut failed {
            *sum += number(&outcome, kind)?;
        }
    }
    match failed.iter().find(|(_, sum)| **sum == 0) {
        Some((kind, _)) => Err(format!("no {kind} among the refused calls: {failed:?}")),
        None => Ok(()),
    }
}

/// The system calls that `malloc_stats` counts are those that the kernel sees.
fn statistics_count_every_call() -> Result<(), String> {
    let outcome = inject(0, 0, &[("SPANDREL_STATS", "1")])?;
    let mut counted = 0;
    for kind in KINDS {
        let line = format!("spandrel: stats: {kind} calls");
        let value = outcome.stderr.lines().find_map(|text| text.strip_prefix(&line)).ok_or(format!("no `{line}`\n{outcome}"))?;
        counted += value.trim().parse::<i64>().map_err(|_| format!("`{value}` is not a number"))?;
    }
    let seen = number(&outcome, "calls")?;
    if counted == seen { Ok(()) } else { Err(format!("counts {counted} calls of {seen}\n{outcome}")) }
}

/// Why the kernel cannot be asked to refuse by number.
fn obstacle() -> Option<String> {
    match inject(0, 0, &[]) {
        Ok(outcome) if outcome.end == End::Exit(77) => Some(outcome.stdout.trim().to_owned()),
        _ => None,
    }
}

fn main() -> ExitCode {
    const SERVER: Environment = &[("SPANDREL_PROFILE", "hosted-server"), ("SPANDREL_HUGEPAGES", "thp")];
    let obstacle = obstacle();
    run_cases(
        vec![
            case_if(obstacle.clone(), "each_call_alone", || sweep(1, &[])),
            case_if(obstacle.clone(), "each_call_and_fifteen_more", || sweep(16, &[])),
            case_if(obstacle.clone(), "statistics_count_every_call", statistics_count_every_call),
            case_if(obstacle, "each_call_of_a_server_with_huge_pages", || sweep(1, SERVER)),
        ],
        false,
    )
}
