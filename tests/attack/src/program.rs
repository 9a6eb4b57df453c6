//! Where the driver is, how it is compiled, and which rows it has.
//!
//! Knows: its folder and the compilers' flags. Must not know: what a case does.

use anyhow::{Context, Result, anyhow, bail};
use harness::{build, paths};
use std::ffi::{OsStr, OsString};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, PoisonError};

/// The compiler must neither know what malloc does nor complain about what these programs do with it.
const FLAGS: [&str; 12] = [
    "-O1",
    "-g",
    "-fno-builtin",
    "-Wall",
    "-Wextra",
    "-Wno-use-after-free",
    "-Wno-free-nonheap-object",
    "-Wno-alloc-size-larger-than",
    "-U_FORTIFY_SOURCE",
    "-D_GNU_SOURCE",
    "-pthread",
    "-c",
];

/// A case with a size of blocks and a number of threads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// `CATEGORY/NAME`.
    pub case: String,
    /// Bytes of the blocks.
    pub size: u64,
    /// 1 or 2.
    pub threads: u32,
}

/// The category of a case.
#[must_use]
pub fn category(case: &str) -> &str {
    case.split('/').next().unwrap_or(case)
}

impl Row {
    /// The part of its name that tells it from other rows of its case: `16x1`.
    #[must_use]
    pub fn variant(&self) -> String {
        format!("{}x{}", self.size, self.threads)
    }
}

/// The folder for all that a run leaves behind.
///
/// # Errors
/// When it cannot be made.
pub fn folder() -> Result<PathBuf> {
    let above = paths::output();
    let folder = above.parent().unwrap_or(&above).join("attack");
    fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    Ok(folder)
}

fn is_fresh(built: &Path, inputs: &[PathBuf]) -> bool {
    let modified = |path: &Path| fs::metadata(path).and_then(|data| data.modified());
    modified(built).is_ok_and(|time| inputs.iter().all(|input| modified(input).is_ok_and(|other| other < time)))
}

/// The driver, compiled if that is not fresh.
///
/// # Errors
/// When a compiler is missing or finds something wrong.
pub fn driver() -> Result<PathBuf> {
    static BUILDING: Mutex<()> = Mutex::new(());
    let _building = BUILDING.lock().unwrap_or_else(PoisonError::into_inner);
    let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("driver");
    let entries = fs::read_dir(&sources).with_context(|| format!("cannot read {}", sources.display()))?;
    let mut inputs: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    inputs.sort();
    let result = folder()?.join("driver");
    if is_fresh(&result, &inputs) {
        return Ok(result);
    }
    // Beside its place first: another process may be running the old one, or building the same.
    let draft = result.with_extension(std::process::id().to_string());
    let mut link: Vec<OsString> = vec!["-pthread".into()];
    for input in inputs.iter().filter(|input| input.extension().is_some_and(|end| end != "h")) {
        let object = draft.with_extension(format!("{}.o", input.file_stem().unwrap_or_default().to_string_lossy()));
        let words: Vec<&OsStr> = FLAGS.iter().map(OsStr::new).chain([input.as_os_str()]).collect();
        compile(input.extension().is_some_and(|end| end == "cpp"), &words, &object)?;
        link.push(object.into_os_string());
    }
    let words: Vec<&OsStr> = link.iter().map(OsString::as_os_str).collect();
    compile(true, &words, &draft)?;
    for object in &link[1..] {
        // A leftover would only take space.
        let _ = fs::remove_file(object);
    }
    fs::rename(&draft, &result)?;
    Ok(result)
}

fn compile(cpp: bool, words: &[&OsStr], result: &Path) -> Result<()> {
    build::compile_by_hand(cpp, words, result).map_err(|text| anyhow!("the driver does not compile: {text}"))
}

/// All rows of the driver's table, in its order.
///
/// # Errors
/// When the driver cannot be built or prints something else.
pub fn rows() -> Result<Vec<Row>> {
    let output = Command::new(driver()?).arg("list").output()?;
    let text = String::from_utf8(output.stdout)?;
    let rows = text.lines().map(row).collect::<Option<Vec<Row>>>().context("the driver's list has another form")?;
    if rows.is_empty() {
        bail!("the driver lists no rows");
    }
    Ok(rows)
}

fn row(line: &str) -> Option<Row> {
    let mut words = line.split(' ');
    let (case, size, threads) = (words.next()?.to_owned(), words.next()?.parse().ok()?, words.next()?.parse().ok()?);
    Some(Row { case, size, threads })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_becomes_a_row() {
        let found = row("read/freed 100 2").unwrap();
        assert_eq!((category(&found.case), found.size, found.variant().as_str()), ("read", 100, "100x2"));
        assert_eq!(row("read/freed 100"), None);
    }

    #[test]
    fn no_row_is_there_twice_and_every_category_has_both_threads() {
        let rows = rows().unwrap();
        let mut names: Vec<String> = rows.iter().map(|row| format!("{} {}", row.case, row.variant())).collect();
        names.sort();
        let count = names.len();
        names.dedup();
        assert_eq!(names.len(), count);
        let mut cases: Vec<&str> = rows.iter().map(|row| row.case.as_str()).collect();
        cases.dedup();
        assert!(cases.len() >= 150, "{} cases", cases.len());
        for case in cases {
            let of_category =
                |threads| rows.iter().any(|row| category(&row.case) == category(case) && row.threads == threads);
            assert!(of_category(1) && of_category(2), "{case}");
        }
    }
}
