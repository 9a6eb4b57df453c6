//! Starts a program with its output captured in files, waits with a time limit, and ends the processes that it left
//! behind.
//!
//! Output goes to files, not pipes, so that a leftover grandchild can never make a test wait.

use core::sync::atomic::{AtomicU32, Ordering};
use core::time::Duration;
use std::fmt;
use std::fs::{self, File};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Instant;

use crate::expect::End;
use crate::paths;

/// Before the place of a frame.
const INDENT: &str = "   ";
/// How often to look whether a process has ended: soon at first, as most end soon.
const FIRST_POLL: Duration = Duration::from_micros(500);
const LAST_POLL: Duration = Duration::from_millis(8);

/// Everything seen of a finished run.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// How it ended.
    pub end: End,
    /// Standard output, lossy UTF-8.
    pub stdout: String,
    /// Standard error, lossy UTF-8.
    pub stderr: String,
    /// For messages.
    pub command: String,
}

/// One `spandrel: CODE: text` line.
#[derive(Clone, Copy, Debug)]
pub struct Diagnostic<'a> {
    /// `malformed` when the line does not follow the grammar.
    pub code: &'a str,
    /// The text after the code.
    pub text: &'a str,
}

impl Outcome {
    /// All diagnostic lines; reports, of `SPANDREL_DIAG` or of a mode, excluded.
    pub fn diagnostics(&self) -> Vec<Diagnostic<'_>> {
        let ours = self.stderr.lines().filter_map(|line| line.strip_prefix("spandrel: "));
        // Frames of call stacks are indented; the names of reports are in small letters.
        ours.filter(|rest| !rest.starts_with("  "))
            .filter(|rest| {
                rest.split_once(": ").is_none_or(|(name, _)| name.contains(|letter: char| !letter.is_ascii_lowercase()))
            })
            .map(|rest| match rest.split_once(": ") {
                Some((code, text)) if !text.is_empty() => Diagnostic { code, text },
                _ => Diagnostic { code: "malformed", text: rest },
            })
            .collect()
    }

    /// The run ended with status 0 and without a diagnostic.
    pub fn clean(&self) -> Result<(), String> {
        if self.end != End::Exit(0) {
            return Err(format!("expected exit 0, got {:?}\n{self}", self.end));
        }
        if self.diagnostics().is_empty() { Ok(()) } else { Err(format!("unexpected diagnostic\n{self}")) }
    }
}

impl Outcome {
    /// The frames of the call stack behind the first diagnostic.
    pub fn first_stack(&self) -> Vec<&str> {
        let frame = |line: &'_ str| line.strip_prefix("spandrel:").is_some_and(|rest| rest.starts_with(INDENT));
        let mut lines = self.stderr.lines().skip_while(|line| !line.starts_with("spandrel: ALLOCATOR_"));
        lines.next();
        lines.take_while(|line| frame(line)).collect()
    }

    /// The run ended with status 0 and with one diagnostic, of `code`, that names `what`.
    pub fn one_line(&self, code: &str, what: &str) -> Result<(), String> {
        match self.diagnostics().as_slice() {
            [line] if line.code == code && line.text.contains(what) && self.end == End::Exit(0) => Ok(()),
            _ => Err(format!("expected status 0 and one {code} about {what}\n{self}")),
        }
    }
}

fn tail(text: &str) -> String {
    const SHOWN: usize = 4000;
    let skip = text.char_indices().rev().nth(SHOWN).map_or(0, |(at, _)| at);
    text[skip..].to_owned()
}

impl fmt::Display for Outcome {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(out, "command: {}", self.command)?;
        writeln!(out, "end: {:?}", self.end)?;
        writeln!(out, "--- stdout\n{}", tail(&self.stdout))?;
        write!(out, "--- stderr\n{}", tail(&self.stderr))
    }
}

/// Ends every process of a test's process group.
fn kill_group(child: &Child) {
    if let Ok(id) = i32::try_from(child.id()) {
        // SAFETY: kill takes no pointers; the group was created for this child alone.
        unsafe { libc::kill(-id, libc::SIGKILL) };
    }
}

/// Where the threads of a hanging process are, as far as /proc shows.
fn where_it_hangs(id: u32) -> String {
    let mut text = String::from("threads at the time limit (state, system call):\n");
    let Ok(tasks) = fs::read_dir(format!("/proc/{id}/task")) else { return text };
    for task in tasks.flatten().take(16) {
        let read = |name: &str| fs::read_to_string(task.path().join(name)).unwrap_or_default();
        let stat = read("stat");
        let state = stat.rsplit(") ").next().and_then(|rest| rest.split(' ').next()).unwrap_or("?").to_owned();
        let line = format!("  {} {state} {}\n", task.file_name().to_string_lossy(), read("syscall").trim());
        text.push_str(&line);
    }
    text
}

