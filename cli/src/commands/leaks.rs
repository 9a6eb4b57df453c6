//! `spandrel leaks`: what a program still held in its last profile, or holds more and more of, stack by stack.

use crate::profile;
use anyhow::Result;
use clap::Args;
use std::path::PathBuf;

/// Profiles to look at.
#[derive(Debug, Args)]
pub(crate) struct Request {
    /// A profile; if there are two, the earlier one
    first: PathBuf,
    /// A later profile: shows the growth between the two
    second: Option<PathBuf>,
    /// Stacks shown
    #[arg(long, default_value_t = 10)]
    rows: usize,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

const LIVE: &str = "inuse_space";

/// Prints the stacks.
///
/// # Errors
/// Where a file is no heap profile.
pub(crate) fn execute(request: &Request) -> Result<()> {
    let mut before = profile::read(&request.first)?;
    let after = match &request.second {
        Some(second) => profile::read(second)?,
        None => {
            let whole = profile::read(&request.first)?;
            before.stacks.clear();
            whole
        }
    };
    let difference = profile::difference(&before, &after, Some(LIVE))?;
    if request.json {
        return crate::output::json(&difference.grown_values(request.rows));
    }
    let text = difference.grown(request.rows);
    print!("{}", if text.is_empty() { "nothing that a sample fell on\n" } else { &text });
    Ok(())
}
