//! A picture of memory as lines of text: for `stats`, and for `top` where there is no terminal.
//!
//! Knows: what is worth seeing, and in which order. Must not know: where the picture is from.

use crate::live::{self, Owner, Picture, Process};
use crate::quantity::show;
use serde_json::{Value, json};
use spandrel::descriptor::{CentralListFigures, ClassFigures, Format, HolderFigures, Snapshot};
use spandrel::table::{self, ClassInfo};
use std::fmt::Write;

/// Cells of a bar.
const BAR: usize = 20;
const EIGHTHS: [char; 8] = [' ', '▏', '▎', '▍', '▌', '▋', '▊', '▉'];

/// A class and what it holds.
pub(crate) struct ClassRow {
    pub(crate) class: ClassInfo,
    pub(crate) figures: ClassFigures,
    /// Bytes of its spans.
    pub(crate) span_bytes: u64,
}

impl ClassRow {
    /// Bytes of live blocks.
    pub(crate) fn live_bytes(&self) -> u64 {
        self.figures.live() * self.class.block_bytes as u64
    }

    /// The share of its spans that live blocks take.
    pub(crate) fn fill(&self) -> f64 {
        share(self.live_bytes(), self.span_bytes)
    }

    /// The share of refills that needed no further span.
    pub(crate) fn hit_rate(&self) -> f64 {
        share(self.figures.hits(), self.figures.refills)
    }
}

/// The classes that have spans, those with most bytes first.
pub(crate) fn class_rows(picture: &Picture) -> Vec<ClassRow> {
    let rows = table::classes().zip(picture.snapshot.classes).filter(|(_, figures)| figures.is_used());
    let mut rows: Vec<_> = rows
        .map(|(class, figures)| ClassRow {
            class,
            figures,
            span_bytes: u64::from(figures.partial + figures.full) * class.span_bytes() as u64,
        })
        .collect();
    rows.sort_by_key(|row| std::cmp::Reverse((row.span_bytes, row.live_bytes())));
    rows
}

/// A part of a whole; nothing of nothing is 0.
pub(crate) fn share(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}

/// A bar of [`BAR`] cells, of which `fill` is full.
pub(crate) fn bar(fill: f64) -> String {
    let eighths = (fill.clamp(0.0, 1.0) * (BAR * EIGHTHS.len()) as f64).round() as usize;
    let (whole, rest) = (eighths / EIGHTHS.len(), eighths % EIGHTHS.len());
    let mut bar: String = std::iter::repeat_n('█', whole).collect();
    if whole < BAR {
        bar.push(EIGHTHS[rest]);
    }
    let missing = BAR - bar.chars().count();
    bar.extend(std::iter::repeat_n(' ', missing));
    bar
}

/// The figures of the whole process, by name.
pub(crate) fn totals(picture: &Picture, resident: Option<u64>) -> Vec<(&'static str, String)> {
    let s = &picture.snapshot;
    let bytes = |value: usize| show(value as u64);
    let free = 1.0 - share(s.small_live() as u64, s.spans() as u64);
    let mut rows = vec![("profile", s.profile.to_owned())];
    rows.extend(resident.map(|bytes| ("resident", show(bytes))));
    rows.extend([
        ("live", bytes(s.live())),
        ("obtained", bytes(s.obtained())),
        (
            "spans",
            format!("{}, {:.0} % free or in bins", bytes(s.spans()), 100.0 * if s.spans() == 0 { 0.0 } else { free }),
        ),
        ("in bins", bytes(s.binned())),
        ("in caches", bytes(s.cached())),
        ("in flight", bytes(s.in_flight())),
        ("large", format!("{} in {} blocks", bytes(s.large.large_bytes), s.large.large_blocks)),
        ("direct", format!("{} in {} blocks", bytes(s.large.direct_bytes), s.large.direct_blocks)),
        ("free runs", format!("{} dirty, {} clean", bytes(s.pages.dirty), bytes(s.pages.clean))),
        ("holes", format!("{} of spans purged", bytes(s.holes))),
        ("purged", format!("{} in {} purges", bytes(s.pages.purged), s.pages.purges)),
        ("metadata", bytes(s.pages.metadata)),
        ("refills", refills(s)),
        ("remote frees", format!("{} sent, {} received", s.traffic.sent_blocks, s.traffic.received_blocks)),
        ("threads", format!("{} with a heap", s.heaps)),
    ]);
    if s.disturbed {
        rows.push(("note", "threads were at work meanwhile; some figures are a moment apart".to_owned()));
    }
    rows
}

