//! The making of heap profiles: of a program from its start to its end, whatever ends it, or of a process for a while.

use super::run;
use crate::live::Subject;
use crate::output::say;
use crate::perf_map::{self, PerfMap};
use crate::profile::{self, AtRunTime};
use crate::scratch::Scratch;
use crate::signals::{self, Held};
use crate::{checkup, library, quantity, serve, system};
use anyhow::{Context, Result, bail, ensure};
use clap::{Args, Parser, ValueHint};
use std::env;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus};
use std::time::{Duration, SystemTime};

const ENDING: &str = ".pb.gz";
/// Asks for a dump. Few programs know it.
const SIGNAL: i32 = 60;
/// After so long a program has made up its mind about SIGINT.
const SETTLED: Duration = Duration::from_millis(700);
/// How long a process is waited for that makes no slow call, at least, and when the user learns of that. It is asked
/// again and again meanwhile.
const PATIENCE: Duration = Duration::from_secs(15);
const SILENT: Duration = Duration::from_secs(2);
const STEP: Duration = Duration::from_millis(20);
/// Settings that have Python ask malloc for every object, and, from 3.12 on, name its functions for tools as this one.
const PYTHON: [(&str, &str); 2] = [("PYTHONMALLOC", "malloc"), PYTHON_NAMES];
const PYTHON_NAMES: (&str, &str) = ("PYTHONPERFSUPPORT", "1");

/// A program or a process to be profiled.
#[derive(Debug, Args)]
pub(super) struct Make {
    /// Where the profile goes
    #[arg(long, short = 'o', default_value = "heap.pb.gz", overrides_with = "output")]
    output: PathBuf,
    /// Bytes between samples, on average
    #[arg(long, value_parser = quantity::parse, default_value = "512K", overrides_with = "rate")]
    rate: usize,
    /// Keep the profiles of its children as well, with their number before the end of the name
    #[arg(long)]
    children: bool,
    /// With a process: for how long
    #[arg(long, value_parser = seconds)]
    seconds: Option<f64>,
    /// Keep the interpreter's own functions in stacks with functions of Python
    #[arg(long)]
    native: bool,
    /// The library to preload
    #[arg(long)]
    library: Option<PathBuf>,
    /// The program and its arguments; or the number of a process that Spandrel serves, for --seconds
    #[arg(
        required = true,
        trailing_var_arg = true,
        allow_hyphen_values = true,
        value_name = "PROGRAM|PID",
        value_hint = ValueHint::CommandWithArguments
    )]
    command: Vec<OsString>,
}

fn seconds(text: &str) -> Result<f64, String> {
    const RANGE: std::ops::RangeInclusive<f64> = 0.01..=86400.0;
    let number = text.parse().ok().filter(|number| RANGE.contains(number));
    number.ok_or_else(|| format!("takes {} to {} seconds", RANGE.start(), RANGE.end()))
}

/// Makes the profile and says where it is.
///
/// # Errors
/// Where the program cannot be started or the process not be read, or there is no profile.
pub(super) fn make(make: &Make) -> Result<()> {
    let (program, rest) = make.command.split_first().context("no program is named")?;
    match program.to_str().and_then(|text| text.parse().ok()) {
        Some(pid) if rest.is_empty() => attach(make, pid, Duration::from_secs_f64(make.seconds.unwrap_or(30.0))),
        // Options may stand behind the number, too.
        Some(_) => {
            let before = [OsStr::new("profile"), OsStr::new("-o"), make.output.as_os_str()];
            let rate = format!("--rate={}", make.rate);
            let arguments = before.into_iter().chain([OsStr::new(&rate)]).chain(rest.iter().map(OsString::as_os_str));
            let Again { make: again } = Again::parse_from(arguments.chain([program.as_os_str()]));
            ensure!(again.command.len() == 1, "{}: a number of a process stands alone", program.display());
            let native = again.native || make.native;
            self::make(&Make { seconds: again.seconds.or(make.seconds), native, ..again })
        }
        None if make.seconds.is_some() => {
            bail!("--seconds is for a process that runs; a program is profiled to its end")
        }
        None => run(make, program, rest),
    }
}

/// The options behind the number of a process.
#[derive(Debug, Parser)]
struct Again {
    #[command(flatten)]
    make: Make,
}

/// Profiles a process that runs, until the time is over or a signal ends this.
fn attach(make: &Make, pid: u32, time: Duration) -> Result<()> {
    let subject = Subject::open(pid)?;
    let mut held = Held::begin()?;
    let title = subject.process().title();
    let patience = time.max(PATIENCE);
    let mut is_told = false;
    let pause = |so_far: Duration| {
        if so_far >= SILENT && !is_told {
            is_told = true;
            say(&format!(
                "process {title} makes no slow call of malloc or free; waiting for one until Ctrl-C, {patience:?} \
                 at most"
            ));
        }
        Ok(held.next(Some(STEP))?.is_none() && so_far < patience)
    };
    subject.start_profile(make.rate, pause)?;
    say(&format!("process {title} is profiled for {time:?}; Ctrl-C ends it earlier"));
    held.next(Some(time))?;
    let packed = serve::pack(&subject, make.native);
    subject.stop_profile()?;
    let (packed, stacks) = packed?.with_context(|| format!("process {title} takes no samples any more"))?;
    let scratch = Scratch::beside(&make.output)?;
    let draft = scratch.path().join("heap");
    fs::write(&draft, packed).with_context(|| format!("{}", draft.display()))?;
    fs::rename(&draft, &make.output).with_context(|| format!("{}", make.output.display()))?;
    tell(&make.output, stacks, "what was asked for meanwhile and is in use; what it held before is not in it");
    Ok(())
}

