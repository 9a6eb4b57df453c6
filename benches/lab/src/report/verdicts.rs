//! Failures, losses and wins, each named.
//!
//! Knows: how a verdict reads. Must not know: how it is reached.

use super::markdown::Table;
use super::markdown::figure;
use crate::allocators::SPANDREL;
use crate::causes::{Causes, UNKNOWN};
use crate::figures::Figure;
use crate::losses::{self, FAST, FRUGAL, Outcome, Verdict, WANTS_CAUSE};
use crate::results::Results;
use crate::table::{Measure, failure};

const KIB_PER_MIB: f64 = 1024.0;
const PERCENT: f64 = 100.0;

/// Every allocator that failed a workload.
pub(super) fn failures(results: &Results) -> String {
    let mut table = Table::new(["workload", "allocator", "what went wrong"], 0..0);
    for workload in &results.workloads {
        for allocator in results.present() {
            if let Some(reason) = failure(results, &workload.name, &allocator.name) {
                table.row([workload.name.as_str(), allocator.name.as_str(), reason]);
            }
        }
    }
    if table.is_empty() {
        return "## Failures\n\nNone: every allocator gave the same results everywhere.\n\n".to_owned();
    }
    format!(
        "## Failures\n\nA crash, a run that takes too long, or a result that differs from that of most runs. A failed pair has no \
         figures.\n\n{}",
        table.text()
    )
}

/// Every loss of Spandrel, with its cause.
pub(super) fn losses(results: &Results, causes: &Causes) -> String {
    let mut text = String::from("## Where Spandrel loses\n\n");
    for (workload, reason) in losses::failed(results) {
        text.push_str(&format!("- **{workload}**: {SPANDREL} fails: {reason}\n"));
    }
    let lost =
        |verdicts: Vec<Verdict>| verdicts.into_iter().filter(|verdict| verdict.outcome == Outcome::Loss).collect();
    let (time, memory): (Vec<_>, Vec<_>) = (lost(losses::in_time(results)), lost(losses::in_memory(results)));
    text.push_str("### In time\n\nSlower than the fastest peer of the workload by more than the noise of the two.\n\n");
    text.push_str(&open(&losses::in_time(results)));
    text.push_str(&table(&time, Some(causes)));
    text.push_str(&format!(
        "### In peak memory\n\nMore than {FRUGAL:.2} times the memory of the most frugal fast peer, by more than the noise. A peer is fast if it takes at \
         most {FAST:.2} times the fastest peer's time; glibc is left aside.\n\n"
    ));
    text.push_str(&table(&memory, Some(causes)));
    text
}

/// Every win of Spandrel.
pub(super) fn wins(results: &Results) -> String {
    let won = |verdicts: Vec<Verdict>| verdicts.into_iter().filter(|verdict| verdict.outcome == Outcome::Win).collect();
    let (time, memory): (Vec<_>, Vec<_>) = (won(losses::in_time(results)), won(losses::in_memory(results)));
    format!(
        "## Where Spandrel wins\n\n### In time\n\nFaster than every peer by more than the noise.\n\n{}### In peak memory\n\nLess \
         than every fast peer needs.\n\n{}",
        table(&time, None),
        table(&memory, None)
    )
}

/// The rows of which nothing can be said.
fn open(verdicts: &[Verdict]) -> String {
    let open = verdicts.iter().filter(|verdict| verdict.outcome == Outcome::Open);
    let names: Vec<&str> = open.map(|verdict| verdict.workload.as_str()).collect();
    if names.is_empty() { String::new() } else { format!("Too few runs to tell: {}.\n\n", names.join(", ")) }
}

fn table(verdicts: &[Verdict], causes: Option<&Causes>) -> String {
    if verdicts.is_empty() {
        return "Nowhere.\n\n".to_owned();
    }
    let mut headings = vec!["workload", "Spandrel", "best peer", "its figure", "ratio", "noise"];
    headings.extend(causes.map(|_| "cause"));
    let mut table = Table::new(headings, 1..6);
    for verdict in verdicts {
        let mut cells = vec![
            verdict.workload.clone(),
            value(verdict.measure, &verdict.own),
            verdict.peer.clone(),
            value(verdict.measure, &verdict.theirs),
            format!("{:.2}", verdict.ratio()),
            verdict.noise.map_or_else(|| "–".to_owned(), |noise| format!("{:.1} %", PERCENT * noise)),
        ];
        cells.extend(causes.map(|causes| cause(causes, verdict)));
        table.row(cells);
    }
    table.text()
}

/// The cause of a loss; a small one needs none.
fn cause(causes: &Causes, verdict: &Verdict) -> String {
    match causes.known(&verdict.workload, verdict.measure) {
        Some(cause) => cause.to_owned(),
        None if verdict.ratio() > 1.0 + WANTS_CAUSE => UNKNOWN.to_owned(),
        None => "–".to_owned(),
    }
}

fn value(measure: Measure, of: &Figure) -> String {
    match measure {
        Measure::Peak => figure(of, 1.0 / KIB_PER_MIB, 1, " MiB"),
        Measure::Cpu | Measure::Wall | Measure::Faults => figure(of, 1.0, 3, " s"),
    }
}
