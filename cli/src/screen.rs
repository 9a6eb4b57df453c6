//! The screen of `top`: bars, a table of classes, a table of threads.
//!
//! Knows: the terminal. Must not know: where the figures are from.

use crate::live::Picture;
use crate::quantity::show;
use crate::view::{self, ClassRow, bar, share};
use anyhow::{Context, Result};
use ratatui::DefaultTerminal;
use ratatui::crossterm::event::{self, Event, KeyCode, KeyModifiers};
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Style, Stylize};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Cell, Paragraph, Row, Sparkline, Table};
use std::io::IsTerminal;
use std::time::{Duration, Instant};

const LIVE: Color = Color::Green;
const HELD: Color = Color::Yellow;
const HEADER_HEIGHT: u16 = 8;
const THREADS_HEIGHT: u16 = 9;

/// The process that is shown, and the parts of the screen that move.
pub(crate) struct Frame<'a> {
    pub(crate) title: &'a str,
    pub(crate) picture: &'a Picture,
    pub(crate) resident: Option<u64>,
    /// Live and resident bytes, the oldest first.
    pub(crate) history: &'a [(u64, u64)],
}

/// See the module. The terminal is as before once this is dropped.
pub(crate) struct Screen {
    terminal: DefaultTerminal,
}

impl Drop for Screen {
    fn drop(&mut self) {
        ratatui::restore();
    }
}

impl Screen {
    /// Takes the terminal.
    pub(crate) fn open() -> Result<Self> {
        anyhow::ensure!(std::io::stdout().is_terminal(), "standard output is no terminal; --once prints plain text");
        Ok(Self { terminal: ratatui::try_init().context("the terminal")? })
    }

    /// Shows a frame.
    pub(crate) fn draw(&mut self, frame: &Frame<'_>) -> Result<()> {
        self.terminal.draw(|canvas| render(frame, canvas))?;
        Ok(())
    }

    /// Waits so long; true if a key says that it is enough.
    pub(crate) fn wait(&mut self, time: Duration) -> Result<bool> {
        let end = Instant::now() + time;
        while event::poll(end.saturating_duration_since(Instant::now()))? {
            if let Event::Key(key) = event::read()? {
                let interrupted = key.modifiers.contains(KeyModifiers::CONTROL) && key.code == KeyCode::Char('c');
                if interrupted || matches!(key.code, KeyCode::Char('q') | KeyCode::Esc) {
                    return Ok(true);
                }
            }
        }
        Ok(false)
    }
}

fn render(frame: &Frame<'_>, canvas: &mut ratatui::Frame<'_>) {
    let heights = [Constraint::Length(HEADER_HEIGHT), Constraint::Min(4), Constraint::Length(THREADS_HEIGHT)];
    let [header, classes, threads] = Layout::vertical(heights).areas(canvas.area());
    let [left, right] = Layout::horizontal([Constraint::Min(50), Constraint::Length(44)]).areas(header);
    canvas.render_widget(overview(frame), left);
    history(frame, canvas, right);
    canvas.render_widget(class_table(frame.picture), classes);
    canvas.render_widget(thread_table(frame.picture), threads);
}

