//! `spandrel profile`: the profile is there however the program ends, is about the program and not about the allocator,
//! and nothing else stays.

use core::time::Duration;
use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, ExitCode, Stdio};
use std::thread;
use std::time::Instant;

use harness::background::{Background, signal};
use harness::build::{self, Source};
use harness::expect::End;
use harness::header::Variant;
use harness::observed::Waiting;
use harness::paths;
use harness::profiles::{RATE, expect_files, files, shown};
use harness::run;
use harness::suite::{case, main as run_cases};

/// A program under `spandrel profile`, which waits until its standard input ends.
struct Profiled {
    tool: Child,
    output: PathBuf,
    folder: PathBuf,
}

impl Profiled {
    fn start(name: &str) -> Result<Self, String> {
        Self::start_in(paths::fresh(name)?)
    }

    fn start_in(folder: PathBuf) -> Result<Self, String> {
        let program = build::program(&Source::new(paths::program_source("observed.c")), Variant::Preload)?;
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
    fn program(&self) -> Result<u32, String> {
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

/// Whether the process is gone, or goes within a few seconds.
fn is_gone(process: u32) -> bool {
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
        signal(if to_tool { profiled.tool.id() } else { program }, number);
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

/// Killed, the command takes its program along, and the next one in the same folder removes what it left; but not what
/// belongs to one that goes on.
fn a_tool_that_is_killed_takes_its_program_along() -> Result<(), String> {
    let profiled = Profiled::start("killed")?;
    let (program, folder) = (profiled.program()?, profiled.folder.clone());
    signal(profiled.tool.id(), libc::SIGKILL);
    profiled.end()?;
    if !is_gone(program) {
        return Err("it goes on".to_owned());
    }
    let left = files(&folder)?;
    if left.len() != 1 || !left[0].starts_with(".spandrel-") {
        return Err(format!("killed, it left {left:?}"));
    }
    let going_on = Profiled::start_in(folder.clone())?;
    let own = files(&folder)?;
    if own.len() != 1 || own == left {
        return Err(format!("{left:?} is still there: {own:?}"));
    }
    let mut other = run::command(paths::tool()?);
    other.args(["profile", "-o"]).arg(folder.join("other.pb.gz")).args(["--", "perl", "-e", "1"]);
    run::run(&mut other, 60)?;
    expect_files(&folder, &[&own[0], "other.pb.gz"])?;
    signal(going_on.tool.id(), libc::SIGTERM);
    going_on.end()?;
    expect_files(&folder, &["heap.pb.gz", "other.pb.gz"])
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
    let mut perl = run::preloaded("perl")?;
    let perl = Background(perl.args(["-e", script]).spawn().map_err(|error| error.to_string())?);
    thread::sleep(Duration::from_millis(300));
    let mut command = run::command(paths::tool()?);
    command.args(["profile", &perl.id().to_string(), "--seconds", "1", "-o"]).arg(&output);
    command.env("TMPDIR", &folder);
    let outcome = run::run(&mut command, 60)?;
    drop(perl);
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

/// Reads until a line has that text; all that was said.
fn read_until(stderr: &mut BufReader<ChildStderr>, text: &str) -> Result<String, String> {
    let mut said = String::new();
    while !said.contains(text) {
        if stderr.read_line(&mut said).map_err(|error| error.to_string())? == 0 {
            return Err(format!("`{text}` did not come: {said}"));
        }
    }
    Ok(said)
}

/// Starts `profile PID`, and what it says.
fn attach(pid: u32, output: &Path, seconds: &str) -> Result<(Child, BufReader<ChildStderr>), String> {
    let mut command = run::command(paths::tool()?);
    command.args(["profile", &pid.to_string(), "--rate", RATE, "--seconds", seconds, "-o"]).arg(output);
    let mut tool = command.stderr(Stdio::piped()).spawn().map_err(|error| error.to_string())?;
    let stderr = tool.stderr.take().ok_or("no pipe")?;
    Ok((tool, BufReader::new(stderr)))
}

/// The user learns soon that a process makes no slow call, and may stop waiting; nothing is left of the request then.
fn a_silent_process_is_waited_for_until_the_user_has_enough() -> Result<(), String> {
    let folder = paths::fresh("silent")?;
    let silent = Waiting::start(Variant::Preload, &[])?;
    let start = Instant::now();
    let (mut tool, mut stderr) = attach(silent.id(), &folder.join("heap.pb.gz"), "60")?;
    read_until(&mut stderr, "makes no slow call")?;
    if start.elapsed() > Duration::from_secs(10) {
        return Err(format!("that took {:?}", start.elapsed()));
    }
    signal(tool.id(), libc::SIGINT);
    read_until(&mut stderr, "made no slow call of malloc or free")?;
    let status = tool.wait().map_err(|error| error.to_string())?;
    if status.code() != Some(1) {
        return Err(format!("{status}"));
    }
    expect_files(&folder, &[])?;
    silent.finish()
}

/// A process that makes no slow call for some seconds is profiled all the same; and one that makes none at the end, too.
fn a_process_that_makes_no_call_at_first_is_profiled() -> Result<(), String> {
    let folder = paths::fresh("late")?;
    let output = folder.join("heap.pb.gz");
    let script =
        "sleep 4; my @kept; for (1 .. 90) { push @kept, 'x' x 30000; select(undef, undef, undef, 0.01) } sleep 90";
    let mut perl = run::preloaded("perl")?;
    let perl = Background(perl.args(["-e", script]).spawn().map_err(|error| error.to_string())?);
    thread::sleep(Duration::from_millis(300));
    let start = Instant::now();
    let (mut tool, mut stderr) = attach(perl.id(), &output, "4")?;
    let said = read_until(&mut stderr, "stacks)");
    let _ = tool.wait();
    drop(perl);
    let said = said?;
    let is_soon = start.elapsed() < Duration::from_secs(45);
    if !is_soon || said.matches("makes no slow call").count() != 1 || !shown(&output, &["show"])?.contains("[perl") {
        return Err(said);
    }
    expect_files(&folder, &["heap.pb.gz"])
}

fn main() -> ExitCode {
    let cases = vec![
        case("programs_that_a_signal_ends_leave_their_profile", programs_that_a_signal_ends_leave_their_profile),
        case("a_tool_that_is_killed_takes_its_program_along", a_tool_that_is_killed_takes_its_program_along),
        case("profiles_are_about_the_program", profiles_are_about_the_program),
        case("a_running_process_can_be_profiled", a_running_process_can_be_profiled),
        case("a_silent_process_is_waited_for", a_silent_process_is_waited_for_until_the_user_has_enough),
        case("a_process_that_makes_no_call_at_first_is_profiled", a_process_that_makes_no_call_at_first_is_profiled),
    ];
    run_cases(cases, false)
}
