//! Heap profiles, read back by a package of the npm registry that knows nothing of Spandrel: do the figures agree with
//! the program, and does a dump come when it was asked for?

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use harness::build::{self, Source};
use harness::header::Variant;
use harness::paths;
use harness::profiles::{RATE, expect_files, files};
use harness::programs::{Program, number};
use harness::run::{self, Outcome};
use harness::sandbox;
use harness::suite::{case, case_if, main as run_cases};

/// The package, which checks and decodes profiles.
const READER: &str = "pprof-format@2.1.0";
/// The requests of `profiled.c` in bytes: held to the end, freed at once, grown to.
const HELD: f64 = 2000.0 * 16_000.0;
const CHURNED: f64 = 100_000.0 * 1000.0;
const GROWN: f64 = 80.0 * 1_048_576.0;
/// Each part of the program has thousands of samples, so sums differ at random by some two percent.
const TOLERANCE: f64 = 0.15;
/// Bytes that libc and the loader request besides.
const BESIDES: f64 = 1_048_576.0;

/// The folder of the package, once npm has fetched it; else the reason why it is missing.
fn reader() -> Result<PathBuf, String> {
    let (Some(npm), Some(_)) = (paths::find_program("npm"), paths::find_program("node")) else {
        return Err("node and npm are not installed".to_owned());
    };
    let folder = paths::output().join("pprof-reader");
    if !folder.join("node_modules/pprof-format").is_dir() {
        // Beside its place first: another process may be reading it, or fetching the same.
        let draft = paths::fresh("pprof-reader")?;
        let mut command = Command::new(npm);
        command.args(["install", "--no-audit", "--no-fund", "--prefix"]).arg(&draft).arg(READER);
        let done = command.output().map_err(|error| error.to_string())?;
        if !done.status.success() {
            return Err(format!("npm does not bring {READER}: offline?"));
        }
        // Refused where the other process was faster.
        let _ = fs::rename(&draft, &folder);
    }
    Ok(folder.join("node_modules"))
}

/// The findings of the package about a dump.
fn read(modules: &Path, dump: &Path) -> Result<Outcome, String> {
    let mut command = run::command("node");
    command.arg(paths::program_source("read_pprof.js")).arg(dump).env("NODE_PATH", modules);
    let outcome = run::run(&mut command, 60)?;
    outcome.clean()?;
    Ok(outcome)
}

fn profiled(end: &str, settings: &[(&str, &str)]) -> Result<Outcome, String> {
    Program { file: "profiled.c", arguments: &[end], environment: settings, timeout: 60 }.run()
}

fn near(outcome: &Outcome, name: &str, expected: f64) -> Result<(), String> {
    let found = number(outcome, name)? as f64;
    if (found - expected).abs() <= TOLERANCE * expected + BESIDES {
        return Ok(());
    }
    Err(format!("{name} is {found}, not {expected}\n{outcome}"))
}

fn figures_are_those_of_the_program(modules: &Path) -> Result<(), String> {
    let folder = paths::fresh("figures")?;
    let path = folder.join("heap-%n").display().to_string();
    profiled("exit", &[("SPANDREL_HEAP_PROFILE", &path), ("SPANDREL_HEAP_PROFILE_RATE", RATE)])?.clean()?;
    let found = read(modules, &folder.join("heap-1"))?;
    near(&found, "alloc_space", HELD + CHURNED + GROWN)?;
    near(&found, "inuse_space", HELD)?;
    near(&found, "peak_space", HELD + GROWN)?;
    near(&found, "inuse_objects", 2000.0)?;
    for (name, least) in [("stacks", 3), ("mappings", 3), ("depth", 4), ("recent", 1), ("period", 16 << 10)] {
        if number(&found, name)? < least {
            return Err(format!("{name} is below {least}\n{found}"));
        }
    }
    Ok(())
}

