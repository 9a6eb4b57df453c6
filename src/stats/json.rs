//! The snapshot as one JSON object.

use super::figures::{CLASS, Figure, HEAP, PROCESS};
use super::snapshot::Snapshot;
use crate::base::page::Page;
use crate::sys::memory;

/// Writes the object, in a line of its own.
pub(super) fn report(snapshot: &Snapshot, page: &mut Page<'_>) {
    page.text("{\"profile\":\"").text(snapshot.profile).text("\"");
    for figure in &PROCESS {
        member(page, figure.name, (figure.value)(snapshot));
    }
    page.text(",\"system_calls\":{");
    for (index, (name, count)) in memory::call_names().zip(snapshot.calls).enumerate() {
        page.text(if index == 0 { "\"" } else { ",\"" });
        page.text(memory::bare(name)).text("\":").number(count);
    }
    page.text("},\"classes\":[");
    for (index, (class, figures)) in snapshot.used_classes().enumerate() {
        object(page, index, "block_bytes", class.size() as u64, &(class, *figures), &CLASS);
    }
    page.text("],\"threads\":[");
    for (index, heap) in snapshot.each_heap().enumerate() {
        object(page, index, "thread", u64::from(heap.thread), heap, &HEAP);
    }
    page.text("]}\n");
}

fn member(page: &mut Page<'_>, name: &str, value: u64) {
    page.text(",\"").text(name).text("\":").number(value);
}

fn object<T>(page: &mut Page<'_>, index: usize, key: &str, id: u64, of: &T, figures: &[Figure<T>]) {
    page.text(if index == 0 { "{\"" } else { ",{\"" }).text(key).text("\":").number(id);
    for figure in figures {
        member(page, figure.name, (figure.value)(of));
    }
    page.text("}");
}
