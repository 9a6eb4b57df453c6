//! Checks the rules of `src/` that the compiler does not: who may import whom, how long things may be, where atomics
//! are, who sets `errno`.
//!
//! Knows: the rules. Must not know: how source text is taken apart (`source`), what the folders do.

mod circles;
pub(crate) mod modules;
mod order;
pub(crate) mod source;

use anyhow::{Context, Result, bail};
use source::Source;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

const LONGEST_FILE: usize = 400;
const LONGEST_FUNCTION: usize = 60;
/// Files that import from one another, by way of one another too.
const LONGEST_CIRCLE: usize = 3;
/// How far above a `SeqCst` the decision it rests on may be named.
const REASON_DISTANCE: usize = 4;
/// The only file that may name the atomics of `core`.
const ATOMIC_FILE: &str = "sys/atomic.rs";
/// The sources of the library beside the product.
const BESIDE: &str = "compat/src";
const DECISIONS: &str = "docs/decisions";
/// The only layer that sets `errno`, and the file with the functions that it does so by.
const ERRNO_LAYER: &str = "api";
const ERRNO_FILE: &str = "sys/libc.rs";

/// A broken rule and where.
#[derive(Debug, PartialEq, Eq)]
pub struct Finding {
    file: PathBuf,
    line: usize,
    problem: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}:{}: {}", self.file.display(), self.line, self.problem)
    }
}

/// Checks `src/` of the repository and prints what is wrong.
///
/// # Errors
/// When anything is wrong or cannot be read.
pub fn run(root: &Path) -> Result<()> {
    let sources = root.join("src");
    let files = rust_files(&sources)?;
    let findings = check(&sources, &files)?;
    for finding in &findings {
        println!("src/{finding}");
    }
    let beside = check_beside(&root.join(BESIDE))?;
    for finding in &beside {
        println!("{BESIDE}/{finding}");
    }
    let broken = findings.len() + beside.len();
    if broken > 0 {
        bail!(
            "{} broken in {} files of src/ and those of {BESIDE}/",
            if broken == 1 { "1 rule".to_owned() } else { format!("{broken} rules") },
            files.len()
        );
    }
    report(&sources, &files)
}

/// All findings in a library beside the product: the sizes and openings of its files. It has no layers.
fn check_beside(sources: &Path) -> Result<Vec<Finding>> {
    let mut findings = Vec::new();
    for file in rust_files(sources)? {
        let text =
            fs::read_to_string(sources.join(&file)).with_context(|| format!("cannot read {}", file.display()))?;
        let mut found = |line: usize, problem: String| findings.push(Finding { file: file.clone(), line, problem });
        check_text(&text, &mut found);
        match Source::parse(&file, &text) {
            Ok(source) => check_functions(&source, &mut found),
            Err(error) => found(error.span().start().line, format!("does not parse: {error}")),
        }
    }
    Ok(findings)
}

/// Prints the figures of `src/`, and fails for circles that are too long.
fn report(sources: &Path, files: &[PathBuf]) -> Result<()> {
    let read = |file: &Path| fs::read_to_string(sources.join(file)).ok();
    let imports = modules::imports(&read);
    let is_unsafe = |file: &&PathBuf| read(file).is_some_and(|text| modules::is_unsafe(&text));
    let needs_unsafe = imports.keys().filter(is_unsafe).count();
    println!(
        "layers: {} files of src/, {} of them without tests and models; {needs_unsafe} have unsafe code",
        files.len(),
        imports.len()
    );
    let circles = circles::circles(&imports);
    let longest = circles.first().map_or(0, Vec::len);
    println!(
        "layers: {} circles of imports; the longest has {longest} files, {LONGEST_CIRCLE} are allowed",
        circles.len()
    );
    for circle in circles.iter().filter(|circle| circle.len() > LONGEST_CIRCLE) {
        println!("{} files in a circle:", circle.len());
        for arrow in circles::arrows(circle, &imports) {
            println!("  {arrow}");
        }
    }
    if longest > LONGEST_CIRCLE {
        bail!("a circle of imports has {longest} files, at most {LONGEST_CIRCLE} are allowed");
    }
    println!("layers: all files keep the rules");
    Ok(())
}

/// All findings in the given files below `sources`, in their order.
fn check(sources: &Path, files: &[PathBuf]) -> Result<Vec<Finding>> {
    let mut findings = Vec::new();
    for file in files {
        let text = fs::read_to_string(sources.join(file)).with_context(|| format!("cannot read {}", file.display()))?;
        let mut found = |line: usize, problem: String| findings.push(Finding { file: file.clone(), line, problem });
        check_text(&text, &mut found);
        match Source::parse(file, &text) {
            Ok(source) => check_source(file, &text, &source, &mut found),
            Err(error) => found(error.span().start().line, format!("does not parse: {error}")),
        }
    }
    findings.sort_by(|left, right| (&left.file, left.line).cmp(&(&right.file, right.line)));
    Ok(findings)
}

fn check_text(text: &str, found: &mut impl FnMut(usize, String)) {
    // Attributes of the whole file may stand above.
    let first = text.lines().find(|line| !line.starts_with("#![")).unwrap_or_default();
    if !first.starts_with("//!") {
        found(1, "does not open with `//!`".to_owned());
    }
    let lines = text.lines().count();
    if lines > LONGEST_FILE {
        found(lines, format!("has {lines} lines, at most {LONGEST_FILE} are allowed"));
    }
}

fn check_functions(source: &Source, found: &mut impl FnMut(usize, String)) {
    for function in &source.functions {
        if function.lines > LONGEST_FUNCTION {
            found(
                function.line,
                format!("`{}` has {} lines, at most {LONGEST_FUNCTION} are allowed", function.name, function.lines),
            );
        }
    }
}

fn check_source(file: &Path, text: &str, source: &Source, found: &mut impl FnMut(usize, String)) {
    check_functions(source, found);
    for path in &source.crate_paths {
        if let Some(problem) = order::forbidden(file, &path.segments) {
            found(path.line, problem);
        }
    }
    if file != Path::new(ATOMIC_FILE) {
        for line in &source.core_atomics {
            found(*line, format!("names core::sync::atomic; only {ATOMIC_FILE} may"));
        }
    }
    if file != Path::new(ERRNO_FILE) && !file.starts_with(ERRNO_LAYER) {
        for line in &source.errno {
            found(*line, format!("sets errno; only `{ERRNO_LAYER}` may"));
        }
    }
    let lines: Vec<&str> = text.lines().collect();
    for line in &source.sequential {
        let above = lines.get(line.saturating_sub(REASON_DISTANCE)..*line).unwrap_or_default();
        if !above.iter().any(|text| text.contains(DECISIONS)) {
            found(*line, format!("SeqCst without a `{DECISIONS}` page named beside it"));
        }
    }
}

/// Every `.rs` file below `dir`, relative to it, sorted.
fn rust_files(dir: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    let mut open = vec![dir.to_path_buf()];
    while let Some(folder) = open.pop() {
        for entry in fs::read_dir(&folder).with_context(|| format!("cannot read {}", folder.display()))? {
            let path = entry?.path();
            if path.is_dir() {
                open.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                files.push(path.strip_prefix(dir)?.to_path_buf());
            }
        }
    }
    files.sort();
    Ok(files)
}

#[cfg(test)]
mod tests;
