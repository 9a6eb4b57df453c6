//! Where the driver is, and how it is compiled.
//!
//! Knows: its folder and its compiler's flags. Must not know: what it does.

use anyhow::{Context, Result, anyhow};
use harness::{build, paths};
use std::ffi::{OsStr, OsString};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

const FLAGS: [&str; 8] =
    ["-O2", "-g", "-fno-builtin", "-Wall", "-Wextra", "-Wno-use-after-free", "-D_GNU_SOURCE", "-pthread"];
/// Loaded with the program: what the C library would load at the first `pthread_exit`, and never free, is no leak of
/// the allocator's.
const LIBRARIES: [&str; 2] = ["-Wl,--no-as-needed", "-lgcc_s"];

/// The folder for all that a run leaves behind.
///
/// # Errors
/// When it cannot be made.
pub fn folder() -> Result<PathBuf> {
    let above = paths::output();
    let folder = above.parent().unwrap_or(&above).join("stress");
    fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    Ok(folder)
}

fn files(folder: &Path, ending: &str) -> Result<Vec<PathBuf>> {
    let entries = fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))?;
    let mut paths: Vec<_> = entries.flatten().map(|entry| entry.path()).collect();
    paths.retain(|path| path.extension().is_some_and(|end| end == ending));
    paths.sort();
    Ok(paths)
}

/// A shared object for the driver to open, compiled if that is not fresh.
///
/// # Errors
/// When the compiler is missing or finds something wrong.
pub fn plugin() -> Result<PathBuf> {
    build::shared_object(&build::Source::new(paths::ffi_support().join("helper_plugin.c")))
        .map_err(|text| anyhow!(text))
}

/// The driver, compiled if that is not fresh.
///
/// # Errors
/// When the compiler is missing or finds something wrong.
pub fn driver() -> Result<PathBuf> {
    /// Tests of one process run beside one another and must not build the same thing twice at once.
    static BUILDING: Mutex<()> = Mutex::new(());
    let _building = BUILDING.lock().unwrap_or_else(PoisonError::into_inner);
    let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("driver");
    let result = folder()?.join("driver");
    let modified = |path: &Path| fs::metadata(path).and_then(|data| data.modified());
    let includes = [sources.clone(), paths::ffi_support(), paths::include()];
    let mut inputs = files(&sources, "c")?;
    let units = inputs.len();
    for include in &includes {
        inputs.extend(files(include, "h")?);
    }
    if let Ok(built) = modified(&result)
        && inputs.iter().all(|input| modified(input).is_ok_and(|time| time < built))
    {
        return Ok(result);
    }
    let mut arguments: Vec<OsString> = FLAGS.iter().map(OsString::from).collect();
    for include in includes {
        arguments.extend(["-I".into(), include.into_os_string()]);
    }
    arguments.extend(inputs.drain(..units).map(PathBuf::into_os_string));
    arguments.extend(LIBRARIES.iter().map(OsString::from));
    let words: Vec<&OsStr> = arguments.iter().map(OsString::as_os_str).collect();
    // Beside its place first: another process may be running the old one, or building the same.
    let draft = result.with_extension(std::process::id().to_string());
    build::compile_by_hand(false, &words, &draft).map_err(|text| anyhow!("the driver does not compile: {text}"))?;
    fs::rename(&draft, &result)?;
    Ok(result)
}
