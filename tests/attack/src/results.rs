//! The results: which verdict each allocator got in each row, as a file that other programs read.
//!
//! Knows: the form of the file. Must not know: how a row is run, what a good result is.

use crate::allocators::{Allocator, Kind};
use crate::attack::Verdict;
use crate::program::{Row, category};
use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

/// The results of one run of the suite.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Results {
    /// The last commit of the library's sources.
    pub commit: String,
    /// The day.
    pub date: String,
    /// How often each row was run; the worst verdict counts.
    pub runs: usize,
    /// The letters of verdicts, explained.
    pub letters: BTreeMap<char, String>,
    /// The cases in their order.
    pub cases: Vec<Case>,
    /// The allocators in their order.
    pub allocators: Vec<Record>,
}

/// A case and its rows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Case {
    /// `CATEGORY/NAME`.
    pub name: String,
    /// Its rows, each `SIZExTHREADS`.
    pub rows: Vec<String>,
}

/// The verdicts on an allocator.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// The allocator.
    pub name: String,
    /// Its mode or options.
    pub mode: String,
    /// The allocators that it is compared with.
    pub kind: Kind,
    /// Where it comes from.
    pub origin: String,
    /// The options it ran with.
    pub environment: BTreeMap<String, String>,
    /// The reason if it was not there.
    pub absent: Option<String>,
    /// Rows by verdict.
    pub counts: Counts,
    /// By case: a letter for each of its rows.
    pub verdicts: BTreeMap<String, String>,
}

/// Rows by verdict.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Caught at the call.
    pub at_the_call: usize,
    /// Caught later.
    pub later: usize,
    /// Proven harmless.
    pub harmless: usize,
    /// Missed.
    pub missed: usize,
    /// Died or complained before the misuse.
    pub broken: usize,
}

impl Counts {
    /// The counts of letters.
    #[must_use]
    pub fn of(letters: impl Iterator<Item = char>) -> Self {
        let mut counts = Self::default();
        for verdict in letters.filter_map(Verdict::of_letter) {
            match verdict {
                Verdict::AtTheCall => counts.at_the_call += 1,
                Verdict::Later => counts.later += 1,
                Verdict::Harmless => counts.harmless += 1,
                Verdict::Missed => counts.missed += 1,
                Verdict::Broken => counts.broken += 1,
                Verdict::NotApplicable => {}
            }
        }
        counts
    }

    /// Rows in which the attacker won, or nothing is known because the allocator broke.
    #[must_use]
    pub fn lost(&self) -> usize {
        self.missed + self.broken
    }

    /// All rows that apply.
    #[must_use]
    pub fn all(&self) -> usize {
        self.at_the_call + self.later + self.harmless + self.lost()
    }

    /// The share of rows in which the attacker did not win; none without rows.
    #[must_use]
    pub fn stopped(&self) -> Option<f64> {
        let all = self.all();
        (all > 0).then(|| (all - self.lost()) as f64 / all as f64)
    }
}

impl Record {
    /// A record of verdicts in the order of the rows.
    #[must_use]
    pub fn new(allocator: &Allocator, rows: &[Row], verdicts: &[Verdict]) -> Self {
        let mut by_case = BTreeMap::<String, String>::new();
        for (row, verdict) in rows.iter().zip(verdicts) {
            by_case.entry(row.case.clone()).or_default().push(verdict.letter());
        }
        Self {
            name: allocator.name.clone(),
            mode: allocator.mode.clone(),
            kind: allocator.kind,
            origin: allocator.origin.clone(),
            environment: allocator.environment.clone(),
            absent: allocator.absent.clone(),
            counts: Counts::of(by_case.values().flat_map(|letters| letters.chars())),
            verdicts: by_case,
        }
    }

    /// `name` and `mode` in one.
    #[must_use]
    pub fn label(&self) -> String {
        if self.mode.is_empty() { self.name.clone() } else { format!("{} {}", self.name, self.mode) }
    }

    /// The counts of one case.
    #[must_use]
    pub fn counts_of_case(&self, case: &str) -> Counts {
        Counts::of(self.verdicts.get(case).into_iter().flat_map(|letters| letters.chars()))
    }

    /// The counts of the cases whose name begins so.
    #[must_use]
    pub fn counts_of(&self, prefix: &str) -> Counts {
        Counts::of(self.verdicts.iter().filter(|(case, _)| case.starts_with(prefix)).flat_map(|(_, all)| all.chars()))
    }
}

impl Results {
    /// Results without allocators.
    #[must_use]
    pub fn new(rows: &[Row], commit: String, date: String, runs: usize) -> Self {
        let mut cases = Vec::<Case>::new();
        for row in rows {
            match cases.last_mut().filter(|case| case.name == row.case) {
                Some(case) => case.rows.push(row.variant()),
                None => cases.push(Case { name: row.case.clone(), rows: vec![row.variant()] }),
            }
        }
        let letters = Verdict::ALL.iter().map(|verdict| (verdict.letter(), verdict.words().to_owned())).collect();
        Self { commit, date, runs, letters, cases, allocators: Vec::new() }
    }

    /// The categories in their order.
    #[must_use]
    pub fn categories(&self) -> Vec<&str> {
        let mut found: Vec<&str> = self.cases.iter().map(|case| category(&case.name)).collect();
        found.dedup();
        found
    }

    /// The allocators that were there.
    pub fn present(&self) -> impl Iterator<Item = &Record> {
        self.allocators.iter().filter(|record| record.absent.is_none())
    }

    /// Spandrel in a mode, if it was attacked.
    #[must_use]
    pub fn spandrel(&self, mode: &str) -> Option<&Record> {
        self.present().find(|record| record.name == crate::allocators::SPANDREL && record.mode == mode)
    }

    /// Reads a file.
    ///
    /// # Errors
    /// When it is not there or has another form.
    pub fn read(path: &Path) -> Result<Self> {
        let text = fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
        serde_json::from_str(&text).with_context(|| format!("{} has another form", path.display()))
    }

    /// Writes a file.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write(&self, path: &Path) -> Result<()> {
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder)?;
        }
        fs::write(path, serde_json::to_string_pretty(self)? + "\n")
            .with_context(|| format!("cannot write {}", path.display()))
    }
}
