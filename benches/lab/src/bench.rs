//! The runs of a plan: processes one after another, and which of them count as failed.
//!
//! Knows: how a run is made, progress, checksums. Must not know: which run comes next.

use crate::allocators::Column;
use crate::results::{Allocator, Run, Workload};
use crate::schedule::{self, Earlier, Grid, Repetition, Runner};
use crate::work::{Bench, Measured, Work};
use anyhow::Result;
use indicatif::{ProgressBar, ProgressStyle};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

const BAR: &str = "{elapsed_precise} [{bar:32}] {percent} % of the time  {wide_msg}";
/// Without a terminal a line says so often how far it is.
const LINE_EVERY: Duration = Duration::from_secs(60);

/// The runs to make.
#[derive(Debug, Clone, Copy)]
pub struct Plan<'a> {
    /// The rows.
    pub works: &'a [Work],
    /// The columns.
    pub columns: &'a [Column],
    /// True for a pair of the two that is wanted.
    pub pairs: fn(&Workload, &Allocator) -> bool,
    /// How often.
    pub repetition: Repetition,
    /// Runs that are there already.
    pub earlier: Earlier<'a>,
}

/// Runs every work under every column that is present and wanted with it; all runs, failed ones included.
#[must_use]
pub fn run(bench: &Bench<'_>, plan: Plan<'_>) -> Vec<Run> {
    let columns: Vec<&Column> = plan.columns.iter().filter(|column| column.allocator.absent.is_none()).collect();
    let grid = Grid {
        rows: plan.works.iter().map(|work| &work.workload).collect(),
        columns: columns.iter().map(|column| &column.allocator).collect(),
        pairs: plan.pairs,
    };
    let style = ProgressStyle::with_template(BAR).unwrap_or(ProgressStyle::default_bar());
    let mut processes = Processes {
        bench,
        works: plan.works,
        columns,
        started: Instant::now(),
        bar: ProgressBar::new(plan.repetition.budget.as_secs()).with_style(style),
        made: 0,
        said: Duration::ZERO,
    };
    let mut runs = schedule::runs(&grid, plan.repetition, plan.earlier, &mut processes);
    processes.bar.finish_and_clear();
    judge(&mut runs);
    runs
}

/// Runs as processes of this machine.
struct Processes<'a> {
    bench: &'a Bench<'a>,
    works: &'a [Work],
    columns: Vec<&'a Column>,
    started: Instant,
    bar: ProgressBar,
    made: usize,
    /// When the last line was printed.
    said: Duration,
}

impl Processes<'_> {
    fn say(&mut self, row: usize, place: usize) {
        let (work, column) = (&self.works[row].workload.name, &self.columns[place].allocator.name);
        self.bar.set_position(self.now().as_secs());
        self.bar.set_message(format!("{work} under {column}"));
        self.made += 1;
        if self.bar.is_hidden() && self.now() > self.said + LINE_EVERY {
            self.said = self.now();
            eprintln!("{:.0} s, run {}: {work} under {column}", self.said.as_secs_f64(), self.made);
        }
    }
}

impl Runner for Processes<'_> {
    fn now(&self) -> Duration {
        self.started.elapsed()
    }

    fn warm_up(&mut self, row: usize, place: usize) -> Result<()> {
        self.say(row, place);
        self.works[row].warm_up(self.bench, self.columns[place]).map(drop)
    }

    fn run(&mut self, row: usize, place: usize, limit: Duration) -> Result<Measured> {
        self.say(row, place);
        self.works[row].run(self.bench, self.columns[place], limit)
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
        let failed: Vec<&str> =
            runs.iter().filter(|run| run.failure.is_some()).map(|run| run.allocator.as_str()).collect();
        assert_eq!(failed, ["c"]);
    }

    #[test]
    fn equal_checksums_are_no_failure() {
        let mut runs = vec![run("a", 5), run("b", 5)];
        judge(&mut runs);
        assert!(runs.iter().all(|run| run.failure.is_none()));
    }
}
