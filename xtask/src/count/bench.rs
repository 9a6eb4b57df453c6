//! The set-up of a measurement: the library, and the driver compiled.
//!
//! Knows: where things are in the workspace. Must not know: what is measured.

use super::cases::{self, Case, Cost};
use crate::repo;
use anyhow::{Context, Result, bail};
use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The set-up of a measurement.
#[derive(Debug)]
pub struct Bench {
    /// The top of the workspace.
    pub root: PathBuf,
    /// The library looked into.
    pub library: PathBuf,
    /// A folder for temporary files.
    pub scratch: PathBuf,
    driver: PathBuf,
}

impl Bench {
    /// Finds the library, the release build if none is named, and compiles the driver.
    ///
    /// # Errors
    /// When the library is not there, or the C compiler fails.
    pub fn prepare(library: Option<&Path>) -> Result<Self> {
        let root = repo::root()?;
        let library = repo::library(library)?;
        let scratch = repo::target(&root).join("instructions");
        let driver = compile(&root, &scratch, "driver")?;
        Ok(Self { root, library, scratch, driver })
    }

    /// The cost of one unit of the case.
    ///
    /// # Errors
    /// As [`cases::cost`].
    pub fn cost(&self, case: &Case) -> Result<Cost> {
        cases::cost(case, &self.driver, &self.library, &self.scratch)
    }
}

/// Compiles a program of `benches/driver` with the C compiler.
pub(super) fn compile(root: &Path, scratch: &Path, name: &str) -> Result<PathBuf> {
    fs::create_dir_all(scratch)?;
    let driver = scratch.join(name);
    let compiler = env::var("CC").unwrap_or_else(|_| "cc".to_owned());
    let status = Command::new(&compiler)
        .args(["-O2", "-g", "-pthread", "-fno-builtin-malloc", "-o"])
        .arg(&driver)
        .arg(root.join("benches/driver").join(name).with_extension("c"))
        .status()
        .with_context(|| format!("cannot run {compiler}"))?;
    if !status.success() {
        bail!("{compiler} ended with {status}");
    }
    Ok(driver)
}
