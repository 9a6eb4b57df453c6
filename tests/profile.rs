//! Heap profiles, read back by a package of the npm registry that knows nothing of Spandrel: do the figures agree with
//! the program, and does a dump come when it was asked for?

use core::time::Duration;
use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};
use std::thread;

use harness::build::{self, Source};
use harness::expect::End;
use harness::header::Variant;
use harness::paths;
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
const RATE: &str = "16K";
const TOLERANCE: f64 = 0.15;
/// Bytes that libc and the loader request besides.
const BESIDES: f64 = 1_048_576.0;

fn files(folder: &Path) -> Result<Vec<String>, String> {
    let entries = fs::read_dir(folder).map_err(|error| error.to_string())?;
    let mut names: Vec<_> = entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    Ok(names)
}

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

fn expect_files(folder: &Path, expected: &[&str]) -> Result<(), String> {
    let found = files(folder)?;
    if found == expected { Ok(()) } else { Err(format!("{found:?}")) }
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

/// A program under `spandrel profile`, which waits until its standard input ends.
struct Profiled {
    tool: Child,
    output: PathBuf,
    folder: PathBuf,
}

impl Profiled {
    fn start(name: &str) -> Result<Self, String> {
        let program = build::program(&Source::new(paths::program_source("observed.c")), Variant::Preload)?;
        let folder = paths::fresh(name)?;
        let output = folder.join("heap.pb.gz");
        let mut command = run::command(paths::tool()?);
        command.args(["profile", "--rate", RATE, "-o"]).arg(&output).arg("--").arg(program);
        let mut tool = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|error| error.to_string())?;
        let mut line = String::new();
        let stdout = tool.stdout.take().ok_or("no pipe")?;
        BufReader::new(stdout).read_line(&mut line).map_err(|error| error.to_string())?;
        if line.starts_with("ready") { Ok(Self { tool, output, folder }) } else { Err(format!("said `{line}`")) }
    }

    /// The number of the program's process.
    fn program(&self) -> Result<i32, String> {
        let id = self.tool.id();
        let children =
            fs::read_to_string(format!("/proc/{id}/task/{id}/children")).map_err(|error| error.to_string())?;
        children.split_whitespace().next().and_then(|id| id.parse().ok()).ok_or_else(|| "no child".to_owned())
    }

    /// Waits for the end of the tool; what it said.
    fn end(mut self) -> Result<String, String> {
        let mut said = String::new();
        let stderr = self.tool.stderr.take().ok_or("no pipe")?;
        BufReader::new(stderr).read_to_string(&mut said).map_err(|error| error.to_string())?;
        self.tool.wait().map_err(|error| error.to_string())?;
        Ok(said)
    }
}

/// Sends a signal.
fn signal(process: i32, signal: i32) {
    // SAFETY: takes no pointers; the process is a child of this test, or a child of one.
    unsafe { libc::kill(process, signal) };
}

/// Whether the process is gone, or goes within a few seconds.
fn is_gone(process: i32) -> bool {
    let gone = || {
        let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
        status.is_empty() || status.contains("State:\tZ")
    };
    (0..500).any(|_| {
        gone() || {
            thread::sleep(Duration::from_millis(10));
            false
        }
    })
}

/// What the tool's own reader says of a profile.
fn shown(file: &Path, view: &[&str]) -> Result<String, String> {
    let mut command = run::command(paths::tool()?);
    command.args(["profile", view[0]]).arg(file).args(&view[1..]);
    let outcome = run::run(&mut command, 60)?;
    outcome.clean()?;
    Ok(outcome.stdout)
}

/// Ended by a signal, to it or to the tool, a program leaves its profile, which begins with what was in use; and nothing
/// else stays, no file and no process.
fn programs_that_a_signal_ends_leave_their_profile() -> Result<(), String> {
    for (number, to_tool) in
        [(libc::SIGTERM, true), (libc::SIGTERM, false), (libc::SIGINT, false), (libc::SIGINT, true)]
    {
        let profiled = Profiled::start(&format!("ended-{number}-{to_tool}"))?;
        if number == libc::SIGINT {
            // From then on the library minds it.
            thread::sleep(Duration::from_millis(2500));
        }
        let (program, output, folder) = (profiled.program()?, profiled.output.clone(), profiled.folder.clone());
        signal(if to_tool { profiled.tool.id() as i32 } else { program }, number);
        let said = profiled.end()?;
        let what = format!("signal {number}, to the tool: {to_tool}\n{said}");
        if !is_gone(program) {
            return Err(format!("the program outlives the tool: {what}"));
        }
        expect_files(&folder, &["heap.pb.gz"]).map_err(|error| format!("{error} {what}"))?;
        if !shown(&output, &["show"])?.starts_with("inuse_space (") || !said.contains("in use when a signal ended it") {
            return Err(what);
        }
    }
    Ok(())
}

