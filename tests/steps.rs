//! Idle return's proof, instruction by instruction: a thread is stopped, or its context swapped away by a signal
//! handler, at every instruction boundary of a call; another thread has its heap drained; the call goes on, and no
//! block is lost, doubled or misplaced.
//!
//! `make idle-check` stops at every boundary of every call, those of the slow path included. Without
//! `SPANDREL_STEPS=all` some calls of the fast path are stepped through, and the others sampled.

use core::sync::atomic::{AtomicUsize, Ordering};
use std::env;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, ChildStdout, ExitCode, Stdio};
use std::sync::Mutex;

use std::thread;

use harness::build::{self, Source};
use harness::header::Variant;
use harness::suite::{case, main as run_cases};
use harness::{paths, run};

/// Processes at a time: they sleep most of the time.
const JOBS: usize = 24;
/// Instructions of a call that never leaves the fast path, at most: the zeroing and copying ones have loops.
const FAST_MAX: usize = 400;
/// Boundaries to stop at in a long call, in the short form, and altogether.
const SAMPLED: usize = 24;
const ALL_MAX: usize = 6000;

/// A call that `steps.c` makes.
struct Call {
    name: &'static str,
    /// Whether it stays on the fast path, so that a drain has to succeed at every boundary.
    fast: bool,
}

const CALLS: [Call; 18] = [
    Call { name: "malloc", fast: true },
    Call { name: "free", fast: true },
    Call { name: "remote_free", fast: true },
    Call { name: "calloc", fast: true },
    Call { name: "new", fast: true },
    Call { name: "aligned_alloc", fast: true },
    Call { name: "posix_memalign", fast: true },
    Call { name: "free_sized", fast: true },
    Call { name: "delete_sized", fast: true },
    Call { name: "remote_free_sized", fast: true },
    Call { name: "usable_size", fast: true },
    Call { name: "realloc_in_place", fast: true },
    Call { name: "realloc_moves", fast: true },
    Call { name: "realloc_grows", fast: true },
    Call { name: "refill", fast: false },
    Call { name: "flush", fast: false },
    Call { name: "large_malloc", fast: false },
    Call { name: "large_free", fast: false },
];

/// The call's thread, traced, and its process.
struct Traced {
    process: Child,
    output: BufReader<ChildStdout>,
    thread: libc::pid_t,
}

/// Why the thread stopped.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Stop {
    /// After one instruction.
    Step,
    /// At a breakpoint.
    Breakpoint,
    /// A signal is about to reach it.
    Signal(i32),
}

/// Calls ptrace for the thread.
fn ptrace(request: u32, thread: libc::pid_t, data: usize) -> Result<(), String> {
    #[expect(unsafe_code, reason = "the system call has no safe form")]
    // SAFETY: none of the requests used here writes memory of this process.
    let result = unsafe { libc::ptrace(request, thread, 0_usize, data) };
    if result == -1 { Err(format!("ptrace {request:#x}: {}", std::io::Error::last_os_error())) } else { Ok(()) }
}

impl Traced {
    /// Starts the program, lets the thread prepare, and stops it at the first breakpoint.
    fn start(call: &str, way: &str) -> Result<Self, String> {
        let mut source = Source::new(paths::program_source("steps.c"));
        // The calls are bound before they are stepped through.
        source.flags.push("-Wl,-z,now".to_owned());
        let program = build::program(&source, Variant::Preload)?;
        let mut command = run::preloaded(program)?;
        command.args([call, way]).env("SPANDREL_PURGE_DELAY", "1").stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut process = command.spawn().map_err(|error| error.to_string())?;
        let output = BufReader::new(process.stdout.take().ok_or("no output")?);
        let mut traced = Self { process, output, thread: 0 };
        traced.thread = traced.line("tid=")?;
        ptrace(libc::PTRACE_SEIZE, traced.thread, 0)?;
        traced.say(b'g')?;
        match traced.wait()? {
            Stop::Breakpoint => Ok(traced),
            stop => Err(format!("{stop:?} before the call")),
        }
    }

