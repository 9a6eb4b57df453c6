//! The tests of the repository: how each kind is built and run in a copy of the sources.
//!
//! Knows: cargo, the packages and what they print. Must not know: why a test is run.

use crate::list::{Kind, Test};
use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process_group};
use std::fs::{self, File};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

const POLL: Duration = Duration::from_millis(5);
/// The profile of the library that mutants are built in: soon built, and without assertions, as it is shipped.
const PROFILE: &str = "mutant";
/// The profile that the command is built in.
const COMMAND: &str = "tool";
/// The targets of `tests/` that run the command `spandrel`.
const OF_COMMAND: [&str; 8] =
    ["bills", "cli", "doctor", "fleet", "observe", "profile_command", "profile_views", "serve"];
/// The profile that the models of the repository itself are built in.
const MODELS: &str = "model";

/// The result of a test.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// It passed.
    Passed,
    /// It failed, or the test program broke off.
    Failed,
    /// Its time was over.
    Hung,
    /// It says that it cannot run here.
    Skipped,
    /// There is no test of this name.
    Missing,
}

/// Builds and runs tests.
pub trait Tests {
    /// Builds what tests of this kind run; what the compiler says where it refuses.
    ///
    /// # Errors
    /// When the compiler cannot be run.
    fn build(&self, kind: &Kind) -> Result<core::result::Result<(), String>>;

    /// Runs one test, which was built.
    ///
    /// # Errors
    /// When it cannot be run.
    fn run(&self, test: &Test) -> Result<Verdict>;
}

/// The tests of a copy of the repository, or of the repository itself.
#[derive(Debug)]
pub struct Cargo {
    tree: PathBuf,
    build: PathBuf,
    /// When a test counts as hanging.
    limit: Duration,
    /// Whether no other build uses the folder.
    own: bool,
}

impl Cargo {
    /// The tests of the copy at `tree`, built below `build`, which count as hanging after `limit`.
    #[must_use]
    pub fn of_copy(tree: PathBuf, build: PathBuf, limit: Duration) -> Self {
        Self { tree, build, limit, own: true }
    }

    /// The tests of the repository at `root`, built as `make test` does. They can be listed.
    #[must_use]
    pub fn in_place(root: PathBuf, target: PathBuf) -> Self {
        Self { tree: root, build: target, limit: Duration::ZERO, own: false }
    }

    fn command(&self, folder: &Path, words: &[&str]) -> Command {
        let mut command = Command::new("cargo");
        let options = std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("SPANDREL_"));
        for (name, _) in options {
            command.env_remove(name);
        }
        command.args(words).current_dir(&self.tree).env("CARGO_TARGET_DIR", folder).env("CARGO_TERM_COLOR", "never");
        if self.own {
            // These programs are not debugged.
            command.env("CARGO_PROFILE_DEV_DEBUG", "false");
        }
        command
    }

    /// The command for tests of this kind, up to their names. Those of the repository itself are there, as `cargo tests`
    /// builds them with all others; a copy builds no more than it needs.
    fn test(&self, kind: &Kind) -> Command {
        let words =
            |package| if self.own { vec!["test", "--quiet", "--package", package] } else { vec!["tests", "--quiet"] };
        match kind {
            Kind::Unit => self.command(&self.build, &[words("spandrel-alloc"), vec!["--lib"]].concat()),
            Kind::Loom => {
                let mut command = self
                    .command(&self.build.join("loom"), &["test", "--quiet", "--package", "spandrel-alloc", "--lib"]);
                command.args(["--profile", if self.own { PROFILE } else { MODELS }]).env("RUSTFLAGS", "--cfg loom");
                command
            }
            Kind::Tool => self.command(&self.build, &[words("spandrel-cli"), vec!["--lib"]].concat()),
            Kind::Target(target) => {
                let mut command =
                    self.command(&self.build, &[words("spandrel-tests"), vec!["--test", target]].concat());
                let library = self.build.join(PROFILE);
                command
                    .env("SPANDREL_SO", library.join("libspandrel.so"))
                    .env("SPANDREL_A", library.join("libspandrel.a"));
                command
            }
        }
    }

    /// The names of all tests of this kind.
    ///
    /// # Errors
    /// When they cannot be built.
    pub fn names(&self, kind: &Kind) -> Result<Vec<String>> {
        let output = self.test(kind).args(["--", "--list"]).output().context("cannot run cargo")?;
        if !output.status.success() {
            bail!("{}", String::from_utf8_lossy(&output.stderr));
        }
        let listed = String::from_utf8_lossy(&output.stdout).into_owned();
        Ok(listed.lines().filter_map(|line| line.strip_suffix(": test")).map(str::to_owned).collect())
    }
}

