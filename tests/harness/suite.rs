//! Names, skips, starts and times the cases of one test target.

use core::time::Duration;
use std::fs::OpenOptions;
use std::io::Write;
use std::process::ExitCode;
use std::time::Instant;

use libtest_mimic::{Arguments, Failed, Trial};

/// One case: a name and what it does.
pub fn case<F>(name: &str, body: F) -> Trial
where
    F: FnOnce() -> Result<(), String> + Send + 'static,
{
    let title = name.to_owned();
    Trial::test(name, move || {
        let (start, cpu) = (Instant::now(), processor_time());
        let done = body();
        note_times(&title, start.elapsed(), processor_time() - cpu);
        done.map_err(Failed::from)
    })
}

/// Adds a line to the file that `TEST_CASE_TIMES` names: the seconds of a case, those of CPU time, the target and the
/// case. The CPU time is that of all cases that ran meanwhile, so it is the case's own with `--test-threads=1` alone.
fn note_times(case: &str, elapsed: Duration, cpu: Duration) {
    let Some(path) = std::env::var_os("TEST_CASE_TIMES") else { return };
    let program = std::env::current_exe().ok();
    let stem = program.as_ref().and_then(|program| program.file_stem()?.to_str()).unwrap_or_default();
    let target = stem.rsplit_once('-').map_or(stem, |(target, _)| target);
    let line = format!("{:8.2} {:8.2} {target} {case}\n", elapsed.as_secs_f64(), cpu.as_secs_f64());
    let written =
        OpenOptions::new().create(true).append(true).open(&path).and_then(|mut file| file.write_all(line.as_bytes()));
    if let Err(error) = written {
        eprintln!("{}: {error}", path.display());
    }
}

/// CPU time of this process and of all that it waited for.
fn processor_time() -> Duration {
    [libc::RUSAGE_SELF, libc::RUSAGE_CHILDREN].into_iter().fold(Duration::ZERO, |sum, whose| {
        // SAFETY: all-zero bytes are such a structure.
        let mut usage: libc::rusage = unsafe { core::mem::zeroed() };
        // SAFETY: the structure is writable.
        unsafe { libc::getrusage(whose, &raw mut usage) };
        [usage.ru_utime, usage.ru_stime].into_iter().fold(sum, |sum, time| {
            sum + Duration::new(time.tv_sec.unsigned_abs(), time.tv_usec.unsigned_abs() as u32 * 1000)
        })
    })
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