    fn say(&mut self, letter: u8) -> Result<(), String> {
        let input = self.process.stdin.as_mut().ok_or("no input")?;
        input.write_all(&[letter]).map_err(|error| error.to_string())
    }

    fn line(&mut self, name: &str) -> Result<i32, String> {
        let mut line = String::new();
        self.output.read_line(&mut line).map_err(|error| error.to_string())?;
        line.trim()
            .strip_prefix(name)
            .and_then(|rest| rest.parse().ok())
            .ok_or_else(|| format!("{name} expected, not {line:?}"))
    }

    /// Waits for the thread to stop.
    fn wait(&self) -> Result<Stop, String> {
        let mut status = 0;
        #[expect(unsafe_code, reason = "waits for one thread of another process")]
        // SAFETY: the status is writable.
        let found = unsafe { libc::waitpid(self.thread, &raw mut status, libc::__WALL) };
        if found != self.thread || !libc::WIFSTOPPED(status) {
            return Err(format!("the thread ended: status {status:#x}"));
        }
        let signal = libc::WSTOPSIG(status);
        if signal != libc::SIGTRAP {
            return Ok(Stop::Signal(signal));
        }
        #[expect(unsafe_code, reason = "a structure that the kernel fills")]
        // SAFETY: all-zero bytes are one.
        let mut info: libc::siginfo_t = unsafe { core::mem::zeroed() };
        ptrace(libc::PTRACE_GETSIGINFO, self.thread, (&raw mut info).addr())?;
        // Steps have codes of their own; a breakpoint is an exception.
        Ok(if info.si_code == libc::SI_KERNEL { Stop::Breakpoint } else { Stop::Step })
    }

    /// Makes up to `steps` steps; how many, fewer if the call came to its end.
    fn step(&self, steps: usize) -> Result<usize, String> {
        for done in 0..steps {
            ptrace(libc::PTRACE_SINGLESTEP, self.thread, 0)?;
            match self.wait()? {
                Stop::Step => {}
                Stop::Breakpoint => return Ok(done),
                Stop::Signal(signal) => return Err(format!("signal {signal} after {done} steps")),
            }
        }
        Ok(steps)
    }

    /// Goes on, to the second breakpoint and beyond; how the process ended.
    fn finish(mut self, at_end: bool) -> Result<(), String> {
        ptrace(libc::PTRACE_CONT, self.thread, 0)?;
        if !at_end {
            match self.wait()? {
                Stop::Breakpoint => ptrace(libc::PTRACE_CONT, self.thread, 0)?,
                stop => return Err(format!("{stop:?} instead of the end of the call")),
            }
        }
        self.reap()
    }

    /// Waits for the thread once: whether it stopped, and by what signal.
    fn wait_once(&self) -> Option<i32> {
        let mut status = 0;
        #[expect(unsafe_code, reason = "waits for one thread of another process")]
        // SAFETY: the status is writable.
        let found = unsafe { libc::waitpid(self.thread, &raw mut status, libc::__WALL) };
        (found == self.thread && libc::WIFSTOPPED(status)).then(|| libc::WSTOPSIG(status))
    }

    /// Waits for the end of the thread, which its tracer has to do, and of the process.
    fn reap(&mut self) -> Result<(), String> {
        let stopped = self.wait_once();
        if stopped.is_some() {
            self.end();
        }
        let status = self.process.wait().map_err(|error| error.to_string())?;
        self.thread = 0;
        match (status.code(), stopped) {
            (Some(0), None) => Ok(()),
            (code, _) => {
                Err(format!("the program ended with {code:?}, signal {:?}, stopped by {stopped:?}", status.signal()))
            }
        }
    }

    fn end(&mut self) {
        let _ = self.process.kill();
        while self.thread != 0 && self.wait_once().is_some() {}
    }
}

impl Drop for Traced {
    fn drop(&mut self) {
        if self.thread != 0 {
            self.end();
            let _ = self.process.wait();
        }
    }
}

