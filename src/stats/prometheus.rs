//! The snapshot in Prometheus's text format (version 0.0.4).

use super::figures::{CLASS, Figure, HEAP, Kind, PROCESS};
use super::snapshot::Snapshot;
use crate::base::page::Page;
use crate::sys::memory;

const CALLS: Figure<()> = Figure {
    name: "system_calls",
    kind: Kind::Counter,
    help: "System calls for memory, refused ones included.",
    value: |()| 0,
};

/// Writes all metrics.
pub(super) fn report(snapshot: &Snapshot, page: &mut Page<'_>) {
    for figure in &PROCESS {
        head(page, "", figure);
        name(page, "", figure).text(" ").number((figure.value)(snapshot)).text("\n");
    }
    head(page, "", &CALLS);
    for (call, count) in memory::call_names().zip(snapshot.calls) {
        name(page, "", &CALLS).text("{call=\"").text(memory::bare(call)).text("\"} ").number(count).text("\n");
    }
    for figure in &CLASS {
        head(page, "class_", figure);
        for (class, figures) in snapshot.used_classes() {
            name(page, "class_", figure).text("{class=\"").number(class.size() as u64).text("\"} ");
            page.number((figure.value)(&(class, *figures))).text("\n");
        }
    }
    for figure in &HEAP {
        head(page, "heap_", figure);
        for heap in snapshot.each_heap() {
            name(page, "heap_", figure).text("{thread=\"").number(u64::from(heap.thread)).text("\"} ");
            page.number((figure.value)(heap)).text("\n");
        }
    }
}

fn head<T>(page: &mut Page<'_>, group: &str, figure: &Figure<T>) {
    page.text("# HELP ");
    name(page, group, figure).text(" ").text(figure.help).text("\n# TYPE ");
    let kind = if figure.kind == Kind::Counter { " counter\n" } else { " gauge\n" };
    name(page, group, figure).text(kind);
}

fn name<'a, 'b, T>(page: &'a mut Page<'b>, group: &str, figure: &Figure<T>) -> &'a mut Page<'b> {
    page.text("spandrel_").text(group).text(figure.name);
    page.text(if figure.kind == Kind::Counter { "_total" } else { "" })
}
