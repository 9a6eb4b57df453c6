//! The tables of all figures, workload by workload, and what was compared.
//!
//! Knows: every figure. Must not know: wins and losses.

use super::markdown::{self, Table, ratio};
use crate::allocators::SPANDREL;
use crate::latency::{CALLS, PERCENTILES};
use crate::losses::fastest;
use crate::results::{Group, Kind, Results, Workload};
use crate::table::{self, Measure, Selection, base, failure, figure};
use crate::targets::{self, Targets};
use spandrel_xtask::stats;

const KIB_PER_MIB: f64 = 1024.0;
const SHORT_SUM: usize = 16;

/// Ratios against the base, a table for each group.
pub(super) fn ratios(results: &Results, measure: Measure) -> String {
    Selection::all(results).map(|selection| ratios_of(results, &selection, measure)).collect()
}

/// One row per workload; the smallest of a row stands out.
fn ratios_of(results: &Results, selection: &Selection<'_>, measure: Measure) -> String {
    let best = measure == Measure::Cpu && selection.group == Group::Default;
    let base = base(results);
    let title = match measure {
        Measure::Cpu => "CPU time (user + system)",
        Measure::Wall => "Wall time",
        Measure::Peak => "Peak resident memory",
        Measure::Faults => "Page faults",
    };
    let names = &selection.names;
    let mut headings = vec!["workload"];
    headings.extend(names);
    headings.extend(best.then_some("best peer"));
    let mut table = Table::new(headings, 1..usize::MAX);
    for workload in selection.workloads.iter().filter(|workload| measure.counts(workload)) {
        let ratios: Vec<Option<f64>> =
            names.iter().map(|name| table::ratio(results, &workload.name, name, base, measure)).collect();
        let least = stats::minimum(&ratios.iter().copied().flatten().collect::<Vec<_>>());
        let mut cells = vec![workload.name.clone()];
        cells.extend(names.iter().zip(&ratios).map(|(name, value)| match value {
            None if failure(results, &workload.name, name).is_some() => "failed".to_owned(),
            Some(value) if *value == least => format!("**{value:.2}**"),
            value => ratio(*value),
        }));
        if best {
            cells.push(against_best(results, workload));
        }
        table.row(cells);
    }
    if table.is_empty() {
        return String::new();
    }
    let mut cells = vec!["geometric mean".to_owned()];
    cells.extend(names.iter().map(|name| ratio(selection.mean(results, name, measure, |_| true))));
    cells.extend(best.then(String::new));
    table.row(cells);
    let title = format!("{title}{}", selection.title());
    format!("## {title}\n\nMedians against {base}; the smallest of a row in bold.\n\n{}", table.text())
}

/// The fastest peer of a workload and Spandrel against it.
fn against_best(results: &Results, workload: &Workload) -> String {
    let Some((peer, best)) = fastest(results, &workload.name) else { return "–".to_owned() };
    let own = figure(results, &workload.name, SPANDREL, Measure::Cpu);
    format!("{peer}; Spandrel {}", ratio(own.map(|own| own.median / best.median)))
}

/// Resident memory after a peak and a pause.
pub(super) fn idle(results: &Results, targets: &Targets) -> String {
    let mut text = String::new();
    for workload in results.workloads.iter().filter(|workload| workload.kind == Kind::Idle) {
        let mut table = Table::new(["allocator", "resident after", "limit", ""], 1..3);
        for allocator in results.present() {
            let Some((after, live)) = targets::idle(results, &workload.name, &allocator.name) else { continue };
            let limit = targets.idle_limit(live);
            table.row([
                allocator.name.clone(),
                markdown::figure(&after, 1.0 / KIB_PER_MIB, 1, " MiB"),
                limit.map_or_else(|| "–".to_owned(), |limit| format!("{:.1} MiB", limit / KIB_PER_MIB)),
                limit.map_or("", |limit| if after.median <= limit { "within" } else { "above" }).to_owned(),
            ]);
        }
        text.push_str(&format!("### {}\n\n{}.\n\n{}", workload.name, workload.summary, table.text()));
    }
    if text.is_empty() {
        text
    } else {
        format!("## Memory after a peak\n\nThe limit is the target for Spandrel.\n\n{text}")
    }
}

