//! Runs a command, with or without a preloaded library, and says what it used.
//!
//! Knows: the launcher `spandrel-measure` and its result line. Must not know: why the command is run.
//! Invariants: the command sees a fixed, small environment; only the command is preloaded, never the launcher or this
//! program; output goes to files, so that no pipe can fill up; nothing outlives its time limit.

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

/// A command to run.
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

/// The kernel's counts for a command and every child it waited for; nothing for one that was killed at its limit.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Usage {
    /// User and system time in seconds.
    pub cpu: f64,
    /// System time alone, in seconds.
    pub system: f64,
    /// Time from start to end in seconds.
    pub wall: f64,
    /// Peak resident memory of its largest process, in KiB.
    pub peak_kib: f64,
    /// Page faults that needed no input.
    pub minor_faults: f64,
    /// Page faults that waited for input.
    pub major_faults: f64,
    /// Context switches of either kind.
    pub switches: f64,
}

impl Usage {
    /// Of two commands, one after the other: times and counters add up, the larger peak counts.
    #[must_use]
    pub fn and(self, next: Self) -> Self {
        Self {
            cpu: self.cpu + next.cpu,
            system: self.system + next.system,
            wall: self.wall + next.wall,
            peak_kib: self.peak_kib.max(next.peak_kib),
            minor_faults: self.minor_faults + next.minor_faults,
            major_faults: self.major_faults + next.major_faults,
            switches: self.switches + next.switches,
        }
    }
}

/// The usage and the output of a command.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// How it ended.
    pub end: End,
    /// Its usage.
    pub usage: Usage,
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
        Self::at(&own.with_file_name("spandrel-measure"), scratch)
    }

    /// A launcher by the program at `path`.
    ///
    /// # Errors
    /// When it is not there or the directory cannot be made.
    pub fn at(path: &Path, scratch: &Path) -> Result<Self> {
        if !path.is_file() {
            bail!("{} is not there: run `cargo build -p spandrel-xtask`", path.display());
        }
        fs::create_dir_all(scratch)?;
        Ok(Self { path: path.to_path_buf(), scratch: scratch.to_path_buf() })
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
                return self.outcome(End::TimedOut, Usage::default());
            }
            thread::sleep(POLL);
        }
        let line = fs::read_to_string(self.scratch.join("usage")).context("the launcher left no result")?;
        let (end, usage) = parse_usage(&line).with_context(|| format!("bad result line {line:?}"))?;
        self.outcome(end, usage)
    }

    fn outcome(&self, end: End, usage: Usage) -> Result<Outcome> {
        let read = |name: &str| fs::read(self.scratch.join(name));
        Ok(Outcome { end, usage, stdout: read("stdout")?, stderr: read("stderr")? })
    }

    /// Kills the command and returns what it had complained about.
    pub fn abandon(mut self) -> String {
        self.kill();
        fs::read(self.scratch.join("stderr"))
            .map(|text| String::from_utf8_lossy(&text).into_owned())
            .unwrap_or_default()
    }

    fn kill(&mut self) {
        if let Some(group) = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw) {
            let _ = kill_process_group(group, Signal::KILL);
        }
        let _ = self.child.wait();
    }
}

/// Reads the line that `spandrel-measure` writes: `wait-status user-µs system-µs peak-KiB wall-µs minor major
/// switches`.
fn parse_usage(line: &str) -> Option<(End, Usage)> {
    const MICROS: f64 = 1e6;
    let numbers: Vec<u64> = line.split_whitespace().map(str::parse).collect::<Result<_, _>>().ok()?;
    let [status, user, system, peak, wall, minor, major, switches] = numbers.try_into().ok()?;
    let signal = i32::try_from(status & 0x7f).ok()?;
    let end = if signal == 0 { End::Code(i32::try_from(status >> 8 & 0xff).ok()?) } else { End::Signal(signal) };
    let usage = Usage {
        cpu: (user + system) as f64 / MICROS,
        system: system as f64 / MICROS,
        wall: wall as f64 / MICROS,
        peak_kib: peak as f64,
        minor_faults: minor as f64,
        major_faults: major as f64,
        switches: switches as f64,
    };
    Some((end, usage))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn result_lines_are_read() {
        let usage = Usage {
            cpu: 2.0,
            system: 1.5,
            wall: 2.5,
            peak_kib: 1032.0,
            minor_faults: 7.0,
            major_faults: 1.0,
            switches: 3.0,
        };
        assert_eq!(parse_usage("0 500000 1500000 1032 2500000 7 1 3\n"), Some((End::Code(0), usage)));
        let end = |line: &str| parse_usage(line).map(|(end, _)| end);
        assert_eq!(end("256 0 0 1 0 0 0 0"), Some(End::Code(1)));
        assert_eq!(end("134 0 0 1 0 0 0 0"), Some(End::Signal(6)));
        assert_eq!(end("0 1"), None);
        assert_eq!(end("0 0 0 1 0 0 0 0 0"), None);
        assert_eq!(end("x 1 1 1 1 1 1 1"), None);
    }
}
