//! Memory refused by the kernel: a program under load, of which some of the library's system calls for memory fail.
//!
//! Knows: `programs/inject.c` and `programs/survive.c`. Must not know: which calls are to fail, or who asks.

use std::collections::BTreeMap;

use crate::build::{self, Source};
use crate::expect::End;
use crate::header::Variant;
use crate::paths;
use crate::programs::number;
use crate::run::{self, Outcome};

/// The kinds of calls that can be refused.
pub const KINDS: [&str; 4] = ["mmap", "mprotect", "madvise", "mremap"];
/// Bytes that libc keeps for the program's threads after they have ended.
const LIVE_MAX: i64 = 4096;
/// Stacks that libc keeps, and arenas of its own where it had to help out.
const MAPPINGS_MAX: i64 = 24;

/// Options of the program.
pub type Environment<'a> = &'a [(&'a str, &'a str)];

/// The result of a sweep.
#[derive(Clone, Debug, Default)]
pub struct Sweep {
    /// Calls of an undisturbed run.
    pub calls: i64,
    /// How many of them were first to be refused.
    pub points: i64,
    /// How many of each kind were refused in all.
    pub failed: BTreeMap<&'static str, i64>,
    /// The runs that failed.
    pub broken: Vec<String>,
}

/// One run with `count` refusals from call `first` on; nothing where the kernel cannot be asked to refuse by number.
fn inject(first: i64, count: i64, environment: Environment<'_>) -> Result<Option<Outcome>, String> {
    let supervisor = build::program(&Source::new(paths::program_source("inject.c")), Variant::Glibc)?;
    let program = build::program(&Source::new(paths::program_source("survive.c")), Variant::Preload)?;
    let mut command = run::command(supervisor);
    command.args([first.to_string(), count.to_string()]).arg(program);
    command.env("SUPERVISED_PRELOAD", paths::shared_library()?).env("SPANDREL_PURGE_DELAY", "10");
    let outcome = run::run(command.envs(environment.iter().copied()), 30)?;
    Ok((outcome.end != End::Exit(77)).then_some(outcome))
}

fn judge(outcome: &Outcome) -> Result<(), String> {
    let lines = outcome.diagnostics();
    let codes = ["ALLOCATOR_EXHAUSTION", "ALLOCATOR_REMOTE_FREE_OVERFLOW"];
    let said = codes.map(|code| lines.iter().filter(|line| line.code == code).count());
    let said = said.iter().all(|count| *count <= 1) && said.iter().sum::<usize>() == lines.len();
    let whole = outcome.end == End::Exit(0) && number(outcome, "live_after")? <= LIVE_MAX;
    if said && whole && number(outcome, "mappings")? <= MAPPINGS_MAX {
        Ok(())
    } else {
        Err(format!("not whole\n{outcome}"))
    }
}

/// Refuses `count` calls from the first on, from the one that is `stride` behind it on, and so forth.
pub fn sweep(count: i64, stride: i64, environment: Environment<'_>) -> Result<Option<Sweep>, String> {
    let Some(undisturbed) = inject(0, 0, environment)? else { return Ok(None) };
    judge(&undisturbed)?;
    let mut sweep = Sweep { calls: number(&undisturbed, "calls")?, ..Sweep::default() };
    let mut first = 1;
    while first <= sweep.calls {
        let Some(outcome) = inject(first, count, environment)? else { return Ok(None) };
        let judged = judge(&outcome);
        sweep.broken.extend(judged.err().map(|error| format!("{count} refusals from call {first} on: {error}")));
        for kind in KINDS {
            *sweep.failed.entry(kind).or_default() += number(&outcome, kind)?;
        }
        sweep.points += 1;
        first += stride;
    }
    Ok(Some(sweep))
}

/// How many calls `malloc_stats` reports, and how many the kernel has seen.
pub fn statistics() -> Result<Option<(i64, i64)>, String> {
    let Some(outcome) = inject(0, 0, &[("SPANDREL_STATS", "1")])? else { return Ok(None) };
    let mut counted = 0;
    for kind in KINDS {
        let line = format!("spandrel: stats: {kind} calls");
        let value = outcome
            .stderr
            .lines()
            .find_map(|text| text.strip_prefix(&line))
            .ok_or(format!("no `{line}`\n{outcome}"))?;
        counted += value.trim().parse::<i64>().map_err(|_| format!("`{value}` is not a number"))?;
    }
    Ok(Some((counted, number(&outcome, "calls")?)))
}
