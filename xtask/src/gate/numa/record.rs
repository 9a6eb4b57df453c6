//! The recorded placement, and the comparison with what was seen now.
//!
//! Knows: the form of `docs/evidence/numa.toml`. Must not know: what is right; a file that records something wrong is
//! compared with figures that are not.

use super::console::{Nodes, Told};
use super::demand::{Demand, ROWS, Row, share};
use anyhow::{Context, Result, bail};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::fmt::Write;

/// How far a recorded share of pages may be from the one seen now. Which blocks are reused depends on who comes first.
const TOLERANCE: f64 = 0.05;

/// One recorded row: pages on each node, and those that the case had before.
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Figures {
    what: String,
    node_0: u64,
    node_1: u64,
    again: Option<u64>,
}

/// The figures of the file.
#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
pub(in crate::gate) struct Record {
    /// By policy and case.
    placement: BTreeMap<String, BTreeMap<String, Figures>>,
}

impl Record {
    /// Makes sure that the file has the rows that are measured, and no others.
    pub(super) fn validate(&self) -> Result<()> {
        for row in ROWS {
            self.of(row).with_context(|| format!("[placement.\"{}\".{}] is missing", row.policy, row.case))?;
        }
        for (policy, case) in
            self.placement.iter().flat_map(|(policy, cases)| cases.keys().map(move |case| (policy, case)))
        {
            if !ROWS.iter().any(|row| (row.policy, row.case) == (policy, case)) {
                bail!("[placement.\"{policy}\".{case}] is no row that is measured");
            }
        }
        Ok(())
    }

    /// The placement measured now, as a record.
    pub(super) fn of_now(told: &Told) -> Result<Self> {
        let mut placement: BTreeMap<String, BTreeMap<String, Figures>> = BTreeMap::new();
        for row in ROWS {
            let ([node_0, node_1], again) = row.figures(told)?;
            let figures = Figures { what: row.what.to_owned(), node_0, node_1, again };
            placement.entry(row.policy.to_owned()).or_default().insert(row.case.to_owned(), figures);
        }
        Ok(Self { placement })
    }

    fn of(&self, row: &Row) -> Option<&Figures> {
        self.placement.get(row.policy)?.get(row.case)
    }

    /// How a row is recorded, if that is not how it was measured now.
    pub(super) fn stale(&self, row: &Row, told: &Told) -> Result<Option<String>> {
        let (pages, again) = row.figures(told)?;
        let Some(recorded) = self.of(row) else { return Ok(None) };
        let before = [recorded.node_0, recorded.node_1];
        // Of the control, and of what spills over, only what it is there for can be compared: how many pages it takes
        // is chance.
        let same = match row.demand {
            Demand::NotAll(_) | Demand::Overflow(_) => row.is_met(before, None),
            _ => alike(shares(pages, again), shares(before, recorded.again)),
        };
        Ok((!same).then(|| {
            let Row { policy, case, .. } = row;
            format!("{policy} {case}: {pages:?} pages, {again:?} again; recorded {before:?}, {:?}", recorded.again)
        }))
    }

    /// The tables of the file, in the order of the rows.
    pub(super) fn text(&self) -> String {
        let mut text = String::new();
        for (row, figures) in ROWS.iter().filter_map(|row| Some((row, self.of(row)?))) {
            let Figures { what, node_0, node_1, again } = figures;
            let _ = write!(
                text,
                "\n[placement.\"{}\".{}]\nwhat = {what:?}\nnode-0 = {node_0}\nnode-1 = {node_1}\n",
                row.policy, row.case
            );
            if let Some(again) = again {
                let _ = writeln!(text, "again = {again}");
            }
        }
        text
    }
}

/// The shares of pages on node 1, and of those that the case had before.
fn shares(pages: Nodes, again: Option<u64>) -> [Option<f64>; 2] {
    let all: u64 = pages.iter().sum();
    [(all > 0).then(|| share(pages, 1)), again.map(|again| again as f64 / all as f64)]
}

