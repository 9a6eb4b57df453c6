//! The first page: circumstances, targets, where the field stands.
//!
//! Knows: headlines. Must not know: single workloads.

use super::markdown::{Table, ratio};
use crate::allocators::{SPANDREL, SPANDREL_HARDENED};
use crate::losses::best_together;
use crate::results::{Group, Results, Workload};
use crate::table::{Measure, Selection, base};
use crate::targets::{Targets, Verdict};
use std::fmt::Write;

const SECONDS_PER_MINUTE: f64 = 60.0;

/// When, where and how it was measured.
pub(super) fn circumstances(results: &Results) -> String {
    let (made, machine) = (&results.made, &results.machine);
    let mut text = String::new();
    let given = match made.budget {
        0.0 => String::new(),
        _ => format!(" of {:.0} that were given", made.budget / SECONDS_PER_MINUTE),
    };
    let _ = write!(
        text,
        "Measured on {} at commit `{}` in {:.0} minutes{given} by `spandrel-lab {}`, at {} times the full amount of work. Runs follow one \
         another, never two at once, in an order drawn anew for each round (seed {}). Each pair had {} runs as far as time allowed; \
         then the rows whose figures were noisiest had more, under the allocators that decide about them. [Workloads](#workloads) \
         says how many runs each row had.\n\n",
        made.date,
        made.commit,
        (made.seconds / SECONDS_PER_MINUTE).ceil(),
        made.command,
        made.scale,
        made.seed,
        made.runs,
    );
    let _ = write!(
        text,
        "Machine: {}, {} cores, {} MiB, {}, Linux {}, {}, transparent huge pages `{}`, load {} before the first run.\n\n",
        machine.cpu,
        machine.cores,
        machine.memory_mib,
        machine.system,
        machine.kernel,
        machine.glibc,
        machine.huge_pages,
        machine.load_before
    );
    text.push_str(
        "Figures are medians; where a bracket follows, it has the minimum and the spread (distance between the quartiles as a share of the \
         median). The noise of a figure is twice the standard error of its median, as its runs spread. Lower is better everywhere.\n\n",
    );
    text
}

/// Each target with reached or missed.
pub(super) fn targets(results: &Results, targets: &Targets) -> String {
    let mut table = Table::new(["target", "found", ""], 0..0);
    for judged in targets.judge(results) {
        let mark = match judged.verdict {
            Verdict::Known | Verdict::Missed => format!("**{}**", judged.verdict.words()),
            verdict => verdict.words().to_owned(),
        };
        table.row([judged.text, judged.found, mark]);
    }
    format!(
        "## Targets\n\nA target is missed if its figure is beyond it by more than the noise; *as published* says that the pages name the figure, and \
         that it is no worse.\n\n{}",
        table.text()
    )
}

/// Geometric means of every allocator, a table for each group.
pub(super) fn field(results: &Results) -> String {
    let base = base(results);
    let mut text = format!(
        "## Where the field stands\n\nGeometric means of CPU time and of peak resident memory against {base}.\n\n"
    );
    for selection in Selection::all(results) {
        match selection.group {
            Group::Default => {}
            Group::Hardened => text.push_str("### Hardened allocators\n\n"),
            Group::Modes => text.push_str("### Modes of Spandrel\n\n"),
        }
        text.push_str(&means(results, &selection));
    }
    text
}

fn means(results: &Results, selection: &Selection<'_>) -> String {
    let headings =
        ["allocator", "time", "time, workloads", "time, programs", "memory", "memory, workloads", "memory, programs"];
    let mut table = Table::new(headings, 1..usize::MAX);
    let kinds: [fn(&Workload) -> bool; 3] = [|_| true, Workload::synthetic, |workload| !workload.synthetic()];
    let columns: Vec<_> =
        [Measure::Cpu, Measure::Peak].into_iter().flat_map(|measure| kinds.map(|kind| (measure, kind))).collect();
    let bold_one = if selection.group == Group::Hardened { SPANDREL_HARDENED } else { SPANDREL };
    for name in &selection.names {
        let bold = if *name == bold_one { "**" } else { "" };
        let mean = |(measure, kind): &(Measure, fn(&Workload) -> bool)| {
            format!("{bold}{}{bold}", ratio(selection.mean(results, name, *measure, kind)))
        };
        let mut cells = vec![format!("{bold}{name}{bold}")];
        cells.extend(columns.iter().map(mean));
        table.row(cells);
    }
    if selection.group == Group::Default {
        let mut cells = vec!["best peer of each workload".to_owned()];
        cells.extend(columns.iter().map(|(measure, kind)| {
            ratio(best_together(results, *measure, |workload| measure.counts(workload) && kind(workload)))
        }));
        table.row(cells);
    }
    table.text()
}
