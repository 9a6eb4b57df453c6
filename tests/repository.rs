//! The repository agrees with its own words: pages name files that exist, numbers of field failures lead to their page
//! and from there to tests, and unsupported targets are refused with a sentence.
//!
//! Knows the sources as text alone; the library need not be built.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::{env, fs};

use harness::suite::{case, main as run_cases};
use harness::{pages, paths};

const FAILURES: &str = "docs/failures.md";

fn read(path: &Path) -> Result<String, String> {
    fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))
}

fn none(faults: &[String]) -> Result<(), String> {
    if faults.is_empty() { Ok(()) } else { Err(faults.join("\n")) }
}

fn pages_name_what_is_there() -> Result<(), String> {
    let root = paths::workspace();
    let mut faults = Vec::new();
    for page in pages::all(&root)? {
        faults.extend(pages::faults(&root, &page, &read(&page)?));
    }
    none(&faults)
}

/// The C and C++ programs with this ending below a folder.
fn programs(folder: &Path, found: &mut Vec<PathBuf>) -> Result<(), String> {
    let entries = fs::read_dir(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    for path in entries.flatten().map(|entry| entry.path()) {
        if path.is_dir() {
            programs(&path, found)?;
        } else if path.extension().is_some_and(|end| end == "c" || end == "cpp") {
            found.push(path);
        }
    }
    Ok(())
}

/// The numbers in parentheses that stand alone, as in `frees errno (16).` or `(7, 6)`.
fn numbers(comment: &str) -> impl Iterator<Item = u32> {
    let groups = comment.split(" (").skip(1).filter_map(|rest| rest.split_once(')')).map(|(group, _)| group);
    groups.filter_map(|group| group.split(", ").map(|word| word.parse().ok()).collect::<Option<Vec<u32>>>()).flatten()
}

/// The entries of the page of failures: number and text.
fn failures(page: &str) -> BTreeMap<u32, String> {
    let mut found = BTreeMap::<u32, String>::new();
    let mut current = None;
    for line in page.lines() {
        let opened =
            line.strip_prefix("- **").and_then(|rest| rest.split_once('.')).and_then(|(number, _)| number.parse().ok());
        current = opened.or(current.filter(|_| line.starts_with("  ")));
        if let Some(number) = current {
            let text = found.entry(number).or_default();
            text.push_str(line);
            text.push('\n');
        }
    }
    found
}

/// The tests that an entry names, such as `ffi fork_storm`.
fn tests(entry: &str) -> impl Iterator<Item = &str> {
    let list = entry.split_once("*Tests:*").map_or("", |(_, list)| list);
    list.split('`').skip(1).step_by(2)
}

/// Whether the text of a test target has a case of that name, written out or made of a prefix and what follows.
fn has_case(text: &str, name: &str) -> bool {
    let made = |(index, _): (usize, &str)| text.contains(&format!("\"{}{{", &name[..=index]));
    text.contains(&format!("\"{name}\"")) || name.match_indices('_').any(made)
}

fn test_exists(test: &str, programs: &[PathBuf]) -> bool {
    let Some((kind, name)) = test.split_once(' ') else { return false };
    let root = paths::workspace();
    match kind {
        "ffi" => programs.iter().any(|path| path.file_stem().is_some_and(|stem| stem == name)),
        "stress" => {
            read(&root.join("tests/stress/src/scenario.rs")).is_ok_and(|text| text.contains(&format!("\"{name}\"")))
        }
        target => read(&root.join(format!("tests/{target}.rs"))).is_ok_and(|text| has_case(&text, name)),
    }
}

fn failures_and_tests_name_each_other() -> Result<(), String> {
    let root = paths::workspace();
    let entries = failures(&read(&root.join(FAILURES))?);
    let mut sources = Vec::new();
    programs(&paths::ffi_sources(), &mut sources)?;
    let mut faults = Vec::new();
    for (number, entry) in &entries {
        if tests(entry).next().is_none() && !entry.contains("*No test:*") {
            faults.push(format!("{FAILURES}: {number} names no test and does not say why"));
        }
        let missing = tests(entry).filter(|test| !test_exists(test, &sources));
        faults.extend(missing.map(|test| format!("{FAILURES}: {number} names `{test}`, which is not there")));
    }
    let mut seen = 0;
    for path in &sources {
        let name = path.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
        let text = read(path)?;
        for number in text.lines().filter(|line| line.starts_with("//")).flat_map(numbers) {
            seen += 1;
            let named =
                entries.get(&number).is_some_and(|entry| tests(entry).any(|test| test == format!("ffi {name}")));
            if !named {
                faults.push(format!("{FAILURES}: {number} does not name `ffi {name}`, whose comment has that number"));
            }
        }
    }
    if seen == 0 {
        faults.push("no test has a number: they are written in another way now".to_owned());
    }
    none(&faults)
}

/// Every `#[cfg(…)]` of the crate's root that a `compile_error!` follows.
fn guards() -> Result<String, String> {
    let text = read(&paths::workspace().join("src/lib.rs"))?;
    let attributes = text.match_indices("#[cfg(").map(|(start, _)| &text[start..]);
    let guards = attributes.filter(|rest| rest.lines().nth(1).is_some_and(|line| line.starts_with("compile_error!(")));
    Ok(guards.filter_map(|rest| rest.split_once(");\n")).map(|(guard, _)| format!("{guard});\n")).collect())
}

fn rustc() -> Command {
    Command::new(env::var_os("RUSTC").unwrap_or_else(|| "rustc".into()))
}

/// The guards as that target would see them: each of its facts is put in, so that this machine's compiler can judge
/// them without the target's `core`.
fn guards_for(target: &str) -> Result<String, String> {
    let output = rustc().args(["--print", "cfg", "--target", target]).output().map_err(|error| error.to_string())?;
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into_owned());
    }
    let facts: Vec<String> =
        String::from_utf8_lossy(&output.stdout).lines().map(|fact| fact.replace('=', " = ")).collect();
    let mut text = guards()?;
    while let Some(start) = text.find("target_") {
        let is_end = |(_, letter): &(usize, char)| matches!(letter, ')' | ',');
        let end = text[start..].char_indices().find(is_end).map_or(text.len(), |(index, _)| start + index);
        let value = if facts.iter().any(|fact| *fact == text[start..end]) { "all()" } else { "any()" };
        text.replace_range(start..end, value);
    }
    Ok(text)
}

