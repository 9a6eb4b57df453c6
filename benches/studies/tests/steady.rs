//! The short form of the study of steady work: three seconds without a preload have a rate, live bytes and memory.

use serde_json::Value;
use std::process::Command;

#[test]
fn a_short_run_has_moments() {
    let output = Command::new(env!("CARGO_BIN_EXE_spandrel-study")).args(["steady-kernel", "3"]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let moments: Vec<Value> = serde_json::from_slice(&output.stdout).unwrap();
    let last = moments.last().unwrap();
    for figure in ["seconds", "rate", "live", "resident"] {
        assert!(last[figure].as_f64().unwrap() > 0.0, "{figure}: {last}");
    }
}