fn overview(frame: &Frame<'_>) -> Paragraph<'static> {
    let s = &frame.picture.snapshot;
    let whole = frame.resident.unwrap_or(0).max(s.obtained() as u64);
    let line = |name: &str, bytes: u64, colour: Color| {
        Line::from(vec![
            Span::raw(format!("{name:<9}")),
            Span::styled(bar(share(bytes, whole)), Style::new().fg(colour)),
            Span::raw(format!(" {:>10}", show(bytes))),
        ])
    };
    let mut lines = vec![
        line("live", s.live() as u64, LIVE),
        line("resident", frame.resident.unwrap_or(0), HELD),
        line("obtained", s.obtained() as u64, Color::Blue),
    ];
    lines.push(Line::raw(format!(
        "in bins {}   in caches {}   in flight {}",
        show(s.binned() as u64),
        show(s.cached() as u64),
        show(s.in_flight() as u64)
    )));
    lines.push(Line::raw(format!(
        "large {} in {}   direct {} in {}",
        show(s.large.large_bytes as u64),
        s.large.large_blocks,
        show(s.large.direct_bytes as u64),
        s.large.direct_blocks
    )));
    lines.push(Line::raw(format!(
        "dirty {}   clean {}   purged {}   metadata {}",
        show(s.pages.dirty as u64),
        show(s.pages.clean as u64),
        show(s.pages.purged as u64),
        show(s.pages.metadata as u64)
    )));
    let title = format!(" {}  {}  q quits ", frame.title, s.profile);
    Paragraph::new(lines).block(Block::bordered().title(title.bold()))
}

/// Live against resident bytes over the last looks.
fn history(frame: &Frame<'_>, canvas: &mut ratatui::Frame<'_>, area: Rect) {
    let block = Block::bordered().title(" live, resident ");
    let inner = block.inner(area);
    canvas.render_widget(block, area);
    let [upper, lower] = Layout::vertical([Constraint::Fill(1), Constraint::Fill(1)]).areas(inner);
    let shown = frame.history.len().saturating_sub(usize::from(inner.width));
    let recent = frame.history.get(shown..).unwrap_or(&[]);
    let most = recent.iter().map(|(live, resident)| (*live).max(*resident)).max().unwrap_or(1);
    let live: Vec<u64> = recent.iter().map(|(live, _)| *live).collect();
    let resident: Vec<u64> = recent.iter().map(|(_, resident)| *resident).collect();
    canvas.render_widget(Sparkline::default().data(&live).max(most).style(Style::new().fg(LIVE)), upper);
    canvas.render_widget(Sparkline::default().data(&resident).max(most).style(Style::new().fg(HELD)), lower);
}

fn class_table(picture: &Picture) -> Table<'static> {
    let header =
        ["class", "live", "blocks", "fill of spans", "in bins", "cached", "part", "full", "refills", "flushes", "hits"];
    let widths = [7, 10, 10, 20, 9, 9, 7, 7, 10, 10, 6].map(Constraint::Length);
    let rows = view::class_rows(picture).into_iter().map(|row| class_row(&row));
    let block = Block::bordered().title(" classes by bytes of spans ");
    Table::new(rows, widths).header(Row::new(header).bold()).block(block)
}

fn class_row(row: &ClassRow) -> Row<'static> {
    let f = &row.figures;
    let text = |value: u64| Cell::from(value.to_string());
    let colour = match row.fill() {
        fill if fill >= 0.75 => LIVE,
        fill if fill >= 0.4 => HELD,
        _ => Color::Red,
    };
    Row::new([
        text(row.class.block_bytes as u64),
        Cell::from(show(row.live_bytes())),
        text(f.live()),
        Cell::from(bar(row.fill())).style(Style::new().fg(colour)),
        text(u64::from(f.binned)),
        text(u64::from(f.cached)),
        text(u64::from(f.partial)),
        text(u64::from(f.full)),
        text(f.refills),
        text(f.flushes),
        Cell::from(format!("{:.0} %", 100.0 * row.hit_rate())),
    ])
}

fn thread_table(picture: &Picture) -> Table<'static> {
    let mut heaps: Vec<_> = picture.heaps.iter().collect();
    heaps.sort_by_key(|heap| std::cmp::Reverse(heap.live + heap.binned));
    let rows = heaps.into_iter().map(|heap| {
        let traffic = &heap.traffic;
        let counts = [heap.refills, heap.flushes, traffic.sent_blocks, traffic.received_blocks];
        let bytes = [show(heap.live), show(heap.binned)];
        let cells = [heap.thread.to_string()].into_iter().chain(bytes).chain(counts.map(|count| count.to_string()));
        Row::new(cells.map(Cell::from).collect::<Vec<_>>())
    });
    let header = Row::new(["thread", "live", "in bins", "refills", "flushes", "sent", "received"]).bold();
    let widths = [9, 11, 11, 11, 11, 11, 11].map(Constraint::Length);
    let title = format!(" {} threads ", picture.heaps.len());
    Table::new(rows, widths).header(header).block(Block::bordered().title(title))
}
