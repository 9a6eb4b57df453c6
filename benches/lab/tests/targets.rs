//! Made-up runs that hold what is published, miss it, or miss it within their noise.

mod made;

use made::{allocator, empty, runs, workload};
use spandrel_lab::publish;
use spandrel_lab::results::{Form, Idle, Kind, Results, Role, Said};
use spandrel_lab::targets::{self, Targets, Verdict};
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

const TARGETS: &str = r#"
[[target]]
text = "CPU time"
figure = "time"
against = "mimalloc3"
wanted = 0.85
claimed = [{ page = "README.md", words = "fast" }]

[[target]]
text = "peak memory"
figure = "memory"
against = "mimalloc3"
wanted = 0.55
published.full = { found = 0.60, noise = 0.01 }
published.quick = { found = 0.70, noise = 0.01 }
claimed = [{ page = "docs/memory.md", words = "frugal" }]

[[target]]
text = "resident after a peak"
figure = "idle"
rows = "idle"
wanted = 1.2
plus-kib = 2048
claimed = [{ page = "docs/memory.md", words = "gives back" }]
"#;

fn wanted() -> Targets {
    Targets::parse(TARGETS).unwrap()
}

/// A full run in which Spandrel takes so many times the time and memory of mimalloc, and keeps so many KiB of 4 MiB.
fn full(time: f64, memory: f64, kept: f64) -> Results {
    let mut results = empty();
    results.made.form = Form::Full;
    results.allocators = vec![allocator("spandrel", Role::Own), allocator("mimalloc3", Role::Peer)];
    results.workloads.push(workload("work", Kind::Time));
    results.runs.extend(runs("work", "spandrel", time, 1000.0 * memory, &Said::default()));
    results.runs.extend(runs("work", "mimalloc3", 1.0, 1000.0, &Said::default()));
    results.workloads.push(workload("idle", Kind::Idle));
    let idle = Idle { live_bytes: 4 << 20, rss_kib_at_peak: 1e5, rss_kib_after: kept, seconds: 2.0 };
    for name in ["spandrel", "mimalloc3"] {
        let peak = if name == "spandrel" { memory } else { 1.0 };
        let said = Said { idle: Some(idle), ..Said::default() };
        results.runs.extend(runs("idle", name, 1.0, 1000.0 * peak, &said));
    }
    results
}

fn verdicts(results: &Results) -> Vec<Verdict> {
    wanted().judge(results).into_iter().map(|judged| judged.verdict).collect()
}

#[test]
fn a_run_that_holds_is_published() {
    let results = full(0.8, 0.5, 6000.0);
    assert_eq!(verdicts(&results), [Verdict::Reached; 3]);
    assert!(wanted().missed(&results).is_empty());
    publish::refuse(&results, &wanted(), Form::Full).unwrap();
}

#[test]
fn a_run_that_misses_gets_a_line_for_each_target_and_is_not_published() {
    let results = full(0.95, 0.65, 8000.0);
    assert_eq!(verdicts(&results), [Verdict::Missed; 3]);
    let missed = wanted().missed(&results);
    assert_eq!(missed.len(), 3);
    assert!(
        missed[0].starts_with("MISSED: CPU time: at most 0.85 of mimalloc3: 0.950 of mimalloc3, noise "),
        "{missed:?}"
    );
    assert!(missed[0].ends_with("(README.md)"), "{missed:?}");
    assert!(missed[1].contains("published: 0.60"), "{missed:?}");
    assert!(missed[2].starts_with("MISSED: idle: resident after a peak: 8000 KiB of 6963 KiB"), "{missed:?}");
    let refusal = publish::refuse(&results, &wanted(), Form::Full).unwrap_err().to_string();
    assert!(missed.iter().all(|line| refusal.contains(line)), "{refusal}");
}

