//! The commands: what they need, in which order they do their parts, what they print.
//!
//! Knows: paths and defaults. Must not know: how a run is made or a table is laid out.

use crate::allocators::{self, Choice, Column};
use crate::bench::{self, Repetition};
use crate::causes::Causes;
use crate::plot::{self, Forms};
use crate::results::{Made, Results, SCHEMA};
use crate::table::{self, Measure};
use crate::work::{self, Bench, Work};
use crate::{machine, report};
use anyhow::{Context, Result, bail};
use spandrel_xtask::programs;
use spandrel_xtask::programs::program::User;
use spandrel_xtask::repo;
use spandrel_xtask::run::Launcher;
use std::collections::BTreeMap;
use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant, SystemTime};

const FULL: (usize, usize, f64) = (5, 3, 1.0);
const QUICK: (usize, usize, f64) = (3, 1, 0.2);
const QUICK_PEERS: &[&str] = &["mimalloc3", "jemalloc", "snmalloc", "tcmalloc", "rpmalloc", "glibc"];
const QUICK_PROGRAMS: &[&str] = &["python3", "lua", "sqlite3"];
const PICTURES: &str = "pictures";
const SECONDS_PER_MINUTE: u64 = 60;
const DEFAULT_SEED: u64 = 20_260_000;

/// The choice of allocators, workloads and runs.
#[derive(Debug, clap::Args)]
pub struct Run {
    /// Only workloads and programs of these names (`*` and `?` stand for letters)
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
    /// Only these allocators beside Spandrel
    #[arg(long, value_delimiter = ',')]
    peers: Vec<String>,
    /// Another library as a column of its own
    #[arg(long, value_name = "NAME=PATH")]
    also: Vec<String>,
    /// Small amounts of work, fewer runs, peers and programs
    #[arg(long)]
    quick: bool,
    /// Counted runs per workload and allocator
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..))]
    runs: Option<u16>,
    /// Counted runs per allocator of real programs and of workloads that wait
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..))]
    slow_runs: Option<u16>,
    /// Begin no further round that would end later than this
    #[arg(long, default_value_t = 600)]
    minutes: u64,
    /// Amount of work; 1 is the full form
    #[arg(long)]
    scale: Option<f64>,
    /// All real programs, also with --quick
    #[arg(long, conflicts_with = "no_programs")]
    programs: bool,
    /// No real programs
    #[arg(long)]
    no_programs: bool,
    /// Draws the order of the runs
    #[arg(long, default_value_t = DEFAULT_SEED)]
    seed: u64,
    /// Seconds after which a run counts as failed
    #[arg(long, default_value_t = 120)]
    limit: u64,
    /// Spandrel's library (default: the release build)
    #[arg(long)]
    library: Option<PathBuf>,
    /// Where results go (default: target/bench)
    #[arg(long)]
    out: Option<PathBuf>,
}

/// Runs, writes and prints.
///
/// # Errors
/// When something needed is missing or a name is unknown.
pub fn run(request: &Run) -> Result<()> {
    let root = repo::root()?;
    build(&root)?;
    let target = repo::target(&root).canonicalize().context("the build left no directory")?;
    let out = request.out.clone().unwrap_or_else(|| target.join("bench"));
    fs::create_dir_all(&out).with_context(|| format!("cannot make {}", out.display()))?;
    let out = out.canonicalize()?;
    let release = target.join("release");
    let (runs, slow_runs, scale) = if request.quick { QUICK } else { FULL };
    let repetition = Repetition {
        runs: request.runs.map_or(runs, usize::from),
        slow_runs: request.slow_runs.or(request.runs).map_or(slow_runs, usize::from),
        seed: request.seed,
        budget: Duration::from_secs(request.minutes * SECONDS_PER_MINUTE),
    };
    let scale = request.scale.unwrap_or(scale);
    let binary = release.join("spandrel-workload");
    let (works, mut left_out) = works(request, &binary)?;
    let columns = columns(request, &target)?;
    announce(&works, &columns, &left_out);

    let scratch = out.join("scratch");
    let launcher = Launcher::at(&release.join("spandrel-measure"), &scratch)?;
    let limit = Duration::from_secs(request.limit);
    let bench = Bench { launcher: &launcher, binary: &binary, scratch: &scratch, libc: &work::libc()?, scale, limit };
    let machine = machine::describe();
    let started = Instant::now();
    let (runs, rounds) = bench::run(&bench, &works, &columns, repetition);
    let wanted = repetition.runs.max(repetition.slow_runs);
    if rounds < wanted {
        let reason = format!("it would have ended after the {} minutes that were given", request.minutes);
        left_out.insert(format!("what was to follow on round {rounds} of {wanted}"), reason);
    }
    let results = Results {
        schema: SCHEMA,
        made: Made {
            date: humantime::format_rfc3339_seconds(SystemTime::now()).to_string(),
            commit: machine::commit(&root),
            command: env::args().skip(1).collect::<Vec<_>>().join(" "),
            seed: repetition.seed,
            runs: repetition.runs.min(rounds),
            slow_runs: repetition.slow_runs.min(rounds),
            scale,
            seconds: started.elapsed().as_secs_f64(),
            left_out,
        },
        machine,
        allocators: columns.into_iter().map(|column| column.allocator).collect(),
        workloads: works.into_iter().map(|work| work.workload).collect(),
        runs,
    };
    let _ = fs::remove_dir_all(&scratch);
    let path = out.join("results.json");
    results.write(&path)?;
    println!("{}\n{}", table::text(&results, Measure::Cpu), table::text(&results, Measure::Peak));
    println!("results:  {}", path.display());
    write_report(&results, &root, &out, Forms::Both)
}

