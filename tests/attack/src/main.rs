//! The command line: attacks everything that is installed, or writes the page from recorded results.

use anyhow::{Context, Result, bail};
use clap::{Args, Parser};
use harness::paths;
use spandrel_attack::attack::Verdict;
use spandrel_attack::results::{Record, Results};
use spandrel_attack::suite::{self, Way};
use spandrel_attack::{allocators, goals, page, program, summary};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

const PAGE: &str = "docs/attacks.md";
const RECORDED: &str = "docs/attacks/results.json";
const REASONS: &str = "docs/attacks/reasons.toml";

#[derive(Debug, Parser)]
#[command(about = "Attacks on Spandrel and other allocators")]
enum Mode {
    /// Attack, print a summary, and fail if a goal is not reached
    Run(Run),
    /// Record the results of the last full run, and write the page
    Publish,
    /// Write the page from the recorded results
    Page {
        /// Fail if it is stale instead
        #[arg(long)]
        check: bool,
    },
    /// Check the goals against recorded results
    Goals,
    /// List the cases
    List,
}

#[derive(Debug, Args)]
struct Run {
    /// Only allocators whose name, with the mode, contains this (may be given several times); of the others the results
    /// of the last run are kept
    #[arg(long = "allocator", value_name = "WORD")]
    allocators: Vec<String>,
    /// Only cases whose name begins so (may be given several times)
    #[arg(long = "case", value_name = "CATEGORY/NAME")]
    cases: Vec<String>,
    /// How often each row is run; the worst verdict counts
    #[arg(long, default_value_t = 1)]
    runs: usize,
    /// Processes at once
    #[arg(long, default_value_t = suite::JOBS)]
    jobs: usize,
    /// Where scripts/peers builds
    #[arg(long, value_name = "FOLDER")]
    peers: Option<PathBuf>,
    /// Show the verdicts of each case
    #[arg(long)]
    verbose: bool,
}

fn main() -> ExitCode {
    harness::command::exit(go(&Mode::parse()))
}

/// False if a goal is not reached; that has been said.
fn go(mode: &Mode) -> Result<bool> {
    let root = paths::workspace();
    match mode {
        Mode::Run(run) => attack(run, &root),
        Mode::Publish => {
            let results = Results::read(&program::folder()?.join("results.json")).context("run `make attack` first")?;
            results.write(&root.join(RECORDED))?;
            write_page(&root, false)
        }
        Mode::Page { check } => write_page(&root, *check),
        Mode::Goals => goals_reached(&Results::read(&root.join(RECORDED))?, &root),
        Mode::List => {
            let mut cases: Vec<String> = program::rows()?.into_iter().map(|row| row.case).collect();
            cases.dedup();
            println!("{}", cases.join("\n"));
            Ok(true)
        }
    }
}

fn write_page(root: &Path, check: bool) -> Result<bool> {
    let text = page::text(&Results::read(&root.join(RECORDED))?, &goals::reasons(&root.join(REASONS))?);
    let path = root.join(PAGE);
    if fs::read_to_string(&path).unwrap_or_default() == text {
        println!("{}: fresh", path.display());
        return Ok(true);
    }
    if check {
        bail!("{} is stale: run `make docs` and commit the result", path.display());
    }
    fs::write(&path, text)?;
    println!("{}: written", path.display());
    Ok(true)
}

fn attack(run: &Run, root: &Path) -> Result<bool> {
    let library = paths::shared_library().map_err(anyhow::Error::msg)?;
    let peers = match &run.peers {
        Some(folder) => folder.canonicalize().with_context(|| format!("{} is not there", folder.display()))?,
        None => program::folder()?.with_file_name("peers"),
    };
    let chosen =
        |words: &[String], matches: &dyn Fn(&str) -> bool| words.is_empty() || words.iter().any(|word| matches(word));
    let mut rows = program::rows()?;
    rows.retain(|row| chosen(&run.cases, &|word| row.case.starts_with(word)));
    let mut results =
        Results::new(&rows, line("git", &["log", "-1", "--format=%h", "--", "src"]), line("date", &["+%F"]), run.runs);
    let path = program::folder()?.join(if run.cases.is_empty() { "results.json" } else { "part.json" });
    let before = Results::read(&path).ok().filter(|before| before.cases == results.cases);
    for allocator in allocators::all(&library, &peers)? {
        if !chosen(&run.allocators, &|word| allocator.label().contains(word)) {
            let kept =
                before.iter().flat_map(|before| &before.allocators).find(|kept| kept.label() == allocator.label());
            results.allocators.extend(kept.cloned());
            continue;
        }
        eprintln!("attack: {}", allocator.label());
        let way = Way { runs: run.runs, calm: true, jobs: run.jobs };
        let verdicts = if allocator.absent.is_none() { suite::run(&allocator, &rows, way)? } else { Vec::new() };
        results.allocators.push(Record::new(&allocator, &rows, &verdicts));
        results.write(&path.with_extension("partial"))?;
    }
    println!("{}", summary::text(&results));
    if run.verbose {
        cases(&results);
    }
    results.write(&path)?;
    println!("results: {}", path.display());
    if run.cases.is_empty() { goals_reached(&results, root) } else { Ok(true) }
}

fn cases(results: &Results) {
    for case in &results.cases {
        let all: Vec<&str> =
            results.present().map(|record| record.verdicts.get(&case.name).map_or("", String::as_str)).collect();
        println!("{:<44} {}", case.name, all.join(" "));
    }
    println!(
        "\nin the order of the summary; {}",
        Verdict::ALL.map(|verdict| format!("{} {}", verdict.letter(), verdict.words())).join(", ")
    );
}

fn goals_reached(results: &Results, root: &Path) -> Result<bool> {
    let failures = goals::failures(results, &goals::reasons(&root.join(REASONS))?);
    for failure in &failures {
        println!("{failure}");
    }
    println!(
        "attack: {}",
        if failures.is_empty() {
            "all goals are reached".to_owned()
        } else {
            format!("{} goals are not reached", failures.len())
        }
    );
    Ok(failures.is_empty())
}

/// The first line that a command prints.
fn line(program: &str, words: &[&str]) -> String {
    let output = Command::new(program).args(words).current_dir(paths::workspace()).output();
    let text = output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default();
    text.lines().next().unwrap_or("unknown").to_owned()
}
