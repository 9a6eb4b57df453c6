//! The snapshot in Prometheus's text format (version 0.0.4).

use super::figures::{self, CLASS, Figure, HEAP, Kind, PROCESS};
use super::snapshot::Snapshot;
use crate::base::page::Page;
use crate::sys::memory;

static CALLS: Figure = Figure::new(Kind::Counter, "system_calls", "System calls for memory, refused ones included.");

/// Writes all metrics.
pub(super) fn report(snapshot: &Snapshot, page: &mut Page<'_>) {
    for (figure, value) in PROCESS.iter().zip(figures::process(snapshot)) {
        head(page, "", figure);
        name(page, "", figure).text(" ").number(value).text("\n");
    }
    head(page, "", &CALLS);
    for (call, count) in memory::call_names().zip(snapshot.calls) {
        name(page, "", &CALLS).text("{call=\"").text(memory::bare(call)).text("\"} ").number(count).text("\n");
    }
    for (index, figure) in CLASS.iter().enumerate() {
        head(page, "class_", figure);
        for (class, of_class) in snapshot.used_classes() {
            name(page, "class_", figure).text("{class=\"").number(class.size() as u64).text("\"} ");
            let values = figures::class(&(class, *of_class));
            page.number(values.get(index).copied().unwrap_or_default()).text("\n");
        }
    }
    for (index, figure) in HEAP.iter().enumerate() {
        head(page, "heap_", figure);
        for heap in snapshot.each_heap() {
            name(page, "heap_", figure).text("{thread=\"").number(u64::from(heap.thread)).text("\"} ");
            page.number(figures::heap(heap).get(index).copied().unwrap_or_default()).text("\n");
        }
    }
}

fn head(page: &mut Page<'_>, group: &str, figure: &Figure) {
    page.text("# HELP ");
    name(page, group, figure).text(" ").text(figure.help()).text("\n# TYPE ");
    let kind = if figure.kind == Kind::Counter { " counter\n" } else { " gauge\n" };
    name(page, group, figure).text(kind);
}

fn name<'a, 'b>(page: &'a mut Page<'b>, group: &str, figure: &Figure) -> &'a mut Page<'b> {
    page.text("spandrel_").text(group).text(figure.name());
    page.text(if figure.kind == Kind::Counter { "_total" } else { "" })
}
