//! The order and the number of runs: every pair has a few, then the rows in doubt have more until the time is over.
//!
//! Knows: time, turns, the noise of figures so far. Must not know: how a run is made.
//! Invariants: runs follow one another, never two at once. A turn runs a row under its columns in a drawn order; a turn
//! that the end of the time cuts short leaves no figures. A failed run is recorded, and its pair is not run again. The
//! noise alone decides which rows get more turns, never who is ahead.

use crate::allocators::{BASE, SPANDREL};
use crate::figures::Figure;
use crate::losses::FAST;
use crate::order::Order;
use crate::results::{Allocator, Group, Kind, Role, Run, Workload};
use crate::table::Measure;
use crate::work::Measured;
use anyhow::Result;
use std::collections::{HashMap, HashSet};
use std::time::Duration;

/// A row whose figures are as exact as this needs no further turn.
pub const EXACT: f64 = 0.01;
/// All of it has ended after this many times the time that was given.
pub const LATEST: f64 = 1.04;
/// A pair is not run again where its runs would take more than this many times the mean time of a pair.
const SHARES: f64 = 4.0;

/// Makes single runs, and has the clock.
pub trait Runner {
    /// Time since the start.
    fn now(&self) -> Duration;

    /// An uncounted run that reads the files of a row.
    ///
    /// # Errors
    /// When it ends otherwise than well.
    fn warm_up(&mut self, row: usize, place: usize) -> Result<()>;

    /// A counted run, which is killed after `limit`.
    ///
    /// # Errors
    /// When it ends otherwise than well; the text says how.
    fn run(&mut self, row: usize, place: usize, limit: Duration) -> Result<Measured>;
}

/// How often, and how long.
#[derive(Debug, Clone, Copy)]
pub struct Repetition {
    /// Counted runs of a pair as long as the time allows; waiting work under allocators that are not of the default
    /// group has one.
    pub least: usize,
    /// Counted runs of a pair whose figures are in doubt.
    pub most: usize,
    /// Draws the orders.
    pub seed: u64,
    /// How long all of it may take.
    pub budget: Duration,
}

/// The table to fill.
#[derive(Debug)]
pub struct Grid<'a> {
    /// The work.
    pub rows: Vec<&'a Workload>,
    /// The allocators that are there.
    pub columns: Vec<&'a Allocator>,
    /// True for a pair of the two that is wanted.
    pub pairs: fn(&Workload, &Allocator) -> bool,
}

/// Runs of an earlier call of the lab, which this one goes on with.
#[derive(Debug, Clone, Copy, Default)]
pub struct Earlier<'a> {
    /// Its counted runs; pairs that failed in it are tried again.
    pub runs: &'a [Run],
    /// How long it was given.
    pub budget: Duration,
}

/// All counted runs, the earlier and the failed ones included.
#[must_use]
pub fn runs(grid: &Grid<'_>, repetition: Repetition, earlier: Earlier<'_>, runner: &mut dyn Runner) -> Vec<Run> {
    let wanted = |row: &&Workload| grid.columns.iter().filter(|column| (grid.pairs)(row, column)).count();
    let pairs = grid.rows.iter().map(wanted).sum::<usize>().max(1);
    let budget = earlier.budget + repetition.budget;
    let mut session = Session {
        grid,
        repetition,
        runner,
        share: SHARES * budget.as_secs_f64() / pairs as f64,
        order: Order::new(repetition.seed),
        runs: Vec::new(),
        failed: HashSet::new(),
        spent: HashMap::new(),
    };
    session.take(earlier.runs);
    session.warm_up();
    for round in 0..repetition.least {
        session.round(round);
    }
    while session.round_of_doubt() {}
    session.runs
}

/// The counted runs of a pair so far.
#[derive(Debug, Clone, Copy, Default)]
struct Spent {
    runs: usize,
    /// Seconds of all of them.
    all: f64,
    /// Seconds of the last one.
    last: f64,
}

struct Session<'a> {
    grid: &'a Grid<'a>,
    repetition: Repetition,
    runner: &'a mut dyn Runner,
    /// Seconds after which a pair gives way to others.
    share: f64,
    order: Order,
    runs: Vec<Run>,
    failed: HashSet<(usize, usize)>,
    spent: HashMap<(usize, usize), Spent>,
}