fn alike(now: [Option<f64>; 2], recorded: [Option<f64>; 2]) -> bool {
    now.into_iter().zip(recorded).all(|pair| match pair {
        (Some(now), Some(recorded)) => (now - recorded).abs() <= TOLERANCE,
        (now, recorded) => now.is_none() && recorded.is_none(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evidence::{Evidence, Origin};
    use crate::gate::{Subject, numa::Nodes};

    /// A guest that told what it should have told.
    fn told() -> Told {
        let mut told = Told { kernel: "6.1.0".to_owned(), ..Told::default() };
        for row in ROWS {
            let run = told.runs.entry(row.policy.to_owned()).or_default();
            let pages = match row.demand {
                Demand::All(node) | Demand::NearlyAll(node) => [[100, 0], [0, 100]][node],
                Demand::Half => [50, 50],
                Demand::Overflow(node) => [[80, 20], [20, 80]][node],
                Demand::NotAll(node) => [[40, 60], [60, 40]][node],
            };
            run.pages.insert(row.case.to_owned(), pages);
            run.again.insert(row.case.to_owned(), row.again.map_or(0, |(_, most)| (most * 100.0) as u64));
        }
        told
    }

    fn text() -> String {
        let [command, date, commit, kernel, compiler] =
            ["make evidence", "2026-01-02", "abc", "6.1.0", "rustc 1"].map(str::to_owned);
        Origin { command, date, commit, kernel, compiler }.text() + &Record::of_now(&told()).unwrap().text()
    }

    fn parse(text: &str) -> Result<Record> {
        let record: Record = Evidence::parse(text)?.figures;
        record.validate().map(|()| record)
    }

    /// The rows that are stale once a passage of the file is another.
    fn stale(passage: &str, other: &str) -> usize {
        assert!(text().contains(passage), "{passage}");
        let record = parse(&text().replacen(passage, other, 1)).unwrap();
        ROWS.iter().filter(|row| record.stale(row, &told()).unwrap().is_some()).count()
    }

    #[test]
    fn true_evidence_passes_and_is_read_back() {
        assert_eq!(stale("date", "date"), 0);
        assert!(text().ends_with(&parse(&text()).unwrap().text()));
    }

    #[test]
    fn false_evidence_is_stale() {
        assert_eq!(stale("node-0 = 0\nnode-1 = 100", "node-0 = 10\nnode-1 = 90"), 1);
        assert_eq!(stale("node-0 = 0\nnode-1 = 100", "node-0 = 0\nnode-1 = 0"), 1);
        assert_eq!(stale("node-0 = 50\nnode-1 = 50", "node-0 = 52\nnode-1 = 48"), 0);
        assert_eq!(stale("again = 100", "again = 50"), 1);
        assert_eq!(stale("again = 100\n", ""), 1);
        assert_eq!(stale("node-0 = 60\nnode-1 = 40", "node-0 = 0\nnode-1 = 100"), 1, "a control that controls nothing");
        assert_eq!(stale("node-0 = 60\nnode-1 = 40", "node-0 = 20\nnode-1 = 80"), 0);
    }

    #[test]
    fn what_is_malformed_missing_or_unknown_is_refused() {
        let (first, second) = ("[placement.\"local\".runs-node1]", "[placement.\"local\".runs-node9]");
        for (passage, other) in [
            (first, second),
            ("kernel = \"6.1.0\"", "kernel = \"\""),
            ("kernel = \"6.1.0\"\n", ""),
            ("node-0 = 100", "node-0 = -100"),
            ("node-0 = 100", "node-2 = 100"),
            (first, "[placement"),
        ] {
            assert!(text().contains(passage), "{passage}");
            assert!(parse(&text().replacen(passage, other, 1)).is_err(), "{other}");
        }
        assert!(parse(&format!("{}\n{second}\nwhat = \"\"\nnode-0 = 1\nnode-1 = 1\n", text())).is_err());
        assert!(parse("").is_err());
    }

    #[test]
    fn the_file_in_the_repository_is_of_this_form_and_records_what_is_right() {
        let text = include_str!("../../../../docs/evidence/numa.toml");
        let record = parse(text).unwrap();
        assert!(text.starts_with(&format!("# {}\n", Nodes.title())) && text.ends_with(&record.text()));
        for row in ROWS {
            let figures = record.of(row).unwrap();
            assert!(row.is_met([figures.node_0, figures.node_1], figures.again), "{} {}", row.policy, row.case);
        }
    }
}
