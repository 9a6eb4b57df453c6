//! The runs: warm-up, rounds in drawn orders, and which of them count as failed.
//!
//! Knows: repetition, progress, checksums. Must not know: what a workload or an allocator is.
//! Invariants: a failed run is recorded, never dropped; after a failure the pair is not run again. Work is begun under
//! all columns or under none.

use crate::allocators::Column;
use crate::order::Order;
use crate::results::{Allocator, Kind, Run, Workload};
use crate::work::{Bench, Measured, Work};
use indicatif::{ProgressBar, ProgressStyle};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::{Duration, Instant};

/// A pair whose counted runs have taken so long together is not run again.
const PAIR_LIMIT: f64 = 20.0;
const BAR: &str = "{elapsed_precise} [{bar:32}] {pos}/{len}, {eta} left  {wide_msg}";

/// How often.
#[derive(Debug, Clone, Copy)]
pub struct Repetition {
    /// Counted runs of a workload.
    pub runs: usize,
    /// Counted runs of work that takes seconds: real programs, and workloads that wait.
    pub slow_runs: usize,
    /// Draws the orders.
    pub seed: u64,
    /// How long all of it may take.
    pub budget: Duration,
    /// The choice when time is short.
    pub pace: Pace,
}

/// The choice when time is short.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pace {
    /// Every pair is warmed up and the first round is completed, whatever it takes; a further one is begun only if it
    /// can be expected to end in time.
    Complete,
    /// A real program is warmed up once, a workload never; work whose turn comes when the time is over is left out.
    Punctual,
}

impl Repetition {
    fn of(&self, work: &Work) -> usize {
        if matches!(work.workload.kind, Kind::Program | Kind::Idle) { self.slow_runs } else { self.runs }
    }
}

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
}

/// The runs that were made.
#[derive(Debug)]
pub struct Outcome {
    /// All of them, failed ones included.
    pub runs: Vec<Run>,
    /// Rounds that were completed.
    pub rounds: usize,
    /// Names of the work for which no time was left in any round.
    pub left_out: Vec<String>,
}

/// A run of the lab that is under way.
struct Session<'a> {
    bench: &'a Bench<'a>,
    works: &'a [Work],
    columns: Vec<&'a Column>,
    pairs: fn(&Workload, &Allocator) -> bool,
    pace: Pace,
    /// When the time is over.
    end: Instant,
    order: Order,
    bar: ProgressBar,
    runs: Vec<Run>,
    /// Pairs that failed.
    failed: HashSet<(usize, usize)>,
    /// The figures of the counted runs of a pair.
    spent: HashMap<(usize, usize), Spent>,
}

/// Seconds that counted runs took.
#[derive(Debug, Clone, Copy, Default)]
struct Spent {
    all: f64,
    last: f64,
}

/// Runs every work under every column that is present and wanted with it.
#[must_use]
pub fn run(bench: &Bench<'_>, plan: Plan<'_>) -> Outcome {
    let Plan { works, repetition, pairs, .. } = plan;
    let columns: Vec<&Column> = plan.columns.iter().filter(|column| column.allocator.absent.is_none()).collect();
    let rounds = works.iter().map(|work| repetition.of(work)).max().unwrap_or(0);
    let total: usize = works.iter().map(|work| (repetition.of(work) + 1) * columns.len()).sum();
    let style = ProgressStyle::with_template(BAR).unwrap_or(ProgressStyle::default_bar());
    let mut session = Session {
        bench,
        works,
        columns,
        pairs,
        pace: repetition.pace,
        end: Instant::now() + repetition.budget,
        order: Order::new(repetition.seed),
        bar: ProgressBar::new(total as u64).with_style(style),
        runs: Vec::new(),
        failed: HashSet::new(),
        spent: HashMap::new(),
    };
    let started = Instant::now();
    session.warm_up();
    let mut made = 0;
    while made < rounds {
        let wanted = |work: &Work| made < repetition.of(work);
        if made > 0 && repetition.pace == Pace::Complete && Instant::now() + session.expected(wanted) > session.end {
            break;
        }
        if !session.round(made, wanted) {
            break;
        }
        made += 1;
        if session.bar.is_hidden() {
            eprintln!("round {made} of {rounds} done after {:.0} s", started.elapsed().as_secs_f64());
        }
    }
    session.bar.finish_and_clear();
    judge(&mut session.runs);
    let ran: HashSet<&str> = session.runs.iter().map(|run| run.workload.as_str()).collect();
    let names = works.iter().map(|work| &work.workload.name);
    let left_out = names.filter(|name| !ran.contains(name.as_str())).cloned().collect();
    Outcome { rounds: made, left_out, runs: session.runs }
}

