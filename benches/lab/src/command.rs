//! The commands: what they need, in which order they do their parts, what they print.
//!
//! Knows: paths and defaults. Must not know: how a run is made or a table is laid out.

use crate::allocators::{self, Choice, Column};
use crate::bench::{self, Plan};
use crate::continued;
use crate::machine;
use crate::plot::Forms;
use crate::publish::{Notes, write_report};
use crate::results::{Allocator, Form, Group, Made, Results, SCHEMA, Workload};
use crate::schedule::{Earlier, Repetition};
use crate::table::{self, Measure, Selection};
use crate::targets;
use crate::work::{self, Bench, Work};
use anyhow::{Context, Result, bail};
use spandrel_xtask::programs;
use spandrel_xtask::programs::program::User;
use spandrel_xtask::repo;
use spandrel_xtask::run::Launcher;
use std::collections::{BTreeMap, HashSet};
use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant, SystemTime};

/// Counted runs at least, amount of work. The amount changes neither sizes nor live sets; half of it lets three runs of
/// everything end in half an hour.
const FULL: (u16, f64) = (3, 0.5);
const QUICK: (u16, f64) = (3, 0.1);
/// Counted runs at most of a pair whose figures are in doubt, if the time has an end.
const MOST: u16 = 30;
// Without the server's column and hardened_malloc's full form: --quick has to end in five minutes.
const QUICK_PEERS: &[&str] = &[
    "mimalloc3",
    "jemalloc",
    "snmalloc",
    "tcmalloc",
    "rpmalloc",
    "glibc",
    "spandrel-hardened",
    "mimalloc3-secure",
    "snmalloc-checks",
    "scudo",
    "hardened-malloc-light",
];
/// On which work hardened allocators and Spandrel's modes for diagnosis run.
const PART: &[&str] =
    &["random-mixed-1024", "pair-256", "larson", "xmalloc", "glibc-thread", "realloc-growth", "python3", "sqlite3"];
const QUICK_PROGRAMS: &[&str] = &["python3", "lua", "sqlite3"];
/// The file of the results.
pub(crate) const RESULTS: &str = "results.json";
const SECONDS_PER_MINUTE: f64 = 60.0;
/// Without `--minutes`: longer than any choice of work takes.
const UNLIMITED: Duration = Duration::from_secs(24 * 60 * 60);
/// Draws the orders, unless another seed is given.
pub(crate) const DEFAULT_SEED: u64 = 20_260_000;

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
    /// Counted runs of each pair, more only with --minutes
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..))]
    runs: Option<u16>,
    /// How long all runs may take; work whose figures are noisy has more runs until then
    #[arg(long)]
    minutes: Option<f64>,
    /// Go on with the results of an earlier run of the same libraries: its runs count, and what it lacks comes first
    #[arg(long = "continue", value_name = "RESULTS")]
    before: Option<PathBuf>,
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

/// Runs, writes and prints; false if a published figure is missed.
///
/// # Errors
/// When something needed is missing or a name is unknown.
pub fn run(request: &Run) -> Result<bool> {
    let lab = Lab::prepare(request.out.as_deref(), "bench")?;
    let notes = Notes::read(&lab.root)?;
    let (least, scale) = if request.quick { QUICK } else { FULL };
    let least = request.runs.unwrap_or(least);
    let most = if request.minutes.is_some() { MOST.max(least) } else { least };
    let repetition = Repetition {
        least: usize::from(least),
        most: usize::from(most),
        seed: request.seed,
        budget: request.minutes.map_or(UNLIMITED, |minutes| Duration::from_secs_f64(minutes * SECONDS_PER_MINUTE)),
    };
    let (works, left_out) = works(request, &lab.binary())?;
    let columns = columns(request, &lab.target)?;
    announce(&works, &columns, &left_out);
    let form = request.form();
    let amount = Amount { form, scale: request.scale.unwrap_or(scale), limit: Duration::from_secs(request.limit) };
    let before = request.before.as_deref().map(Results::read).transpose()?;
    if let Some(before) = &before {
        let allocators: Vec<&Allocator> = columns.iter().map(|column| &column.allocator).collect();
        let names = works.iter().map(|work| work.workload.name.clone());
        continued::check(before, form, amount.scale, &allocators, names)?;
    }
    let earlier = before.as_ref().map_or(Earlier::default(), continued::earlier);
    let plan = Plan { works: &works, columns: &columns, pairs: wanted_pair, repetition, earlier };
    let mut results = lab.measure(plan, amount, left_out)?;
    if let Some(before) = &before {
        continued::join(&before.made, before.machine.load_before, &mut results);
        results.write(&lab.out.join(RESULTS))?;
    }
    for selection in Selection::all(&results) {
        for measure in [Measure::Cpu, Measure::Peak] {
            println!("{}", table::text(&results, &selection, measure));
        }
    }
    println!("results:  {}", lab.out.join(RESULTS).display());
    write_report(&results, &notes, &lab.out, Forms::Both)?;
    for judged in notes.targets.judge(&results) {
        println!("{:<20} {}: {}", judged.verdict.words(), judged.text, judged.found);
    }
    Ok(targets::say_missed(&notes.targets, &results))
}

