//! Made-up trees, each breaking one rule, and one that keeps them all.

use super::*;

const HEAD: &str = "//! A file.\n";

/// The findings in one file `name` with `text` after a proper opening line.
fn findings(name: &str, text: &str) -> Vec<String> {
    raw_findings(name, &format!("{HEAD}{text}"))
}

fn raw_findings(name: &str, text: &str) -> Vec<String> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(&path, text).unwrap();
    let files = rust_files(dir.path()).unwrap();
    check(dir.path(), &files).unwrap().iter().map(ToString::to_string).collect()
}

#[test]
fn lower_and_own_folders_are_allowed() {
    assert_eq!(
        findings("heap/bin.rs", "use crate::base::Bytes;\nuse crate::{central::central_list, heap::refill};\n"),
        [""; 0]
    );
    assert_eq!(findings("lib.rs", "use crate::api;\n"), [""; 0]);
    assert_eq!(findings("pages/map.rs", "pub(crate) fn f() { super::run::g() }\n"), [""; 0]);
}

#[test]
fn higher_folders_are_forbidden_with_file_and_line() {
    assert_eq!(
        findings("base/a.rs", "\nuse crate::sys::x;\n"),
        ["base/a.rs:3: `base` may not use `sys`: it is not below it"]
    );
    assert_eq!(findings("heap/a.rs", "use crate::{base::x, api::{y}};\n").len(), 1);
    assert_eq!(findings("central/a.rs", "fn f() { let x = crate::heap::g(); }\n").len(), 1);
    assert_eq!(findings("sys/a.rs", "macro_rules! m { () => { $crate::pages::x() } }\n").len(), 1);
    assert_eq!(findings("sys/a.rs", "#[cfg(test)]\nmod tests { use crate::process::x; }\n").len(), 1);
}

#[test]
fn climbing_out_with_super_is_seen() {
    assert_eq!(findings("base/a.rs", "use super::super::api::x;\n").len(), 1);
    assert_eq!(findings("base/mod.rs", "use super::api::x;\n").len(), 1);
    assert_eq!(findings("base/a.rs", "mod tests { use super::*; use super::super::b; }\n"), [""; 0]);
}

#[test]
fn folders_of_one_level_do_not_know_each_other() {
    assert_eq!(findings("diag/a.rs", "use crate::config::x;\n").len(), 1);
    assert_eq!(findings("config/a.rs", "use crate::diag::x;\n").len(), 1);
}

#[test]
fn modes_do_not_know_each_other() {
    assert_eq!(findings("modes/guarded.rs", "use crate::modes::tracked::x;\n").len(), 1);
    assert_eq!(findings("modes/guarded.rs", "use super::tracked::x;\n").len(), 1);
    assert_eq!(findings("modes/guarded/page.rs", "use super::super::tracked;\n").len(), 1);
    assert_eq!(findings("modes/guarded/page.rs", "use super::slot;\nuse crate::modes::guarded::x;\n"), [""; 0]);
    assert_eq!(findings("modes/mod.rs", "use crate::modes::tracked::x;\n"), [""; 0]);
}

#[test]
fn unknown_folders_are_forbidden() {
    assert_eq!(findings("heap/a.rs", "use crate::helpers::x;\n").len(), 1);
    assert_eq!(findings("helpers/a.rs", "use crate::base::x;\n").len(), 1);
}

#[test]
fn a_file_opens_with_its_documentation() {
    assert_eq!(raw_findings("base/a.rs", "// no\n"), ["base/a.rs:1: does not open with `//!`"]);
    assert_eq!(raw_findings("base/a.rs", "use core::fmt;\n//! late\n").len(), 2);
    assert_eq!(raw_findings("base/a.rs", ""), ["base/a.rs:1: does not open with `//!`"]);
    assert_eq!(raw_findings("base/a.rs", "#![expect(unsafe_code, reason = \"x\")]\n//! A file.\n"), [""; 0]);
}

#[test]
fn long_files_and_long_functions_are_found() {
    assert_eq!(findings("base/a.rs", &"// x\n".repeat(LONGEST_FILE)).len(), 1);
    assert_eq!(findings("base/a.rs", &"// x\n".repeat(LONGEST_FILE - 1)), [""; 0]);
    let function = |lines: usize| format!("fn long() {{\n{}}}\n", "let _ = 1;\n".repeat(lines - 2));
    assert_eq!(findings("base/a.rs", &function(LONGEST_FUNCTION)), [""; 0]);
    assert_eq!(findings("base/a.rs", &function(LONGEST_FUNCTION + 1)).len(), 1);
    let method = format!("struct S; impl S {{ {} }}\n", function(LONGEST_FUNCTION + 1));
    assert_eq!(findings("base/a.rs", &method).len(), 1);
}

#[test]
fn atomics_have_one_home() {
    assert_eq!(findings("heap/a.rs", "use core::sync::atomic::AtomicU32;\n").len(), 1);
    assert_eq!(findings("heap/a.rs", "use core::{fmt, sync::{atomic::AtomicU32}};\n").len(), 1);
    assert_eq!(findings("heap/a.rs", "use std::sync::atomic;\n").len(), 1);
    assert_eq!(findings("sys/atomic.rs", "pub use core::sync::atomic::AtomicU32;\n"), [""; 0]);
    assert_eq!(findings("heap/a.rs", "// core::sync::atomic\nuse core::sync::Exclusive;\n"), [""; 0]);
}

#[test]
fn sequential_consistency_needs_a_decision() {
    assert_eq!(findings("heap/a.rs", "fn f() { fence(Ordering::SeqCst); }\n").len(), 1);
    assert_eq!(
        findings("heap/a.rs", "// See docs/decisions/0003-fence.md.\nfn f() { fence(Ordering::SeqCst); }\n"),
        [""; 0]
    );
    assert_eq!(findings("heap/a.rs", "// SeqCst is not used.\n"), [""; 0]);
}

#[test]
fn errno_is_set_in_the_top_layer_alone() {
    let problem = "sets errno; only `api` may";
    let set = "fn f() { crate::sys::libc::set_errno(12); }\n";
    assert_eq!(findings("process/a.rs", set), [format!("process/a.rs:2: {problem}")]);
    assert_eq!(findings("sys/file.rs", "use super::libc::set_errno as put;\n"), [format!("sys/file.rs:2: {problem}")]);
    assert_eq!(findings("heap/a.rs", "extern \"C\" { fn __errno_location() -> *mut i32; }\n").len(), 1);
    assert_eq!(
        findings("heap/a.rs", "extern \"C\" { #[link_name = \"__errno_location\"] fn place() -> *mut i32; }\n").len(),
        1
    );
    assert_eq!(findings("heap/a.rs", "macro_rules! m { () => { set_errno(1) } }\n").len(), 1);
    assert_eq!(findings("api/c.rs", set), [""; 0]);
    assert_eq!(findings("sys/libc.rs", "fn set_errno(_: i32) {}\n"), [""; 0]);
    assert_eq!(findings("process/a.rs", "// set_errno\nfn f() { crate::sys::libc::keeping_errno(|| ()); }\n"), [""; 0]);
}

#[test]
fn what_does_not_parse_is_a_finding() {
    assert_eq!(findings("base/a.rs", "fn f( {}\n").len(), 1);
}