#[test]
fn a_miss_within_the_noise_of_the_runs_is_none() {
    // The runs are made 1 % apart: the noise of the ratio is about 3 %.
    let results = full(0.86, 0.5, 6000.0);
    assert_eq!(verdicts(&results)[0], Verdict::WithinNoise);
    assert!(wanted().missed(&results).is_empty());
    let mut steady = results.clone();
    for run in &mut steady.runs {
        run.cpu = if run.allocator == "spandrel" { 0.86 } else { 1.0 };
    }
    assert_eq!(verdicts(&steady)[0], Verdict::Missed, "the same medians without noise");
}

#[test]
fn a_published_figure_stands_in_for_a_target_that_is_missed() {
    assert_eq!(verdicts(&full(0.8, 0.59, 6000.0))[1], Verdict::Known);
    assert_eq!(verdicts(&full(0.8, 0.605, 6000.0))[1], Verdict::Known, "within the noise of the published figure");
    assert_eq!(verdicts(&full(0.8, 0.65, 6000.0))[1], Verdict::Missed);
    let mut quick = full(0.8, 0.65, 6000.0);
    quick.made.form = Form::Quick;
    assert_eq!(verdicts(&quick)[1], Verdict::Known, "quick runs have a figure of their own");
    let mut without = wanted();
    without.target[1].published.quick = None;
    assert_eq!(without.judge(&quick)[1].verdict, Verdict::Open, "that of a full run says nothing about a quick one");
}

#[test]
fn two_runs_show_no_noise_and_are_not_published() {
    let mut results = full(0.95, 0.5, 6000.0);
    results.runs.retain(|run| run.round < 2);
    assert_eq!(verdicts(&results)[0], Verdict::Open);
    let refusal = publish::refuse(&results, &wanted(), Form::Full).unwrap_err().to_string();
    assert!(refusal.contains("NOT MEASURED: CPU time: at most 0.85 of mimalloc3 (README.md)"), "{refusal}");
}

#[test]
fn a_run_of_a_choice_is_neither_judged_nor_published() {
    let mut results = full(0.95, 0.65, 8000.0);
    results.made.form = Form::Part;
    assert!(wanted().missed(&results).is_empty());
    assert!(publish::refuse(&results, &wanted(), Form::Full).is_err());
    results.made.form = Form::Quick;
    assert_eq!(wanted().missed(&results).len(), 2, "a quick run is judged");
    assert!(publish::refuse(&full_as(Form::Quick), &wanted(), Form::Full).is_err(), "and not published");
}

fn full_as(form: Form) -> Results {
    let mut results = full(0.8, 0.5, 6000.0);
    results.made.form = form;
    results
}

#[test]
fn targets_of_mode_hardened_are_decided_by_runs_of_hardened_allocators() {
    let hardened = TARGETS.replace("against =", "of = \"spandrel-hardened\"\nagainst =");
    let targets = Targets::parse(&hardened).unwrap();
    let judged = |form| {
        let mut results = full_as(form);
        results.allocators.push(allocator("spandrel-hardened", Role::Own));
        targets.judge(&results).into_iter().map(|judged| judged.text).collect::<Vec<_>>()
    };
    assert_eq!(
        judged(Form::Security),
        ["CPU time: at most 0.85 of mimalloc3", "peak memory: at most 0.55 of mimalloc3"]
    );
    assert_eq!(judged(Form::Full), judged(Form::Quick));
    assert_eq!(judged(Form::Full), ["idle: resident after a peak"], "that of the default mode alone");
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

#[test]
fn the_pages_say_what_the_targets_of_this_repository_claim() {
    let targets = Targets::read(&root().join(targets::FILE)).unwrap();
    let mut missing = BTreeSet::new();
    for target in &targets.target {
        assert!(!target.claimed.is_empty(), "{} is claimed nowhere", target.text);
        for claim in &target.claimed {
            let page = fs::read_to_string(root().join(&claim.page)).unwrap();
            let page: String = page.split_whitespace().collect::<Vec<_>>().join(" ");
            if !page.contains(&claim.words) {
                missing.insert(format!("{} does not say {:?}", claim.page, claim.words));
            }
        }
    }
    assert!(missing.is_empty(), "{missing:#?}");
}
