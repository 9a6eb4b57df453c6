//! Where things are: the repository, the built library, the programs of the system.
//!
//! Knows: paths. Must not know: what is done with them.

use anyhow::{Context, Result, bail};
use std::env;
use std::fs;
use std::path::{Path, PathBuf};

/// The root of the repository that the current directory is in.
///
/// # Errors
/// When no parent directory holds this workspace.
pub fn root() -> Result<PathBuf> {
    let start = env::current_dir().context("no current directory")?;
    start
        .ancestors()
        .find(|dir| dir.join("Cargo.toml").is_file() && dir.join("xtask/Cargo.toml").is_file())
        .map(Path::to_path_buf)
        .context("run this inside the Spandrel repository")
}

/// The repository that this program was built in.
#[must_use]
pub fn workspace() -> PathBuf {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    package.parent().unwrap_or(package).to_path_buf()
}

/// The directory cargo builds into.
#[must_use]
pub fn target(root: &Path) -> PathBuf {
    env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), PathBuf::from)
}

/// The library to preload: the one named, or the release build.
///
/// # Errors
/// When it has not been built.
pub fn library(named: Option<&Path>) -> Result<PathBuf> {
    let path = match named {
        Some(path) => path.to_path_buf(),
        None => target(&root()?).join("release/libspandrel.so"),
    };
    path.canonicalize().with_context(|| format!("{} is not there: run `make build` first", path.display()))
}

/// The full path of a program: the system's own directories first, since a version manager's wrapper script in `PATH`
/// would be measured in place of the program.
#[must_use]
pub fn program(name: &str) -> Option<PathBuf> {
    if name.contains('/') {
        return Path::new(name).canonicalize().ok();
    }
    let path = env::var_os("PATH").unwrap_or_default();
    ["/usr/bin", "/usr/local/bin", "/bin", "/usr/sbin"]
        .into_iter()
        .map(PathBuf::from)
        .chain(env::split_paths(&path))
        .map(|dir| dir.join(name))
        .find(|candidate| candidate.is_file())
}

/// Writes a generated file, or, when only checking, fails if the file differs from `text`.
///
/// # Errors
/// When the file is stale (checking) or cannot be written.
pub fn write_or_check(path: &Path, text: &str, check: bool, remedy: &str) -> Result<()> {
    let current = fs::read_to_string(path).unwrap_or_default();
    if current == text {
        println!("{}: fresh", path.display());
        return Ok(());
    }
    if check {
        bail!("{} is stale: run `{remedy}` and commit the result", path.display());
    }
    if let Some(dir) = path.parent() {
        fs::create_dir_all(dir)?;
    }
    fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))?;
    println!("{}: written", path.display());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stale_file_is_reported_and_a_fresh_one_accepted() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("deep/file");
        assert!(write_or_check(&path, "a", true, "make x").is_err());
        write_or_check(&path, "a", false, "make x").unwrap();
        write_or_check(&path, "a", true, "make x").unwrap();
        assert!(write_or_check(&path, "b", true, "make x").is_err());
    }

    #[test]
    fn programs_are_found_by_name_and_by_path() {
        assert_eq!(program("true"), Some(PathBuf::from("/usr/bin/true")));
        assert!(program("/usr/bin/true").is_some());
        assert_eq!(program("no-such-program-anywhere"), None);
    }
}
