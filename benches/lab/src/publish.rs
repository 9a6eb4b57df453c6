//! Reports of results: beside them, or in the documentation, where only a full run that holds what is published may go.
//!
//! Knows: paths, which results are refused. Must not know: how a run is made or a table is laid out.

use crate::causes::Causes;
use crate::plot::{self, Forms};
use crate::report;
use crate::results::{Form, Results};
use crate::targets::{self, Targets};
use anyhow::{Context, Result, bail};
use spandrel_xtask::repo;
use std::fs;
use std::path::{Path, PathBuf};

const PICTURES: &str = "pictures";

/// The results to make a report of.
#[derive(Debug, clap::Args)]
pub struct Report {
    /// results.json of a run
    results: PathBuf,
    /// Where the report goes (default: beside the results)
    #[arg(long)]
    out: Option<PathBuf>,
}

/// Writes the report of results that are there already.
///
/// # Errors
/// When they cannot be read or the report cannot be written.
pub fn report(request: &Report) -> Result<()> {
    let results = Results::read(&request.results)?;
    let beside = request.results.parent().unwrap_or(Path::new("."));
    let out = request.out.as_deref().unwrap_or(beside);
    write_report(&results, &Notes::read(&repo::root()?)?, out, Forms::Both)
}

/// Which results to publish.
#[derive(Debug, clap::Args)]
pub struct Publish {
    /// results.json of a full run (default: the last one)
    results: Option<PathBuf>,
}

/// Puts report and pictures where README.md and docs/benchmarks.md show them.
///
/// # Errors
/// As [`report`]; when the run was not a full one, missed what is published, or did not measure it.
pub fn publish(request: &Publish) -> Result<()> {
    let root = repo::root()?;
    let last = repo::target(&root).join("bench/results.json");
    let path = request.results.as_deref().unwrap_or(&last);
    let results = Results::read(path)?;
    let notes = Notes::read(&root)?;
    refuse(&results, &notes.targets, Form::Full)?;
    write_report(&results, &notes, &root.join("docs/benchmarks"), Forms::SvgOnly)
}

/// Refuses results that must not be published.
///
/// # Errors
/// When the run was not of that form, missed what is published, or did not measure it.
pub fn refuse(results: &Results, targets: &Targets, form: Form) -> Result<()> {
    if results.made.form != form {
        let whole = if form == Form::Security { "bench-security" } else { "bench" };
        bail!("a whole run of `make {whole}` can be published, not `spandrel-lab {}`", results.made.command);
    }
    let mut lines = targets.missed(results);
    lines.extend(targets.open(results));
    if !lines.is_empty() {
        bail!(
            "{}\nnot published: find the cause, or write the new figures into {} and the pages",
            lines.join("\n"),
            targets::FILE
        );
    }
    Ok(())
}

/// The files of a repository that a report is made with.
pub(crate) struct Notes {
    causes: Causes,
    pub(crate) targets: Targets,
}

impl Notes {
    /// Reads them; before a long run, so that a mistake in one is found first.
    pub(crate) fn read(root: &Path) -> Result<Self> {
        Ok(Self {
            causes: Causes::read(&root.join("benches/causes.toml"))?,
            targets: Targets::read(&root.join(targets::FILE))?,
        })
    }
}

/// Writes the report and its pictures into a directory.
pub(crate) fn write_report(results: &Results, notes: &Notes, out: &Path, forms: Forms) -> Result<()> {
    let pictures = plot::draw(results, &out.join(PICTURES), forms)?;
    let path = out.join("report.md");
    let text = report::render(results, &notes.causes, &notes.targets, &pictures, PICTURES);
    fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
    println!("report:   {}", path.display());
    println!("pictures: {}", out.join(PICTURES).display());
    Ok(())
}
