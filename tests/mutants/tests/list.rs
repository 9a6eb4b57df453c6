//! The list fits the sources: every patch applies at one place, and every test that a mutant names is there. No mutant
//! is built.

use std::process::Command;

#[test]
fn every_patch_applies_and_every_test_is_there() {
    let output = Command::new(env!("CARGO_BIN_EXE_spandrel-mutants")).arg("check").output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        output.status.success() && said.ends_with(" patches, 0 faults\n"),
        "{said}{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

#[test]
fn a_name_of_no_mutant_is_an_error() {
    let output = Command::new(env!("CARGO_BIN_EXE_spandrel-mutants")).args(["run", "no-such-mutant"]).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(String::from_utf8_lossy(&output.stderr), "error: no mutant is called so\n");
}
