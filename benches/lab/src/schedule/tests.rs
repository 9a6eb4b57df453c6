//! Runs on a clock of their own, which cost what a table says.

use super::*;
use crate::results::Said;
use anyhow::bail;
use spandrel_xtask::run::Usage;
use std::collections::BTreeMap;

/// Seconds of a run, and by how much runs differ.
type Cost = fn(row: &str, column: &str) -> (f64, f64);

struct Simulated<'a> {
    grid: &'a Grid<'a>,
    cost: Cost,
    now: Duration,
    drawn: u64,
}

impl Runner for Simulated<'_> {
    fn now(&self) -> Duration {
        self.now
    }

    fn warm_up(&mut self, _: usize, _: usize) -> Result<()> {
        Ok(())
    }

    fn run(&mut self, row: usize, place: usize, limit: Duration) -> Result<Measured> {
        let (seconds, spread) = (self.cost)(&self.grid.rows[row].name, &self.grid.columns[place].name);
        self.drawn = self.drawn.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        let part = (self.drawn >> 40) as f64 / (1u64 << 24) as f64;
        let cpu = seconds * (1.0 + spread * (part - 0.5));
        self.now += Duration::from_secs_f64(cpu).min(limit);
        if cpu > limit.as_secs_f64() {
            bail!("killed at the limit");
        }
        if seconds == 0.0 {
            bail!("crashed");
        }
        let usage = Usage { cpu, wall: cpu, peak_kib: 1000.0, ..Usage::default() };
        Ok(Measured { usage, said: Said::default() })
    }
}

fn allocators() -> Vec<Allocator> {
    let make = |(name, role, group): (&str, Role, Group)| Allocator {
        name: name.to_owned(),
        role,
        group,
        origin: String::new(),
        version: String::new(),
        sha256: String::new(),
        environment: Vec::new(),
        absent: None,
    };
    let mut all = vec![
        (SPANDREL, Role::Own, Group::Default),
        ("spandrel-hardened", Role::Own, Group::Hardened),
        (BASE, Role::Peer, Group::Default),
        ("slow", Role::Peer, Group::Default),
    ];
    all.extend(["a", "b", "c", "d"].map(|name| (name, Role::Peer, Group::Default)));
    all.into_iter().map(make).collect()
}

fn workloads(count: usize) -> Vec<Workload> {
    let make = |number: usize| Workload {
        name: if number.is_multiple_of(4) { format!("noisy-{number}") } else { format!("steady-{number}") },
        summary: String::new(),
        field: String::new(),
        threads: 1,
        kind: if number == 1 { Kind::Idle } else { Kind::Time },
    };
    (0..count).map(make).collect()
}

fn spread(row: &str, column: &str) -> (f64, f64) {
    let seconds = match column {
        "slow" => 2.0,
        "spandrel-hardened" => 1.5,
        _ => 0.4,
    };
    (seconds, if row.starts_with("noisy") { 0.3 } else { 0.004 })
}

/// Runs by row and column, and the seconds that all took.
fn counts(rows: usize, budget: f64, cost: Cost) -> (BTreeMap<(String, String), usize>, f64, Vec<Run>) {
    let (rows, columns) = (workloads(rows), allocators());
    let grid = Grid { rows: rows.iter().collect(), columns: columns.iter().collect(), pairs: |_, _| true };
    let mut runner = Simulated { grid: &grid, cost, now: Duration::ZERO, drawn: 7 };
    let repetition = Repetition { least: 3, most: 30, seed: 1, budget: Duration::from_secs_f64(budget) };
    let runs = runs(&grid, repetition, Earlier::default(), &mut runner);
    let mut counts = BTreeMap::new();
    for run in &runs {
        *counts.entry((run.workload.clone(), run.allocator.clone())).or_default() += 1;
    }
    (counts, runner.now.as_secs_f64(), runs)
}

fn of(counts: &BTreeMap<(String, String), usize>, row: &str, column: &str) -> usize {
    counts.get(&(row.to_owned(), column.to_owned())).copied().unwrap_or(0)
}

#[test]
fn the_time_that_was_given_is_used_and_kept() {
    for budget in [300.0, 700.0, 1400.0] {
        let (_, seconds, _) = counts(40, budget, spread);
        assert!(seconds > 0.95 * budget && seconds < 1.05 * budget, "{seconds} of {budget}");
    }
    let (counts, seconds, _) = counts(40, 30.0, |_, _| (20.0, 0.0));
    assert!(seconds < 31.5, "{seconds}: a run that would end too late is killed");
    assert!(counts.is_empty(), "a turn that was cut short leaves figures: {counts:?}");
}

