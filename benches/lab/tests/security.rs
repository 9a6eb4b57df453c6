//! Hardened allocators: tables and pictures of their own, their targets, and the picture of time against attacks.

mod made;

use made::{RUNS, allocator, empty, runs, workload};
use spandrel_lab::attacks::{self, Attacks, Times};
use spandrel_lab::plot::{self, Forms};
use spandrel_lab::results::{Allocator, Group, Kind, Results, Role, Said};
use spandrel_lab::table::{Measure, Selection, text};
use spandrel_lab::targets::{self, Targets, Verdict};
use spandrel_lab::{losses, report, security};
use std::fs;
use std::path::Path;

/// Spandrel and two peers in both groups; `light` alone is without hardened runs, `scudo` fails `heavy`.
fn made_up() -> Results {
    let mut results = empty();
    let hardened = |name, role| Allocator { group: Group::Hardened, ..allocator(name, role) };
    results.allocators = vec![
        allocator("spandrel", Role::Own),
        allocator("mimalloc3", Role::Peer),
        hardened("spandrel-hardened", Role::Own),
        hardened("snmalloc-checks", Role::Peer),
        hardened("scudo", Role::Peer),
    ];
    for (name, threads, cpu) in [
        ("light", 1, [0.5, 1.0, 0.0, 0.0, 0.0]),
        ("heavy", 1, [0.8, 1.0, 1.2, 1.3, 1.6]),
        ("shared", 2, [0.8, 1.0, 1.2, 1.4, 1.5]),
    ] {
        results.workloads.push(workload(name, Kind::Time));
        results.workloads.last_mut().unwrap().threads = threads;
        for (allocator, cpu) in results.allocators.clone().iter().zip(cpu).filter(|(_, cpu)| *cpu > 0.0) {
            results.runs.extend(runs(name, &allocator.name, cpu, 1000.0 * cpu, &Said::default()));
        }
    }
    for run in results.runs.iter_mut().filter(|run| run.allocator == "scudo" && run.workload == "heavy") {
        run.failure = Some("killed by signal 6".to_owned());
    }
    results
}

fn repository_targets() -> Targets {
    Targets::read(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(targets::FILE)).unwrap()
}

#[test]
fn each_group_has_columns_and_rows_of_its_own() {
    let results = made_up();
    let default = Selection::of(&results, Group::Default).unwrap();
    assert_eq!(default.names, ["spandrel", "mimalloc3"]);
    assert_eq!(default.workloads.len(), 3);
    let hardened = Selection::of(&results, Group::Hardened).unwrap();
    assert_eq!(hardened.names, ["mimalloc3", "spandrel", "spandrel-hardened", "snmalloc-checks", "scudo"]);
    assert_eq!(hardened.workloads.iter().map(|row| row.name.as_str()).collect::<Vec<_>>(), ["heavy", "shared"]);
    let mean = hardened.mean(&results, "spandrel", Measure::Cpu, |_| true).unwrap();
    assert!((mean - 0.8).abs() < 1e-9, "{mean} has a workload that no hardened allocator ran");
    assert!(Selection::of(&results, Group::Modes).is_none());
}

#[test]
fn hardened_peers_do_not_judge_the_default_mode() {
    let mut results = made_up();
    for run in results.runs.iter_mut().filter(|run| run.allocator == "snmalloc-checks") {
        run.cpu = 0.01;
    }
    assert!(losses::in_time(&results).iter().all(|verdict| verdict.peer == "mimalloc3"));
}

#[test]
fn the_report_and_the_pictures_have_both_groups() {
    let (results, dir) = (made_up(), tempfile::tempdir().unwrap());
    let pictures = plot::draw(&results, dir.path(), Forms::SvgOnly).unwrap();
    let names: Vec<&str> = pictures.iter().map(|picture| picture.name.as_str()).collect();
    assert_eq!(
        names,
        ["time-and-memory", "time", "memory", "time-and-memory-hardened", "time-hardened", "memory-hardened"]
    );
    let drawn = |name: &str| fs::read_to_string(dir.path().join(format!("{name}.svg"))).unwrap();
    assert!(!drawn("time").contains("scudo") && drawn("time-hardened").contains("scudo"));
    let report = report::render(&results, &Default::default(), &repository_targets(), &pictures, "pictures");
    assert!(report.contains("## CPU time (user + system), hardened allocators\n"), "{report}");
    assert!(report.contains("| **spandrel-hardened** | **1.20** |"), "{report}");
    let hardened = Selection::of(&results, Group::Hardened).unwrap();
    let table = text(&results, &hardened, Measure::Cpu);
    assert!(table.contains("s-hardened") && table.contains("FAILED") && !table.contains("light"), "{table}");
}