/// The compiler's messages about the guards for a target; empty if it accepts the target.
fn refusals(target: &str) -> Result<String, String> {
    let folder = paths::fresh(&format!("target-{target}"))?;
    let source = folder.join("guards.rs");
    fs::write(&source, format!("#![no_std]\n{}\n", guards_for(target)?)).map_err(|error| error.to_string())?;
    let mut command = rustc();
    command
        .args(["--edition", "2024", "--crate-type", "lib", "--emit", "metadata", "--out-dir"])
        .arg(&folder)
        .arg(&source);
    let output = command.output().map_err(|error| error.to_string())?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    if output.status.success() == said.is_empty() { Ok(said) } else { Err(said) }
}

fn other_targets_are_refused() -> Result<(), String> {
    const GNU: &str = "x86_64-unknown-linux-gnu";
    let refused = [
        ("aarch64-unknown-linux-gnu", "on x86-64 only"),
        ("s390x-unknown-linux-gnu", "addresses of 64 bits, the lowest byte first"),
        ("i686-unknown-linux-gnu", "addresses of 64 bits"),
        ("x86_64-unknown-linux-gnux32", "addresses of 64 bits"),
        ("x86_64-unknown-linux-musl", "with glibc only"),
        ("x86_64-apple-darwin", "on Linux only"),
        ("x86_64-pc-windows-gnu", "on Linux only"),
    ];
    let said = refusals(GNU)?;
    if !said.is_empty() {
        return Err(format!("{GNU} is refused:\n{said}"));
    }
    for (target, sentence) in refused {
        let said = refusals(target)?;
        if !said.contains("error: Spandrel ") || !said.contains(sentence) {
            return Err(format!("{target} is not refused with `{sentence}`:\n{said}"));
        }
    }
    Ok(())
}

/// The commands of README's blocks, line by line.
fn commands(page: &str) -> Vec<&str> {
    let blocks = page.split("```sh\n").skip(1).filter_map(|rest| rest.split_once("```")).map(|(block, _)| block);
    blocks.flat_map(str::lines).collect()
}

/// A reader who goes through README from `make build` on has each file of the build by the time a command uses it.
fn readme_builds_what_it_uses() -> Result<(), String> {
    const BUILT: &str = "target/release/";
    let page = read(&paths::workspace().join("README.md"))?;
    let (mut made, mut used, mut faults) = (String::new(), 0, Vec::new());
    for line in commands(&page) {
        let line = line.split(" #").next().unwrap_or_default();
        if line.trim() == "make build" {
            let mut make = Command::new("make");
            make.args(["--dry-run", "--always-make", "build"]).current_dir(paths::workspace());
            let output = make.env_remove("CARGO_TARGET_DIR").output().map_err(|error| error.to_string())?;
            made.push_str(&String::from_utf8_lossy(&output.stdout));
        }
        for (start, _) in line.match_indices(BUILT) {
            let file = line[start..].split_whitespace().next().unwrap_or_default();
            used += 1;
            if !made.split_whitespace().any(|word| word == file) {
                faults.push(format!("README.md: `{line}` uses {file}, which no command before it builds"));
            }
        }
    }
    if used < 4 {
        faults.push(format!("README.md uses {used} files of the build: its commands are written in another way now"));
    }
    none(&faults)
}

fn main() -> ExitCode {
    let cases = vec![
        case("pages_name_what_is_there", pages_name_what_is_there),
        case("failures_and_tests_name_each_other", failures_and_tests_name_each_other),
        case("other_targets_are_refused", other_targets_are_refused),
        case("readme_builds_what_it_uses", readme_builds_what_it_uses),
    ];
    run_cases(cases, false)
}
