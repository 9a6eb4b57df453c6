//! Two test processes in one tree, at the same time, with a library each: they share what is built and nothing else.

use core::time::Duration;
use std::fs;
use std::path::Path;
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::Instant;

use harness::build::{self, Source};
use harness::header::Variant;
use harness::suite::{case, main as run_cases};
use harness::{paths, run};

/// Names this process as one of the two.
const PART: &str = "TWICE_PART";
const PARTS: [&str; 2] = ["one", "two"];
/// Rounds of building and running; each begins with both processes ready.
const ROUNDS: u32 = 8;
/// The file that keeps the other process from waiting.
const FAILED: &str = "failed";
const VARIANTS: [Variant; 3] = [Variant::Preload, Variant::Linked, Variant::Static];
const PATIENCE: Duration = Duration::from_secs(60);

/// Waits until the other process is in this round, too.
fn meet(meeting: &Path, own: &str, round: u32) -> Result<(), String> {
    fs::write(meeting.join(format!("{own}-{round}")), "").map_err(|error| error.to_string())?;
    let start = Instant::now();
    while !PARTS.iter().all(|part| meeting.join(format!("{part}-{round}")).exists()) {
        if start.elapsed() > PATIENCE || meeting.join(FAILED).exists() {
            return Err(format!("{own} is alone in round {round}"));
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    Ok(())
}

/// Builds anew in each round, for its source is always newer, and wants its own library in the program that it runs.
fn build_and_run(source: &Path, variant: Variant) -> Result<(), String> {
    let library = paths::shared_library()?;
    let program = build::program(&Source::new(source.to_path_buf()), variant)?;
    let mut command = if variant == Variant::Preload { run::preloaded(&program)? } else { run::command(&program) };
    let outcome = run::run(&mut command, 60)?;
    outcome.clean()?;
    let seen = outcome.stdout.lines().any(|line| line.ends_with(&library.display().to_string()));
    let others = outcome.stdout.lines().any(|line| line.ends_with("libspandrel.so")) && !seen;
    if others || seen == (variant == Variant::Static) {
        return Err(format!("not its own library, {}, in {}\n{outcome}", library.display(), variant.word()));
    }
    Ok(())
}

/// A folder for a test's files has what this process put there, and nothing else.
fn keep_a_file(own: &str) -> Result<(), String> {
    let folder = paths::fresh("same-name")?;
    fs::write(folder.join("file"), own).map_err(|error| error.to_string())?;
    std::thread::sleep(Duration::from_millis(5));
    let kept = fs::read_to_string(folder.join("file")).map_err(|error| format!("the file is gone: {error}"))?;
    if kept == own { Ok(()) } else { Err(format!("{own} reads what {kept} wrote")) }
}

fn part(own: &str) -> Result<(), String> {
    let meeting = paths::output().join("meeting");
    fs::create_dir_all(&meeting).map_err(|error| error.to_string())?;
    let done = rounds(&meeting, own);
    if done.is_err() {
        fs::write(meeting.join(FAILED), "").map_err(|error| error.to_string())?;
    }
    done
}

fn rounds(meeting: &Path, own: &str) -> Result<(), String> {
    let source = meeting.join("libraries.c");
    for round in 0..ROUNDS {
        meet(meeting, own, round)?;
        fs::copy(paths::program_source("libraries.c"), meeting.join(format!("{own}.c")))
            .and_then(|_| fs::rename(meeting.join(format!("{own}.c")), &source))
            .map_err(|error| error.to_string())?;
        keep_a_file(own)?;
        VARIANTS.iter().try_for_each(|variant| build_and_run(&source, *variant))?;
    }
    Ok(())
}

fn start(tree: &Path, own: &str) -> Result<Child, String> {
    let folder = tree.join(own);
    fs::create_dir_all(&folder).map_err(|error| error.to_string())?;
    let library = folder.join("libspandrel.so");
    fs::copy(paths::shared_library()?, &library).map_err(|error| error.to_string())?;
    let mut command = Command::new(std::env::current_exe().map_err(|error| error.to_string())?);
    command.env(PART, own).env("CARGO_TARGET_DIR", tree).env("SPANDREL_SO", &library);
    command.env("SPANDREL_A", paths::static_library()?);
    command.stderr(Stdio::piped()).spawn().map_err(|error| error.to_string())
}

fn two_runs_in_one_tree() -> Result<(), String> {
    let tree = paths::fresh("twice")?;
    let both = PARTS.map(|own| start(&tree, own));
    let mut failures = Vec::new();
    for child in both {
        let output = child?.wait_with_output().map_err(|error| error.to_string())?;
        if !output.status.success() {
            failures.push(String::from_utf8_lossy(&output.stderr).into_owned());
        }
    }
    if failures.is_empty() { Ok(()) } else { Err(failures.join("\n")) }
}

fn main() -> ExitCode {
    let Ok(own) = std::env::var(PART) else {
        return run_cases(vec![case("two_runs_in_one_tree", two_runs_in_one_tree)], true);
    };
    match part(&own) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}
