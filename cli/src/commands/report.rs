//! `spandrel report`: a page with pictures of a process's memory.

use crate::html;
use crate::live::Subject;
use crate::recording::Recording;
use anyhow::{Context, Result};
use clap::Args;
use std::fs;
use std::path::{Path, PathBuf};

/// Whose memory, and where the page goes.
#[derive(Debug, Args)]
pub(crate) struct Request {
    /// A process, or a file that `spandrel record` made
    subject: String,
    /// The file to write
    #[arg(long, short, default_value = "spandrel.html")]
    output: PathBuf,
    /// Print the figures as JSON instead of a page, in the format of `spandrel record`
    #[arg(long, conflicts_with = "output")]
    json: bool,
}

/// Writes the page.
///
/// # Errors
/// Where the process or the file cannot be read, or the page not be written.
pub(crate) fn execute(request: &Request) -> Result<()> {
    let recording = match request.subject.parse() {
        Ok(pid) => {
            let subject = Subject::open(pid)?;
            let mut recording = Recording::of(&subject);
            recording.look(&subject, 0.0)?;
            recording
        }
        Err(_) => Recording::load(Path::new(&request.subject))?,
    };
    if request.json {
        return crate::output::json(&recording.to_value());
    }
    let path = &request.output;
    fs::write(path, html::page(&recording)?).with_context(|| format!("{}", path.display()))?;
    println!("{}", path.display());
    Ok(())
}
