//! The short form of the attack suite: what the pages promise of the default mode and of mode `hardened`, row by row.

use std::process::ExitCode;

use harness::paths;
use harness::suite::{case, main as run_cases};
use spandrel_attack::allocators;
use spandrel_attack::attack::Verdict::{self, AtTheCall, Harmless, Later, NotApplicable};
use spandrel_attack::program::{self, Row, category};
use spandrel_attack::suite::{self, Way};

/// One size of each lane.
const SIZES: [u64; 4] = [16, 3000, 200_000, 40_000_000];
const AT_THE_CALL: &[Verdict] = &[AtTheCall];
const CAUGHT: &[Verdict] = &[AtTheCall, Later];
/// Nothing happens to another owner.
const UNHARMED: &[Verdict] = &[AtTheCall, Later, Harmless];

/// The promise for cases whose name begins so, in one thread and in two; the first that fits counts.
type Promise = (&'static str, &'static [Verdict], &'static [Verdict]);

/// libc made this block, and gets it.
const OF_LIBC: Promise = ("invalid-free/of-libc", &[Harmless], &[Harmless]);

const FAST: &[Promise] = &[
    OF_LIBC,
    ("invalid-free/", AT_THE_CALL, AT_THE_CALL),
    ("double-free/near", AT_THE_CALL, UNHARMED),
    ("double-free/after-realloc-", AT_THE_CALL, UNHARMED),
    ("double-free/calloc", AT_THE_CALL, UNHARMED),
    ("double-free/delete", AT_THE_CALL, UNHARMED),
    ("size-overflow/", UNHARMED, UNHARMED),
    ("mismatch/", UNHARMED, UNHARMED),
    ("forgery/", UNHARMED, UNHARMED),
];

const HARDENED: &[Promise] = &[
    OF_LIBC,
    ("invalid-free/", AT_THE_CALL, AT_THE_CALL),
    ("double-free/", AT_THE_CALL, AT_THE_CALL),
    ("overflow/8-free", CAUGHT, CAUGHT),
    ("underflow/8-free", CAUGHT, CAUGHT),
    ("write-after-free/at-once", UNHARMED, UNHARMED),
    ("read/freed", UNHARMED, UNHARMED),
    ("reuse/next-malloc", UNHARMED, UNHARMED),
    ("fresh-memory/", UNHARMED, UNHARMED),
    ("zero-size/", UNHARMED, UNHARMED),
    ("size-overflow/", UNHARMED, UNHARMED),
    ("mismatch/", UNHARMED, UNHARMED),
    ("forgery/", UNHARMED, UNHARMED),
];

fn promised(promises: &[Promise], row: &Row) -> Option<&'static [Verdict]> {
    let (_, alone, pair) = promises.iter().find(|(prefix, _, _)| row.case.starts_with(prefix))?;
    Some(if row.threads == 1 { alone } else { pair })
}

/// The rows of a category under a mode, each with a verdict that was promised.
fn kept(mode: &str, promises: &'static [Promise], name: &str) -> Result<(), String> {
    let words = |error: anyhow::Error| format!("{error:#}");
    let allocator = allocators::spandrel(&paths::shared_library()?, mode).map_err(words)?;
    let mut rows = program::rows().map_err(words)?;
    rows.retain(|row| category(&row.case) == name && SIZES.contains(&row.size) && promised(promises, row).is_some());
    let verdicts = suite::run(&allocator, &rows, Way { runs: 1, calm: false, jobs: suite::JOBS }).map_err(words)?;
    let is_broken = |(row, verdict): &(&Row, Verdict)| {
        *verdict != NotApplicable && promised(promises, row).is_some_and(|verdicts| !verdicts.contains(verdict))
    };
    let broken: Vec<String> = rows
        .iter()
        .zip(verdicts)
        .filter(is_broken)
        .map(|(row, verdict)| format!("{} {}: {}", row.case, row.variant(), verdict.words()))
        .collect();
    if broken.is_empty() { Ok(()) } else { Err(broken.join("\n")) }
}

fn main() -> ExitCode {
    let mut cases = Vec::new();
    for (mode, promises) in [("fast", FAST), ("hardened", HARDENED)] {
        let mut names: Vec<&str> = promises.iter().map(|(prefix, _, _)| category(prefix)).collect();
        names.dedup();
        for name in names {
            cases.push(case(&format!("{mode}/{name}"), move || kept(mode, promises, name)));
        }
    }
    run_cases(cases, true)
}