impl Tests for Cargo {
    fn build(&self, kind: &Kind) -> Result<core::result::Result<(), String>> {
        let mut steps = vec![self.test(kind)];
        steps[0].arg("--no-run");
        let is_of_command = matches!(kind, Kind::Target(target) if OF_COMMAND.contains(&target.as_str()));
        let mut product = |package, profile| {
            let words = ["build", "--quiet", "--package", package, "--profile", profile];
            steps.push(self.command(&self.build, &words));
        };
        if matches!(kind, Kind::Target(_)) {
            product("spandrel", PROFILE);
            product("spandrel-jemalloc", PROFILE);
        }
        if is_of_command {
            product("spandrel-cli", COMMAND);
        }
        for mut step in steps {
            let output = step.output().context("cannot run cargo")?;
            if !output.status.success() {
                return Ok(Err(String::from_utf8_lossy(&output.stderr).into_owned()));
            }
        }
        if is_of_command {
            let place = |profile: &str| self.build.join(profile).join("spandrel");
            // The tests look for it beside the library.
            fs::copy(place(COMMAND), place(PROFILE)).context("the command")?;
        }
        Ok(Ok(()))
    }

    fn run(&self, test: &Test) -> Result<Verdict> {
        let mut command = self.test(&test.kind);
        command.args(["--", "--exact", &test.name]);
        limited(command, self.limit, &self.build.join("output"))
    }
}

/// Runs a command that prints the result of one test, at most so long.
fn limited(mut command: Command, limit: Duration, output: &Path) -> Result<Verdict> {
    let file = File::create(output).with_context(|| format!("cannot write {}", output.display()))?;
    command.stdin(Stdio::null()).stdout(file.try_clone()?).stderr(file).process_group(0);
    let mut child = command.spawn().with_context(|| format!("cannot run {command:?}"))?;
    let start = Instant::now();
    let status = loop {
        if let Some(status) = child.try_wait()? {
            break Some(status);
        }
        if start.elapsed() > limit {
            break None;
        }
        thread::sleep(POLL);
    };
    // Processes that the test started may live on.
    let _ = kill_process_group(Pid::from_child(&child), Signal::KILL);
    let Some(status) = status else {
        child.wait()?;
        return Ok(Verdict::Hung);
    };
    let said = String::from_utf8_lossy(&fs::read(output)?).into_owned();
    Ok(if status.success() { judge(&said) } else { Verdict::Failed })
}

/// The verdict in the last result line of a run that ended well.
fn judge(said: &str) -> Verdict {
    let line = said.lines().rfind(|line| line.starts_with("test result: ")).unwrap_or_default();
    let says = |what: &str| line.split([' ', ';']).collect::<Vec<_>>().windows(2).any(|pair| pair == ["1", what]);
    match (says("passed"), says("ignored")) {
        (true, _) => Verdict::Passed,
        (false, true) => Verdict::Skipped,
        (false, false) => Verdict::Missing,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str, limit: Duration) -> Verdict {
        let folder = tempfile::tempdir().unwrap();
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        limited(command, limit, &folder.path().join("output")).unwrap()
    }

    #[test]
    fn results_are_read() {
        let minute = Duration::from_secs(60);
        let line = |passed, ignored| {
            format!("echo 'test result: ok. {passed} passed; 0 failed; {ignored} ignored; 0 measured; 11 filtered out'")
        };
        assert_eq!(shell(&line(1, 0), minute), Verdict::Passed);
        assert_eq!(shell(&line(0, 1), minute), Verdict::Skipped);
        assert_eq!(shell(&line(0, 0), minute), Verdict::Missing);
        assert_eq!(shell("true", minute), Verdict::Missing);
        assert_eq!(shell(&format!("{}; exit 101", line(1, 0)), minute), Verdict::Failed);
        assert_eq!(shell("kill -ABRT $$", minute), Verdict::Failed);
    }

    #[test]
    fn what_hangs_is_ended_with_all_that_it_started() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let script = format!("(sleep 60; echo late > {}) & sleep 60", file.path().display());
        assert_eq!(shell(&script, Duration::from_millis(50)), Verdict::Hung);
        assert_eq!(fs::read(file.path()).unwrap(), b"");
    }
}
