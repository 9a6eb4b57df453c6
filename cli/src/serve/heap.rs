//! The heap profile of a process as pprof's readers fetch it.
//!
//! Names come from the files that the process has mapped, which may be anything. So another process of this command
//! reads them, within bounds of memory and time, and hands over the answer: a status, a line feed, the body.

use super::http::{Answer, TEXT};
use crate::live::{self, Process, Subject};
use crate::profile::{self, AtRunTime};
use crate::signals;
use crate::symbols::Symbols;
use crate::system::{self, wait_for_input};
use anyhow::{Context, Result, anyhow, bail};
use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Bytes of memory and seconds of CPU time for one profile.
const MEMORY_MAX: u64 = 8 << 30;
const SECONDS_MAX: u64 = 25;
/// How long it may take by the clock.
const PATIENCE: Duration = Duration::from_secs(30);
/// Bytes of an answer.
const ANSWER_MAX: usize = 64 << 20;
const PACKED: &str = "application/octet-stream";
/// This program, also where its file was replaced.
const SELF: &str = "/proc/self/exe";

/// The profile of process `id`, or why there is none, by another process of this command.
pub(super) fn fetch(id: u32) -> Answer {
    match ask(id) {
        Ok(answer) => answer,
        Err(error) => Answer::text(500, format!("process {id}: {error:#}")),
    }
}

fn ask(id: u32) -> Result<Answer> {
    let mut command = Command::new(SELF);
    command.args(["serve", "--heap-of", &id.to_string()]).env_clear();
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    signals::tie(&mut command);
    let mut child = command.spawn().context("no process reads it")?;
    let mut output = child.stdout.take().context("no pipe")?;
    let (mut bytes, mut piece) = (Vec::new(), [0; 1 << 16]);
    let end = Instant::now() + PATIENCE;
    let read = loop {
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() || bytes.len() > ANSWER_MAX {
            break Err(anyhow!("its profile takes too long, or is too long"));
        }
        if wait_for_input([output.as_fd()], Some(left))? == [true] {
            match output.read(&mut piece) {
                Ok(0) => break Ok(()),
                Ok(count) => bytes.extend_from_slice(&piece[..count]),
                Err(error) => break Err(error.into()),
            }
        }
    };
    // It has ended already, but for one that took too long.
    let _ = child.kill();
    child.wait()?;
    read?;
    parse(&bytes).context("its files take too much memory or time")
}

fn parse(bytes: &[u8]) -> Option<Answer> {
    let end = bytes.iter().position(|&byte| byte == b'\n')?;
    let status = str::from_utf8(&bytes[..end]).ok()?.parse().ok()?;
    let kind = if status == 200 { PACKED } else { TEXT };
    Some(Answer { status, kind, body: bytes[end + 1..].to_vec() })
}

/// Writes the answer about process `id` to standard output, within bounds.
///
/// # Errors
/// Where that cannot be written.
pub(crate) fn print(id: u32) -> Result<()> {
    system::bound_itself(MEMORY_MAX, SECONDS_MAX)?;
    let (status, body) = match take(id) {
        Ok(body) => (200, body),
        Err((status, why)) => (status, format!("{why}\n").into_bytes()),
    };
    let mut output = io::stdout().lock();
    output.write_all(format!("{status}\n").as_bytes())?;
    Ok(output.write_all(&body)?)
}

fn take(id: u32) -> Result<Vec<u8>, (u16, String)> {
    let refuse = |status| move |error: anyhow::Error| (status, format!("{error:#}"));
    if !live::exists(id) {
        return Err((404, format!("there is no process {id}")));
    }
    let subject = Subject::open(id).map_err(|error| {
        let refused = live::is_refused(id);
        refuse(if refused { 403 } else { 404 })(error)
    })?;
    let packed = pack(&subject, false).map_err(refuse(500))?;
    packed.map(|(bytes, _)| bytes).ok_or_else(|| (404, absent(&subject)))
}

/// Why there is no profile, and what to do about it.
fn absent(subject: &Subject) -> String {
    let title = subject.process().title();
    if !subject.can_sample() {
        return format!("process {title} can keep no heap profile: that needs mode fast or counting");
    }
    format!(
        "process {title} keeps no heap profile now: start it with SPANDREL_HEAP_PROFILE=FILE in its environment, or \
         ask while `spandrel profile {} --seconds 60` runs",
        subject.process().id()
    )
}

/// The heap profile of a process as a compressed file, and how many stacks it has; `None` where the process takes no
/// samples. `native` is whether stacks of Python keep the interpreter's functions.
///
/// # Errors
/// Where the process cannot be read.
pub(crate) fn pack(subject: &Subject, native: bool) -> Result<Option<(Vec<u8>, usize)>> {
    let Some(samples) = subject.samples()? else { return Ok(None) };
    let process = Process::open(subject.process().id())?;
    let code = samples.code.clone();
    let mut symbols = Symbols::of_files(move |path| {
        let mapping = code.iter().find(|mapping| mapping.path.to_string_lossy() == path)?;
        process.file(mapping).ok()
    });
    let Ok(now) = SystemTime::now().duration_since(UNIX_EPOCH) else { bail!("it is before 1970") };
    let at_run_time = AtRunTime { map: subject.process().perf_map(), native };
    let packed = profile::pack(&samples, &mut symbols, now.as_nanos() as u64, &at_run_time)?;
    Ok(Some((packed, samples.stacks.len())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_of_the_other_process_is_taken_apart() {
        let answer = parse(b"404\nno\nprofile").unwrap();
        assert_eq!((answer.status, answer.kind, answer.body.as_slice()), (404, TEXT, &b"no\nprofile"[..]));
        assert_eq!(parse(b"200\n\x1f\x8b").unwrap().kind, PACKED);
        for broken in [&b""[..], b"200", b"x\n", b"\n", b"\xff\n"] {
            assert!(parse(broken).is_none());
        }
    }

    #[test]
    fn processes_that_are_not_there_or_not_served_are_none() {
        let [none, own] = [u32::MAX, std::process::id()].map(|id| take(id).unwrap_err());
        assert!(none.0 == 404 && none.1.contains("there is no process"), "{none:?}");
        assert!(own.0 == 404 && own.1.contains("is not served by Spandrel"), "{own:?}");
    }
}
