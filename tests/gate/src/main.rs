//! The gate: makes the checks, says a line for each, and compares what they found with docs/evidence.
//!
//! Knows: the command line, the lines, and what ends it with 1. Must not know: what a check does.

use anyhow::{Context, Result};
use clap::{Parser, Subcommand};
use harness::paths;
use spandrel_evidence::Origin;
use spandrel_evidence::record::{self, Found, Made, Record};
use spandrel_gate::check::Check;
use spandrel_gate::files::{FILES, File};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

#[derive(Debug, Parser)]
#[command(about = "Looks at profiles, page backend, hooks, limits and modes of libspandrel, and compares with docs/evidence")]
struct Arguments {
    #[command(subcommand)]
    command: Mode,
}

#[derive(Debug, Subcommand)]
enum Mode {
    /// Make the checks and compare
    Check {
        /// Only those of this file (may be given several times; default: all)
        #[arg(long = "file", value_name = "NAME")]
        files: Vec<String>,
        /// Only those that are over at once; the files are read as a whole all the same
        #[arg(long)]
        quick: bool,
        /// Folder of the files (default: docs/evidence)
        #[arg(long)]
        evidence: Option<PathBuf>,
    },
    /// Make the checks and write what they found, as long as it is as promised
    Record {
        /// Only those of this file (may be given several times; default: all)
        #[arg(long = "file", value_name = "NAME")]
        files: Vec<String>,
    },
}

fn main() -> ExitCode {
    match run(&Arguments::parse().command) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// False if something is not as promised or not as recorded; that has been said.
fn run(mode: &Mode) -> Result<bool> {
    let root = paths::workspace();
    let standard = root.join("docs/evidence");
    match mode {
        Mode::Check { files, quick, evidence } => {
            let folder = evidence.as_deref().unwrap_or(&standard);
            let records = chosen(files)?.into_iter().map(|file| Ok((file, read(&root, folder, file)?)));
            let records = records.collect::<Result<Vec<_>>>()?;
            let mut sum = Sum::default();
            for (file, record) in &records {
                for check in (file.checks)().into_iter().filter(|check| check.quick || !quick) {
                    sum.add(file, &check, &find(&check), Some(record));
                }
            }
            Ok(sum.tell())
        }
        Mode::Record { files } => {
            let mut sum = Sum::default();
            for file in chosen(files)? {
                let mut all = Vec::new();
                for check in (file.checks)() {
                    let made = find(&check);
                    sum.add(file, &check, &made, None);
                    all.extend(made);
                }
                if sum.failed == 0 {
                    write(&root, &path(&standard, file), file, &all)?;
                }
            }
            Ok(sum.tell())
        }
    }
}

fn chosen(names: &[String]) -> Result<Vec<&'static File>> {
    const ALL: &[File] = &FILES;
    let named = |name: &String| ALL.iter().find(|file| file.name == name).with_context(|| format!("no file {name}"));
    if names.is_empty() { Ok(ALL.iter().collect()) } else { names.iter().map(named).collect() }
}

fn path(folder: &Path, file: &File) -> PathBuf {
    folder.join(file.name).with_extension("toml")
}

/// Reads a file, and makes sure that its figures are those of sources that came before.
fn read(root: &Path, folder: &Path, file: &File) -> Result<Record> {
    let path = path(folder, file);
    let keys: Vec<String> = (file.checks)().into_iter().map(|check| check.key).collect();
    let record = fs::read_to_string(&path).map_err(Into::into).and_then(|text| Record::parse(&text, &keys));
    let record = record.and_then(|record| record.origin.descent(root).map(|()| record));
    record.with_context(|| path.display().to_string())
}

fn write(root: &Path, path: &Path, file: &File, all: &[Made]) -> Result<()> {
    fs::write(path, record::text(file.title, &Origin::now(root)?, all)).with_context(|| path.display().to_string())?;
    println!("written: {}", path.display());
    Ok(())
}

/// Makes a check; or says, as the only word, why it could not be made.
fn find(check: &Check) -> Result<Made, String> {
    let found = check.make()?;
    Ok(Made { key: check.key.clone(), what: check.what.clone(), found })
}

/// What came of all checks.
#[derive(Default)]
struct Sum {
    passed: usize,
    failed: usize,
    impossible: usize,
}

impl Sum {
    /// Says what came of a check.
    fn add(&mut self, file: &File, check: &Check, made: &Result<Made, String>, record: Option<&Record>) {
        let faults = match made {
            Err(why) => vec![why.clone()],
            Ok(made) => {
                let mut faults = made.found.broken();
                let stale = record.map_or_else(Vec::new, |record| record.stale(made));
                faults.extend(
                    stale.into_iter().map(|what| format!("{what} (`make evidence` renews docs/evidence/{}.toml)", file.name)),
                );
                faults
            }
        };
        let name = format!("{} {}", file.name, check.key);
        let text = made.as_ref().map_or_else(|_| "could not be made".to_owned(), |made| made.found.text());
        if !faults.is_empty() {
            self.failed += 1;
            println!("FAILED  {name:<40} {}: {text}", check.what);
            eprintln!("spandrel: {}: {name}: {}", check.code, faults.join("; "));
        } else if matches!(made, Ok(Made { found: Found::Impossible(_), .. })) {
            self.impossible += 1;
            println!("skipped {name:<40} {}: {text}", check.what);
        } else {
            self.passed += 1;
            let note = if record.is_some_and(|record| record.calls_impossible(&check.key)) { "; not in the record" } else { "" };
            println!("ok      {name:<40} {}: {text}{note}", check.what);
        }
    }

    /// Says the sum; false if anything failed.
    fn tell(&self) -> bool {
        println!("gate: {} passed, {} failed, {} skipped", self.passed, self.failed, self.impossible);
        self.failed == 0
    }
}
