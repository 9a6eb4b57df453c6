//! One process: its memory in bars and over time, its classes, its threads or its named heaps.

use super::{Table, Wish};
use crate::live::Picture;
use crate::quantity::show;
use crate::terminal::{Key, Line, Style};
use crate::view::{self, ClassRow, HeapRow, bar, share};
use spandrel::descriptor::HeapFigures;
use std::cmp::Reverse;

/// The process that is shown.
pub(crate) struct Frame<'a> {
    pub(crate) title: &'a str,
    pub(crate) command: &'a str,
    pub(crate) picture: &'a Picture,
    pub(crate) resident: Option<u64>,
    /// Live and resident bytes, the oldest first.
    pub(crate) history: &'a [(u64, u64)],
}

const CLASSES: [(&str, isize); 8] = [
    ("CLASS", 7),
    ("LIVE", 9),
    ("BLOCKS", 9),
    ("FILL OF SPANS", -16),
    ("IN BINS", 8),
    ("SPANS", 7),
    ("REFILLS", 9),
    ("HITS", 6),
];
const THREADS: [(&str, isize); 7] =
    [("THREAD", 9), ("LIVE", 10), ("IN BINS", 10), ("REFILLS", 10), ("FLUSHES", 10), ("SENT", 10), ("RECEIVED", 10)];
const HEAPS: [(&str, isize); 8] =
    [("HELD", 9), ("PEAK", 9), ("LIVE", 9), ("BLOCKS", 8), ("LIMIT", 13), ("REFUSED", 7), ("USERS", 5), ("HEAP", -11)];
/// The column of live bytes of classes and threads.
const LIVE: usize = 1;
const KEYS: &str = "q quits  Esc back  Tab tables  s sorts  r reverses  / filters";
/// Lines besides the rows of the table.
const AROUND: usize = 11;
/// Steps of a line over time.
const STEPS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
/// Columns before the lines over time.
const LABEL: usize = 10;

/// The tables, in the order in which Tab shows them.
#[derive(Clone, Copy)]
enum Shown {
    Classes,
    Threads,
    Heaps,
}

/// See the module.
pub(crate) struct One {
    classes: Table,
    threads: Table,
    heaps: Table,
    shown: Shown,
}

/// The headings of a table and their widths; what draws it.
type Columns = &'static [(&'static str, isize)];
type Draw = fn(&Picture, &Table) -> Vec<Line>;

impl One {
    /// Of no process yet; classes and threads with most live memory come first.
    pub(crate) fn new() -> Self {
        let table = || Table { column: LIVE, ..Table::default() };
        Self { classes: table(), threads: table(), heaps: Table::default(), shown: Shown::Classes }
    }

    /// The table that is shown, its columns, and what draws it.
    fn table(&mut self) -> (&mut Table, Columns, Draw) {
        match self.shown {
            Shown::Classes => (&mut self.classes, &CLASSES, class_lines),
            Shown::Threads => (&mut self.threads, &THREADS, thread_lines),
            Shown::Heaps => (&mut self.heaps, &HEAPS, heap_lines),
        }
    }

    /// The wish that a key means.
    pub(crate) fn press(&mut self, key: Key) -> Wish {
        let (table, columns, _) = self.table();
        if table.press(key, columns.len()) {
            return Wish::Draw;
        }
        match key {
            Key::Tab => {
                self.shown = match self.shown {
                    Shown::Classes => Shown::Threads,
                    Shown::Threads => Shown::Heaps,
                    Shown::Heaps => Shown::Classes,
                };
            }
            Key::Letter('q') | Key::Interrupt => return Wish::Quit,
            Key::Escape => return Wish::Leave,
            _ => {}
        }
        Wish::Draw
    }