fn children_write_their_own(modules: &Path) -> Result<(), String> {
    let folder = paths::fresh("fork")?;
    let path = folder.join("heap").display().to_string();
    let ran = profiled("fork", &[("SPANDREL_HEAP_PROFILE", &path), ("SPANDREL_HEAP_PROFILE_RATE", RATE)])?;
    ran.clean()?;
    let of = |name: &str| Ok::<_, String>(folder.join(format!("heap.{}.1.pb.gz", number(&ran, name)?)));
    near(&read(modules, &of("process")?)?, "inuse_space", HELD)?;
    let child = read(modules, &of("child")?)?;
    near(&child, "inuse_space", 0.0)?;
    near(&child, "peak_space", HELD + GROWN)
}

fn a_signal_asks_for_a_dump() -> Result<(), String> {
    let folder = paths::fresh("signal")?;
    let path = folder.join("heap-%n").display().to_string();
    let settings = [("SPANDREL_HEAP_PROFILE", path.as_str()), ("SPANDREL_HEAP_PROFILE_SIGNAL", "USR2")];
    profiled("kill", &settings)?.clean()?;
    expect_files(&folder, &["heap-1", "heap-2"])
}

fn a_signal_starts_a_profile_that_waits() -> Result<(), String> {
    let folder = paths::fresh("wait")?;
    let path = folder.join("heap-%n").display().to_string();
    let settings = [("SPANDREL_HEAP_PROFILE", path.as_str()), ("SPANDREL_HEAP_PROFILE_WAIT", "1")];
    profiled("exit", &settings)?.clean()?;
    expect_files(&folder, &[])?;
    let signal = [settings[0], settings[1], ("SPANDREL_HEAP_PROFILE_SIGNAL", "USR2")];
    profiled("kill", &signal)?.clean()?;
    expect_files(&folder, &["heap-1"])
}

fn dumps_come_now_and_then() -> Result<(), String> {
    let folder = paths::fresh("every")?;
    let path = folder.join("heap-%n").display().to_string();
    let settings = [("SPANDREL_HEAP_PROFILE", path.as_str()), ("SPANDREL_HEAP_PROFILE_EVERY", "30M")];
    profiled("exit", &settings)?.clean()?;
    // The program asks for some 200 MiB; those of 40 MiB and more are single requests.
    let count = files(&folder)?.len();
    if (4..=8).contains(&count) { Ok(()) } else { Err(format!("{count} dumps")) }
}

/// A dump that cannot be put in its place leaves no file.
fn refused_dumps_leave_nothing() -> Result<(), String> {
    let folder = paths::fresh("refused")?;
    for (call, errno) in [(libc::SYS_rename, libc::ENOSPC), (libc::SYS_openat, libc::EROFS)] {
        let program = build::program(&Source::new(paths::program_source("profiled.c")), Variant::Glibc)?;
        let mut command = run::preloaded(&program)?;
        command.env("SPANDREL_HEAP_PROFILE", folder.join("heap"));
        if call == libc::SYS_openat {
            // The loader opens files as well: here the folder is what refuses.
            command.env("SPANDREL_HEAP_PROFILE", "/proc/heap");
        } else {
            sandbox::refuse(&mut command, call, errno);
        }
        let outcome = run::run(&mut command, 60)?;
        outcome.one_line("ALLOCATOR_REPORT_OUTPUT", "SPANDREL_HEAP_PROFILE")?;
        expect_files(&folder, &[])?;
    }
    Ok(())
}

fn main() -> ExitCode {
    let modules = reader();
    let obstacle = modules.as_ref().err().cloned();
    let read_back = |name: &str, check: fn(&Path) -> Result<(), String>| {
        let modules = modules.clone();
        case_if(obstacle.clone(), name, move || check(&modules?))
    };
    let cases = vec![
        read_back("figures_are_those_of_the_program", figures_are_those_of_the_program),
        read_back("children_write_their_own", children_write_their_own),
        case("a_signal_asks_for_a_dump", a_signal_asks_for_a_dump),
        case("a_signal_starts_a_profile_that_waits", a_signal_starts_a_profile_that_waits),
        case("dumps_come_now_and_then", dumps_come_now_and_then),
        case("refused_dumps_leave_nothing", refused_dumps_leave_nothing),
    ];
    run_cases(cases, false)
}
