//! A made-up result in which Spandrel loses: the report has to name each loss, each failure and each target.

mod made;

use made::{allocator, empty, runs, workload};
use spandrel_lab::causes::{Causes, UNKNOWN};
use spandrel_lab::losses::{self, Outcome};
use spandrel_lab::plot::{self, Forms};
use spandrel_lab::report;
use spandrel_lab::results::{Allocator, Calls, Idle, Kind, Latency, Results, Role, Said};
use spandrel_lab::targets::{self, Targets};
use std::path::Path;

/// Spandrel wins `won`, loses `lost` in time and `fat` in memory, and fails `broken`.
fn made_up() -> Results {
    let mut results = empty();
    let names = [
        ("spandrel", Role::Own),
        ("mimalloc3", Role::Peer),
        ("snmalloc", Role::Peer),
        ("slow", Role::Peer),
        ("glibc", Role::System),
    ];
    results.allocators = names.iter().map(|(name, role)| allocator(name, *role)).collect();
    results.allocators.push(Allocator { absent: Some("no network".to_owned()), ..allocator("rpmalloc", Role::Peer) });
    for (name, cpu, peaks) in [
        ("won", [0.5, 1.0, 1.2, 3.0, 2.0], [500.0, 1000.0, 900.0, 100.0, 100.0]),
        ("lost", [1.3, 1.0, 1.2, 3.0, 2.0], [900.0, 1000.0, 950.0, 100.0, 100.0]),
        ("fat", [0.9, 1.0, 1.2, 3.0, 2.0], [1200.0, 1000.0, 900.0, 100.0, 100.0]),
        ("broken", [1.0, 1.0, 1.2, 3.0, 2.0], [900.0, 1000.0, 900.0, 900.0, 900.0]),
    ] {
        results.workloads.push(workload(name, Kind::Time));
        for (((allocator, _), cpu), peak) in names.iter().zip(cpu).zip(peaks) {
            results.runs.extend(runs(name, allocator, cpu, peak, &Said::default()));
        }
    }
    let broken = results.runs.iter_mut().find(|run| run.workload == "broken" && run.allocator == "spandrel").unwrap();
    broken.failure = Some("killed by signal 11".to_owned());
    add_special(&mut results, &names);
    results
}

/// One workload of each kind that is drawn or judged in a way of its own.
fn add_special(results: &mut Results, names: &[(&str, Role)]) {
    let idle = |after| Said {
        idle: Some(Idle { live_bytes: 4 << 20, rss_kib_at_peak: 1e5, rss_kib_after: after, seconds: 2.0 }),
        ..Said::default()
    };
    let series = Said { series: vec![[0.0, 10.0, 5.0], [500.0, 30.0, 20.0], [1000.0, 12.0, 2.0]], ..Said::default() };
    let latency = Latency { p50: 20.0, p90: 25.0, p99: 40.0, p99_9: 90.0, p99_99: 900.0, max: 1e6, count: 10 };
    let calls =
        Said { latency: Some(Calls { resolution_ns: 10.0, malloc: latency, free: latency }), ..Said::default() };
    for (name, kind) in [("idle", Kind::Idle), ("soak", Kind::Soak), ("latency", Kind::Latency)] {
        results.workloads.push(workload(name, kind));
        for (number, (allocator, _)) in names.iter().enumerate() {
            let said = match kind {
                Kind::Idle => &idle(6000.0 + 2000.0 * number as f64),
                Kind::Soak => &series,
                _ => &calls,
            };
            results.runs.extend(runs(name, allocator, 1.0, 1000.0, said));
        }
    }
}

/// Those of this repository.
fn targets() -> Targets {
    Targets::read(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(targets::FILE)).unwrap()
}

/// The part of a report below one heading.
fn part<'a>(report: &'a str, heading: &str) -> &'a str {
    let start = report.find(heading).unwrap_or_else(|| panic!("no {heading}"));
    let rest = &report[start + heading.len()..];
    &rest[..rest.find("\n#").unwrap_or(rest.len())]
}

#[test]
fn losses_in_time_are_found_against_the_fastest_peer() {
    let verdicts = losses::in_time(&made_up());
    let of = |name: &str| verdicts.iter().find(|verdict| verdict.workload == name).unwrap();
    assert_eq!(of("won").outcome, Outcome::Win);
    assert_eq!((of("lost").outcome, of("lost").peer.as_str()), (Outcome::Loss, "mimalloc3"));
    assert!((of("lost").ratio() - 1.3).abs() < 1e-9);
    assert!(verdicts.iter().all(|verdict| verdict.workload != "broken" && verdict.workload != "soak"));
}