/// How many refills there were, and the share of each source.
fn refills(snapshot: &Snapshot) -> String {
    let [refills, _] = snapshot.events();
    let percent = |count: u64| 100.0 * share(count, refills);
    let central = |count: fn(&CentralListFigures) -> u64| percent(snapshot.total(|class| count(&class.central)));
    format!(
        "{refills}: own spans {:.1} %, received {:.1} %, cache {:.1} %, adopted spans {:.1} %, new spans {:.1} %",
        percent(snapshot.total(ClassFigures::own)),
        percent(snapshot.total(|class| class.received)),
        central(|figures| figures.cache_hits),
        central(|figures| figures.adopted),
        central(|figures| figures.made),
    )
}

/// All of it as values.
pub(crate) fn values(process: &Process, picture: &Picture) -> Value {
    let mut text = Vec::new();
    Format::Json.write(&picture.snapshot, &mut |bytes| text.extend_from_slice(bytes));
    let figures: Value = serde_json::from_slice(&text).unwrap_or_default();
    let threads: Vec<_> = picture
        .heaps
        .iter()
        .map(|heap| {
            json!({
                "thread": heap.thread,
                "live_bytes": heap.live,
                "bin_bytes": heap.binned,
                "refills": heap.refills,
                "sent_blocks": heap.traffic.sent_blocks,
                "received_blocks": heap.traffic.received_blocks,
            })
        })
        .collect();
    json!({
        "pid": process.id(),
        "command": process.command(),
        "resident_bytes": live::resident(process.id()),
        "figures": figures,
        "heaps": threads,
    })
}

/// All of it as text.
pub(crate) fn text(picture: &Picture, resident: Option<u64>) -> String {
    let mut text = String::new();
    for (name, value) in totals(picture, resident) {
        let _ = writeln!(text, "{name:<14}{value}");
    }
    let _ = writeln!(
        text,
        "\n{:>7}  {:>10}  {:>9}  {:<BAR$}  {:>8}  {:>8}  {:>6}  {:>6}  {:>9}  {:>9}  {:>6}",
        "class", "live", "blocks", "fill of spans", "in bins", "cached", "part", "full", "refills", "flushes", "hits"
    );
    for row in class_rows(picture) {
        let f = &row.figures;
        let _ = writeln!(
            text,
            "{:>7}  {:>10}  {:>9}  {}  {:>8}  {:>8}  {:>6}  {:>6}  {:>9}  {:>9}  {:>4.0} %",
            row.class.block_bytes,
            show(row.live_bytes()),
            f.live(),
            bar(row.fill()),
            f.binned,
            f.cached,
            f.partial,
            f.full,
            f.refills,
            f.flushes,
            100.0 * row.hit_rate()
        );
    }
    let _ = writeln!(
        text,
        "\n{:>9}  {:>10}  {:>10}  {:>9}  {:>9}  {:>11}",
        "thread", "live", "in bins", "refills", "sent", "received"
    );
    for heap in &picture.heaps {
        let (live, binned) = (show(heap.live), show(heap.binned));
        let traffic = &heap.traffic;
        let _ = writeln!(
            text,
            "{:>9}  {live:>10}  {binned:>10}  {:>9}  {:>9}  {:>11}",
            heap.thread, heap.refills, traffic.sent_blocks, traffic.received_blocks
        );
    }
    let unowned = || picture.spans.iter().filter(|span| span.owner == Owner::CentralList);
    let spans: usize = unowned().map(|span| span.class.span_bytes()).sum();
    let out: usize = unowned().map(|span| span.out * span.class.block_bytes).sum();
    let _ = writeln!(
        text,
        "{:>9}  {} of spans without an owner, {} of it out",
        "central",
        show(spans as u64),
        show(out as u64)
    );
    text + &heap_table(picture)
}