impl Session<'_> {
    fn warm_up(&mut self) {
        for (row, work) in self.works.iter().enumerate() {
            let mut places = self.order.draw(self.columns.len());
            if self.pace == Pace::Punctual {
                places.truncate(usize::from(work.workload.kind == Kind::Program));
            }
            for place in places {
                let column = self.columns[place];
                self.bar.set_message(format!("warm-up: {} under {}", work.workload.name, column.allocator.name));
                if work.warms_up()
                    && self.is_wanted(row, place)
                    && let Err(error) = work.warm_up(self.bench, column)
                {
                    self.fail(row, place, 0, format!("{error:#}"));
                }
                self.bar.inc(1);
            }
        }
    }

    /// Makes a round; false if the time was over before its end.
    fn round(&mut self, round: usize, wanted: impl Fn(&Work) -> bool) -> bool {
        for row in self.order.draw(self.works.len()) {
            let work = &self.works[row];
            if !wanted(work) {
                continue;
            }
            if self.pace == Pace::Punctual && Instant::now() > self.end {
                return false;
            }
            for place in self.order.draw(self.columns.len()) {
                let column = self.columns[place];
                self.bar.set_message(format!(
                    "round {}: {} under {}",
                    round + 1,
                    work.workload.name,
                    column.allocator.name
                ));
                self.bar.inc(1);
                if !self.goes_on(row, place) {
                    continue;
                }
                match work.run(self.bench, column) {
                    Ok(measured) => {
                        let spent = self.spent.entry((row, place)).or_default();
                        spent.last = measured.usage.wall;
                        spent.all += spent.last;
                        self.runs.push(record(work, column, round, measured));
                    }
                    Err(error) => self.fail(row, place, round, format!("{error:#}")),
                }
            }
        }
        true
    }

    fn is_wanted(&self, row: usize, place: usize) -> bool {
        (self.pairs)(&self.works[row].workload, &self.columns[place].allocator)
    }

    /// True for a pair that is wanted and neither failed nor has had its time.
    fn goes_on(&self, row: usize, place: usize) -> bool {
        let spent = self.spent.get(&(row, place)).map_or(0.0, |spent| spent.all);
        self.is_wanted(row, place) && !self.failed.contains(&(row, place)) && spent < PAIR_LIMIT
    }

    /// How long the next round will take if every pair takes as long as it last did.
    fn expected(&self, wanted: impl Fn(&Work) -> bool) -> Duration {
        let rows = (0..self.works.len()).filter(|row| wanted(&self.works[*row]));
        let pairs = rows.flat_map(|row| (0..self.columns.len()).map(move |place| (row, place)));
        let going_on = pairs.filter(|(row, place)| self.goes_on(*row, *place));
        Duration::from_secs_f64(going_on.filter_map(|pair| self.spent.get(&pair)).map(|spent| spent.last).sum())
    }

    fn fail(&mut self, row: usize, place: usize, round: usize, text: String) {
        self.runs.push(failure(&self.works[row], self.columns[place], round, text));
        self.failed.insert((row, place));
    }
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