#[test]
fn a_difference_within_the_noise_is_a_draw() {
    let mut results = made_up();
    for run in results.runs.iter_mut().filter(|run| run.workload == "lost" && run.allocator == "spandrel") {
        run.cpu = run.cpu / 1.3 * 1.02;
    }
    let verdicts = losses::in_time(&results);
    assert_eq!(verdicts.iter().find(|verdict| verdict.workload == "lost").unwrap().outcome, Outcome::Draw);
}

#[test]
fn losses_in_memory_leave_slow_peers_and_glibc_aside() {
    let verdicts = losses::in_memory(&made_up());
    let of = |name: &str| verdicts.iter().find(|verdict| verdict.workload == name).unwrap();
    assert_eq!((of("fat").outcome, of("fat").peer.as_str()), (Outcome::Loss, "snmalloc"));
    assert_eq!(of("won").outcome, Outcome::Win);
    assert_eq!(of("lost").outcome, Outcome::Win);
}

#[test]
fn the_report_names_every_loss_with_its_cause() {
    let causes = Causes::parse("[lost]\ntime = \"a lock is taken twice\"\n").unwrap();
    let report = report::render(&made_up(), &causes, &targets(), &[], "pictures");
    let lost = part(&report, "## Where Spandrel loses");
    assert!(lost.contains("**broken**: spandrel fails: killed by signal 11"), "{lost}");
    let time = part(&report, "### In time");
    assert!(time.contains("| lost | 1.300 s (1.274, 2 %) | mimalloc3 | 1.000 s (0.980, 2 %) | 1.30 |"), "{time}");
    assert!(time.contains("a lock is taken twice"), "{time}");
    assert!(!time.contains("won"), "{time}");
    let memory = part(&report, "### In peak memory");
    assert!(memory.contains("| fat |") && memory.contains(UNKNOWN), "{memory}");
}

#[test]
fn the_report_has_minimum_median_spread_and_runs_of_each_figure() {
    let report = report::render(&made_up(), &Causes::default(), &targets(), &[], "pictures");
    let figures = part(&report, "## All figures");
    assert!(
        figures.contains("| won | spandrel | 5 | 0.500 (0.490, 2 %) | 0.500 (0.500, 0 %) | 0.5 (0.5, 0 %) |"),
        "{figures}"
    );
    assert!(part(&report, "### idle\n").contains("| spandrel | 5.9 MiB (5.9, 0 %) | 6.8 MiB | within |"), "{report}");
    assert!(part(&report, "### latency\n").contains("| spandrel | 20 (20, 0 %) |"), "{report}");
    assert!(part(&report, "## Workloads").contains("| won | works | 1 | nobody | 5 (5 to 5) |"));
}

#[test]
fn too_few_runs_are_no_verdict() {
    let mut results = made_up();
    results.runs.retain(|run| run.workload != "lost" || run.round < 2);
    let verdicts = losses::in_time(&results);
    assert_eq!(verdicts.iter().find(|verdict| verdict.workload == "lost").unwrap().outcome, Outcome::Open);
    let report = report::render(&results, &Causes::default(), &targets(), &[], "pictures");
    assert!(part(&report, "### In time").contains("Too few runs to tell: lost."));
}

#[test]
fn the_report_names_failures_absent_peers_and_what_was_left_out() {
    let report = report::render(&made_up(), &Causes::default(), &targets(), &[], "pictures");
    assert!(part(&report, "## Failures").contains("| broken | spandrel | killed by signal 11 |"));
    assert!(part(&report, "## Allocators").contains("**rpmalloc** is absent: no network"));
    assert!(part(&report, "## Workloads").contains("ghostscript was left out: not installed: gs"));
}

#[test]
fn every_picture_is_drawn_and_named_in_the_report() {
    let dir = tempfile::tempdir().unwrap();
    let results = made_up();
    let pictures = plot::draw(&results, dir.path(), Forms::SvgOnly).unwrap();
    let names: Vec<&str> = pictures.iter().map(|picture| picture.name.as_str()).collect();
    assert_eq!(names, ["time-and-memory", "time", "memory", "over-time-soak", "calls-latency"]);
    let report = report::render(&results, &Causes::default(), &targets(), &pictures, "pictures");
    for name in names {
        let svg = std::fs::read_to_string(dir.path().join(format!("{name}.svg"))).unwrap();
        assert!(svg.contains("Spandrel"), "{name}");
        assert!(report.contains(&format!("(pictures/{name}.svg)")), "{name}");
    }
}

#[test]
fn results_are_read_as_they_were_written() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("results.json");
    let results = made_up();
    results.write(&path).unwrap();
    let read = Results::read(&path).unwrap();
    assert_eq!(read.runs.len(), results.runs.len());
    assert_eq!(read.runs[0].said, results.runs[0].said);
    std::fs::write(&path, "{\"schema\": 999}").unwrap();
    assert!(Results::read(&path).unwrap_err().to_string().contains("999"));
}
