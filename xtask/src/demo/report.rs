//! The table of the demonstration.
//!
//! Knows: columns. Must not know: how the numbers came about.

use crate::programs::program::Program;
use crate::programs::session::Comparison;
use crate::stats::{median, ratio};
use std::fmt;

const KIB_PER_MIB: f64 = 1024.0;

/// One program's line.
#[derive(Debug)]
pub(super) struct Row {
    /// The program.
    pub(super) program: &'static Program,
    result: Result<Comparison, String>,
}

impl Row {
    /// The line of a program that ran.
    #[must_use]
    pub(super) fn of(program: &'static Program, comparison: Comparison) -> Self {
        Self { program, result: Ok(comparison) }
    }

    /// The line of a program that did not run to its end.
    #[must_use]
    pub(super) fn without(program: &'static Program, problem: String) -> Self {
        Self { program, result: Err(problem) }
    }

    /// It ran and printed the same.
    #[must_use]
    pub(super) fn matched(&self) -> bool {
        matches!(&self.result, Ok(comparison) if comparison.difference.is_none())
    }

    /// It speaks against the library, or it had to run and did not. A program that need not be installed and is not
    /// does neither.
    #[must_use]
    pub(super) fn failed(&self) -> bool {
        !self.matched() && (self.program.required || self.program.missing().is_empty())
    }

    /// The fault; empty if there is none.
    #[must_use]
    pub(super) fn problem(&self) -> &str {
        match &self.result {
            Ok(comparison) => comparison.difference.as_deref().unwrap_or_default(),
            Err(problem) => problem,
        }
    }
}

/// The heading of the table.
#[must_use]
pub(super) fn heading() -> String {
    let columns = format!(
        "{:<12} {:<46} {:>8} {:>9} {:>6}   {:>9} {:>9} {:>6}   {}",
        "program", "work", "alone s", "spandrel", "ratio", "alone MiB", "spandrel", "ratio", "output"
    );
    format!("{columns}\n{}", "-".repeat(columns.len() + 3))
}

impl fmt::Display for Row {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{:<12} {:<46} ", self.program.name, self.program.work)?;
        let Ok(comparison) = &self.result else {
            return write!(out, "{}", if self.failed() { "FAILED" } else { "not installed" });
        };
        let (alone, preloaded) = (median(&comparison.cpu_alone), median(&comparison.cpu_preloaded));
        let (small, large) =
            (median(&comparison.peak_alone) / KIB_PER_MIB, median(&comparison.peak_preloaded) / KIB_PER_MIB);
        write!(out, "{alone:>8.3} {preloaded:>9.3} {:>6.2}   ", ratio(preloaded, alone))?;
        write!(out, "{small:>9.1} {large:>9.1} {:>6.2}   ", ratio(large, small))?;
        write!(out, "{}", if self.matched() { "same" } else { "DIFFERS" })
    }
}

/// The calls that the preload served, a line per program.
#[must_use]
pub(super) fn served(rows: &[Row]) -> String {
    let mut text = String::from("Allocation calls under the preload, counted by SPANDREL_DIAG=1:\n");
    for row in rows {
        let Ok(comparison) = &row.result else { continue };
        text.push_str(&format!("  {:<12} ", row.program.name));
        match &comparison.served {
            None => text.push_str("no report\n"),
            Some(served) => {
                let reasons: Vec<String> = served
                    .reasons
                    .iter()
                    .filter(|(_, calls)| **calls > 0)
                    .map(|(reason, calls)| format!("{reason} {calls}"))
                    .collect();
                let reasons = if reasons.is_empty() { String::new() } else { format!(" ({})", reasons.join(", ")) };
                text.push_str(&format!(
                    "{:>7.3} % by Spandrel: {:>10} calls; by libc: {}{reasons}\n",
                    served.share(),
                    served.own(),
                    served.libc()
                ));
            }
        }
    }
    text
}
