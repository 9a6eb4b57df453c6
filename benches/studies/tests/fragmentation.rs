//! The short form of the study of fragmentation: every adversary with Spandrel, and a bound on the memory that stays.

use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::Command;

const MOST: usize = 16 << 20;
const TICKS: usize = 40;
const PACE: &str = "10";
/// Blocks that stay lie on at most so many times their bytes, and a process has so much besides.
const TIMES: [(&str, f64); 10] = [
    ("class shift", 15.0),
    ("sawtooth", 6.0),
    ("producer and consumer", 2.0),
    ("one in 64", 3.0),
    ("one per span", 85.0),
    ("thread churn", 2.3),
    ("growing buffers", 1.5),
    ("Robson's pattern", 2.0),
    ("random with drift", 2.4),
    ("generations", 2.0),
];
const BESIDES_KIB: f64 = 3072.0;

/// The library that is to be tested, where it is built.
fn library() -> Option<PathBuf> {
    let built = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/release/libspandrel.so");
    std::env::var_os("SPANDREL_SO").map(PathBuf::from).or(Some(built)).filter(|library| library.is_file())
}

fn course(name: &str, library: Option<&Path>) -> Value {
    let mut command = Command::new(env!("CARGO_BIN_EXE_spandrel-study"));
    command.args(["fragmentation-kernel", name, &MOST.to_string(), &TICKS.to_string(), PACE]);
    if let Some(library) = library {
        command.env("LD_PRELOAD", library);
    }
    let output = command.output().unwrap();
    assert!(output.status.success(), "{name}: {}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap()
}

#[test]
fn a_trim_leaves_little_more_than_the_pages_of_live_blocks() {
    let Some(library) = library() else {
        println!("skipped: target/release/libspandrel.so is not built");
        return;
    };
    for (name, times) in TIMES {
        let course = course(name, Some(&library));
        let moments = course["moments"].as_array().unwrap();
        assert_eq!(moments.len(), 3 * TICKS, "{name}");
        let live = |moment: &Value| number(&moment[1]) / 1024.0;
        let peak = moments.iter().map(live).fold(0.0, f64::max);
        assert!(peak > MOST as f64 / 1024.0 / 16.0, "{name}: the peak has {peak} KiB");
        let (base, left) = (number(&course["base"]), live(moments.last().unwrap()));
        let resident = number(&course["trimmed"]) - base;
        let bound = left * times + BESIDES_KIB;
        assert!(resident <= bound, "{name}: {resident:.0} KiB stay for {left:.0} KiB live, {bound:.0} may");
    }
}

#[test]
fn the_course_of_live_bytes_does_not_depend_on_the_allocator() {
    let Some(library) = library() else { return };
    for name in ["class shift", "generations", "thread churn"] {
        let live = |library: Option<&Path>| -> Vec<Value> {
            course(name, library)["moments"].as_array().unwrap().iter().map(|moment| moment[1].clone()).collect()
        };
        assert_eq!(live(Some(&library)), live(None), "{name}");
    }
}