    /// The screen, of so many columns and rows.
    pub(crate) fn lines(&mut self, frame: &Frame<'_>, (columns, rows): (usize, usize)) -> Vec<Line> {
        let mut lines = head(frame);
        let width = columns.saturating_sub(LABEL + 1);
        lines.push(over_time(" live", frame.history.iter().map(|(live, _)| *live), width, Style::Green));
        lines.push(over_time(" resident", frame.history.iter().map(|(_, resident)| *resident), width, Style::Yellow));
        lines.push(Line::default());
        let room = rows.saturating_sub(AROUND);
        if matches!(self.shown, Shown::Heaps) && frame.picture.snapshot.bills.heaps == 0 {
            // Most programs have no named heaps.
            self.shown = Shown::Classes;
        }
        let (table, names, drawn) = self.table();
        lines.push(table.head(names));
        let body = drawn(frame.picture, table);
        lines.extend(table.window(body, room));
        lines.push(table.help(KEYS));
        lines
    }
}

fn threads(count: usize) -> String {
    format!("{count} thread{}", if count == 1 { "" } else { "s" })
}

fn head(frame: &Frame<'_>) -> Vec<Line> {
    let s = &frame.picture.snapshot;
    let whole = frame.resident.unwrap_or(0).max(s.obtained() as u64);
    let line = |name: &str, bytes: u64, style: Style, besides: String| {
        Line::of(Style::Plain, format!(" {name:<9}"))
            .and(style, half_bar(share(bytes, whole)))
            .and(Style::Plain, format!("{:>9}  {besides}", show(bytes)))
    };
    let bytes = |value: usize| show(value as u64);
    let at_hand = format!("bins {}  caches {}  on way {}", bytes(s.binned()), bytes(s.cached()), bytes(s.in_flight()));
    let large = &s.large;
    let blocks = format!(
        "large {} in {}  direct {} in {}",
        bytes(large.large_bytes),
        large.large_blocks,
        bytes(large.direct_bytes),
        large.direct_blocks
    );
    let pages = format!("dirty {}  purged {}", bytes(s.pages.dirty), bytes(s.pages.purged));
    vec![
        Line::of(Style::Bold, format!(" {}", frame.title))
            .and(Style::Plain, format!("   profile {}   {} with a heap", s.profile, threads(s.heaps))),
        Line::of(Style::Faint, format!(" {}", frame.command)),
        line("live", s.live() as u64, Style::Green, at_hand),
        line("resident", frame.resident.unwrap_or(0), Style::Yellow, blocks),
        line("obtained", s.obtained() as u64, Style::Blue, pages),
        Line::of(
            Style::Plain,
            format!(
                " metadata {}   clean {}   holes {}",
                bytes(s.pages.metadata),
                bytes(s.pages.clean),
                bytes(s.holes)
            ),
        ),
    ]
}

/// A bar of half the usual width.
fn half_bar(fill: f64) -> String {
    bar(fill).chars().step_by(2).collect()
}

/// The last values as steps, as many as there is room for.
fn over_time(name: &str, values: impl DoubleEndedIterator<Item = u64>, width: usize, style: Style) -> Line {
    let mut recent: Vec<_> = values.rev().take(width).collect();
    recent.reverse();
    let most = recent.iter().copied().max().unwrap_or(0).max(1);
    let step = |value: u64| STEPS[(value as u128 * (STEPS.len() as u128 - 1) / u128::from(most)) as usize];
    Line::of(Style::Plain, format!("{name:<LABEL$}")).and(style, recent.into_iter().map(step).collect::<String>())
}

