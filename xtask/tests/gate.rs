//! The gate as people and other gates use it: evidence that is made false ends it with 1 and the code of the check,
//! file by file.

use harness::paths;
use std::fs;
use std::path::Path;
use std::process::{Command, Output};

fn gate(folder: &Path, file: &str) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_xtask"));
    command.args(["gate", "check", "--quick", "--file", file, "--evidence"]).arg(folder).output().unwrap()
}

/// The output of the gate. Built with the tables of the allocator it runs on the allocator, which takes the names of the built
/// libraries, `SPANDREL_SO` and `SPANDREL_A`, for options and says so.
fn text(bytes: &[u8]) -> String {
    let names = ["ALLOCATOR_BAD_OPTION: SPANDREL_SO=", "ALLOCATOR_BAD_OPTION: SPANDREL_A="];
    let said = String::from_utf8_lossy(bytes);
    said.split_inclusive('\n').filter(|line| !names.iter().any(|name| line.contains(name))).collect()
}

/// Has the gate look at a copy of a file in which a passage is another, behind the head of the table that it is in.
fn doctored(file: &str, table: &str, passage: &str, other: &str) -> Output {
    let folder = tempfile::tempdir().unwrap();
    let name = format!("{file}.toml");
    let whole = fs::read_to_string(paths::workspace().join("docs/evidence").join(&name)).unwrap();
    let (before, after) = whole.split_once(table).unwrap_or_else(|| panic!("{file} has no {table}"));
    assert!(after.contains(passage), "{file} {table} has no {passage}");
    fs::write(folder.path().join(&name), format!("{before}{table}{}", after.replacen(passage, other, 1))).unwrap();
    gate(folder.path(), file)
}

fn fails(file: &str, check: &str, passage: &str, other: &str, line: &str) {
    let output = doctored(file, &format!("[checks.\"{check}\"]"), passage, other);
    let (said, table) = (text(&output.stderr), text(&output.stdout));
    assert_eq!(output.status.code(), Some(1), "{file}: {said}{table}");
    assert_eq!(said.lines().count(), 1, "{file}: {said}");
    assert!(
        said.contains(line) && table.contains("\nFAILED  ") && table.contains(", 1 failed, "),
        "{file}: {said}{table}"
    );
}

#[test]
fn a_profile_that_is_recorded_to_ask_the_kernel_for_nothing() {
    let line = "spandrel: ALLOCATOR_PAGE_EXHAUSTION: profiles hosted-small.calls: work is ";
    fails("profiles", "hosted-small.calls", "\nwork = ", "\nwork = 1", line);
}

#[test]
fn a_status_of_leaks_that_is_recorded_as_another() {
    let line = "spandrel: ALLOCATOR_SHUTDOWN_LEAK: profiles test-fixture.leaks: status is 23, recorded 0";
    fails("profiles", "test-fixture.leaks", "status = 23", "status = 0", line);
}

#[test]
fn a_backend_that_is_recorded_to_make_fewer_calls() {
    let line = "spandrel: ALLOCATOR_PAGE_EXHAUSTION: page-backend calls.large.at-once: madvise is ";
    fails("page-backend", "calls.large.at-once", "\nmadvise = ", "\nmadvise = 1", line);
}

#[test]
fn huge_pages_that_are_recorded_where_they_are_refused() {
    let line = "spandrel: ALLOCATOR_HUGEPAGE_POLICY: huge-pages refused.realtime: huge is 0, recorded 2048";
    fails("huge-pages", "refused.realtime", "huge = 0", "huge = 2048", line);
}

#[test]
fn a_policy_that_is_recorded_as_another() {
    let line =
        "spandrel: ALLOCATOR_NUMA_POLICY: numa-wiring policy.interleave: policy is \"interleave\", recorded \"bind\"";
    fails("numa-wiring", "policy.interleave", "policy = \"interleave\"", "policy = \"bind\"", line);
}

