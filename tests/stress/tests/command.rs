//! The command as people and gates use it: what it prints, what it leaves behind, and how it ends, above all on false evidence.

use harness::paths;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

const EVIDENCE: &str = include_str!("../../../docs/evidence/stress.toml");

fn stress(words: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_spandrel-stress")).args(words).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// The evidence of the repository with the recorded ratio of one case set to `ratio`, in a file of its own; its runs are short.
fn doctored(name: &str, ratio: f64) -> PathBuf {
    let mut evidence: toml::Table = toml::from_str(EVIDENCE).unwrap();
    evidence.insert("seconds".to_owned(), 0.3.into());
    let case = evidence["runs"]["churn.hosted-small"].as_table_mut().unwrap();
    let live = case["peak-live-mib"].as_float().unwrap();
    case.insert("peak-rss-mib".to_owned(), (live * ratio).into());
    case.insert("rss-over-live".to_owned(), ratio.into());
    let file = paths::scratch().unwrap().join(format!("stress-{name}.toml"));
    fs::write(&file, toml::to_string(&evidence).unwrap()).unwrap();
    file
}

fn check(file: &Path) -> Output {
    stress(&["check", "--scenario", "churn", "--profile", "hosted-small", "--evidence", file.to_str().unwrap()])
}

#[test]
fn evidence_is_compared_and_not_trusted() {
    let near = check(&doctored("near", 2.0));
    assert!(near.status.success(), "{}{}", text(&near.stdout), text(&near.stderr));
    assert!(text(&near.stdout).ends_with("stress: 1 passed, 0 failed, 0 skipped\n"));
    let far = check(&doctored("far", 0.1));
    assert_eq!(far.status.code(), Some(1));
    assert!(text(&far.stderr).starts_with("error: churn.hosted-small: "), "{}", text(&far.stderr));
    assert!(text(&far.stderr).ends_with(" times the live bytes are resident, 0.10 are recorded and 0.15 allowed\n"));
}

#[test]
fn evidence_that_lacks_a_scenario_ends_it_before_anything_runs() {
    let file = doctored("less", 2.0);
    let less = fs::read_to_string(&file).unwrap().replace("shutdown.hosted-small", "shutdown.hosted-tiny");
    fs::write(&file, less).unwrap();
    let output = check(&file);
    assert_eq!((output.status.code(), text(&output.stdout)), (Some(1), String::new()));
    assert!(text(&output.stderr).contains("[runs.\"shutdown.hosted-small\"] is missing"));
}

#[test]
fn a_run_leaves_samples_and_a_picture() {
    let output =
        stress(&["run", "--scenario", "transfer-cache", "--profile", "hosted-server", "--seconds", "0.3", "--seed", "8"]);
    let said = text(&output.stdout);
    assert!(output.status.success() && said.starts_with("1 runs of 0.3 seconds, seed 8\n"), "{said}");
    let path = |what: &str| said.lines().find_map(|line| line.strip_prefix(what)).unwrap().to_owned();
    let samples = fs::read_to_string(path("samples: ")).unwrap();
    let rows: Vec<&str> = samples.lines().filter(|line| line.starts_with("transfer-cache,hosted-server,8,")).collect();
    assert!(rows.len() > 9 && rows.len() + 1 == samples.lines().count(), "{samples}");
    assert!(fs::read_to_string(path("picture: ")).unwrap().contains("Transfer-cache pressure"));
}

#[test]
fn bad_words_get_one_line() {
    for (words, line) in [
        (&["run", "--scenario", "numa-local", "--profile", "test-fixture"][..], "none of these scenarios is run in that profile"),
        (&["run", "--seconds", "0"], "cannot run for 0 seconds"),
        (&["run", "--option", "PATH=/"], "SPANDREL_NAME=VALUE"),
        (&["run", "--scenario", "chrun"], "'churn'"),
        (&["check", "--evidence", "/nowhere"], "/nowhere"),
    ] {
        let output = stress(words);
        assert!(!output.status.success() && text(&output.stdout).is_empty());
        assert!(text(&output.stderr).contains(line), "{}", text(&output.stderr));
    }
}
