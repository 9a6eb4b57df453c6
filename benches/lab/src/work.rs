//! The rows: the workloads that `spandrel-workload` knows, and real programs; how one run of either is made and judged.
//!
//! Knows: the line a workload prints, the programs' descriptions. Must not know: allocators, repetition.

use crate::allocators::{Column, GLIBC};
use crate::results::{Kind, Said, Workload};
use anyhow::{Context, Result, bail};
use serde::Deserialize;
use sha2::{Digest, Sha256};
use spandrel_xtask::programs::program::Program;
use spandrel_xtask::programs::session::Session;
use spandrel_xtask::run::{End, Launcher, Task, Usage};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

const WARM_UP_SCALE: f64 = 0.05;
const LAST_WORDS: usize = 300;

/// One row.
#[derive(Debug, Clone)]
pub struct Work {
    /// Its record in the results.
    pub workload: Workload,
    body: Body,
}

#[derive(Debug, Clone)]
enum Body {
    Synthetic,
    Program(&'static Program),
}

/// The settings that all runs share.
#[derive(Debug)]
pub struct Bench<'a> {
    /// Starts and measures commands.
    pub launcher: &'a Launcher,
    /// `spandrel-workload`.
    pub binary: &'a Path,
    /// For inputs and results.
    pub scratch: &'a Path,
    /// The C library, for the programs that link another malloc by themselves.
    pub libc: &'a Path,
    /// Amount of work.
    pub scale: f64,
    /// When a run is killed.
    pub limit: Duration,
}

/// How a run went.
#[derive(Debug)]
pub struct Measured {
    /// The time and memory it used.
    pub usage: Usage,
    /// Its output.
    pub said: Said,
}

impl Work {
    /// The row of a real program.
    #[must_use]
    pub fn program(program: &'static Program) -> Self {
        Self {
            workload: Workload {
                name: program.name.to_owned(),
                summary: program.work.to_owned(),
                field: String::new(),
                threads: 0,
                kind: Kind::Program,
            },
            body: Body::Program(program),
        }
    }

    /// One run under an allocator. A workload is killed after `limit`, or that of the bench if it is shorter.
    ///
    /// # Errors
    /// When it ends otherwise than well; the text says how.
    pub fn run(&self, bench: &Bench<'_>, column: &Column, limit: Duration) -> Result<Measured> {
        match self.body {
            Body::Synthetic => synthetic(&self.workload.name, bench.scale, bench, column, limit),
            Body::Program(program) => real(program, bench, column),
        }
    }

    /// An uncounted run, with little work where the amount can be chosen.
    ///
    /// # Errors
    /// As [`Work::run`].
    pub fn warm_up(&self, bench: &Bench<'_>, column: &Column) -> Result<Measured> {
        match self.body {
            Body::Synthetic => {
                synthetic(&self.workload.name, bench.scale.min(WARM_UP_SCALE), bench, column, bench.limit)
            }
            Body::Program(program) => real(program, bench, column),
        }
    }
}

/// The workloads that the binary knows.
///
/// # Errors
/// When it cannot be asked.
pub fn synthetics(binary: &Path) -> Result<Vec<Work>> {
    /// A line of `list`, about one workload.
    #[derive(Deserialize)]
    struct Listed {
        name: String,
        field: String,
        summary: String,
        threads: usize,
        kind: Kind,
    }
    let output =
        Command::new(binary).arg("list").output().with_context(|| format!("cannot start {}", binary.display()))?;
    if !output.status.success() {
        bail!("{} list ends with {}", binary.display(), output.status);
    }
    let listed: Vec<Listed> = serde_json::from_slice(&output.stdout).context("the list of workloads cannot be read")?;
    let row = |Listed { name, field, summary, threads, kind }| Work {
        workload: Workload { name, summary, field, threads, kind },
        body: Body::Synthetic,
    };
    Ok(listed.into_iter().map(row).collect())
}

