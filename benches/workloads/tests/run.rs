//! Each workload runs to its end at a tiny scale, twice with the same result; wrong names and scales are refused.

use serde_json::Value;
use std::process::{Command, Output};
use std::thread;

fn workload(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_spandrel-workload")).args(arguments).output().expect("the program starts")
}

fn list() -> Vec<Value> {
    let output = workload(&["list"]);
    assert!(output.status.success());
    serde_json::from_slice(&output.stdout).expect("`list` prints JSON")
}

fn run(name: &str) -> Value {
    let output = workload(&["run", name, "--scale", "0.002"]);
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{name}: {complaint}");
    let text = String::from_utf8(output.stdout).expect("text");
    assert_eq!(text.lines().count(), 1, "{name}: {text}");
    serde_json::from_str(&text).expect("one line of JSON")
}

#[test]
fn each_workload_repeats_itself() {
    let names: Vec<String> = list().iter().map(|row| row["name"].as_str().expect("a name").to_owned()).collect();
    thread::scope(|scope| {
        for name in &names {
            scope.spawn(move || {
                let (first, second) = (run(name), run(name));
                assert_eq!(first["workload"], name.as_str());
                assert!(first["ops"].as_u64().expect("ops") > 0, "{first}");
                assert!(first["malloc_peak_live_bytes"].as_u64().expect("peak") > 0, "{first}");
                assert_eq!(first["checksum"], second["checksum"], "{name}");
                assert_eq!(first["ops"], second["ops"], "{name}");
            });
        }
    });
}

#[test]
fn another_seed_is_other_work() {
    let checksum = |seed: &str| -> Value {
        let output = workload(&["run", "random-mixed-256", "--scale", "0.001", "--seed", seed]);
        serde_json::from_slice::<Value>(&output.stdout).expect("JSON")["checksum"].clone()
    };
    assert_ne!(checksum("1"), checksum("2"));
}

#[test]
fn rows_of_the_list_are_whole() {
    for row in list() {
        for field in ["name", "field", "summary", "kind"] {
            assert!(row[field].as_str().is_some_and(|text| !text.is_empty()), "{row}");
        }
        assert!(row["threads"].as_u64().is_some_and(|threads| threads > 0), "{row}");
    }
}

#[test]
fn what_is_not_known_is_refused_in_one_line() {
    for arguments in
        [&["run", "nonesuch"] as &[&str], &["run", "larson", "--scale", "0"], &["run", "larson", "--scale", "nan"]]
    {
        let output = workload(arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert_eq!(String::from_utf8_lossy(&output.stderr).lines().count(), 1, "{arguments:?}");
        assert!(output.stdout.is_empty());
    }
    assert!(String::from_utf8_lossy(&workload(&["run", "nonesuch"]).stderr).contains("larson"));
}
