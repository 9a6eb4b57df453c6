//! The files in `docs/evidence`: the circumstances of their figures, and how they are read.
//!
//! Knows: TOML, git, and how the system names itself. Must not know: what any file has figures of.

pub mod figures;

use anyhow::{Context, Result, anyhow, bail};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::path::Path;
use std::process::Command;

/// The command that files name as the one that wrote them.
pub const COMMAND: &str = "make evidence";
/// The sources of the library. Commits that touch none of them leave figures as they are.
const SOURCES: [&str; 2] = ["src", "scripts/link.rs"];
/// Behind the commit of sources that no commit has.
const DIRTY: &str = "-dirty";

/// A file of evidence.
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(bound(deserialize = "F: DeserializeOwned"))]
pub struct Evidence<F> {
    /// The circumstances.
    #[serde(flatten)]
    pub origin: Origin,
    /// The figures, in the form of this file.
    #[serde(flatten)]
    pub figures: F,
}

impl<F: DeserializeOwned> Evidence<F> {
    /// Reads the text of a file.
    ///
    /// # Errors
    /// When it does not have this form, or does not say where its figures come from; one line says what is wrong, and
    /// where.
    pub fn parse(text: &str) -> Result<Self> {
        let evidence: Self = parse(text)?;
        evidence.origin.check()?;
        Ok(evidence)
    }
}

/// The circumstances of recorded figures.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct Origin {
    /// The command that wrote them.
    pub command: String,
    /// The day.
    pub date: String,
    /// The sources of the library.
    pub commit: String,
    /// The kernel it ran on.
    pub kernel: String,
    /// The compiler that built it: another compiler may count otherwise.
    pub compiler: String,
}

impl Origin {
    /// Those of now.
    ///
    /// # Errors
    /// When git, date, uname or rustc do not answer.
    pub fn now(root: &Path) -> Result<Self> {
        let release = output(Command::new("uname").arg("-r"))?;
        // The rest of the release names a distribution or a machine.
        let numbers =
            release.split(|letter: char| !letter.is_ascii_digit() && letter != '.').next().unwrap_or_default();
        Ok(Self {
            command: COMMAND.to_owned(),
            date: output(Command::new("date").args(["--utc", "+%F"]))?,
            commit: commit(root)?,
            kernel: format!("Linux {numbers}"),
            compiler: output(Command::new("rustc").arg("--version").current_dir(root))?,
        })
    }

    /// Says which of them is missing.
    ///
    /// # Errors
    /// When one is empty.
    pub fn check(&self) -> Result<()> {
        for (name, value) in self.named() {
            if value.is_empty() {
                bail!("{name} is empty");
            }
        }
        Ok(())
    }

    /// The lines of the file that tell them.
    pub fn text(&self) -> String {
        self.named().map(|(name, value)| format!("{name} = {value:?}\n")).concat()
    }

    fn named(&self) -> [(&'static str, &String); 5] {
        let Self { command, date, commit, kernel, compiler } = self;
        [("command", command), ("date", date), ("commit", commit), ("kernel", kernel), ("compiler", compiler)]
    }

    /// Whether the sources of the figures are those of now, or came before them. Without a whole history nothing is
    /// known.
    ///
    /// # Errors
    /// When they are of no commit, of none that is known, or of one that did not come before.
    pub fn descent(&self, root: &Path) -> Result<()> {
        let git = |arguments: &[&str]| output(Command::new("git").arg("-C").arg(root).args(arguments));
        if self.commit.ends_with(DIRTY) {
            bail!("commit {} is none: it was recorded from sources that were not committed", self.commit);
        }
        if !root.join(".git").exists() || git(&["rev-parse", "--is-shallow-repository"])? == "true" {
            return Ok(());
        }
        git(&["merge-base", "--is-ancestor", &self.commit, "HEAD"])
            .map(drop)
            .map_err(|_| anyhow!("commit {} is none that came before the sources of now", self.commit))
    }
}

/// The last commit of the library's sources, and whether they differ from it.
fn commit(root: &Path) -> Result<String> {
    let git = |words: &[&str]| output(Command::new("git").arg("-C").arg(root).args(words).arg("--").args(SOURCES));
    let name = git(&["log", "-1", "--format=%h"])?;
    let changes = git(&["status", "--porcelain"])?;
    Ok(if changes.is_empty() { name } else { name + DIRTY })
}

/// Reads TOML into a form.
///
/// # Errors
/// When it has another form; one line says where.
pub fn parse<T: DeserializeOwned>(text: &str) -> Result<T> {
    toml::from_str(text).map_err(|error| {
        let line = error.span().map_or(1, |span| text[..span.start].lines().count().max(1));
        anyhow!("near line {line}: {}", error.message().replace('\n', ", "))
    })
}

/// The output of a command.
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn origin() -> Origin {
        let [command, date, commit, kernel, compiler] =
            ["make evidence", "2026-01-02", "abc", "Linux 6.1", "rustc 1"].map(str::to_owned);
        Origin { command, date, commit, kernel, compiler }
    }

    #[test]
    fn what_is_written_is_read_back() {
        assert_eq!(parse::<Origin>(&origin().text()).unwrap(), origin());
        for line in origin().text().lines() {
            let error =
                format!("{:#}", parse::<Origin>(&origin().text().replace(&format!("{line}\n"), "")).unwrap_err());
            assert!(error.contains("missing field") && error.lines().count() == 1, "{error}");
        }
        let empty = Origin { kernel: String::new(), ..origin() };
        assert_eq!(format!("{:#}", empty.check().unwrap_err()), "kernel is empty");
        origin().check().unwrap();
    }

    #[test]
    fn figures_descend_from_what_came_before_and_from_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        let git = |arguments: &[&str]| {
            let identity = ["-c", "user.name=name", "-c", "user.email=name@example.org", "-c", "commit.gpgsign=false"];
            output(Command::new("git").arg("-C").arg(root).args(identity).args(arguments)).unwrap()
        };
        let of = |commit: String| Origin { commit, ..origin() };
        of("anything".to_owned()).descent(root).unwrap();
        git(&["init", "--quiet"]);
        fs::create_dir_all(root.join("src")).unwrap();
        let write = |file: &str, text: &str| fs::write(root.join(file), text).unwrap();
        for (file, text) in [("src/file", "1"), ("src/file", "2"), ("file", "1")] {
            write(file, text);
            git(&["add", "."]);
            git(&["commit", "--quiet", "--message", file]);
        }
        git(&["reset", "--quiet", "--hard", "HEAD~"]);
        let two = commit(root).unwrap();
        of(two.clone()).descent(root).unwrap();
        write("file", "2");
        assert_eq!(commit(root).unwrap(), two, "this is no source of the library");
        write("src/file", "3");
        assert_eq!(commit(root).unwrap(), format!("{two}-dirty"));
        assert!(of(commit(root).unwrap()).descent(root).unwrap_err().to_string().contains("not committed"));
        git(&["reset", "--quiet", "--hard", "HEAD~"]);
        assert!(of(two).descent(root).unwrap_err().to_string().contains("none that came before"));
        assert!(of("0000000".to_owned()).descent(root).is_err());
        of(commit(root).unwrap()).descent(root).unwrap();
    }
}