fn a_tool_that_is_killed_takes_its_program_along() -> Result<(), String> {
    let profiled = Profiled::start("killed")?;
    let program = profiled.program()?;
    signal(profiled.tool.id() as i32, libc::SIGKILL);
    profiled.end()?;
    if is_gone(program) { Ok(()) } else { Err("it goes on".to_owned()) }
}

/// Stacks end at the program's own function, however the allocator got into it; a program that ended shows its peak; the
/// file has names, so that it says the same without the program; children leave no files unless they are asked for.
fn profiles_are_about_the_program() -> Result<(), String> {
    let folder = paths::fresh("about")?;
    for variant in [Variant::Preload, Variant::Static] {
        let built = build::program(&Source::new(paths::program_source("profiled.c")), variant)?;
        let (program, output) = (folder.join("program"), folder.join("heap.pb.gz"));
        fs::copy(built, &program).map_err(|error| error.to_string())?;
        let profile = |flags: &[&str]| {
            let mut command = run::command(paths::tool()?);
            command
                .arg("profile")
                .args(flags)
                .args(["--rate", RATE, "-o"])
                .arg(&output)
                .arg("--")
                .arg(&program)
                .arg("fork");
            run::run(&mut command, 60)
        };
        let outcome = profile(&[])?;
        if outcome.end != End::Exit(0) || !outcome.stderr.contains("1 children of it left profiles, too") {
            return Err(format!("{outcome}"));
        }
        fs::remove_file(&program).map_err(|error| error.to_string())?;
        expect_files(&folder, &["heap.pb.gz"])?;
        let text = shown(&output, &["show"])?;
        let own: Vec<_> = text.lines().skip(2).filter_map(|line| line.split_whitespace().nth(6)).collect();
        if !text.starts_with("peak_space (") || own[..2] != ["grow", "hold"] || text.contains(" 0 B ") {
            return Err(format!("{variant:?}: {own:?}\n{text}"));
        }
        let json = shown(&output, &["show", "--json", "--value", "alloc_space"])?;
        if !json.contains("\"function\": \"churn\"") {
            return Err(json);
        }
        fs::remove_file(&output).map_err(|error| error.to_string())?;
    }
    Ok(())
}

/// A process that nothing prepared for it gives a profile of what it asks for meanwhile.
fn a_running_process_can_be_profiled() -> Result<(), String> {
    let folder = paths::fresh("attached")?;
    let output = folder.join("heap.pb.gz");
    let script = "my @kept; my $end = time + 6; while (time < $end) { push @kept, 'x' x 3000; select(undef, undef, undef, 0.001) }";
    let mut busy = run::preloaded("perl")?;
    let mut busy = busy.args(["-e", script]).spawn().map_err(|error| error.to_string())?;
    thread::sleep(Duration::from_millis(300));
    let mut command = run::command(paths::tool()?);
    command.args(["profile", &busy.id().to_string(), "--seconds", "1", "-o"]).arg(&output);
    command.env("TMPDIR", &folder);
    let outcome = run::run(&mut command, 60)?;
    let _ = busy.kill();
    let _ = busy.wait();
    if outcome.end != End::Exit(0) {
        return Err(format!("{outcome}"));
    }
    let text = shown(&output, &["show"])?;
    if text.starts_with("inuse_space (") && text.contains("[perl") {
        expect_files(&folder, &["heap.pb.gz"])
    } else {
        Err(text)
    }
}

/// A page for a browser by default, a picture where one is asked for.
fn flames_are_pages_or_pictures() -> Result<(), String> {
    let folder = paths::fresh("flames")?;
    let file = folder.join("heap").display().to_string();
    profiled("exit", &[("SPANDREL_HEAP_PROFILE", &file), ("SPANDREL_HEAP_PROFILE_RATE", RATE)])?.clean()?;
    let dump = folder.join(files(&folder)?.first().ok_or("no dump")?);
    for (name, flags, start) in
        [("a.html", &[][..], "<!DOCTYPE html>"), ("b.svg", &[][..], "<svg"), ("c", &["--output", "svg"][..], "<svg")]
    {
        let path = folder.join(name);
        let text = path.display().to_string();
        shown(&dump, &[&["flame", "-o", &text], flags].concat())?;
        let drawn = fs::read_to_string(&path).map_err(|error| error.to_string())?;
        if !drawn.starts_with(start) || !drawn.contains("hold") {
            return Err(format!("{name}: {drawn}"));
        }
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
        case("programs_that_a_signal_ends_leave_their_profile", programs_that_a_signal_ends_leave_their_profile),
        case("a_tool_that_is_killed_takes_its_program_along", a_tool_that_is_killed_takes_its_program_along),
        case("profiles_are_about_the_program", profiles_are_about_the_program),
        case("a_running_process_can_be_profiled", a_running_process_can_be_profiled),
        case("flames_are_pages_or_pictures", flames_are_pages_or_pictures),
    ];
    run_cases(cases, false)
}
