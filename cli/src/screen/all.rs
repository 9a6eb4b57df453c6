//! All processes that Spandrel serves, one row each.

use super::{Table, Wish};
use crate::quantity::show;
use crate::terminal::{Key, Line, Style};
use serde_json::{Value, json};
use std::cmp::Reverse;

/// A process.
#[derive(Clone, Debug, Default)]
pub(crate) struct Row {
    pub(crate) pid: u32,
    pub(crate) live: u64,
    pub(crate) obtained: u64,
    pub(crate) resident: Option<u64>,
    pub(crate) threads: u64,
    pub(crate) command: String,
    /// Why there are no figures of it.
    pub(crate) unreadable: Option<String>,
}

impl Row {
    /// The same as a value.
    pub(crate) fn value(&self) -> Value {
        match &self.unreadable {
            Some(why) => json!({ "pid": self.pid, "command": self.command, "unreadable": why }),
            None => json!({
                "pid": self.pid,
                "command": self.command,
                "live_bytes": self.live,
                "obtained_bytes": self.obtained,
                "resident_bytes": self.resident,
                "threads": self.threads,
            }),
        }
    }
}

const COLUMNS: [(&str, isize); 6] =
    [("PID", 8), ("LIVE", 9), ("OBTAINED", 9), ("RESIDENT", 9), ("THREADS", 8), ("COMMAND", -8)];
const RESIDENT: usize = 3;
const KEYS: &str = "q quits  ↑↓ choose  Enter opens  s sorts  r reverses  / filters";
/// Lines of the head and the foot.
const AROUND: usize = 3;

/// See the module.
pub(crate) struct All {
    table: Table,
    rows: Vec<Row>,
    shown: Vec<u32>,
}

impl All {
    /// Of no process yet, those with most memory first.
    pub(crate) fn new() -> Self {
        Self { table: Table { column: RESIDENT, ..Table::default() }, rows: Vec::new(), shown: Vec::new() }
    }

    /// Takes the processes that there are now.
    pub(crate) fn update(&mut self, rows: Vec<Row>) {
        self.rows = rows;
    }

    /// What the key wants.
    pub(crate) fn press(&mut self, key: Key) -> Wish {
        if self.table.press(key, COLUMNS.len()) {
            return Wish::Draw;
        }
        match key {
            Key::Enter => self.shown.get(self.table.chosen).map_or(Wish::Draw, |pid| Wish::Open(*pid)),
            Key::Letter('q') | Key::Escape | Key::Interrupt => Wish::Quit,
            _ => Wish::Draw,
        }
    }

    /// The screen, of so many rows.
    pub(crate) fn lines(&mut self, rows: usize) -> Vec<Line> {
        let sum = |of: fn(&Row) -> u64| show(self.rows.iter().map(of).sum());
        let mut lines = vec![Line::of(Style::Bold, format!(" {} processes under Spandrel", self.rows.len())).and(
            Style::Plain,
            format!("   live {}, resident {}", sum(|row| row.live), sum(|row| row.resident.unwrap_or(0))),
        )];
        lines.push(self.table.head(&COLUMNS));
        let mut seen: Vec<_> = self.rows.iter().filter(|row| self.table.shows(&text(row))).cloned().collect();
        sort(&mut seen, self.table.column, self.table.reversed);
        self.shown = seen.iter().map(|row| row.pid).collect();
        let drawn = seen.iter().map(|row| Line::of(style(row), text(row))).collect();
        lines.extend(self.table.window(drawn, rows.saturating_sub(AROUND)));
        lines.push(self.table.help(KEYS));
        lines
    }
}

/// Processes as text, for what is no terminal; those with most memory first.
pub(crate) fn plain(mut rows: Vec<Row>) -> String {
    sort(&mut rows, RESIDENT, false);
    let head: String = COLUMNS.iter().map(|(name, width)| padded(name, *width)).collect();
    let lines: String = rows.iter().map(|row| text(row) + "\n").collect();
    format!("{}\n{lines}", head.trim_end())
}

fn style(row: &Row) -> Style {
    if row.unreadable.is_some() { Style::Faint } else { Style::Plain }
}

fn padded(text: &str, width: isize) -> String {
    if width < 0 { format!(" {text}") } else { format!(" {text:>0$}", width.unsigned_abs()) }
}

fn text(row: &Row) -> String {
    if let Some(why) = &row.unreadable {
        return format!(" {:>8}  {}  unreadable: {why}", row.pid, row.command);
    }
    let cells = [
        row.pid.to_string(),
        show(row.live),
        show(row.obtained),
        row.resident.map_or_else(|| "?".to_owned(), show),
        row.threads.to_string(),
        row.command.clone(),
    ];
    cells.iter().zip(COLUMNS).map(|(cell, (_, width))| padded(cell, width)).collect()
}

/// Numbers from the largest on, names and processes from the smallest.
fn sort(rows: &mut [Row], column: usize, reversed: bool) {
    match column {
        0 => rows.sort_by_key(|row| row.pid),
        1 => rows.sort_by_key(|row| (Reverse(row.live), row.pid)),
        2 => rows.sort_by_key(|row| (Reverse(row.obtained), row.pid)),
        RESIDENT => rows.sort_by_key(|row| (Reverse(row.resident), row.pid)),
        4 => rows.sort_by_key(|row| (Reverse(row.threads), row.pid)),
        _ => rows.sort_by(|one, other| (&one.command, one.pid).cmp(&(&other.command, other.pid))),
    }
    if reversed {
        rows.reverse();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows() -> Vec<Row> {
        let row = |pid, live: u64, command: &str| Row {
            pid,
            live,
            obtained: live + 1,
            resident: Some(live << 20),
            threads: 1,
            command: command.to_owned(),
            unreadable: None,
        };
        vec![row(7, 10, "redis-server *:7000"), row(5, 90, "python3 a.py"), row(6, 50, "redis-cli")]
    }

    fn pids(lines: &[Line]) -> Vec<String> {
        lines.iter().filter_map(|line| line.text().split_whitespace().next().map(str::to_owned)).collect()
    }

    #[test]
    fn processes_are_sorted_filtered_and_fit() {
        let mut all = All::new();
        all.update(rows());
        let lines = all.lines(24);
        assert_eq!(lines.len(), 24);
        assert_eq!(pids(&lines[2..5]), ["5", "6", "7"]);
        let fixed: isize = COLUMNS.iter().map(|(_, width)| 1 + width.abs()).sum();
        assert!(fixed <= 80 && lines[1].text().chars().count() <= 80 && lines[23].text().chars().count() <= 80);
        assert_eq!(all.press(Key::Down), Wish::Draw);
        all.lines(24);
        assert_eq!(all.press(Key::Enter), Wish::Open(6));
        for key in [Key::Letter('/'), Key::Letter('r'), Key::Letter('e'), Key::Letter('d'), Key::Enter] {
            all.press(key);
        }
        assert_eq!(pids(&all.lines(24)[2..24])[..2], ["6", "7"]);
        all.press(Key::Letter('r'));
        assert_eq!(pids(&all.lines(24)[2..24])[..2], ["7", "6"]);
        assert_eq!(all.press(Key::Letter('q')), Wish::Quit);
    }

    #[test]
    fn plain_text_has_whole_command_lines_and_reasons() {
        let mut rows = rows();
        rows[0].unreadable = Some("not permitted".to_owned());
        let text = plain(rows);
        assert!(
            text.contains("python3 a.py\n")
                && text.contains("       7  redis-server *:7000  unreadable: not permitted")
        );
    }
}