/// How long single calls take.
pub(super) fn latency(results: &Results) -> String {
    let mut text = String::new();
    for workload in results.workloads.iter().filter(|workload| workload.kind == Kind::Latency) {
        let mut headings = vec!["allocator".to_owned()];
        headings.extend(
            CALLS.iter().flat_map(|call| {
                PERCENTILES.iter().map(move |percentile| format!("{} {}", call.name, percentile.name))
            }),
        );
        let mut table = Table::new(headings, 1..usize::MAX);
        for allocator in results.present() {
            let mut cells = vec![allocator.name.clone()];
            cells.extend(CALLS.iter().flat_map(|call| {
                PERCENTILES.iter().map(|percentile| {
                    let value = percentile.figure(results, &workload.name, &allocator.name, call);
                    value.map_or_else(|| "–".to_owned(), |value| markdown::figure(&value, 1.0, 0, ""))
                })
            }));
            table.row(cells);
        }
        text.push_str(&format!("### {}\n\n{}.\n\n{}", workload.name, workload.summary, table.text()));
    }
    if text.is_empty() {
        return text;
    }
    format!(
        "## Duration of single calls\n\nNanoseconds over the runs. The largest of all calls is as much the machine's doing \
         as the allocator's.\n\n{text}"
    )
}

/// Median, minimum and spread of every pair.
pub(super) fn measured(results: &Results) -> String {
    let mut table =
        Table::new(["workload", "allocator", "runs", "CPU s", "wall s", "peak MiB", "faults"], 2..usize::MAX);
    for workload in &results.workloads {
        for allocator in results.present() {
            let of = |measure| figure(results, &workload.name, &allocator.name, measure);
            let (Some(cpu), Some(wall), Some(peak), Some(faults)) =
                (of(Measure::Cpu), of(Measure::Wall), of(Measure::Peak), of(Measure::Faults))
            else {
                continue;
            };
            table.row([
                workload.name.clone(),
                allocator.name.clone(),
                cpu.count.to_string(),
                markdown::figure(&cpu, 1.0, 3, ""),
                markdown::figure(&wall, 1.0, 3, ""),
                markdown::figure(&peak, 1.0 / KIB_PER_MIB, 1, ""),
                markdown::figure(&faults, 1.0, 0, ""),
            ]);
        }
    }
    format!(
        "## All figures and their spread\n\nMedian, and in brackets the minimum and the spread.\n\n\
         <details><summary>show</summary>\n\n{}</details>\n\n",
        table.text()
    )
}

/// How many runs a row had: under Spandrel, and the least and the most under any allocator.
fn runs(results: &Results, workload: &str) -> String {
    let count = |name: &str| results.good(workload, name).count();
    let counts: Vec<usize> =
        results.present().map(|allocator| count(&allocator.name)).filter(|count| *count > 0).collect();
    let (least, most) = (counts.iter().min().unwrap_or(&0), counts.iter().max().unwrap_or(&0));
    format!("{} ({least} to {most})", count(SPANDREL))
}

/// The list of workloads: what each does, and its source.
pub(super) fn workloads(results: &Results) -> String {
    let mut table = Table::new(["workload", "what it does", "threads", "after", "runs"], 2..3);
    for workload in &results.workloads {
        let threads = if workload.threads == 0 { "its own".to_owned() } else { workload.threads.to_string() };
        let after = if workload.synthetic() { workload.field.as_str() } else { "a real program" };
        let runs = runs(results, &workload.name);
        table.row([workload.name.as_str(), workload.summary.as_str(), &threads, after, &runs]);
    }
    let mut text = format!(
        "## Workloads\n\nRuns are those under Spandrel, and in brackets the fewest and the most under any allocator.\n\n{}",
        table.text()
    );
    for (name, reason) in &results.made.left_out {
        text.push_str(&format!("- {name} was left out: {reason}\n"));
    }
    text + "\n"
}

/// The list of allocators, and the reasons why some are absent.
pub(super) fn allocators(results: &Results) -> String {
    let mut table = Table::new(["allocator", "origin", "says of itself", "environment", "SHA-256 begins"], 0..0);
    for allocator in results.present() {
        let environment: Vec<String> =
            allocator.environment.iter().map(|(name, value)| format!("`{name}={value}`")).collect();
        let sum: String = allocator.sha256.chars().take(SHORT_SUM).collect();
        table.row([
            allocator.name.clone(),
            allocator.origin.clone(),
            allocator.version.clone(),
            environment.join(" "),
            sum,
        ]);
    }
    let mut text =
        format!("## Allocators\n\nEach was shown to serve `malloc` before it was timed.\n\n{}", table.text());
    for allocator in &results.allocators {
        if let Some(reason) = &allocator.absent {
            text.push_str(&format!("- **{}** is absent: {reason}\n", allocator.name));
        }
    }
    text
}
