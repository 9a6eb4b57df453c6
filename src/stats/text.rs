//! `malloc_stats`: the snapshot as lines of text, in columns.

use super::bills::HolderFigures;
use super::figures::{self, BILL, CLASS, Figure, HEAP, PROCESS, SHARED};
use super::snapshot::{ClassFigures, HEAPS, Snapshot};
use crate::base::class::Class;
use crate::base::page::Page;
use crate::sys::memory;

const PREFIX: &str = "spandrel: stats: ";
const NAME_WIDTH: usize = 18;
const VALUE_WIDTH: usize = 16;
const COLUMN_WIDTH: usize = 11;

/// Writes the report.
#[inline(never)]
pub(super) fn report(snapshot: &Snapshot, page: &mut Page<'_>) {
    page.text(PREFIX).text("profile ").text(snapshot.profile).text("\n");
    for (figure, value) in PROCESS.iter().zip(figures::process(snapshot)) {
        row(page, figure.name(), value);
    }
    memory::call_names().zip(snapshot.calls).for_each(|(name, count)| row(page, name, count));
    shares(snapshot, page);
    classes(snapshot, page);
    heaps(snapshot, page);
    bills(snapshot, page);
}

fn row(page: &mut Page<'_>, name: &str, value: u64) {
    page.text(PREFIX).words(name, NAME_WIDTH).right(value, VALUE_WIDTH).text("\n");
}

#[inline(never)]
fn shares(snapshot: &Snapshot, page: &mut Page<'_>) {
    let (spans, in_use) = (snapshot.spans() as u64, snapshot.in_use() as u64);
    let live = (snapshot.live() - snapshot.large.direct_bytes) as u64;
    page.text(PREFIX).words("free_in_spans", NAME_WIDTH).text(" ");
    page.percent(spans.saturating_sub(snapshot.small_live() as u64), spans).text(" % of their bytes\n");
    page.text(PREFIX).words("free_in_use", NAME_WIDTH).text(" ");
    page.percent(in_use.saturating_sub(live), in_use).text(" % of the bytes of regions in use\n");
    page.text(PREFIX).words("hits", NAME_WIDTH).text(" ");
    page.percent(snapshot.total(ClassFigures::hits), snapshot.events()[0])
        .text(" % of refills needed no further span\n");
}

fn header(page: &mut Page<'_>, first: &str, figures: &[Figure]) {
    page.text(PREFIX).words(first, COLUMN_WIDTH);
    for figure in figures {
        page.blanks(2 + COLUMN_WIDTH.saturating_sub(figure.name().len())).words(figure.name(), 0);
    }
}

fn classes(snapshot: &Snapshot, page: &mut Page<'_>) {
    header(page, "class", &CLASS);
    page.text("  hit %\n");
    for (class, of_class) in snapshot.used_classes() {
        page.text(PREFIX).right(Class::size(class) as u64, COLUMN_WIDTH);
        for (column, value) in CLASS.iter().zip(figures::class(&(class, *of_class))) {
            page.right(value, 2 + COLUMN_WIDTH.max(column.name().len()));
        }
        page.text("  ").percent(of_class.hits(), of_class.refills).text("\n");
    }
}

#[inline(never)]
fn heaps(snapshot: &Snapshot, page: &mut Page<'_>) {
    header(page, "thread", &HEAP);
    page.text("\n");
    for heap in snapshot.each_heap() {
        page.text(PREFIX).right(u64::from(heap.thread), COLUMN_WIDTH);
        for (column, value) in HEAP.iter().zip(figures::heap(heap)) {
            page.right(value, 2 + COLUMN_WIDTH.max(column.name().len()));
        }
        page.text("\n");
    }
    if snapshot.heaps > HEAPS {
        page.text(PREFIX).text("and ").number((snapshot.heaps - HEAPS) as u64).text(" more threads\n");
    }
}

/// Named heaps: a line each, the name at its end, because names are of many lengths.
#[inline(never)]
fn bills(snapshot: &Snapshot, page: &mut Page<'_>) {
    if snapshot.bills.heaps == 0 {
        return;
    }
    header(page, "heap", &BILL);
    page.text("  name\n");
    page.text(PREFIX).words("default", COLUMN_WIDTH);
    columns(page, &snapshot.default_heap(), SHARED);
    page.text("\n");
    for (index, heap) in snapshot.bills.rows().enumerate() {
        page.text(PREFIX).right(index as u64 + 1, COLUMN_WIDTH);
        columns(page, heap, BILL.len());
        page.text(if heap.is_heap() { " " } else { "  " }).text(if heap.is_heap() { "" } else { heap.kind() });
        page.text(" ").quoted(heap.shown()).text("\n");
    }
    if let Some((heaps, sums)) = snapshot.bills.others() {
        page.text(PREFIX).words("others", COLUMN_WIDTH);
        columns(page, sums, SHARED);
        page.text("  ").number(heaps as u64).text(" more heaps\n");
    }
}

/// The first `count` figures of a bill.
fn columns(page: &mut Page<'_>, of: &HolderFigures, count: usize) {
    for (column, value) in BILL.iter().zip(figures::bill(of)).take(count) {
        page.right(value, 2 + COLUMN_WIDTH.max(column.name().len()));
    }
}
