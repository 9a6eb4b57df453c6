//! Where things are, and what other programs say.
//!
//! Knows: paths and commands. Must not know: what is done with the answers.

use anyhow::{Context, Result};
pub use spandrel_evidence::output;
use std::env;
use std::path::{Path, PathBuf};

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
