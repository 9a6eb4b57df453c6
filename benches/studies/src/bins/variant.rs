//! Builds the library from a copy of its sources, with one constant changed.
//!
//! Invariants: the sources themselves are never touched; a constant that is not there is an error, so a study cannot
//! silently compare a library with itself.

use anyhow::{Context, Result, bail};
use spandrel_xtask::repo;
use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The files that a copy needs beyond `Cargo.toml`.
const COPIED: [&str; 3] = ["src", "scripts", "Cargo.lock"];
const LIBRARY: &str = "libspandrel.so";

/// A constant of the library.
#[derive(Debug, Clone, Copy)]
pub(super) struct Edit {
    pub(super) file: &'static str,
    /// Its name and type, as written.
    pub(super) constant: &'static str,
}

impl Edit {
    /// For the page.
    pub(super) fn said(self) -> String {
        let name = self.constant.split(':').next().unwrap_or_default();
        format!("`{name}` in `{}`", self.file)
    }

    /// The text with another value.
    fn apply(self, text: &str, value: &str) -> Result<String> {
        let definition = format!("const {} = ", self.constant);
        let (before, rest) =
            text.split_once(&definition).with_context(|| format!("{} has no `{definition}`", self.file))?;
        let (old, after) =
            rest.split_once(';').with_context(|| format!("`{definition}` of {} does not end", self.file))?;
        if old == value {
            bail!("{} is {value} already", self.said());
        }
        Ok(format!("{before}{definition}{value};{after}"))
    }
}

/// A copy of the sources, taken once, so that all variants are made of the same.
#[derive(Debug)]
pub(super) struct Sources {
    scratch: PathBuf,
    copy: PathBuf,
}

impl Sources {
    /// Copies what the library needs to build alone.
    pub(super) fn copy() -> Result<Self> {
        let root = repo::root()?;
        let scratch = repo::target(&root).join("studies");
        let copy = scratch.join("copy");
        if copy.exists() {
            fs::remove_dir_all(&copy)?;
        }
        fs::create_dir_all(&copy)?;
        for part in COPIED {
            duplicate(&root.join(part), &copy.join(part))?;
        }
        let manifest = fs::read_to_string(root.join("Cargo.toml"))?;
        let is_member = |line: &&str| line.starts_with("members") || line.starts_with("default-members");
        let alone: String = manifest.lines().filter(|line| !is_member(line)).flat_map(|line| [line, "\n"]).collect();
        fs::write(copy.join("Cargo.toml"), alone)?;
        Ok(Self { scratch, copy })
    }

    /// Builds the library with one constant changed, and says where it is.
    pub(super) fn build_with(&self, name: &str, edit: Edit, value: &str) -> Result<PathBuf> {
        let path = self.copy.join(edit.file);
        let text = fs::read_to_string(&path)?;
        fs::write(&path, edit.apply(&text, value)?)?;
        let built = self.build(name);
        fs::write(&path, text)?;
        built
    }

    /// Builds the library as it is.
    pub(super) fn build(&self, name: &str) -> Result<PathBuf> {
        let target = self.scratch.join("build");
        let done = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
            .args(["build", "--release", "--quiet"])
            .current_dir(&self.copy)
            .env("CARGO_TARGET_DIR", &target)
            .output()
            .context("cannot run cargo")?;
        if !done.status.success() {
            bail!("{name} does not build: {}", String::from_utf8_lossy(&done.stderr));
        }
        let built = self.scratch.join(format!("{name}.so"));
        fs::copy(target.join("release").join(LIBRARY), &built).with_context(|| format!("no {LIBRARY} was built"))?;
        println!("built {}", built.display());
        Ok(built)
    }
}

/// Copies a file, or a directory with all it holds.
fn duplicate(from: &Path, to: &Path) -> Result<()> {
    if !from.is_dir() {
        return fs::copy(from, to).map(drop).with_context(|| format!("cannot copy {}", from.display()));
    }
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        duplicate(&entry.path(), &to.join(entry.file_name()))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const EDIT: Edit = Edit { file: "f.rs", constant: "N: u32" };

    #[test]
    fn one_constant_is_changed_and_a_missing_one_is_an_error() {
        assert_eq!(EDIT.apply("a;\nconst N: u32 = 3;\nb;", "7").unwrap(), "a;\nconst N: u32 = 7;\nb;");
        assert!(EDIT.apply("const M: u32 = 3;", "7").is_err());
        assert!(EDIT.apply("const N: u32 = 7;", "7").is_err());
    }

    #[test]
    fn the_constants_of_the_study_exist() {
        let root = repo::root().unwrap();
        for edit in [super::super::SCAVENGE, super::super::GROWTH] {
            let text = fs::read_to_string(root.join(edit.file)).unwrap();
            assert!(edit.apply(&text, "0").is_ok(), "{}", edit.said());
        }
    }
}
