//! What other programs know: where things are, which commit this is, what day.
//!
//! Knows: paths and commands. Must not know: what is done with the answers.

use anyhow::{Context, Result, bail};
use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The top of the workspace.
///
/// # Errors
/// Never in a workspace.
pub fn root() -> Result<PathBuf> {
    Ok(Path::new(env!("CARGO_MANIFEST_DIR")).parent().context("no workspace")?.to_owned())
}

/// The folder that cargo builds into.
pub fn target(root: &Path) -> PathBuf {
    env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), PathBuf::from)
}

/// The library to look at, the release build if none is named.
///
/// # Errors
/// When it is not there.
pub fn library(root: &Path, named: Option<&Path>) -> Result<PathBuf> {
    let library = named.map_or_else(|| target(root).join("release/libspandrel.so"), Path::to_owned);
    library.canonicalize().with_context(|| format!("{} is not there: run `make build`", library.display()))
}

/// The commit of the sources, and whether they differ from it. Evidence that was just written is no source.
///
/// # Errors
/// When git does not know.
pub fn commit(root: &Path) -> Result<String> {
    let git = || {
        let mut git = Command::new("git");
        git.arg("-C").arg(root);
        git
    };
    let head = output(git().args(["rev-parse", "--short", "HEAD"]))?;
    let changed = output(git().args(["diff", "--name-only", "HEAD", "--", ".", ":!docs/evidence"]))?;
    Ok(if changed.is_empty() { head } else { head + "-dirty" })
}

/// The compiler of the library.
///
/// # Errors
/// When it does not say.
pub fn compiler(root: &Path) -> Result<String> {
    output(Command::new("rustc").arg("--version").current_dir(root))
}

/// Today.
///
/// # Errors
/// When the clock does not say.
pub fn date() -> Result<String> {
    output(Command::new("date").args(["--utc", "+%F"]))
}

/// What a command prints.
///
/// # Errors
/// When it cannot be run, or does not end with 0; with what it says on fd 2.
pub fn output(command: &mut Command) -> Result<String> {
    let done = command.output().with_context(|| format!("cannot run {command:?}"))?;
    if !done.status.success() {
        bail!("{command:?} ended with {}: {}", done.status, String::from_utf8_lossy(&done.stderr).trim());
    }
    Ok(String::from_utf8_lossy(&done.stdout).trim().to_owned())
}
