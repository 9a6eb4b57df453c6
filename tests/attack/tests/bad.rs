//! The suite can fail, and can be passed: against an allocator that believes everything attacks succeed in every
//! category, against one that nothing gets past none does, and one that ends every process is given no credit.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::ExitCode;

use harness::build::{self, Source};
use harness::suite::{case, main as run_cases};
use spandrel_attack::allocators;
use spandrel_attack::attack::Verdict;
use spandrel_attack::program::{self, Row, category};
use spandrel_attack::suite::{self, Way};

/// Larger blocks are attacked in the same ways.
const SIZE_MOST: u64 = 3000;

/// One row of each case: the first, or the last with blocks of that size at most.
fn rows() -> Result<Vec<Row>, String> {
    let mut by_case = BTreeMap::<String, Vec<Row>>::new();
    for row in program::rows().map_err(|error| format!("{error:#}"))? {
        by_case.entry(row.case.clone()).or_default().push(row);
    }
    let one = |(number, mut rows): (usize, Vec<Row>)| {
        let last = rows.iter().rposition(|row| row.size <= SIZE_MOST).unwrap_or(0);
        rows.swap_remove(if number.is_multiple_of(2) { 0 } else { last })
    };
    Ok(by_case.into_values().enumerate().map(one).collect())
}

/// The verdicts against an allocator of `bad/`.
fn verdicts(name: &str) -> Result<Vec<(Row, Verdict)>, String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("bad/{name}.c"));
    let flags = ["-O1", "-fno-builtin", "-D_GNU_SOURCE"].map(str::to_owned).to_vec();
    let library = build::shared_object(&Source { path, flags, name: Some(format!("attack-{name}")) })?;
    let mut allocator = allocators::spandrel(&library, "fast").map_err(|error| error.to_string())?;
    allocator.environment.clear();
    let rows = rows()?;
    let found = suite::run(&allocator, &rows, Way { runs: 1, calm: true, jobs: suite::JOBS })
        .map_err(|error| format!("{error:#}"))?;
    Ok(rows.into_iter().zip(found).collect())
}

fn none(faults: Vec<String>) -> Result<(), String> {
    if faults.is_empty() { Ok(()) } else { Err(faults.join("\n")) }
}

fn naive_loses_in_every_category() -> Result<(), String> {
    let mut missed = BTreeMap::<String, usize>::new();
    for (row, verdict) in verdicts("naive")? {
        *missed.entry(category(&row.case).to_owned()).or_default() += usize::from(verdict == Verdict::Missed);
    }
    none(
        missed
            .into_iter()
            .filter(|(_, count)| *count == 0)
            .map(|(name, _)| format!("{name}: nothing missed"))
            .collect(),
    )
}

fn fence_loses_nowhere() -> Result<(), String> {
    let lost =
        verdicts("fence")?.into_iter().filter(|(_, verdict)| matches!(verdict, Verdict::Missed | Verdict::Broken));
    none(lost.map(|(row, verdict)| format!("{} {}: {verdict:?}", row.case, row.variant())).collect())
}

fn refuse_is_given_no_credit() -> Result<(), String> {
    let caught = verdicts("refuse")?.into_iter().filter(|(_, verdict)| *verdict <= Verdict::Later);
    none(caught.map(|(row, verdict)| format!("{} {}: {verdict:?}", row.case, row.variant())).collect())
}

fn main() -> ExitCode {
    run_cases(
        vec![
            case("naive_loses_in_every_category", naive_loses_in_every_category),
            case("fence_loses_nowhere", fence_loses_nowhere),
            case("refuse_is_given_no_credit", refuse_is_given_no_credit),
        ],
        true,
    )
}