impl Run {
    /// Names and amounts on the command line are a choice of their own.
    fn form(&self) -> Form {
        let complete = self.only.is_empty() && self.peers.is_empty() && !self.programs && !self.no_programs;
        match complete && self.scale.is_none() && self.runs.is_none() {
            true if self.quick => Form::Quick,
            true => Form::Full,
            false => Form::Part,
        }
    }
}

/// Hardened allocators and modes for diagnosis are compared on a part of the work alone: `security` has the rest of the
/// former, and with all of it half of the time would go to them.
fn wanted_pair(workload: &Workload, allocator: &Allocator) -> bool {
    allocator.group == Group::Default || PART.contains(&workload.name.as_str())
}

/// How much work a run is, and how long it may take.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Amount {
    /// Which work and which allocators.
    pub(crate) form: Form,
    /// 1 is the full form.
    pub(crate) scale: f64,
    /// When a run is killed.
    pub(crate) limit: Duration,
}

/// Where the lab works: everything is built and the directory for the results is there.
#[derive(Debug)]
pub(crate) struct Lab {
    /// The repository.
    pub(crate) root: PathBuf,
    /// Where cargo builds.
    pub(crate) target: PathBuf,
    /// Where results go.
    pub(crate) out: PathBuf,
}

/// The words of a command, without the folders of this machine.
fn command_line(words: impl Iterator<Item = String>) -> String {
    let shown = |word: String| {
        let path = Path::new(&word);
        path.file_name().filter(|_| path.is_absolute()).map_or(word.clone(), |name| name.to_string_lossy().into_owned())
    };
    words.map(shown).collect::<Vec<_>>().join(" ")
}

impl Lab {
    /// Builds the workloads and the launcher; results go into `out`, or else into a directory below that of the build.
    pub(crate) fn prepare(out: Option<&Path>, otherwise: &str) -> Result<Self> {
        let root = repo::root()?;
        build(&root)?;
        let target = repo::target(&root).canonicalize().context("the build left no directory")?;
        let out = out.map_or_else(|| target.join(otherwise), Path::to_path_buf);
        fs::create_dir_all(&out).with_context(|| format!("cannot make {}", out.display()))?;
        Ok(Self { root, target, out: out.canonicalize()? })
    }

    /// `spandrel-workload`.
    pub(crate) fn binary(&self) -> PathBuf {
        self.target.join("release/spandrel-workload")
    }

    /// Makes the runs of a plan and writes the results.
    pub(crate) fn measure(
        &self,
        plan: Plan<'_>,
        amount: Amount,
        mut left_out: BTreeMap<String, String>,
    ) -> Result<Results> {
        let (scratch, binary, repetition) = (self.out.join("scratch"), self.binary(), plan.repetition);
        let Amount { form, scale, limit } = amount;
        let launcher = Launcher::at(&self.target.join("release/spandrel-measure"), &scratch)?;
        let libc = work::libc()?;
        let bench = Bench { launcher: &launcher, binary: &binary, scratch: &scratch, libc: &libc, scale, limit };
        let machine = machine::describe();
        let started = Instant::now();
        let runs = bench::run(&bench, plan);
        let ran: HashSet<&str> = runs.iter().map(|run| run.workload.as_str()).collect();
        let without_time =
            plan.works.iter().map(|work| &work.workload.name).filter(|name| !ran.contains(name.as_str()));
        left_out.extend(without_time.map(|name| (name.clone(), "no time was left for it".to_owned())));
        let results = Results {
            schema: SCHEMA,
            made: Made {
                date: humantime::format_rfc3339_seconds(SystemTime::now()).to_string(),
                commit: machine::commit(&self.root),
                command: command_line(env::args().skip(1)),
                seed: repetition.seed,
                form,
                runs: repetition.least,
                budget: repetition.budget.as_secs_f64(),
                scale,
                seconds: started.elapsed().as_secs_f64(),
                left_out,
            },
            machine,
            allocators: plan.columns.iter().map(|column| column.allocator.clone()).collect(),
            workloads: plan.works.iter().map(|work| work.workload.clone()).collect(),
            runs,
        };
        let _ = fs::remove_dir_all(&scratch);
        results.write(&self.out.join(RESULTS))?;
        Ok(results)
    }
}

/// Prints the Debian packages of programs that are not installed.
pub fn packages() {
    for program in programs::of(User::Lab).iter().filter(|program| !program.missing().is_empty()) {
        println!("{}", program.packages.join(" "));
    }
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
    let quick: Vec<String> = QUICK_PEERS.iter().map(|name| (*name).to_owned()).collect();
    let peers = if request.peers.is_empty() && request.quick { &quick } else { &request.peers };
    allocators::columns(&Choice {
        peers,
        modes: !request.quick,
        also: &request.also,
        library: &repo::library(request.library.as_deref())?,
        peers_dir: &target.join("peers"),
    })
}

pub(crate) fn announce(works: &[Work], columns: &[Column], left_out: &BTreeMap<String, String>) {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_have_no_folders_of_a_machine() {
        let words = ["run", "--library", "/home/someone/libspandrel.so", "--out", "target/mine"];
        let shown = command_line(words.iter().map(|word| (*word).to_owned()));
        assert_eq!(shown, "run --library libspandrel.so --out target/mine");
    }
}
