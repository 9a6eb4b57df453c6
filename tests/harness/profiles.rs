//! Heap profiles that tests make and show, and the files beside them.

use std::fs;
use std::path::{Path, PathBuf};

use crate::build::{self, Source};
use crate::header::Variant;
use crate::{paths, run};

/// Bytes between samples: the programs of the tests ask for hundreds of times as much.
pub const RATE: &str = "16K";

/// The names of the files in a folder, sorted.
pub fn files(folder: &Path) -> Result<Vec<String>, String> {
    let entries = fs::read_dir(folder).map_err(|error| error.to_string())?;
    let mut names: Vec<_> = entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    Ok(names)
}

/// Wants these files in a folder, and no others.
pub fn expect_files(folder: &Path, expected: &[&str]) -> Result<(), String> {
    let found = files(folder)?;
    if found == expected { Ok(()) } else { Err(format!("{found:?}")) }
}

/// The text of the tool's own reader about a profile.
pub fn shown(file: &Path, view: &[&str]) -> Result<String, String> {
    let mut command = run::command(paths::tool()?);
    command.args(["profile", view[0]]).arg(file).args(&view[1..]);
    let outcome = run::run(&mut command, 60)?;
    outcome.clean()?;
    Ok(outcome.stdout)
}

/// The dump of `profiled.c`, as the library writes it.
pub fn dump_of_profiled(folder: &Path) -> Result<PathBuf, String> {
    let file = folder.join("heap-%n").display().to_string();
    let program = build::program(&Source::new(paths::program_source("profiled.c")), Variant::Preload)?;
    let mut command = run::preloaded(program)?;
    let settings = [("SPANDREL_HEAP_PROFILE", file), ("SPANDREL_HEAP_PROFILE_RATE", RATE.to_owned())];
    run::run(command.arg("exit").envs(settings), 60)?.clean()?;
    Ok(folder.join("heap-1"))
}
