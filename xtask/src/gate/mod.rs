//! The gate: measures what `docs/evidence` has figures of, and compares, or writes the figures anew.
//!
//! Knows: the command line, the order of things, and what ends it with 1. Must not know: how any figure is measured or
//! judged.
//!
//! # Invariants
//! - All files that are compared are read before anything is measured: a file that cannot be compared ends the gate at
//!   once.
//! - A file is written only if everything that it has figures of is as promised.

mod checks;
mod fast_path;
mod numa;
mod stress;

use crate::evidence::{Evidence, Origin};
use crate::repo;
use anyhow::{Context, Result, bail};
use checks::FILES;
use fast_path::FastPath;
use numa::Nodes;
use serde::de::DeserializeOwned;
use std::fs;
use std::path::{Path, PathBuf};
use stress::Stress;

const FOLDER: &str = "docs/evidence";

/// The two directions: compare, or record.
#[derive(Debug, clap::Subcommand)]
pub enum Request {
    /// Measure, and compare with what is recorded
    Check {
        /// Which files.
        #[command(flatten)]
        choice: Choice,
        /// Which part of them.
        #[command(flatten)]
        scope: Scope,
        /// Folder of the files (default: docs/evidence)
        #[arg(long, value_name = "FOLDER")]
        evidence: Option<PathBuf>,
    },
    /// Measure, and write the figures as long as they are as promised; budgets and tolerances stay
    Record {
        /// Which files.
        #[command(flatten)]
        choice: Choice,
    },
}

/// Which files.
#[derive(Debug, Default, clap::Args)]
pub struct Choice {
    /// Only this file (may be given several times; default: all)
    #[arg(long = "file", value_name = "NAME")]
    files: Vec<String>,
    /// Not this file (may be given several times)
    #[arg(long = "skip", value_name = "NAME")]
    skipped: Vec<String>,
}

/// Which part of the files.
#[derive(Debug, Default, clap::Args)]
pub struct Scope {
    /// Of the files of checks, only the checks that are over at once
    #[arg(long)]
    quick: bool,
    /// Of `stress`, only this scenario (may be given several times)
    #[arg(long = "scenario", value_name = "NAME")]
    scenarios: Vec<String>,
    /// Of `stress`, only this profile (may be given several times)
    #[arg(long = "profile", value_name = "NAME")]
    profiles: Vec<String>,
    /// For `numa`, the output of a guest that ran before, in place of that of a new one
    #[arg(long, value_name = "FILE")]
    console: Option<PathBuf>,
}

/// The subject of one file of `docs/evidence`.
trait Subject {
    /// The figures as the file has them.
    type Figures: DeserializeOwned;
    /// The figures as measured now.
    type Measured;

    /// The name of the file, without its ending.
    fn name(&self) -> &'static str;

    /// The comment above the file.
    fn title(&self) -> String;

    /// The figures to start from when all of them are written anew; by default those of the file, of which budgets
    /// stay.
    fn blank(&self) -> Option<Self::Figures> {
        None
    }

    /// Says what in the figures of a file cannot be compared.
    fn validate(&self, recorded: &Self::Figures) -> Result<()>;

    /// Measures, prints a line for each figure and each fault, and counts them. Recorded figures count as faults where
    /// they are not what was measured, unless they are to be written anew.
    fn measure(&self, scope: &Scope, recorded: &Self::Figures, purpose: Purpose) -> Result<(Self::Measured, Tally)>;

    /// The text below the circumstances with the figures measured now.
    fn text(&self, recorded: Self::Figures, measured: &Self::Measured) -> Result<String>;

    /// The kernel that it was measured on, if that is not the one of this machine.
    fn kernel(&self, _measured: &Self::Measured) -> Option<String> {
        None
    }
}

/// The reason for which figures are measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Purpose {
    Check,
    Record,
}

/// How many things were as they should be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Tally {
    passed: usize,
    failed: usize,
    skipped: usize,
}

impl Tally {
    fn count(&mut self, is_good: bool) {
        if is_good { self.passed += 1 } else { self.failed += 1 }
    }

    fn add(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.skipped += other.skipped;
    }
}

/// A subject with its file, whatever the form of its figures.
trait Entry {
    fn name(&self) -> &'static str;
    /// Reads the file, and makes sure that its figures can be compared.
    fn open(self: Box<Self>, root: &Path, folder: &Path) -> Result<Opened>;
    fn record(&self, root: &Path, folder: &Path) -> Result<Tally>;
}

/// The measurement that is compared with a file that was read.
type Opened = Box<dyn FnOnce(&Scope) -> Result<Tally>>;

