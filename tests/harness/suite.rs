//! Names, skips and starts the cases of one test target.

use std::process::ExitCode;

use libtest_mimic::{Arguments, Failed, Trial};

/// One case: a name and what it does.
pub fn case<F>(name: &str, body: F) -> Trial
where
    F: FnOnce() -> Result<(), String> + Send + 'static,
{
    Trial::test(name, move || body().map_err(Failed::from))
}

/// A case that cannot run here is listed as ignored and says why.
pub fn case_if<F>(obstacle: Option<String>, name: &str, body: F) -> Trial
where
    F: FnOnce() -> Result<(), String> + Send + 'static,
{
    if let Some(reason) = &obstacle {
        eprintln!("skipped: {name}: {reason}");
    }
    case(name, body).with_ignored_flag(obstacle.is_some())
}

/// Runs the cases, at most two at once, or one after another when they share the machine's state.
pub fn main(cases: Vec<Trial>, serial: bool) -> ExitCode {
    run(Arguments::from_args(), cases, serial)
}

/// The same, with arguments of the caller's.
pub fn run(mut arguments: Arguments, cases: Vec<Trial>, serial: bool) -> ExitCode {
    const JOBS: usize = 2;
    if serial {
        arguments.test_threads = Some(1);
    } else if arguments.test_threads.is_none() {
        arguments.test_threads = Some(JOBS);
    }
    libtest_mimic::run(&arguments, cases).exit_code()
}
