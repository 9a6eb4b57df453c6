//! The runs: warm-up, rounds in drawn orders, and which of them count as failed.
//!
//! Knows: repetition, progress, checksums. Must not know: what a workload or an allocator is.
//! Invariants: a failed run is recorded, never dropped; after a failure the pair is not run again.

use crate::allocators::Column;
use crate::order::Order;
use crate::results::{Kind, Run};
use crate::work::{Bench, Measured, Work};
use indicatif::{ProgressBar, ProgressStyle};
use std::collections::{BTreeMap, HashSet};

const BAR: &str = "{elapsed_precise} [{bar:32}] {pos}/{len}, {eta} left  {wide_msg}";

/// How often.
#[derive(Debug, Clone, Copy)]
pub struct Repetition {
    /// Counted runs of a workload.
    pub runs: usize,
    /// Counted runs of a real program.
    pub program_runs: usize,
    /// Draws the orders.
    pub seed: u64,
}

impl Repetition {
    fn of(&self, work: &Work) -> usize {
        if work.workload.kind == Kind::Program { self.program_runs } else { self.runs }
    }
}

/// Runs every work under every column that is present.
#[must_use]
pub fn run(bench: &Bench<'_>, works: &[Work], columns: &[Column], repetition: Repetition) -> Vec<Run> {
    let columns: Vec<&Column> = columns.iter().filter(|column| column.allocator.absent.is_none()).collect();
    let rounds = works.iter().map(|work| repetition.of(work)).max().unwrap_or(0);
    let total: usize = works.iter().map(|work| (repetition.of(work) + 1) * columns.len()).sum();
    let bar =
        ProgressBar::new(total as u64).with_style(ProgressStyle::with_template(BAR).unwrap_or(ProgressStyle::default_bar()));
    let mut order = Order::new(repetition.seed);
    let mut failed = HashSet::new();
    let mut runs = Vec::new();
    for (row, work) in works.iter().enumerate() {
        for place in order.draw(columns.len()) {
            bar.set_message(format!("warm-up: {} under {}", work.workload.name, columns[place].allocator.name));
            if let Err(error) = work.warm_up(bench, columns[place]) {
                runs.push(failure(work, columns[place], 0, format!("{error:#}")));
                failed.insert((row, place));
            }
            bar.inc(1);
        }
    }
    for round in 0..rounds {
        for row in order.draw(works.len()) {
            let work = &works[row];
            if round >= repetition.of(work) {
                continue;
            }
            for place in order.draw(columns.len()) {
                let column = columns[place];
                bar.set_message(format!("round {}: {} under {}", round + 1, work.workload.name, column.allocator.name));
                bar.inc(1);
                if failed.contains(&(row, place)) {
                    continue;
                }
                match work.run(bench, column) {
                    Ok(measured) => runs.push(record(work, column, round, measured)),
                    Err(error) => {
                        runs.push(failure(work, column, round, format!("{error:#}")));
                        failed.insert((row, place));
                    }
                }
            }
        }
        if bar.is_hidden() {
            eprintln!("round {} of {rounds} done after {:.0} s", round + 1, bar.elapsed().as_secs_f64());
        }
    }
    bar.finish_and_clear();
    judge(&mut runs);
    runs
}

fn failure(work: &Work, column: &Column, round: usize, text: String) -> Run {
    Run {
        workload: work.workload.name.clone(),
        allocator: column.allocator.name.clone(),
        round,
        failure: Some(text),
        cpu: 0.0,
        system: 0.0,
        wall: 0.0,
        peak_kib: 0.0,
        minor_faults: 0.0,
        major_faults: 0.0,
        switches: 0.0,
        said: None,
    }
}

fn record(work: &Work, column: &Column, round: usize, measured: Measured) -> Run {
    let Measured { usage, mut said } = measured;
    if round > 0 {
        said.series.clear();
    }
    Run {
        failure: None,
        cpu: usage.cpu,
        system: usage.system,
        wall: usage.wall,
        peak_kib: usage.peak_kib,
        minor_faults: usage.minor_faults,
        major_faults: usage.major_faults,
        switches: usage.switches,
        said: Some(said),
        ..failure(work, column, round, String::new())
    }
}

/// Work gives the same checksum under every allocator; the one that most runs give is taken for right.
fn judge(runs: &mut [Run]) {
    let mut votes: BTreeMap<String, BTreeMap<u64, usize>> = BTreeMap::new();
    for run in runs.iter().filter(|run| run.failure.is_none()) {
        let Some(said) = &run.said else { continue };
        *votes.entry(run.workload.clone()).or_default().entry(said.checksum).or_default() += 1;
    }
    for run in runs.iter_mut().filter(|run| run.failure.is_none()) {
        let Some(said) = &run.said else { continue };
        let right = votes.get(&run.workload).and_then(|votes| votes.iter().max_by_key(|(_, count)| **count));
        if let Some((right, _)) = right.filter(|(right, _)| **right != said.checksum) {
            run.failure = Some(format!("wrong result: checksum {:x} where most runs give {right:x}", said.checksum));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::results::Said;

    fn run(allocator: &str, checksum: u64) -> Run {
        Run {
            workload: "w".to_owned(),
            allocator: allocator.to_owned(),
            round: 0,
            failure: None,
            cpu: 1.0,
            system: 0.0,
            wall: 1.0,
            peak_kib: 1.0,
            minor_faults: 0.0,
            major_faults: 0.0,
            switches: 0.0,
            said: Some(Said { checksum, ..Said::default() }),
        }
    }

    #[test]
    fn a_checksum_that_others_do_not_give_is_a_failure() {
        let mut runs = vec![run("a", 1), run("b", 1), run("c", 2), run("d", 1)];
        judge(&mut runs);
        let failed: Vec<&str> = runs.iter().filter(|run| run.failure.is_some()).map(|run| run.allocator.as_str()).collect();
        assert_eq!(failed, ["c"]);
    }

    #[test]
    fn equal_checksums_are_no_failure() {
        let mut runs = vec![run("a", 5), run("b", 5)];
        judge(&mut runs);
        assert!(runs.iter().all(|run| run.failure.is_none()));
    }
}
