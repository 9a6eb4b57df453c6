//! A check: a few runs of a program, and the figures that they show. And what most checks need to be made.
//!
//! Knows: programs, and what they print. Must not know: which checks there are, or what is recorded.

use crate::evidence::figures::{Figure, Found};
use harness::build::{self, Source};
use harness::expect::End;
use harness::header::Variant;
use harness::programs::{Program, number};
use harness::run::{self, Outcome};
use harness::{paths, sandbox};

/// Seconds until a program counts as hanging.
const PATIENCE: u64 = 120;
/// The status of a supervisor to whom the kernel lends no ear.
const NO_LISTENER: End = End::Exit(77);

/// The outcome of a check; or why it could not be made, which is a failure.
pub(super) type Result<T> = core::result::Result<T, String>;

/// A check, to be made.
pub(super) struct Check {
    /// Its name in the file.
    pub(super) key: String,
    /// Its subject, in words.
    pub(super) what: String,
    /// The code of the line that says it failed.
    pub(super) code: &'static str,
    /// Whether it is over at once.
    pub(super) quick: bool,
    make: Box<dyn Fn() -> Result<Found>>,
}

impl Check {
    /// A check that takes a while, by what it does.
    pub(super) fn new(
        key: impl Into<String>,
        what: impl Into<String>,
        code: &'static str,
        make: impl Fn() -> Result<Found> + 'static,
    ) -> Self {
        Self { key: key.into(), what: what.into(), code, quick: false, make: Box::new(make) }
    }

    /// One that is over at once.
    pub(super) fn quick(self) -> Self {
        Self { quick: true, ..self }
    }

    /// Makes it.
    ///
    /// # Errors
    /// When a program did not do as it should.
    pub(super) fn make(&self) -> Result<Found> {
        (self.make)()
    }
}

/// Options, for a program.
pub(super) type Environment<'a> = &'a [(&'a str, &'a str)];

/// Runs a program of `tests/programs`.
///
/// # Errors
/// When it cannot be built or started.
pub(super) fn run(file: &str, arguments: &[&str], environment: Environment<'_>) -> Result<Outcome> {
    Program { file, arguments, environment, timeout: PATIENCE }.run()
}

/// Runs a program of `ffi-tests`, named with its folder, where the kernel refuses a system call, if one is named.
///
/// # Errors
/// When it cannot be built or started.
pub(super) fn run_ffi(file: &str, arguments: &[&str], environment: Environment<'_>) -> Result<Outcome> {
    let program = build::program(&Source::new(paths::ffi_sources().join(file)), Variant::Preload)?;
    let mut command = run::preloaded(program)?;
    command.args(arguments).envs(environment.iter().copied());
    run::run(&mut command, PATIENCE)
}

/// Runs a program of `tests/programs` where the kernel refuses a system call.
///
/// # Errors
/// When it cannot be built or started.
pub(super) fn run_refused(file: &str, environment: Environment<'_>, call: i64, errno: i32) -> Result<Outcome> {
    let program = build::program(&Source::new(paths::program_source(file)), Variant::Preload)?;
    let mut command = run::preloaded(program)?;
    sandbox::refuse(command.envs(environment.iter().copied()), call, errno);
    run::run(&mut command, PATIENCE)
}

/// Runs a program of `tests/programs` and counts the system calls for memory of the library in it; nothing where the
/// kernel has no supervisors.
///
/// # Errors
/// When it cannot be built or started, or does not end as it should.
pub(super) fn count(file: &str, arguments: &[&str], environment: Environment<'_>) -> Result<Option<Outcome>> {
    let supervisor = build::program(&Source::new(paths::program_source("count.c")), Variant::Glibc)?;
    let program = build::program(&Source::new(paths::program_source(file)), Variant::Preload)?;
    let mut command = run::command(supervisor);
    command
        .arg(program)
        .args(arguments)
        .env("SUPERVISED_PRELOAD", paths::shared_library()?)
        .envs(environment.iter().copied());
    let outcome = run::run(&mut command, PATIENCE)?;
    if outcome.end == NO_LISTENER {
        return Ok(None);
    }
    outcome.clean()?;
    Ok(Some(outcome))
}

/// The outcome of a check that the kernel has no supervisors for.
pub(super) fn no_supervisor() -> Found {
    Found::Impossible("the kernel has no seccomp listener".to_owned())
}

/// The system calls of a kind in a part of a program that was counted.
///
/// # Errors
/// When there was no such part.
pub(super) fn calls(outcome: &Outcome, part: usize, kinds: &[&str]) -> Result<i64> {
    kinds.iter().map(|kind| number(outcome, &format!("{part}.{kind}"))).sum()
}

/// All kinds of system calls that are counted.
pub(super) const KINDS: [&str; 8] = ["mmap", "mprotect", "madvise", "mremap", "munmap", "mlock", "brk", "mbind"];

/// The status of an outcome, as a shell tells it; -1 of one that hung.
pub(super) fn status(outcome: &Outcome) -> i64 {
    match outcome.end {
        End::Exit(code) => code.into(),
        End::Signal(number) => 128 + i64::from(number),
        End::TimedOut => -1,
    }
}

/// How many lines of a code there are.
pub(super) fn lines(outcome: &Outcome, code: &str) -> i64 {
    outcome.diagnostics().iter().filter(|line| line.code == code).count() as i64
}

/// How many lines of a code name something, and nothing else was said.
pub(super) fn said(outcome: &Outcome, code: &str, what: &str) -> i64 {
    let all = outcome.diagnostics();
    let named = all.iter().filter(|line| line.code == code && line.text.contains(what)).count();
    if named == all.len() { named as i64 } else { -(all.len() as i64) }
}

/// The status and the lines of a program that has to end with 0, after as many lines.
pub(super) fn end(outcome: &Outcome, code: &str, count: i64) -> Vec<Figure> {
    vec![Figure::number("status", status(outcome)).is(0), Figure::number("lines", said(outcome, code, "")).is(count)]
}