fn tell(output: &Path, samples: usize, view: &str) {
    let file = output.display();
    say(&format!("{file} ({samples} stacks): {view}; to look at it: spandrel profile show {file}"));
}

/// Runs the program to its end.
fn run(make: &Make, program: &OsString, arguments: &[OsString]) -> Result<()> {
    // A second allocator beside the one that is linked in would write to the same files.
    let library = if checkup::is_linked(program) { None } else { Some(library::find(make.library.as_deref())?) };
    let scratch = Scratch::beside(&make.output)?;
    let python: Vec<_> = PYTHON.into_iter().filter(|(name, _)| env::var_os(name).is_none()).collect();
    let start = SystemTime::now();
    let mut command = Command::new(program);
    command
        .envs(python.iter().copied())
        .envs(library.map(|library| ("LD_PRELOAD", run::preload(&library))))
        .args(arguments)
        .env("SPANDREL_HEAP_PROFILE", scratch.path().join(format!("%p.%n{ENDING}")))
        .env("SPANDREL_HEAP_PROFILE_RATE", make.rate.to_string())
        .env("SPANDREL_HEAP_PROFILE_SIGNAL", SIGNAL.to_string())
        .env("SPANDREL_HEAP_PROFILE_ENDS", "1");
    let (id, status) = supervise(&mut command).with_context(|| format!("{}", Path::new(program).display()))?;
    let maps = Maps { since: python.contains(&PYTHON_NAMES).then_some(start) };
    collect(make, scratch.path(), (id, status), &maps)?;
    if !status.success() {
        bail!("{}: {status}", Path::new(program).display());
    }
    Ok(())
}

/// Starts the program and stays until it has ended. Signals that would end this are the program's; if this is killed
/// all the same, so is the program.
fn supervise(command: &mut Command) -> Result<(u32, ExitStatus)> {
    let mut held = Held::begin()?;
    signals::tie(command);
    let mut child = command.spawn()?;
    let id = child.id();
    let mut settles = Some(SETTLED);
    loop {
        let came = held.next(settles)?;
        if let Some(status) = child.try_wait()? {
            return Ok((id, status));
        }
        match came {
            // A terminal sent its signal to the program, too.
            Some(came) if came.is_own && came.signal != libc::SIGCHLD => {
                signals::send(id, came.signal);
            }
            Some(_) => {}
            None => {
                settles = None;
                settle(&child);
            }
        }
    }
}

/// Has the library write a dump before SIGINT ends the program, if it has neither a use for SIGINT nor one for the
/// library's signal.
fn settle(child: &Child) {
    let status = fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap_or_default();
    let has = |set: &str, signal: i32| {
        let line = status.lines().find_map(|line| line.strip_prefix(set));
        line.and_then(|line| u64::from_str_radix(line.trim(), 16).ok())
            .is_some_and(|mask| mask >> (signal - 1) & 1 == 1)
    };
    let minds = has("SigCgt:", libc::SIGINT) || has("SigIgn:", libc::SIGINT);
    if !minds && has("SigCgt:", SIGNAL) {
        signals::send(child.id(), SIGNAL);
    }
}

/// The names that processes left for code that they made.
struct Maps {
    /// Since when Python wrote such files for this command alone.
    since: Option<SystemTime>,
}

impl Maps {
    /// Those of process `id`. A file that only this command had Python write is not needed any more.
    fn take(&self, id: u32) -> PerfMap {
        let (path, user) = (perf_map::path(Path::new("/"), id), system::user());
        let map = PerfMap::read(&path, user);
        if let Some(start) = self.since
            && map.is_of_python()
        {
            perf_map::remove(&path, user, start);
        }
        map
    }
}

/// Puts the program's profile in its place, and those of its children if they are wanted.
fn collect(make: &Make, folder: &Path, (id, status): (u32, ExitStatus), maps: &Maps) -> Result<()> {
    let mut written: Vec<(u32, u32, PathBuf)> = fs::read_dir(folder)?
        .flatten()
        .filter_map(|entry| {
            let name = entry.file_name().to_str()?.strip_suffix(ENDING)?.to_owned();
            let (process, number) = name.split_once('.')?;
            Some((process.parse().ok()?, number.parse().ok()?, entry.path()))
        })
        .collect();
    written.sort();
    written.reverse();
    // The last dump of each process.
    written.dedup_by_key(|(process, ..)| *process);
    let (own, children): (Vec<_>, Vec<_>) = written.into_iter().partition(|(process, ..)| *process == id);
    for (process, _, path) in &children {
        let map = maps.take(*process);
        if !make.children {
            continue;
        }
        let output = make.output.to_string_lossy();
        let stem = output.strip_suffix(ENDING).unwrap_or(&output);
        let name = PathBuf::from(format!("{stem}.{process}{ENDING}"));
        let samples = profile::finish(path, &name, &AtRunTime { map, native: make.native })?;
        tell(&name, samples, &format!("child {process}"));
    }
    let at_run_time = AtRunTime { map: maps.take(id), native: make.native };
    match own.as_slice() {
        [(.., path), ..] => {
            // The library says which view is the usual one: the peak if the program ended by itself.
            let samples = profile::finish(path, &make.output, &at_run_time)?;
            let view =
                if status.code().is_some() { "the peak of the program" } else { "in use when a signal ended it" };
            tell(&make.output, samples, view);
        }
        [] => say(&format!(
            "no profile of process {id}: it was killed, ended by _exit, or does not use the library \
             (`spandrel doctor -- PROGRAM` says why)"
        )),
    }
    if !children.is_empty() && !make.children {
        say(&format!("{} children of it left profiles, too; --children keeps them", children.len()));
    }
    Ok(())
}