fn synthetic(name: &str, scale: f64, bench: &Bench<'_>, column: &Column, limit: Duration) -> Result<Measured> {
    let limit = bench.limit.min(limit);
    let task = Task {
        program: bench.binary.to_path_buf(),
        arguments: ["run", name, "--scale", &scale.to_string()].map(str::to_owned).to_vec(),
        dir: bench.scratch.to_path_buf(),
        environment: column.allocator.environment.clone(),
        input: None,
        limit,
    };
    let outcome = bench.launcher.run(&task, column.preload.as_deref())?;
    let complaints = String::from_utf8_lossy(&outcome.stderr);
    match outcome.end {
        End::Code(0) => {}
        End::Code(code) => bail!("ends with code {code}: {}", last_words(&complaints)),
        End::Signal(signal) => bail!("killed by signal {signal}: {}", last_words(&complaints)),
        End::TimedOut => bail!("not done after {} s", limit.as_secs()),
    }
    let text = String::from_utf8_lossy(&outcome.stdout);
    let said = serde_json::from_str(text.trim()).with_context(|| format!("prints {:?}", last_words(&text)))?;
    Ok(Measured { usage: outcome.usage, said })
}

fn real(program: &'static Program, bench: &Bench<'_>, column: &Column) -> Result<Measured> {
    let session = Session { program, launcher: bench.launcher, dir: &bench.scratch.join(program.name) };
    let own_libc = (column.allocator.name == GLIBC).then_some(bench.libc);
    let run = session.run(column.preload.as_deref().or(own_libc), &column.allocator.environment)?;
    let mut digest = Sha256::new();
    digest.update(&run.output);
    run.results.iter().for_each(|result| digest.update(result));
    let checksum =
        digest.finalize().iter().take(size_of::<u64>()).fold(0, |sum: u64, byte| sum << 8 | u64::from(*byte));
    Ok(Measured { usage: run.usage, said: Said { checksum, ..Said::default() } })
}

/// The end of what was printed, on one line.
fn last_words(text: &str) -> String {
    let line = text.trim().lines().last().unwrap_or("nothing said");
    line.chars().take(LAST_WORDS).collect()
}

/// The file of the C library that programs load.
///
/// # Errors
/// When the dynamic loader does not say.
pub fn libc() -> Result<PathBuf> {
    let maps = std::fs::read_to_string("/proc/self/maps")?;
    let line = maps.lines().find(|line| line.ends_with("/libc.so.6")).context("this program has no libc.so.6")?;
    Ok(PathBuf::from(&line[line.find('/').unwrap_or(0)..]))
}

/// True if `name` is of the form `pattern`, in which `*` stands for any letters and `?` for any one.
#[must_use]
pub fn matches(pattern: &str, name: &str) -> bool {
    fn at(pattern: &[char], name: &[char]) -> bool {
        match (pattern.split_first(), name.split_first()) {
            (None, None) => true,
            (Some(('*', rest)), _) => at(rest, name) || name.split_first().is_some_and(|(_, tail)| at(pattern, tail)),
            (Some(('?', rest)), Some((_, tail))) => at(rest, tail),
            (Some((letter, rest)), Some((other, tail))) => letter == other && at(rest, tail),
            _ => false,
        }
    }
    at(&pattern.chars().collect::<Vec<_>>(), &name.chars().collect::<Vec<_>>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_have_stars_and_question_marks() {
        assert!(matches("freelist-*", "freelist-lifo"));
        assert!(matches("*mixed*", "random-mixed-256"));
        assert!(matches("sh?", "sh6"));
        assert!(matches("larson", "larson"));
        assert!(!matches("larson", "larson-2"));
        assert!(!matches("sh?", "sh"));
    }

    #[test]
    fn the_line_of_a_workload_is_read() {
        let said: Said = serde_json::from_str(
            r#"{"workload":"x","ops":5,"checksum":18446744073709551615,"malloc_peak_live_bytes":9,
                "latency":{"resolution_ns":10.5,"malloc":{"p50":1,"p90":2,"p99":3,"p99_9":4,"p99_99":5,"max":6.5,"count":7},
                           "free":{"p50":1,"p99":3,"p99_99":5,"max":8}}}"#,
        )
        .unwrap();
        assert_eq!((said.ops, said.checksum, said.malloc_peak_live_bytes), (5, u64::MAX, 9));
        let calls = said.latency.unwrap();
        assert_eq!((calls.malloc.max, calls.free.max), (6.5, 8.0));
    }

    #[test]
    fn this_program_has_a_c_library() {
        assert!(libc().unwrap().is_file());
    }
}