/// A named heap, or a share that has no name: that of the default heap, or of the heaps without a row.
#[derive(Clone, Debug)]
pub(crate) struct HeapRow {
    pub(crate) figures: HolderFigures,
    /// The name, or what the share is called.
    pub(crate) name: String,
    /// Shares have the figures alone that can be added up.
    pub(crate) is_named: bool,
}

/// Named heaps, the largest first, then the shares of all others; none without named heaps.
pub(crate) fn heap_rows(snapshot: &Snapshot) -> Vec<HeapRow> {
    let share = |figures, name| HeapRow { figures, name, is_named: false };
    let name = |row: &HolderFigures| match row.is_heap() {
        true => row.shown().to_owned(),
        false => format!("{} [{}]", row.shown(), row.kind()),
    };
    let named = |row: &HolderFigures| HeapRow { figures: *row, name: name(row), is_named: true };
    let mut rows: Vec<_> = snapshot.bills.rows().map(named).collect();
    rows.extend(snapshot.bills.others().map(|(heaps, sums)| share(*sums, format!("({heaps} more heaps)"))));
    if !rows.is_empty() {
        rows.push(share(snapshot.default_heap(), "(default heap)".to_owned()));
    }
    rows
}

impl HeapRow {
    /// Bytes held, the most of them, live bytes and blocks, the limit, refusals and users, as they are shown.
    pub(crate) fn cells(&self) -> [String; 7] {
        let heap = &self.figures;
        let bytes = |value: usize| show(value as u64);
        let of_named = |text: String| if self.is_named { text } else { String::new() };
        let limit = match (heap.soft, heap.hard) {
            (0, 0) => String::new(),
            (soft, 0) => format!("{} soft", bytes(soft)),
            (_, hard) => bytes(hard),
        };
        [
            bytes(heap.held),
            of_named(bytes(heap.peak)),
            bytes(heap.live_bytes),
            heap.live_blocks.to_string(),
            limit,
            of_named(heap.refusals.to_string()),
            of_named(heap.users.to_string()),
        ]
    }
}

fn heap_table(picture: &Picture) -> String {
    let rows = heap_rows(&picture.snapshot);
    let mut text = String::new();
    let mut line = |cells: [String; 7], name: &str| {
        let [held, peak, live, blocks, limit, refused, users] = cells;
        let _ = writeln!(
            text,
            "{held:>10}  {peak:>10}  {live:>10}  {blocks:>9}  {limit:>13}  {refused:>7}  {users:>5}  {name}"
        );
    };
    if !rows.is_empty() {
        line(["held", "peak", "live", "blocks", "limit", "refused", "users"].map(str::to_owned), "heap");
    }
    rows.iter().for_each(|row| line(row.cells(), &row.name));
    if text.is_empty() { text } else { format!("\n{text}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_have_one_width_and_grow() {
        for eighth in 0..=160 {
            assert_eq!(bar(f64::from(eighth) / 160.0).chars().count(), BAR);
        }
        assert_eq!(bar(0.5).trim_end(), "██████████");
        assert_eq!(bar(2.0), bar(1.0));
        assert_eq!(bar(f64::NAN).trim_end(), "");
    }

    #[test]
    fn nothing_of_nothing_is_no_share() {
        assert_eq!((share(0, 0), share(1, 4)), (0.0, 0.25));
    }
}