/// The results to make a report of.
#[derive(Debug, clap::Args)]
pub struct Report {
    /// results.json of a run
    results: PathBuf,
    /// Where the report goes (default: beside the results)
    #[arg(long)]
    out: Option<PathBuf>,
}

/// Writes the report of results that are there already.
///
/// # Errors
/// When they cannot be read or the report cannot be written.
pub fn report(request: &Report) -> Result<()> {
    let results = Results::read(&request.results)?;
    let beside = request.results.parent().unwrap_or(Path::new("."));
    let out = request.out.as_deref().unwrap_or(beside);
    write_report(&results, &repo::root()?, out, Forms::Both)
}

/// Which results to publish.
#[derive(Debug, clap::Args)]
pub struct Publish {
    /// results.json of a full run (default: the last one)
    results: Option<PathBuf>,
}

/// Puts report and pictures where README.md and docs/benchmarks.md show them.
///
/// # Errors
/// As [`report`].
pub fn publish(request: &Publish) -> Result<()> {
    let root = repo::root()?;
    let last = repo::target(&root).join("bench/results.json");
    let results = Results::read(request.results.as_deref().unwrap_or(&last))?;
    write_report(&results, &root, &root.join("docs/benchmarks"), Forms::SvgOnly)
}

/// Prints the Debian packages of programs that are not installed.
pub fn packages() {
    for program in programs::of(User::Lab).iter().filter(|program| !program.missing().is_empty()) {
        println!("{}", program.packages.join(" "));
    }
}

fn write_report(results: &Results, root: &Path, out: &Path, forms: Forms) -> Result<()> {
    let causes = Causes::read(&root.join("benches/causes.toml"))?;
    let pictures = plot::draw(results, &out.join(PICTURES), forms)?;
    let path = out.join("report.md");
    let text = report::render(results, &causes, &pictures, PICTURES);
    fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
    println!("report:   {}", path.display());
    println!("pictures: {}", out.join(PICTURES).display());
    Ok(())
}

/// Prints the names of all rows.
///
/// # Errors
/// When the workloads cannot be built or asked.
pub fn list() -> Result<()> {
    let root = repo::root()?;
    build(&root)?;
    for work in work::synthetics(&repo::target(&root).join("release/spandrel-workload"))? {
        println!("{:<24} {}", work.workload.name, work.workload.summary);
    }
    for program in programs::of(User::Lab) {
        println!("{:<24} {}", program.name, program.work);
    }
    Ok(())
}

/// The workloads and the launcher, as they are in the sources now.
fn build(root: &Path) -> Result<()> {
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    for part in [
        ["--package", "spandrel-workloads", "--bin", "spandrel-workload"].as_slice(),
        ["--package", "spandrel-xtask", "--bin", "spandrel-measure", "--no-default-features"].as_slice(),
    ] {
        let status = Command::new(&cargo).args(["build", "--quiet", "--release"]).args(part).current_dir(root).status();
        if !status.context("cargo cannot be started")?.success() {
            bail!("{} cannot be built", part[1]);
        }
    }
    Ok(())
}

/// The rows that are wanted and can run, and those that cannot.
fn works(request: &Run, binary: &Path) -> Result<(Vec<Work>, BTreeMap<String, String>)> {
    let wanted =
        |name: &str| request.only.is_empty() || request.only.iter().any(|pattern| work::matches(pattern, name));
    let mut works: Vec<Work> =
        work::synthetics(binary)?.into_iter().filter(|work| wanted(&work.workload.name)).collect();
    let mut left_out = BTreeMap::new();
    for program in programs::of(User::Lab) {
        let in_form =
            !request.quick || request.programs || !request.only.is_empty() || QUICK_PROGRAMS.contains(&program.name);
        let missing = program.missing();
        if request.no_programs || !in_form || !wanted(program.name) {
            continue;
        }
        if missing.is_empty() {
            works.push(Work::program(program));
        } else {
            left_out.insert(program.name.to_owned(), format!("not installed: {}", missing.join(", ")));
        }
    }
    if works.is_empty() {
        bail!("nothing to run: --only {} names no workload and no installed program", request.only.join(","));
    }
    Ok((works, left_out))
}

fn columns(request: &Run, target: &Path) -> Result<Vec<Column>> {
    // Without the server's column: --quick has to end in five minutes.
    let quick: Vec<String> = QUICK_PEERS.iter().map(|name| (*name).to_owned()).collect();
    let peers = if request.peers.is_empty() && request.quick { &quick } else { &request.peers };
    allocators::columns(&Choice {
        peers,
        also: &request.also,
        library: &repo::library(request.library.as_deref())?,
        peers_dir: &target.join("peers"),
    })
}

fn announce(works: &[Work], columns: &[Column], left_out: &BTreeMap<String, String>) {
    let present = columns.iter().filter(|column| column.allocator.absent.is_none()).count();
    println!("{} workloads and programs under {present} allocators, each shown to be in effect", works.len());
    for column in columns {
        if let Some(reason) = &column.allocator.absent {
            println!("without {}: {reason}", column.allocator.name);
        }
    }
    for (name, reason) in left_out {
        println!("without {name}: {reason}");
    }
}
