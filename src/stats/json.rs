//! The snapshot as one JSON object.

use super::figures::{self, CLASS, Figure, HEAP, PROCESS};
use super::snapshot::Snapshot;
use crate::base::page::Page;
use crate::sys::memory;

/// Writes the object, in a line of its own.
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
    page.text("]}\n");
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
