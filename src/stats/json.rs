//! The snapshot as one JSON object.

use super::bills::HolderFigures;
use super::figures::{self, BILL, CLASS, Figure, HEAP, PROCESS, SHARED};
use super::snapshot::Snapshot;
use crate::base::page::Page;
use crate::sys::memory;

/// Writes the object, in a line of its own.
#[inline(never)]
pub(super) fn report(snapshot: &Snapshot, page: &mut Page<'_>) {
    page.text("{\"profile\":\"").text(snapshot.profile).text("\"");
    for (figure, value) in PROCESS.iter().zip(figures::process(snapshot)) {
        member(page, figure.name(), value);
    }
    page.text(",\"system_calls\":{");
    for (index, (name, count)) in memory::call_names().zip(snapshot.calls).enumerate() {
        page.text(if index == 0 { "\"" } else { ",\"" });
        page.text(memory::bare(name)).text("\":").number(count);
    }
    page.text("},\"classes\":[");
    for (index, (class, of_class)) in snapshot.used_classes().enumerate() {
        object(page, index, ("block_bytes", class.size() as u64), &CLASS, &figures::class(&(class, *of_class)));
    }
    page.text("],\"threads\":[");
    for (index, heap) in snapshot.each_heap().enumerate() {
        object(page, index, ("thread", u64::from(heap.thread)), &HEAP, &figures::heap(heap));
    }
    page.text("]");
    bills(snapshot, page);
    page.text("}\n");
}

#[inline(never)]
fn bills(snapshot: &Snapshot, page: &mut Page<'_>) {
    if snapshot.bills.heaps == 0 {
        return;
    }
    page.text(",\"default_heap\":{\"heaps\":1");
    shares(page, &snapshot.default_heap());
    page.text("},\"named_heaps\":[");
    for (index, heap) in snapshot.bills.rows().enumerate() {
        page.text(if index == 0 { "{\"name\":" } else { ",{\"name\":" }).quoted(heap.shown());
        page.text(",\"kind\":").quoted(heap.kind());
        for (figure, value) in BILL.iter().zip(figures::bill(heap)) {
            member(page, figure.name(), value);
        }
        page.text("}");
    }
    page.text("]");
    if let Some((heaps, sums)) = snapshot.bills.others() {
        page.text(",\"other_named_heaps\":{\"heaps\":").number(heaps as u64);
        shares(page, sums);
        page.text("}");
    }
}

#[inline(never)]
fn shares(page: &mut Page<'_>, sums: &HolderFigures) {
    for (figure, value) in BILL.iter().zip(figures::bill(sums)).take(SHARED) {
        member(page, figure.name(), value);
    }
}

fn member(page: &mut Page<'_>, name: &str, value: u64) {
    page.text(",\"").text(name).text("\":").number(value);
}

fn object(page: &mut Page<'_>, index: usize, (key, id): (&str, u64), figures: &[Figure], values: &[u64]) {
    page.text(if index == 0 { "{\"" } else { ",{\"" }).text(key).text("\":").number(id);
    for (figure, value) in figures.iter().zip(values) {
        member(page, figure.name(), *value);
    }
    page.text("}");
}