#[test]
fn the_targets_of_mode_hardened_are_reached_or_missed() {
    let of = |results: &Results, text: &str| {
        let judged = repository_targets().judge(results);
        let found = judged.into_iter().find(|judged| judged.text.starts_with("Hardened") && judged.text.contains(text));
        found.map(|judged| judged.verdict)
    };
    let mut results = made_up();
    assert_eq!(of(&results, "workloads and programs: geometric mean: at most 1.15"), Some(Verdict::Missed));
    assert_eq!(of(&results, "programs alone"), Some(Verdict::Open));
    assert_eq!(of(&results, "each hardened peer"), Some(Verdict::Reached));
    assert_eq!(of(&results, "threads"), Some(Verdict::Reached));
    for run in results.runs.iter_mut().filter(|run| run.allocator == "spandrel-hardened" && run.workload == "shared") {
        run.cpu *= 1.3;
        run.wall *= 1.3;
    }
    assert_eq!(of(&results, "each hardened peer"), Some(Verdict::Missed));
    assert_eq!(of(&results, "threads"), Some(Verdict::Missed));
    results.allocators.retain(|allocator| allocator.name != "spandrel-hardened");
    assert_eq!(of(&results, ""), None);
}

#[test]
fn the_table_of_the_means_names_failures_and_targets() {
    let text = security::text(&made_up(), &repository_targets());
    let line = |name: &str| text.lines().find(|line| line.starts_with(name)).unwrap();
    let cells: Vec<&str> = line("snmalloc-checks").split_whitespace().collect();
    assert_eq!(cells, ["snmalloc-checks", "1.349", "1.349", "-", "1.349", "2/2"]);
    assert!(line("scudo ").ends_with("1/2"), "{text}");
    assert_eq!(line("scudo fails"), "scudo fails heavy: killed by signal 6");
    assert!(text.contains("MISSED               Hardened: CPU time, workloads and programs"), "{text}");
    assert!(text.ends_with("without ghostscript: not installed: gs\n"), "{text}");
}

const ATTACKED: &str = r#"{"date": "2026-01-01", "commit": "abc", "allocators": [
    {"name": "spandrel", "mode": "fast", "counts": {"at_the_call": 6, "later": 1, "harmless": 1, "missed": 2, "broken": 0}},
    {"name": "spandrel", "mode": "hardened", "counts": {"at_the_call": 10, "later": 0, "harmless": 0, "missed": 0, "broken": 0}},
    {"name": "mimalloc3", "mode": "", "counts": {"at_the_call": 1, "later": 0, "harmless": 4, "missed": 4, "broken": 1}},
    {"name": "scudo", "mode": "", "absent": "no network", "counts": {"at_the_call": 0, "later": 0, "harmless": 0, "missed": 0, "broken": 0}},
    {"name": "glibc", "mode": "tcache off", "counts": {"at_the_call": 1, "later": 0, "harmless": 0, "missed": 9, "broken": 0}}
]}"#;

#[test]
fn marks_have_times_and_attacks() {
    let attacks: Attacks = serde_json::from_str(ATTACKED).unwrap();
    let times = Times::of(&made_up());
    let (marks, alone) = attacks::marks(&times, &attacks);
    let found: Vec<(&str, f64, f64)> = marks.iter().map(|mark| (mark.name.as_str(), mark.time, mark.stopped)).collect();
    assert_eq!(found, [("spandrel", 0.684, 0.8), ("mimalloc3", 1.0, 0.5), ("spandrel-hardened", 1.2, 1.0)]);
    assert_eq!(alone, ["snmalloc-checks", "scudo", "glibc-tcache-off"]);
    let svg = plot::attacks(&marks).unwrap();
    assert!(svg.contains("Spandrel hardened") && svg.contains("mimalloc v3"));
    assert!(plot::attacks(&[]).is_err());
}

#[test]
fn other_defaults_come_from_a_full_run_of_the_same_commit() {
    let mut part = made_up();
    part.allocators.retain(|one| one.name != "spandrel");
    let times = Times::of(&part).with_others(&made_up()).unwrap();
    let others = times.others_from.as_ref().unwrap();
    assert_eq!(others.allocators, ["spandrel"], "hardened ones and those that ran are not others");
    assert!(times.allocators.iter().any(|mean| mean.name == "spandrel"));
    part.made.commit = "another".to_owned();
    assert!(Times::of(&part).with_others(&made_up()).is_err());
}

#[test]
fn recorded_means_are_read_as_they_were_written() {
    let (times, dir) = (Times::of(&made_up()), tempfile::tempdir().unwrap());
    let path = dir.path().join("times.json");
    fs::write(&path, serde_json::to_string_pretty(&times).unwrap()).unwrap();
    assert_eq!(Times::read(&path).unwrap(), times);
    let scudo = times.allocators.iter().find(|mean| mean.name == "scudo").unwrap();
    assert_eq!((scudo.over, scudo.programs), (1, None), "a failed pair counts: {RUNS} runs each");
}

#[test]
fn the_picture_is_that_of_the_recorded_figures() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let (svg, _) = attacks::drawn(&root).unwrap();
    let picture = fs::read_to_string(root.join(attacks::PICTURE)).unwrap();
    assert!(picture == svg, "{} is stale: run `cargo run -p spandrel-lab -- security-picture`", attacks::PICTURE);
}
