//! The command as people use it: what it prints, what it leaves behind, and how it ends.

use std::fs;
use std::process::{Command, Output};

fn stress(words: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_spandrel-stress")).args(words).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn a_run_leaves_samples_and_a_picture() {
    let output = stress(&[
        "run",
        "--scenario",
        "transfer-cache",
        "--profile",
        "hosted-server",
        "--seconds",
        "0.3",
        "--seed",
        "8",
    ]);
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
        (
            &["run", "--scenario", "numa-local", "--profile", "test-fixture"][..],
            "none of these scenarios is run in that profile",
        ),
        (&["run", "--seconds", "0"], "cannot run for 0 seconds"),
        (&["run", "--option", "PATH=/"], "SPANDREL_NAME=VALUE"),
        (&["run", "--scenario", "chrun"], "'churn'"),
    ] {
        let output = stress(words);
        assert!(!output.status.success() && text(&output.stdout).is_empty());
        assert!(text(&output.stderr).contains(line), "{}", text(&output.stderr));
    }
}