#[test]
fn every_pair_has_its_least_number_of_runs_and_noisy_rows_have_more() {
    let (counts, _, _) = counts(16, 800.0, spread);
    for row in workloads(16).iter().filter(|row| row.kind == Kind::Time) {
        assert!(
            allocators().iter().all(|column| of(&counts, &row.name, &column.name) >= 3),
            "{}: {counts:?}",
            row.name
        );
    }
    assert_eq!(of(&counts, "steady-2", SPANDREL), 3);
    assert!(of(&counts, "noisy-4", SPANDREL) > 6, "{counts:?}");
    assert_eq!(of(&counts, "noisy-4", SPANDREL), of(&counts, "noisy-4", BASE), "both run in each turn");
    assert_eq!(of(&counts, "noisy-4", "slow"), 3, "it decides nothing");
    assert_eq!(of(&counts, "noisy-4", "spandrel-hardened"), 3);
}

#[test]
fn all_rows_converge_before_the_end_if_nothing_is_noisy() {
    let (counts, seconds, _) = counts(8, 10_000.0, |_, _| (0.4, 0.001));
    assert!(seconds < 200.0, "{seconds}");
    assert!(counts.values().all(|count| *count <= 3 || *count == 30), "{counts:?}");
}

#[test]
fn a_turn_has_each_pair_once_and_rounds_count_up() {
    let (_, _, runs) = counts(6, 200.0, spread);
    let mut next = BTreeMap::<(&str, &str), usize>::new();
    for run in &runs {
        let round = next.entry((&run.workload, &run.allocator)).or_default();
        assert_eq!(run.round, *round, "{} under {}", run.workload, run.allocator);
        *round += 1;
    }
}

#[test]
fn a_failure_is_recorded_once() {
    let (counts, _, runs) = counts(4, 100.0, |_, column| (if column == "a" { 0.0 } else { 0.4 }, 0.004));
    assert!(workloads(4).iter().all(|row| of(&counts, &row.name, "a") == 1));
    assert!(runs.iter().filter(|run| run.allocator == "a").all(|run| run.failure.as_deref() == Some("crashed")));
}

#[test]
fn a_pair_that_takes_far_more_than_its_share_gives_way() {
    let cost: Cost = |_, column| (if column == "slow" { 30.0 } else { 0.4 }, 0.004);
    let (counts, _, _) = counts(4, 220.0, cost);
    assert_eq!(of(&counts, "steady-2", "slow"), 1, "{counts:?}");
    assert_eq!(of(&counts, "steady-2", SPANDREL), 3);
}

#[test]
fn an_earlier_call_counts_and_failed_pairs_are_tried_again() {
    let (rows, columns) = (workloads(6), allocators());
    let grid = Grid { rows: rows.iter().collect(), columns: columns.iter().collect(), pairs: |_, _| true };
    let mut runner = Simulated { grid: &grid, cost: spread, now: Duration::ZERO, drawn: 7 };
    let repetition = |least| Repetition { least, most: least, seed: 1, budget: Duration::from_secs(1000) };
    let mut first = runs(&grid, repetition(2), Earlier::default(), &mut runner);
    first.retain(|run| run.allocator != "c" || run.round == 0);
    first.iter_mut().filter(|run| run.allocator == "c").for_each(|run| run.failure = Some("crashed".to_owned()));
    let earlier = Earlier { runs: &first, budget: Duration::from_secs(1000) };
    let both = runs(&grid, repetition(3), earlier, &mut runner);
    for (column, wanted) in [(SPANDREL, vec![0, 1, 2]), ("c", vec![0, 1, 2])] {
        let of_pair = |run: &&Run| run.workload == "steady-2" && run.allocator == column;
        let rounds: Vec<usize> = both.iter().filter(of_pair).map(|run| run.round).collect();
        assert_eq!(rounds, wanted, "{column}");
    }
    assert_eq!(both.iter().filter(|run| run.failure.is_some()).count(), 0);
    assert_eq!(
        both.iter().filter(|run| run.round < 2 && run.allocator != "c").count(),
        first.iter().filter(|run| run.allocator != "c").count(),
        "nothing was lost or measured twice"
    );
}
