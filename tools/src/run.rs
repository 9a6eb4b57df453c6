//! Runs a command, with or without a preloaded library, and says what it used.
//!
//! Knows: the launcher `spandrel-measure` and its result line. Must not know: why the command is run.
//! Invariants: the command sees a fixed, small environment; only the command is preloaded, never the launcher or this program;
//! output goes to files, so that no pipe can fill up; nothing outlives its time limit.

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process_group};
use std::env;
use std::fs::{self, File};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

const POLL: Duration = Duration::from_millis(1);
const NULL_DEVICE: &str = "/dev/null";

/// What to run.
#[derive(Debug, Clone)]
pub struct Task {
    /// Full path of the program.
    pub program: PathBuf,
    /// Its arguments.
    pub arguments: Vec<String>,
    /// Working directory, also its `HOME`.
    pub dir: PathBuf,
    /// Variables beyond the fixed ones.
    pub environment: Vec<(String, String)>,
    /// A file for its standard input.
    pub input: Option<PathBuf>,
    /// When it is killed.
    pub limit: Duration,
}

/// How a command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// It returned this exit code.
    Code(i32),
    /// This signal killed it.
    Signal(i32),
    /// It was killed at its time limit.
    TimedOut,
}

/// What a command used and printed; it and every child it waited for.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// How it ended.
    pub end: End,
    /// User and system time in seconds.
    pub cpu: f64,
    /// Peak resident memory of its largest process, in KiB.
    pub peak_kib: f64,
    /// Standard output.
    pub stdout: Vec<u8>,
    /// Standard error.
    pub stderr: Vec<u8>,
}

/// Starts commands under `spandrel-measure`.
#[derive(Debug)]
pub struct Launcher {
    path: PathBuf,
    scratch: PathBuf,
}

/// A command under way.
#[derive(Debug)]
pub struct Running {
    child: Child,
    started: Instant,
    limit: Duration,
    scratch: PathBuf,
}

impl Launcher {
    /// A launcher that keeps its result files in `scratch`. One command at a time.
    ///
    /// # Errors
    /// When `spandrel-measure` is not beside this program or the directory cannot be made.
    pub fn new(scratch: &Path) -> Result<Self> {
        let own = env::current_exe().context("this program's path is unknown")?;
        let path = own.with_file_name("spandrel-measure");
        if !path.is_file() {
            bail!("{} is not there: run `cargo build -p spandrel-tools`", path.display());
        }
        fs::create_dir_all(scratch)?;
        Ok(Self { path, scratch: scratch.to_path_buf() })
    }

    /// Starts a command, with `preload` as its `LD_PRELOAD`.
    ///
    /// # Errors
    /// When a file cannot be opened or the launcher cannot be started.
    pub fn start(&self, task: &Task, preload: Option<&Path>) -> Result<Running> {
        let usage = self.scratch.join("usage");
        let _ = fs::remove_file(&usage);
        let mut command = Command::new(&self.path);
        command
            .arg(&usage)
            .arg(&task.program)
            .args(&task.arguments)
            .current_dir(&task.dir)
            .env_clear()
            .env("PATH", env::var_os("PATH").unwrap_or_default())
            .env("HOME", &task.dir)
            .env("LC_ALL", "C.UTF-8")
            .env("TZ", "UTC")
            .envs(task.environment.iter().map(|(name, value)| (name, value)))
            .stdin(File::open(task.input.as_deref().unwrap_or(Path::new(NULL_DEVICE))).context("no input file")?)
            .stdout(Stdio::from(File::create(self.scratch.join("stdout"))?))
            .stderr(Stdio::from(File::create(self.scratch.join("stderr"))?))
            .process_group(0);
        if let Some(library) = preload {
            command.env("LD_PRELOAD", library);
        }
        let child = command.spawn().with_context(|| format!("cannot start {}", self.path.display()))?;
        Ok(Running { child, started: Instant::now(), limit: task.limit, scratch: self.scratch.clone() })
    }

    /// Runs a command to its end.
    ///
    /// # Errors
    /// When it cannot be started or leaves no result.
    pub fn run(&self, task: &Task, preload: Option<&Path>) -> Result<Outcome> {
        self.start(task, preload)?.wait()
    }
}

impl Running {
    /// True until the command has ended.
    pub fn alive(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Waits for the end and collects what was used.
    ///
    /// # Errors
    /// When the launcher left no result line.
    pub fn wait(mut self) -> Result<Outcome> {
        while self.alive() {
            if self.started.elapsed() > self.limit {
                self.kill();
                return self.outcome(End::TimedOut, 0.0, 0.0);
            }
            thread::sleep(POLL);
        }
        let line = fs::read_to_string(self.scratch.join("usage")).context("the launcher left no result")?;
        let (end, cpu, peak_kib) = parse_usage(&line).with_context(|| format!("bad result line {line:?}"))?;
        self.outcome(end, cpu, peak_kib)
    }

    fn outcome(&self, end: End, cpu: f64, peak_kib: f64) -> Result<Outcome> {
        let read = |name: &str| fs::read(self.scratch.join(name));
        Ok(Outcome { end, cpu, peak_kib, stdout: read("stdout")?, stderr: read("stderr")? })
    }

    /// Kills the command and returns what it had complained about.
    pub fn abandon(mut self) -> String {
        self.kill();
        fs::read(self.scratch.join("stderr")).map(|text| String::from_utf8_lossy(&text).into_owned()).unwrap_or_default()
    }

    fn kill(&mut self) {
        if let Some(group) = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw) {
            let _ = kill_process_group(group, Signal::KILL);
        }
        let _ = self.child.wait();
    }
}

/// Reads `wait-status user-µs system-µs peak-KiB`.
fn parse_usage(line: &str) -> Option<(End, f64, f64)> {
    const MICROS: f64 = 1e6;
    let mut numbers = line.split_whitespace().map(str::parse::<u64>);
    let mut next = || numbers.next()?.ok();
    let (status, user, system, peak) = (next()?, next()?, next()?, next()?);
    let signal = i32::try_from(status & 0x7f).ok()?;
    let end = if signal == 0 { End::Code(i32::try_from(status >> 8 & 0xff).ok()?) } else { End::Signal(signal) };
    Some((end, (user + system) as f64 / MICROS, peak as f64))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn result_lines_are_read() {
        assert_eq!(parse_usage("0 500000 1500000 1032\n"), Some((End::Code(0), 2.0, 1032.0)));
        assert_eq!(parse_usage("256 0 0 1"), Some((End::Code(1), 0.0, 1.0)));
        assert_eq!(parse_usage("134 0 0 1"), Some((End::Signal(6), 0.0, 1.0)));
        assert_eq!(parse_usage("0 1"), None);
        assert_eq!(parse_usage("x 1 1 1"), None);
    }
}