/// CPU time of a process and of those that it waited for.
fn processor_time(id: u32) -> Duration {
    const HUNDREDTHS: u64 = 10;
    let stat = fs::read_to_string(format!("/proc/{id}/stat")).unwrap_or_default();
    // Behind the name, which may contain blanks: the state, ten more fields, then the four times.
    let fields = stat.rsplit(") ").next().unwrap_or_default().split(' ').skip(11).take(4);
    Duration::from_millis(fields.filter_map(|field| field.parse::<u64>().ok()).sum::<u64>() * HUNDREDTHS)
}

/// Whether a process has had its time: so much CPU time; or four times as long by the clock, for one that waits. On a
/// machine with other work a process that makes progress is not taken for one that hangs.
fn is_over(id: u32, elapsed: Duration, limit: Duration) -> bool {
    elapsed > limit && (elapsed > limit * 4 || processor_time(id) > limit)
}

fn wait(child: &mut Child, limit: Duration) -> Result<(End, String), String> {
    let (start, mut poll) = (Instant::now(), FIRST_POLL);
    loop {
        if let Some(status) = child.try_wait().map_err(|error| error.to_string())? {
            let signal = status.signal().map(End::Signal);
            return Ok((signal.unwrap_or_else(|| End::Exit(status.code().unwrap_or(-1))), String::new()));
        }
        if is_over(child.id(), start.elapsed(), limit) {
            let note = where_it_hangs(child.id());
            kill_group(child);
            child.wait().map_err(|error| error.to_string())?;
            return Ok((End::TimedOut, note));
        }
        thread::sleep(poll);
        poll = (poll * 2).min(LAST_POLL);
    }
}

fn capture(path: &Path) -> Result<File, String> {
    File::create(path).map_err(|error| format!("{}: {error}", path.display()))
}

fn take(path: &Path) -> String {
    let bytes = fs::read(path).unwrap_or_default();
    // The file has been read; a leftover would only take space.
    let _ = fs::remove_file(path);
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Runs the command to its end or the time limit.
pub fn run(command: &mut Command, limit_seconds: u64) -> Result<Outcome, String> {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let folder = paths::scratch()?;
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let (out_path, err_path) = (folder.join(format!("{number}.out")), folder.join(format!("{number}.err")));
    command.stdin(Stdio::null()).stdout(capture(&out_path)?).stderr(capture(&err_path)?).process_group(0);
    let shown = format!("{command:?}");
    let mut child = command.spawn().map_err(|error| format!("{shown}: {error}"))?;
    let waited = wait(&mut child, Duration::from_secs(limit_seconds));
    kill_group(&child);
    let (stdout, mut stderr) = (take(&out_path), take(&err_path));
    let (end, note) = waited?;
    stderr.push_str(&note);
    Ok(Outcome { end, stdout, stderr, command: shown })
}

/// Runs a tool, which must end with 0 within two minutes.
pub fn well(command: &mut Command) -> Result<Outcome, String> {
    let outcome = run(command, 120)?;
    if outcome.end == End::Exit(0) { Ok(outcome) } else { Err(format!("did not end with 0\n{outcome}")) }
}

/// A command that starts free of the allocator's own and of inherited settings.
pub fn command(program: impl AsRef<std::ffi::OsStr>) -> Command {
    let mut command = Command::new(program);
    let inherited = std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("SPANDREL_"));
    for (name, _) in inherited {
        command.env_remove(name);
    }
    command.env_remove("LD_PRELOAD").env_remove("LD_LIBRARY_PATH").env("LC_ALL", "C");
    command
}

/// A command that runs under the preload.
pub fn preloaded(program: impl AsRef<std::ffi::OsStr>) -> Result<Command, String> {
    let library = paths::shared_library()?;
    let mut command = command(program);
    command.env("LD_PRELOAD", library);
    Ok(command)
}

/// The output of `readelf` for the library that is tested, a row per line.
pub fn readelf(option: &str) -> Result<String, String> {
    let mut command = command("readelf");
    command.args([option, "--wide"]).arg(paths::shared_library()?);
    let outcome = run(&mut command, 20)?;
    outcome.clean()?;
    Ok(outcome.stdout)
}

#[cfg(test)]
mod tests {
    use core::time::Duration;

    use super::{is_over, processor_time};

    #[test]
    fn a_process_that_waits_has_more_time_by_the_clock() {
        let own = std::process::id();
        while processor_time(own) < Duration::from_millis(20) {}
        let (little, much) = (Duration::from_millis(10), Duration::from_secs(1000));
        assert!(!is_over(own, little, little), "the time is not over yet");
        assert!(is_over(own, little * 2, little), "its CPU time is above the limit");
        assert!(!is_over(own, much * 2, much) && is_over(own, much * 5, much), "its CPU time is below the limit");
        assert!(!is_over(u32::MAX, little * 2, little), "there is no such process");
    }
}
