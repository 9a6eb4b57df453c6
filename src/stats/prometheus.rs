//! The snapshot in Prometheus's text format (version 0.0.4).

use super::bills::HolderFigures;
use super::figures::{self, BILL, CLASS, Figure, HEAP, MetricType, PROCESS, SHARED};
use super::snapshot::Snapshot;
use crate::base::page::Page;
use crate::sys::memory;

static CALLS: Figure =
    Figure::new(MetricType::Counter, "system_calls", "System calls for memory, refused ones included.");

/// Writes all metrics.
#[inline(never)]
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
    bills(snapshot, page);
}

/// The bills: a series for each name, and one for each share that has no name; none without named heaps. Heaps of one
/// name are one series, because no two series may have the same labels.
#[inline(never)]
fn bills(snapshot: &Snapshot, page: &mut Page<'_>) {
    let bills = &snapshot.bills;
    for (index, figure) in BILL.iter().enumerate() {
        let value = |of: &HolderFigures| figures::bill(of).get(index).copied().unwrap_or_default();
        head(page, "bill_", figure);
        for (row, heap) in bills.rows().enumerate() {
            let is_same = |other: &&HolderFigures| (other.label(), other.shown()) == (heap.label(), heap.shown());
            if !bills.rows().take(row).any(|before| is_same(&before)) {
                let sum = bills.rows().skip(row).filter(is_same).map(value).fold(0, u64::saturating_add);
                name(page, "bill_", figure)
                    .text("{")
                    .text(heap.label())
                    .text("=")
                    .quoted(heap.shown())
                    .text("} ")
                    .number(sum)
                    .text("\n");
            }
        }
        let default = (bills.heaps > 0).then(|| ("default", snapshot.default_heap()));
        let others = bills.others().map(|(_, sums)| ("others", *sums));
        for (share, sums) in [default, others].into_iter().flatten().filter(|_| index < SHARED) {
            name(page, "bill_", figure).text("{share=\"").text(share).text("\"} ").number(value(&sums)).text("\n");
        }
    }
}

fn head(page: &mut Page<'_>, group: &str, figure: &Figure) {
    page.text("# HELP ");
    name(page, group, figure).text(" ").text(figure.help()).text("\n# TYPE ");
    let kind = if figure.metric == MetricType::Counter { " counter\n" } else { " gauge\n" };
    name(page, group, figure).text(kind);
}

fn name<'a, 'b>(page: &'a mut Page<'b>, group: &str, figure: &Figure) -> &'a mut Page<'b> {
    page.text("spandrel_").text(group).text(figure.name());
    page.text(if figure.metric == MetricType::Counter { "_total" } else { "" })
}
