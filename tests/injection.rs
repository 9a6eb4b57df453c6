//! Memory is refused at one point after another: system calls for memory that the library makes under load fail alone, and
//! in a row with those that follow, also with huge pages. No run may crash, tear, leak or stay refused.
//!
//! Which call comes when differs from run to run, so every sixth is enough for a test. With `TEST_CALLS=all`, in `make
//! native-memory-control-check`, each call fails in a run of its own.

use std::env;
use std::process::ExitCode;

use harness::injection::{self, Environment, Sweep};
use harness::suite::{case_if, main as run_cases};

const UNHEARD: &str = "the kernel has no listener";

/// Refuses `count` calls from each, or each sixth, one on in turn, and wants every kind of call among the refused ones.
fn sweep(count: i64, environment: Environment<'_>) -> Result<(), String> {
    let stride = if env::var_os("TEST_CALLS").is_some_and(|value| value == "all") { 1 } else { 6 };
    let Sweep { calls, failed, broken, .. } = injection::sweep(count, stride, environment)?.ok_or(UNHEARD)?;
    if let Some(first) = broken.first() {
        return Err(format!("{} of {calls} runs: {first}", broken.len()));
    }
    match failed.iter().find(|(_, sum)| **sum == 0) {
        Some((kind, _)) => Err(format!("no {kind} among the refused calls: {failed:?}")),
        None => Ok(()),
    }
}

/// The system calls that `malloc_stats` counts are those that the kernel sees.
fn statistics_count_every_call() -> Result<(), String> {
    let (counted, seen) = injection::statistics()?.ok_or(UNHEARD)?;
    if counted == seen { Ok(()) } else { Err(format!("counts {counted} calls of {seen}")) }
}

/// The reason why the kernel cannot refuse calls by number here.
fn obstacle() -> Option<String> {
    matches!(injection::statistics(), Ok(None)).then(|| UNHEARD.to_owned())
}

fn main() -> ExitCode {
    const SERVER: Environment<'_> = &[("SPANDREL_PROFILE", "hosted-server"), ("SPANDREL_HUGEPAGES", "thp")];
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
