//! Tables in Markdown.
//!
//! Knows: columns of text. Must not know: what is in them.

use crate::figures::Figure;
use std::fmt::Write;
use std::ops::Range;

const PERCENT: f64 = 100.0;

/// A table under construction.
#[derive(Debug)]
pub(super) struct Table {
    rows: Vec<Vec<String>>,
    /// Columns of numbers, which stand to the right.
    numbers: Range<usize>,
}

impl Table {
    /// A table with these headings.
    pub(super) fn new<T: Into<String>>(headings: impl IntoIterator<Item = T>, numbers: Range<usize>) -> Self {
        Self { rows: vec![headings.into_iter().map(Into::into).collect()], numbers }
    }

    /// One more row.
    pub(super) fn row<T: Into<String>>(&mut self, cells: impl IntoIterator<Item = T>) {
        self.rows.push(cells.into_iter().map(Into::into).collect());
    }

    /// True until a row is added.
    pub(super) fn is_empty(&self) -> bool {
        self.rows.len() == 1
    }

    /// The table and an empty line.
    pub(super) fn text(&self) -> String {
        let mut text = String::new();
        for (number, row) in self.rows.iter().enumerate() {
            let cells: Vec<String> = row.iter().map(|cell| cell.replace('|', "\\|").replace('\n', " ")).collect();
            let _ = writeln!(text, "| {} |", cells.join(" | "));
            if number == 0 {
                let rule = (0..row.len()).map(|column| if self.numbers.contains(&column) { "---:" } else { "---" });
                let _ = writeln!(text, "|{}|", rule.collect::<Vec<_>>().join("|"));
            }
        }
        text.push('\n');
        text
    }
}

/// A ratio, or a dash.
pub(super) fn ratio(value: Option<f64>) -> String {
    value.map_or_else(|| "–".to_owned(), |value| format!("{value:.2}"))
}

/// A figure in another unit: its median, and in brackets the minimum and the spread.
pub(super) fn figure(of: &Figure, factor: f64, places: usize, unit: &str) -> String {
    let (median, minimum) = (of.median * factor, of.minimum * factor);
    format!("{median:.places$}{unit} ({minimum:.places$}, {:.0} %)", PERCENT * of.spread)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_cannot_break_the_table() {
        let mut table = Table::new(["a", "b"], 1..2);
        assert!(table.is_empty());
        table.row(["x|y\nz", "1"]);
        assert_eq!(table.text(), "| a | b |\n|---|---:|\n| x\\|y z | 1 |\n\n");
    }
}
