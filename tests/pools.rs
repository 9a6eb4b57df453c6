//! Profiles with a pool: the library takes all memory at start, and makes no system call for memory afterwards.

use std::process::ExitCode;

use harness::build::{self, Source};
use harness::expect::End;
use harness::header::Variant;
use harness::programs::{Program, number};
use harness::run::Outcome;
use harness::suite::{case, case_if, main as run_cases};
use harness::{paths, run, sandbox};

fn program<'a>(file: &'a str, arguments: &'a [&'a str], environment: &'a [(&'a str, &'a str)]) -> Program<'a> {
    Program { file, arguments, environment, timeout: 60 }
}

/// Under a filter that kills the process at any call for memory, and for `realtime` at any system call.
fn pools_serve_without_the_kernel() -> Result<(), String> {
    let runs =
        [("freestanding", ["no_memory", "0"]), ("freestanding", ["no_memory", "2"]), ("realtime", ["nothing", "0"])];
    for (profile, arguments) in runs.into_iter().chain([("realtime", ["no_memory", "2"])]) {
        let outcome = program("pool.c", &arguments, &[("SPANDREL_PROFILE", profile)]).run()?;
        outcome.one_line("ALLOCATOR_PAGE_EXHAUSTION", "does not fit into the pool: ")?;
        if outcome.stdout != "served\n" {
            return Err(format!("did not come to its end\n{outcome}"));
        }
    }
    Ok(())
}

/// The reason why 32 MiB cannot be locked here.
fn lock_obstacle() -> Option<String> {
    let bytes = vec![1_u8; 34 << 20];
    // SAFETY: the range is that of a live vector.
    let locked = unsafe { libc::mlock(bytes.as_ptr().cast(), bytes.len()) };
    (locked != 0).then(|| format!("mlock of 34 MiB: {}", std::io::Error::last_os_error()))
}

/// A pool that is too small, or in the wrong profile, and options that contradict it.
fn bad_pools_are_reported() -> Result<(), String> {
    let bad = [
        ("freestanding", "SPANDREL_POOL", "1M"),
        ("freestanding", "SPANDREL_POOL", "none"),
        ("hosted-small", "SPANDREL_POOL", "32M"),
        ("hosted-server", "SPANDREL_LOCK", "1"),
        ("realtime", "SPANDREL_RESERVE", "1G"),
        ("realtime", "SPANDREL_PURGE_DELAY", "5"),
        ("freestanding", "SPANDREL_FORCE_LIBC", "1"),
    ];
    for (profile, name, value) in bad {
        let outcome = program("workload.c", &["1", "2"], &[("SPANDREL_PROFILE", profile), (name, value)]).run()?;
        outcome.one_line("ALLOCATOR_BAD_OPTION", &format!("{name}={value}"))?;
    }
    Ok(())
}

/// A pool that the kernel does not give leaves nothing: neither libc nor a smaller one steps in.
fn a_pool_refused_is_no_pool() -> Result<(), String> {
    let program = build::program(&Source::new(paths::program_source("pool.c")), Variant::Preload)?;
    let mut command = run::preloaded(program)?;
    command.args(["no_memory", "0"]).env("SPANDREL_PROFILE", "freestanding").env("SPANDREL_POOL", "64M");
    sandbox::limit(&mut command, libc::RLIMIT_DATA, 32 << 20);
    let outcome = run::run(&mut command, 20)?;
    match outcome.diagnostics().as_slice() {
        [line] if line.text.contains("every call fails") && outcome.end != End::Exit(0) => Ok(()),
        _ => Err(format!("expected a process without memory\n{outcome}")),
    }
}

fn resident_and_locked(outcome: &Outcome) -> Result<[i64; 2], String> {
    Ok([number(outcome, "resident")?, number(outcome, "locked")?])
}

/// `realtime` has its pool present and locked before the program's first request; `freestanding` has neither.
fn realtime_pools_are_locked() -> Result<(), String> {
    let look =
        |profile| program("resident.c", &[], &[("SPANDREL_PROFILE", profile), ("SPANDREL_POOL", "32M")]).run_clean();
    let [resident, locked] = resident_and_locked(&look("realtime")?)?;
    let [lazy, unlocked] = resident_and_locked(&look("freestanding")?)?;
    let pool = 30 * 1024;
    let right = resident >= pool && locked >= pool && lazy < pool / 4 && unlocked == 0;
    if right {
        Ok(())
    } else {
        Err(format!("realtime: {resident} KiB, {locked} locked; freestanding: {lazy} KiB, {unlocked} locked"))
    }
}

fn a_refused_lock_is_reported_and_the_pool_is_present() -> Result<(), String> {
    let program = build::program(&Source::new(paths::program_source("resident.c")), Variant::Preload)?;
    let mut command = run::preloaded(program)?;
    command.env("SPANDREL_PROFILE", "realtime").env("SPANDREL_POOL", "32M");
    sandbox::refuse(&mut command, libc::SYS_mlock, libc::EPERM);
    let outcome = run::run(&mut command, 20)?;
    outcome.one_line("ALLOCATOR_POOL_POLICY", "not locked")?;
    let [resident, locked] = resident_and_locked(&outcome)?;
    if resident >= 30 * 1024 && locked == 0 { Ok(()) } else { Err(format!("not as the line says\n{outcome}")) }
}

fn main() -> ExitCode {
    run_cases(
        vec![
            case("pools_serve_without_the_kernel", pools_serve_without_the_kernel),
            case("bad_pools_are_reported", bad_pools_are_reported),
            case("a_pool_refused_is_no_pool", a_pool_refused_is_no_pool),
            case_if(lock_obstacle(), "realtime_pools_are_locked", realtime_pools_are_locked),
            case(
                "a_refused_lock_is_reported_and_the_pool_is_present",
                a_refused_lock_is_reported_and_the_pool_is_present,
            ),
        ],
        false,
    )
}