/// Instructions between the breakpoints.
fn length(call: &Call) -> Result<usize, String> {
    let mut traced = Traced::start(call.name, "stopped")?;
    let length = traced.step(ALL_MAX)?;
    traced.say(b'd')?;
    if call.fast && length > FAST_MAX {
        return Err(format!("{}: {length} instructions are no fast path", call.name));
    }
    traced.finish(length < ALL_MAX)?;
    Ok(length)
}

/// Stops the call after `steps` instructions for as long as a drain takes; whether there was one.
fn stop_at(call: &Call, steps: usize) -> Result<bool, String> {
    let mut traced = Traced::start(call.name, "stopped")?;
    let at_end = traced.step(steps)? < steps;
    traced.say(b'd')?;
    if call.fast {
        let drained = traced.line("drained=")? == 1;
        return traced.finish(at_end).map(|()| drained);
    }
    // The thread may hold a lock that the other one needs: it goes on after a while, whatever that one does.
    thread::sleep(core::time::Duration::from_millis(400));
    traced.finish(at_end).map(|()| false)
}

/// Makes a handler swap the call's context away after `steps` instructions, for as long as a drain takes; whether there
/// was one.
fn swap_at(call: &Call, steps: usize) -> Result<bool, String> {
    let mut traced = Traced::start(call.name, "handler")?;
    let at_end = traced.step(steps)? < steps;
    traced.say(b'd')?;
    ptrace(libc::PTRACE_CONT, traced.thread, libc::SIGUSR1 as usize)?;
    let drained = traced.line("drained=")? == 1;
    if !at_end && traced.wait()? != Stop::Breakpoint {
        return Err("the call did not come to its end".to_owned());
    }
    if !at_end {
        ptrace(libc::PTRACE_CONT, traced.thread, 0)?;
    }
    traced.reap().map(|()| drained)
}

/// Stops at the boundaries of a call, all or some; how many drains there were.
fn check(call: &'static Call, all: bool) -> Result<(), String> {
    let length = length(call)?;
    let wanted =
        if all || (call.fast && ["malloc", "free", "remote_free"].contains(&call.name)) { length + 1 } else { SAMPLED };
    let stride = (length + 1).div_ceil(wanted).max(1);
    let cases: Vec<(usize, bool)> = (0..=length)
        .step_by(stride)
        .flat_map(|steps| [(steps, true), (steps, false)])
        .filter(|case| call.fast || case.1)
        .collect();
    let (next, drained, failures) = (AtomicUsize::new(0), AtomicUsize::new(0), Mutex::new(Vec::new()));
    thread::scope(|scope| {
        for _ in 0..JOBS {
            scope.spawn(|| {
                while let Some(&(steps, stopped)) = cases.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let result = if stopped { stop_at(call, steps) } else { swap_at(call, steps) };
                    let way = if stopped { "stopped" } else { "swapped away" };
                    match result {
                        Ok(true) => drop(drained.fetch_add(1, Ordering::Relaxed)),
                        Ok(false) if call.fast => note(&failures, format!("{way} after {steps}: nothing was drained")),
                        Ok(false) => {}
                        Err(what) => note(&failures, format!("{way} after {steps}: {what}")),
                    }
                }
            });
        }
    });
    let failures = failures.into_inner().unwrap_or_else(|poisoned| poisoned.into_inner());
    println!("{}: {length} instructions, {} cases, {} drains", call.name, cases.len(), drained.into_inner());
    if failures.is_empty() { Ok(()) } else { Err(failures.join("\n")) }
}

fn note(failures: &Mutex<Vec<String>>, what: String) {
    failures.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).push(what);
}

fn main() -> ExitCode {
    let all = env::var_os("SPANDREL_STEPS").is_some_and(|value| value == "all");
    let cases = CALLS.iter().map(|call| case(call.name, move || check(call, all))).collect();
    run_cases(cases, true)
}
