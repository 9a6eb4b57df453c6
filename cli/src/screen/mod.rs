//! The screens of `top`: all processes, and one of them. Both are a head, a table that scrolls, and a line of help.
//!
//! Knows: what keys do to a table. Must not know: terminals, where the figures are from.

mod all;
mod one;

pub(crate) use all::{All, Row, plain};
pub(crate) use one::{Frame, One};

use crate::terminal::{Key, Line, Style};

/// What a key wants beyond the table it moves in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Wish {
    /// Nothing but the table to be drawn again.
    Draw,
    /// To see this process.
    Open(u32),
    /// To leave this screen.
    Leave,
    /// To leave the command.
    Quit,
}

/// The place in a table: the chosen row, the first one on the screen, the order, and which rows are left out.
#[derive(Default)]
struct Table {
    chosen: usize,
    first: usize,
    /// Which column it is ordered by, and whether the other way round.
    column: usize,
    reversed: bool,
    filter: String,
    /// The filter is being typed.
    typing: bool,
    /// Rows on the screen at the last drawing, and rows there are.
    page: usize,
    rows: usize,
}

impl Table {
    /// Does what the key means to a table of so many columns; false if it means nothing.
    fn press(&mut self, key: Key, columns: usize) -> bool {
        if self.typing {
            match key {
                Key::Letter(letter) => self.filter.push(letter),
                Key::Back => drop(self.filter.pop()),
                Key::Enter => self.typing = false,
                Key::Escape => {
                    self.typing = false;
                    self.filter.clear();
                }
                _ => return false,
            }
            self.chosen = 0;
            return true;
        }
        let last = self.rows.saturating_sub(1);
        match key {
            Key::Up | Key::Letter('k') => self.chosen = self.chosen.saturating_sub(1),
            Key::Down | Key::Letter('j') => self.chosen = (self.chosen + 1).min(last),
            Key::PageUp => self.chosen = self.chosen.saturating_sub(self.page.max(1)),
            Key::PageDown | Key::Letter(' ') => self.chosen = (self.chosen + self.page.max(1)).min(last),
            Key::Home => self.chosen = 0,
            Key::End => self.chosen = last,
            Key::Letter('s') => self.column = (self.column + 1) % columns,
            Key::Letter('r') => self.reversed = !self.reversed,
            Key::Letter('/') => self.typing = true,
            _ => return false,
        }
        true
    }

    /// Whether a row of that text is shown.
    fn shows(&self, text: &str) -> bool {
        text.to_lowercase().contains(&self.filter.to_lowercase())
    }

    /// The lines of the rows that fit into so many, with the chosen one among them.
    fn window(&mut self, rows: Vec<Line>, room: usize) -> Vec<Line> {
        (self.page, self.rows) = (room, rows.len());
        self.chosen = self.chosen.min(rows.len().saturating_sub(1));
        let least = (self.chosen + 1).saturating_sub(room);
        self.first = self.first.clamp(least, self.chosen.max(least)).min(rows.len().saturating_sub(room).max(least));
        let mut shown = Vec::new();
        for (number, row) in rows.into_iter().enumerate().skip(self.first).take(room) {
            shown.push(if number == self.chosen { Line::of(Style::Chosen, row.text()) } else { row });
        }
        shown.resize(room, Line::default());
        shown
    }

    /// The line of names of columns, the one that orders the rows marked. Each has its width; those of negative width
    /// begin at the left.
    fn head(&self, columns: &[(&str, isize)]) -> Line {
        let mut line = Line::default();
        for (number, (name, width)) in columns.iter().enumerate() {
            let mark = if number != self.column {
                ""
            } else if self.reversed {
                "↑"
            } else {
                "↓"
            };
            let name = format!("{name}{mark}");
            let text = if *width < 0 {
                format!(" {name:<0$}", width.unsigned_abs())
            } else {
                format!(" {name:>0$}", width.unsigned_abs())
            };
            line = line.and(Style::Bold, text);
        }
        line
    }

    /// The last line: the filter while it is typed, else the keys and how much is shown.
    fn help(&self, keys: &str) -> Line {
        if self.typing {
            return Line::of(Style::Bold, format!(" filter: {}_   Enter keeps it, Esc drops it", self.filter));
        }
        let mut line = Line::of(Style::Faint, format!(" {keys}"));
        if !self.filter.is_empty() {
            line = line.and(Style::Yellow, format!("  filter: {}", self.filter));
        }
        if self.rows > self.page {
            let last = (self.first + self.page).min(self.rows);
            line = line.and(Style::Faint, format!("  {}-{last}/{}", self.first + 1, self.rows));
        }
        line
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_chosen_row_stays_on_the_screen() {
        let mut table = Table::default();
        let rows = |count: usize| (0..count).map(|row| Line::of(Style::Plain, row.to_string())).collect::<Vec<_>>();
        let seen = |table: &mut Table, count| {
            let lines = table.window(rows(count), 3);
            lines.iter().map(Line::text).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(seen(&mut table, 5), "0 1 2");
        (0..3).for_each(|_| assert!(table.press(Key::Down, 2)));
        assert_eq!(seen(&mut table, 5), "1 2 3");
        table.press(Key::End, 2);
        assert_eq!(seen(&mut table, 5), "2 3 4");
        // Rows that went take the choice with them.
        assert_eq!(seen(&mut table, 2), "0 1 ");
        assert_eq!(table.chosen, 1);
        table.press(Key::PageUp, 2);
        assert_eq!(table.chosen, 0);
    }

    #[test]
    fn a_filter_is_typed_kept_and_dropped() {
        let mut table = Table::default();
        for key in [Key::Letter('/'), Key::Letter('R'), Key::Letter('q'), Key::Back, Key::Enter] {
            assert!(table.press(key, 1));
        }
        assert!(table.shows("redis") && !table.shows("nginx") && !table.typing);
        table.press(Key::Letter('/'), 1);
        table.press(Key::Escape, 1);
        assert!(table.shows("nginx"));
    }
}