fn class_lines(picture: &Picture, table: &Table) -> Vec<Line> {
    let mut rows: Vec<_> =
        view::class_rows(picture).into_iter().filter(|row| table.shows(&row.class.block_bytes.to_string())).collect();
    let spans = |row: &ClassRow| row.figures.partial + row.figures.full;
    match table.column {
        0 => rows.sort_by_key(|row| row.class.block_bytes),
        1 => rows.sort_by_key(|row| Reverse(row.live_bytes())),
        2 => rows.sort_by_key(|row| Reverse(row.figures.live())),
        3 => rows.sort_by(|one, other| one.fill().total_cmp(&other.fill())),
        4 => rows.sort_by_key(|row| Reverse(row.figures.binned)),
        5 => rows.sort_by_key(|row| Reverse(spans(row))),
        6 => rows.sort_by_key(|row| Reverse(row.figures.refills)),
        _ => rows.sort_by(|one, other| one.hit_rate().total_cmp(&other.hit_rate())),
    }
    if table.reversed {
        rows.reverse();
    }
    let line = |row: &ClassRow| {
        let f = &row.figures;
        let style = match row.fill() {
            fill if fill >= 0.75 => Style::Green,
            fill if fill >= 0.4 => Style::Yellow,
            _ => Style::Red,
        };
        Line::of(Style::Plain, format!(" {:>7} {:>9} {:>9} ", row.class.block_bytes, show(row.live_bytes()), f.live()))
            .and(style, half_bar(row.fill()))
            .and(Style::Plain, format!(" {:>3.0} % ", 100.0 * row.fill()))
            .and(
                Style::Plain,
                format!("{:>8} {:>7} {:>9} {:>4.0} %", f.binned, spans(row), f.refills, 100.0 * row.hit_rate()),
            )
    };
    rows.iter().map(line).collect()
}

fn thread_lines(picture: &Picture, table: &Table) -> Vec<Line> {
    let key = |heap: &HeapFigures| {
        let traffic = &heap.traffic;
        let counts = [heap.refills, heap.flushes, traffic.sent_blocks, traffic.received_blocks];
        [heap.live, heap.binned].into_iter().chain(counts).nth(table.column.wrapping_sub(1)).unwrap_or(0)
    };
    let mut heaps: Vec<_> = picture.heaps.iter().filter(|heap| table.shows(&heap.thread.to_string())).collect();
    heaps.sort_by_key(|heap| (Reverse(key(heap)), heap.thread));
    if table.reversed {
        heaps.reverse();
    }
    let line = |heap: &&HeapFigures| {
        let traffic = &heap.traffic;
        let text = format!(
            " {:>9} {:>10} {:>10} {:>10} {:>10} {:>10} {:>10}",
            heap.thread,
            show(heap.live),
            show(heap.binned),
            heap.refills,
            heap.flushes,
            traffic.sent_blocks,
            traffic.received_blocks
        );
        Line::of(Style::Plain, text)
    };
    heaps.iter().map(line).collect()
}

fn heap_lines(picture: &Picture, table: &Table) -> Vec<Line> {
    let key = |row: &HeapRow| {
        let heap = &row.figures;
        let limit = if heap.hard == 0 { heap.soft } else { heap.hard };
        let figures = [heap.held, heap.peak, heap.live_bytes, heap.live_blocks, limit, heap.refusals, heap.users];
        figures.get(table.column).copied().unwrap_or(0)
    };
    let mut rows: Vec<_> =
        view::heap_rows(&picture.snapshot).into_iter().filter(|row| table.shows(&row.name)).collect();
    // In the column of names all keys are the same.
    rows.sort_by(|one, other| key(other).cmp(&key(one)).then_with(|| one.name.cmp(&other.name)));
    if table.reversed {
        rows.reverse();
    }
    let line = |row: &HeapRow| {
        let [held, peak, live, blocks, limit, refused, users] = row.cells();
        let style = if row.figures.refusals > 0 { Style::Red } else { Style::Plain };
        let name = &row.name;
        let figures = format!(" {held:>9} {peak:>9} {live:>9} {blocks:>8} {limit:>13} {refused:>7} {users:>5}");
        Line::of(style, format!("{figures} {name}"))
    };
    rows.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_fit_into_eighty_columns() {
        for columns in [&CLASSES[..], &THREADS, &HEAPS] {
            assert!(columns.iter().map(|(_, width)| 1 + width.unsigned_abs()).sum::<usize>() <= 80);
        }
        // Behind it stands which rows are shown, and of how many.
        assert!(1 + KEYS.chars().count() + "  1000-1013/1013".len() <= 80);
    }

    #[test]
    fn time_goes_to_the_right_and_the_most_is_full() {
        let line = over_time(" live", [5, 0, 50, 100].into_iter(), 3, Style::Plain);
        assert_eq!(line.text().trim_start_matches(" live").trim_start(), "▁▄█");
    }
}