impl<S: Subject + 'static> Entry for S {
    fn name(&self) -> &'static str {
        Subject::name(self)
    }

    fn open(self: Box<Self>, root: &Path, folder: &Path) -> Result<Opened> {
        let path = path(folder, Subject::name(&*self));
        let evidence = read::<S::Figures>(&path).and_then(|evidence| {
            self.validate(&evidence.figures)?;
            evidence.origin.descent(root)?;
            Ok(evidence)
        });
        let evidence = evidence.with_context(|| path.display().to_string())?;
        Ok(Box::new(move |scope| Ok(self.measure(scope, &evidence.figures, Purpose::Check)?.1)))
    }

    fn record(&self, root: &Path, folder: &Path) -> Result<Tally> {
        let path = path(folder, Subject::name(self));
        let figures = match self.blank() {
            Some(figures) => figures,
            None => read::<S::Figures>(&path).with_context(|| path.display().to_string())?.figures,
        };
        let (measured, tally) = self.measure(&Scope::default(), &figures, Purpose::Record)?;
        if tally.failed == 0 {
            let mut origin = Origin::now(root)?;
            origin.kernel = self.kernel(&measured).unwrap_or(origin.kernel);
            let text = format!("# {}\n{}{}", self.title(), origin.text(), self.text(figures, &measured)?);
            fs::write(&path, text).with_context(|| path.display().to_string())?;
            println!("written: {}", path.display());
        }
        Ok(tally)
    }
}

fn path(folder: &Path, name: &str) -> PathBuf {
    folder.join(name).with_extension("toml")
}

fn read<F: DeserializeOwned>(path: &Path) -> Result<Evidence<F>> {
    Evidence::parse(&fs::read_to_string(path)?)
}

fn entries() -> Vec<Box<dyn Entry>> {
    let mut entries: Vec<Box<dyn Entry>> = vec![Box::new(FastPath)];
    entries.extend(FILES.into_iter().map(|file| -> Box<dyn Entry> { Box::new(file) }));
    entries.push(Box::new(Stress));
    entries.push(Box::new(Nodes));
    entries
}

impl Choice {
    fn entries(&self) -> Result<Vec<Box<dyn Entry>>> {
        let mut entries = entries();
        for name in self.files.iter().chain(&self.skipped) {
            if !entries.iter().any(|entry| entry.name() == name) {
                let names: Vec<_> = entries.iter().map(|entry| entry.name()).collect();
                bail!("no file {name}; there are {}", names.join(", "));
            }
        }
        let has = |names: &[String], entry: &dyn Entry| names.iter().any(|name| name == entry.name());
        entries.retain(|entry| (self.files.is_empty() || has(&self.files, &**entry)) && !has(&self.skipped, &**entry));
        Ok(entries)
    }
}

/// Does what is asked for; false if something is not as promised or not as recorded, which has been printed.
///
/// # Errors
/// When a file cannot be compared, or something cannot be measured.
pub fn run(request: &Request) -> Result<bool> {
    let root = repo::root()?;
    let standard = root.join(FOLDER);
    let mut sum = Tally::default();
    match request {
        Request::Check { choice, scope, evidence } => {
            let folder = evidence.as_deref().unwrap_or(&standard);
            let opened =
                choice.entries()?.into_iter().map(|entry| entry.open(&root, folder)).collect::<Result<Vec<_>>>()?;
            for measure in opened {
                sum.add(measure(scope)?);
            }
        }
        Request::Record { choice } => {
            for entry in choice.entries()? {
                sum.add(entry.record(&root, &standard)?);
            }
        }
    }
    println!("gate: {} passed, {} failed, {} skipped", sum.passed, sum.failed, sum.skipped);
    Ok(sum.failed == 0)
}

/// The remedy for a file that is not true any more.
fn stale(name: &str) -> String {
    format!("`make evidence` renews {FOLDER}/{name}.toml")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_file_of_evidence_has_one_subject() {
        let folder = crate::repo::workspace().join(FOLDER);
        let files = fs::read_dir(folder).unwrap().flatten().map(|entry| entry.path());
        let files: BTreeSet<String> = files
            .filter(|path| path.extension().is_some_and(|end| end == "toml"))
            .map(|path| path.file_stem().unwrap().to_str().unwrap().to_owned())
            .collect();
        let entries = entries();
        let names: BTreeSet<String> = entries.iter().map(|entry| entry.name().to_owned()).collect();
        assert_eq!((&names, names.len()), (&files, entries.len()));
    }

    #[test]
    fn the_files_in_the_repository_can_be_compared() {
        let root = crate::repo::workspace();
        for entry in entries() {
            let name = entry.name();
            if let Err(error) = entry.open(&root, &root.join(FOLDER)) {
                panic!("{name}: {error:#}");
            }
        }
    }

    #[test]
    fn files_are_chosen_by_name_and_others_are_refused() {
        let names = |files: &[&str], skipped: &[&str]| {
            let own = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
            let entries = Choice { files: own(files), skipped: own(skipped) }.entries()?;
            Ok::<_, anyhow::Error>(entries.iter().map(|entry| entry.name()).collect::<Vec<_>>())
        };
        assert_eq!(names(&["numa", "fast-path"], &[]).unwrap(), ["fast-path", "numa"]);
        assert_eq!(names(&[], &["numa"]).unwrap().len() + 1, entries().len());
        assert!(names(&["nume"], &[]).unwrap_err().to_string().contains("fast-path, profiles"));
    }
}