#[test]
fn a_limit_that_is_recorded_as_another() {
    let line = "spandrel: ALLOCATOR_PAGE_EXHAUSTION: limits hard.mebibytes: mebibytes is 64, recorded 80";
    fails("limits", "hard.mebibytes", "mebibytes = 64", "mebibytes = 80", line);
}

#[test]
fn a_refusal_that_is_recorded_as_silent() {
    let line = "spandrel: ALLOCATOR_BAD_OPTION: modes refused.pool-too-small: lines is 1, recorded 0";
    fails("modes", "refused.pool-too-small", "lines = 1", "lines = 0", line);
}

#[test]
fn figures_of_sources_that_never_were_end_it_before_anything_runs() {
    for file in ["profiles", "page-backend", "huge-pages", "numa-wiring", "limits", "modes"] {
        for (commit, why) in [("0123456789ab", "is none that came before"), ("abc-dirty", "not committed")] {
            let output = doctored(file, "commit = \"", "", &format!("{commit}\"\nformer = \""));
            assert_eq!((output.status.code(), text(&output.stdout)), (Some(1), String::new()));
            assert!(text(&output.stderr).contains(why), "{}", text(&output.stderr));
        }
    }
}

#[test]
fn a_file_that_lacks_a_check_ends_it_before_anything_runs() {
    let output = doctored("modes", "[checks.", "\"fast\"]", "\"faster\"]");
    assert_eq!((output.status.code(), text(&output.stdout)), (Some(1), String::new()));
    assert!(text(&output.stderr).ends_with("modes.toml: [checks.\"fast\"] is missing\n"));
}

/// Runs one scenario of the stress suite against a copy of the evidence in which its recorded ratio is another and its
/// runs are short.
fn stress(ratio: f64, rename: Option<(&str, &str)>) -> Output {
    let folder = tempfile::tempdir().unwrap();
    let whole = fs::read_to_string(paths::workspace().join("docs/evidence/stress.toml")).unwrap();
    let mut evidence: toml::Table = toml::from_str(&whole).unwrap();
    evidence.insert("seconds".to_owned(), 0.3.into());
    let case = evidence["runs"]["churn.hosted-small"].as_table_mut().unwrap();
    let live = case["peak-live-mib"].as_float().unwrap();
    case.insert("peak-rss-mib".to_owned(), (live * ratio).into());
    case.insert("rss-over-live".to_owned(), ratio.into());
    let text = toml::to_string(&evidence).unwrap();
    let text = rename.map_or(text.clone(), |(from, to)| text.replace(from, to));
    fs::write(folder.path().join("stress.toml"), text).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_xtask"));
    let words = ["gate", "check", "--file", "stress", "--scenario", "churn", "--profile", "hosted-small", "--evidence"];
    command.args(words).arg(folder.path()).output().unwrap()
}

#[test]
fn ratios_of_the_stress_suite_are_compared_and_not_trusted() {
    let near = stress(2.0, None);
    assert!(near.status.success(), "{}{}", text(&near.stdout), text(&near.stderr));
    assert!(text(&near.stdout).ends_with("gate: 1 passed, 0 failed, 0 skipped\n"));
    let far = stress(0.1, None);
    assert_eq!(far.status.code(), Some(1));
    assert!(text(&far.stderr).starts_with("error: churn.hosted-small: "), "{}", text(&far.stderr));
    assert!(text(&far.stderr).ends_with(" times the live bytes are resident, 0.10 are recorded and 0.15 allowed\n"));
}

#[test]
fn evidence_that_lacks_a_scenario_ends_it_before_anything_runs() {
    let output = stress(2.0, Some(("shutdown.hosted-small", "shutdown.hosted-tiny")));
    assert_eq!((output.status.code(), text(&output.stdout)), (Some(1), String::new()));
    assert!(text(&output.stderr).contains("[runs.\"shutdown.hosted-small\"] is missing"));
}