impl Session<'_> {
    /// Takes in the earlier runs of the pairs that are wanted.
    fn take(&mut self, earlier: &[Run]) {
        for run in earlier.iter().filter(|run| run.failure.is_none()) {
            let row = self.grid.rows.iter().position(|row| row.name == run.workload);
            let place = self.grid.columns.iter().position(|column| column.name == run.allocator);
            let Some((row, place)) = row.zip(place).filter(|(row, place)| self.places(*row).any(|one| one == *place))
            else {
                continue;
            };
            let spent = self.spent.entry((row, place)).or_default();
            *spent = Spent { runs: spent.runs + 1, all: spent.all + run.wall, last: run.wall };
            self.runs.push(run.clone());
        }
    }

    /// Each row once, under the first column that is wanted with it: its files are in memory then. Those of the
    /// allocators are since they were shown to be in effect.
    fn warm_up(&mut self) {
        for row in 0..self.grid.rows.len() {
            let first = self.places(row).next();
            if let Some(place) = first.filter(|_| !waits(self.grid.rows[row]) && self.fits(0.0)) {
                // A row that fails here fails in its counted run as well, which says so.
                let _ = self.runner.warm_up(row, place);
            }
        }
    }

    /// A turn of each row for the pairs that have had at most `round` runs; rows that would end too late are left out.
    fn round(&mut self, round: usize) {
        for row in self.order.draw(self.grid.rows.len()) {
            let places: Vec<usize> = self.places(row).filter(|place| self.is_due(row, *place, round)).collect();
            if !places.is_empty() && self.fits(self.expected(row, &places)) {
                self.turn(row, &places);
            }
        }
    }

    /// A turn of the more doubtful half of the rows that are in doubt; false if none was made.
    fn round_of_doubt(&mut self) -> bool {
        let mut doubts: Vec<(f64, usize)> = (0..self.grid.rows.len())
            .filter(|row| self.turns(*row) < self.repetition.most)
            .filter_map(|row| Some((self.doubt(row)?, row)))
            .filter(|(doubt, _)| *doubt > EXACT)
            .collect();
        doubts.sort_by(|left, right| right.0.total_cmp(&left.0));
        let (half, mut expected) = (doubts.len().div_ceil(2), 0.0);
        let mut chosen = Vec::new();
        for (_, row) in doubts {
            let places = self.contenders(row);
            let seconds = self.expected(row, &places);
            if chosen.len() < half && !places.is_empty() && self.fits(expected + seconds) {
                expected += seconds;
                chosen.push((row, places));
            }
        }
        let mut made = false;
        for number in self.order.draw(chosen.len()) {
            let (row, places) = &chosen[number];
            made |= self.turn(*row, places);
        }
        made
    }

    /// Runs a row under some columns, in a drawn order; false if the time was over before the last one.
    fn turn(&mut self, row: usize, places: &[usize]) -> bool {
        let latest = self.repetition.budget.mul_f64(LATEST);
        let mut made = Vec::new();
        for number in self.order.draw(places.len()) {
            let place = places[number];
            let begun = self.runner.now();
            if begun >= latest {
                return false;
            }
            let (workload, allocator) = (self.grid.rows[row], self.grid.columns[place]);
            let runs = self.spent.get(&(row, place)).map_or(0, |spent| spent.runs);
            match self.runner.run(row, place, latest - begun) {
                Ok(measured) => made.push((place, record(workload, allocator, runs, measured))),
                Err(_) if self.runner.now() >= latest => return false,
                Err(error) => {
                    self.runs.push(failure(workload, allocator, runs, format!("{error:#}")));
                    self.failed.insert((row, place));
                }
            }
            let seconds = (self.runner.now() - begun).as_secs_f64();
            let spent = self.spent.entry((row, place)).or_default();
            *spent = Spent { runs: spent.runs, all: spent.all + seconds, last: seconds };
        }
        for (place, run) in made {
            self.spent.entry((row, place)).or_default().runs += 1;
            self.runs.push(run);
        }
        true
    }

    /// The columns that are wanted with a row and have not failed it.
    fn places(&self, row: usize) -> impl Iterator<Item = usize> {
        let wanted = move |place: &usize| (self.grid.pairs)(self.grid.rows[row], self.grid.columns[*place]);
        (0..self.grid.columns.len()).filter(wanted).filter(move |place| !self.failed.contains(&(row, *place)))
    }

    /// True for a pair that has had at most `round` runs, less than its least number, and not used up its share.
    fn is_due(&self, row: usize, place: usize, round: usize) -> bool {
        let alone = waits(self.grid.rows[row]) && self.grid.columns[place].group != Group::Default;
        let least = if alone { 1 } else { self.repetition.least };
        let spent = self.spent.get(&(row, place)).copied().unwrap_or_default();
        spent.runs <= round && spent.runs < least && (spent.runs == 0 || spent.all + spent.last < self.share)
    }

    /// Turns that Spandrel had in a row.
    fn turns(&self, row: usize) -> usize {
        let own = self.grid.columns.iter().position(|column| column.name == SPANDREL).unwrap_or(0);
        self.spent.get(&(row, own)).map_or(0, |spent| spent.runs)
    }

    /// The columns that decide about a row: ours, the base, and the peers that are about as fast as the fastest.
    fn contenders(&self, row: usize) -> Vec<usize> {
        let time = |place: usize| self.figure(row, place, |run| Some(Measure::Cpu.of(run))).map(|cpu| cpu.median);
        let peer = |place: usize| self.grid.columns[place].role != Role::Own;
        let of_group = |place: &usize| self.grid.columns[*place].group == Group::Default;
        let fastest = self.places(row).filter(of_group).filter(|place| peer(*place)).filter_map(time).reduce(f64::min);
        let decides = |place: &usize| {
            let close = |time: f64| fastest.is_some_and(|fastest| time <= FAST * fastest);
            let timed = Measure::Cpu.counts(self.grid.rows[row]);
            !peer(*place) || self.grid.columns[*place].name == BASE || (timed && time(*place).is_some_and(close))
        };
        self.places(row).filter(of_group).filter(decides).collect()
    }

    /// The largest noise among the figures that decide about a row; none where nothing is to be decided.
    fn doubt(&self, row: usize) -> Option<f64> {
        let figures: &[fn(&Run) -> Option<f64>] = match self.grid.rows[row].kind {
            Kind::Time | Kind::Program => &[|run| Some(run.cpu), |run| Some(run.peak_kib)],
            Kind::Soak => &[|run| Some(run.peak_kib)],
            Kind::Idle => &[|run| run.said.as_ref()?.idle.map(|idle| idle.rss_kib_after)],
            Kind::Latency => return None,
        };
        let contenders = self.contenders(row);
        let time = |place: &usize| self.figure(row, *place, |run| Some(run.cpu)).map_or(f64::MAX, |time| time.median);
        let fastest = contenders
            .iter()
            .copied()
            .filter(|place| self.grid.columns[*place].role != Role::Own)
            .min_by(|left, right| time(left).total_cmp(&time(right)));
        let deciding = contenders.into_iter().filter(|place| {
            Some(*place) == fastest || [SPANDREL, BASE].contains(&self.grid.columns[*place].name.as_str())
        });
        let noise = |place: usize| {
            let of = |value: &fn(&Run) -> Option<f64>| {
                self.figure(row, place, *value).map_or(f64::MAX, |figure| figure.noise().unwrap_or(f64::MAX))
            };
            figures.iter().map(of).reduce(f64::max)
        };
        deciding.filter_map(noise).reduce(f64::max)
    }

    fn figure(&self, row: usize, place: usize, value: fn(&Run) -> Option<f64>) -> Option<Figure> {
        let (workload, allocator) = (&self.grid.rows[row].name, &self.grid.columns[place].name);
        let of_pair = |run: &&Run| run.workload == *workload && run.allocator == *allocator && run.failure.is_none();
        Figure::of(&self.runs.iter().filter(of_pair).filter_map(value).collect::<Vec<_>>())
    }

    /// Seconds that a turn will take if every run takes as long as its pair last did.
    fn expected(&self, row: usize, places: &[usize]) -> f64 {
        places.iter().filter_map(|place| self.spent.get(&(row, *place))).map(|spent| spent.last).sum()
    }

    /// True if so many seconds from now are within the time that was given.
    fn fits(&self, seconds: f64) -> bool {
        self.runner.now().as_secs_f64() + seconds < self.repetition.budget.as_secs_f64()
    }
}

/// True for work whose time is waiting.
fn waits(workload: &Workload) -> bool {
    matches!(workload.kind, Kind::Idle | Kind::Soak)
}

/// A run that went wrong.
fn failure(workload: &Workload, allocator: &Allocator, round: usize, text: String) -> Run {
    Run {
        workload: workload.name.clone(),
        allocator: allocator.name.clone(),
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

fn record(workload: &Workload, allocator: &Allocator, round: usize, measured: Measured) -> Run {
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
        ..failure(workload, allocator, round, String::new())
    }
}

#[cfg(test)]
mod tests;
