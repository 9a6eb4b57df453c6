//! The summary on the terminal: for each allocator and category how many rows were caught, harmless or missed.
//!
//! Knows: columns of text. Must not know: how verdicts come about.

use crate::results::{Counts, Results};
use std::fmt::Write;

/// The text of the summary.
#[must_use]
pub fn text(results: &Results) -> String {
    let categories = results.categories();
    let width = results.allocators.iter().map(|record| record.label().len()).max().unwrap_or(0);
    let mut text = String::from("rows missed, of those that apply, by category; then all rows by verdict\n\n");
    let _ = write!(text, "{:width$}", "");
    for category in &categories {
        let _ = write!(text, " {category:>16}");
    }
    let _ = writeln!(text, " {:>7} {:>7} {:>8} {:>7} {:>7}", "at call", "later", "harmless", "missed", "broken");
    for record in &results.allocators {
        let _ = write!(text, "{:width$}", record.label());
        if let Some(reason) = &record.absent {
            let _ = writeln!(text, "  not installed: {reason}");
            continue;
        }
        for category in &categories {
            let counts = record.counts_of(&format!("{category}/"));
            let _ = write!(text, " {:>16}", format!("{} of {}", counts.lost(), counts.all()));
        }
        let Counts { at_the_call, later, harmless, missed, broken } = record.counts;
        let _ = writeln!(text, " {at_the_call:>7} {later:>7} {harmless:>8} {missed:>7} {broken:>7}");
    }
    text
}
