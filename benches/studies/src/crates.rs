//! Spandrel's crate beside other crates that offer a global allocator: instructions of single operations, CPU time and
//! memory of small Rust programs.
//!
//! Knows: the crates, and the program that `benches/crates` builds with each. Must not know: what the program does.

use crate::page::{Page, Table};
use anyhow::{Context, Result, bail};
use spandrel_xtask::run::{End, Launcher, Task};
use spandrel_xtask::{repo, stats};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// A crate: the feature that chooses it, and what the page calls it.
struct Candidate {
    feature: &'static str,
    package: &'static str,
}

/// The first is what the others are compared with.
const CANDIDATES: [Candidate; 5] = [
    Candidate { feature: "spandrel", package: "spandrel-alloc" },
    Candidate { feature: "mimalloc", package: "mimalloc" },
    Candidate { feature: "jemalloc", package: "tikv-jemallocator" },
    Candidate { feature: "snmalloc", package: "snmalloc-rs" },
    Candidate { feature: "glibc", package: "std" },
];

/// A single operation: its name in the program, what it is, and how often it is done.
const FLOWS: [(&str, &str, usize); 7] = [
    ("box-16", "box of 16 bytes", 200_000),
    ("box-500", "box of 500 bytes", 200_000),
    ("box-aligned", "box of 192 bytes at a multiple of 64", 200_000),
    ("zeroed-512", "`vec![0; 512]`", 200_000),
    ("mix-256", "1 to 1024 bytes in 256 slots", 200_000),
    ("vec-push", "1000 pushes to a new vector", 2000),
    ("shrink", "string of 100 bytes, shrunk to 41", 200_000),
];

/// A workload: its name in the program, what it is, and its length, for some tenths of a second each.
const WORKLOADS: [(&str, &str, usize); 6] = [
    ("vec-growth", "vectors that grow", 40_000),
    ("string-map", "map from strings to lists of strings", 600_000),
    ("box-tree", "trees of boxes", 6000),
    ("arc-threads", "`Arc`s that six threads share", 150_000),
    ("formatting", "lines formatted, split and joined", 6000),
    ("documents", "documents made, copied and dropped", 2500),
];

const LIMIT: Duration = Duration::from_secs(120);
const MILLIS: f64 = 1e3;
const KIB: f64 = 1024.0;
/// A figure that is better by less is no loss: other runs say otherwise.
const NOISE: f64 = 1.02;

/// A crate that could be built: its program, and its name with the version.
struct Built {
    program: PathBuf,
    name: String,
}

/// The time and memory of one run.
#[derive(Clone, Copy)]
struct Sample {
    cpu_ms: f64,
    peak_mib: f64,
}

/// Builds all, measures all and makes the page.
pub(crate) fn study(runs: usize) -> Result<Page> {
    let root = repo::root()?;
    let place = repo::target(&root).join("crates");
    let (mut built, mut missing) = (Vec::new(), Vec::new());
    for candidate in &CANDIDATES {
        match build(&root, &place, candidate) {
            Ok(one) => built.push(one),
            Err(error) if candidate.feature != CANDIDATES[0].feature => {
                missing.push(format!("{}: {error:#}", candidate.package));
            }
            Err(error) => return Err(error),
        }
    }
    let mut counted = Vec::new();
    for (name, _, count) in FLOWS {
        counted.push(built.iter().map(|one| cost(one, &place, name, count)).collect::<Result<Vec<_>>>()?);
    }
    let measured = Runner::new(&place)?.interleave(&built, runs)?;
    let note = format!(
        "The least of {runs} interleaved runs, and in brackets how many times that of `spandrel-alloc`. Each crate has the features that it \
         has by default; the programs are built by `cargo build --release` without link-time optimisation."
    );
    let mut tables = vec![
        instructions(&built, &counted),
        table("CPU time in ms", &note, &built, &measured, |sample| sample.cpu_ms),
        table("Peak memory in MiB", &note, &built, &measured, |sample| sample.peak_mib),
        losses(&built, &counted, &measured),
    ];
    if !missing.is_empty() {
        let mut left_out = Table::new("Left out", "Crates that could not be built here.", &["crate"]);
        left_out.rows.extend(missing.into_iter().map(|why| vec![why]));
        tables.push(left_out);
    }
    Ok(Page { name: "crates", title: "The crate beside other allocators' crates", tables })
}

/// The program with that crate's allocator.
fn build(root: &Path, place: &Path, candidate: &Candidate) -> Result<Built> {
    let recipe = root.join("benches/crates");
    let output = Command::new("cargo")
        .args(["build", "--quiet", "--release", "--locked", "--no-default-features", "--target-dir"])
        .arg(place)
        .args(if candidate.package == "std" { vec![] } else { vec!["--features", candidate.feature] })
        .current_dir(&recipe)
        // The flags of the workspace that this program was started from are not a stranger's.
        .env_remove("RUSTFLAGS")
        .output()
        .context("cannot run cargo")?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        bail!("{}", said.lines().find(|line| line.starts_with("error")).unwrap_or("cargo build failed"));
    }
    let program = place.join(candidate.feature);
    fs::copy(place.join("release/spandrel-crates"), &program).context("cannot keep the program")?;
    let name = match candidate.package {
        "std" => "std (glibc)".to_owned(),
        package => format!("{package} {}", version(root, package)?),
    };
    Ok(Built { program, name })
}

/// The version of a package, as the file beside the program's manifest has it.
fn version(root: &Path, package: &str) -> Result<String> {
    let path = root.join("benches/crates/Cargo.lock");
    let lock = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    let mut lines = lock.lines().skip_while(|line| *line != format!("name = \"{package}\"")).skip(1);
    let version = lines.next().and_then(|line| line.strip_prefix("version = \"")?.strip_suffix('"'));
    version.map(str::to_owned).with_context(|| format!("{} does not name {package}", path.display()))
}

/// The instructions of one operation: the difference of a run and one of twice the length. None where valgrind cannot run
/// the program.
fn cost(built: &Built, place: &Path, flow: &str, count: usize) -> Result<Option<f64>> {
    let (Some(once), Some(twice)) = (count_of(built, place, flow, count)?, count_of(built, place, flow, 2 * count)?)
    else {
        return Ok(None);
    };
    Ok(Some((twice as f64 - once as f64) / count as f64))
}

fn count_of(built: &Built, place: &Path, flow: &str, count: usize) -> Result<Option<u64>> {
    let out = place.join("callgrind.out");
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", &format!("--callgrind-out-file={}", out.display())])
        .arg(&built.program)
        .args([flow, &count.to_string()])
        // Work that is due once in so many milliseconds would come fifty times as often for each call.
        .env("SPANDREL_IDLE_RETURN", "off")
        .output()
        .context("cannot run valgrind: install the package `valgrind`")?;
    if !output.status.success() {
        return Ok(None);
    }
    let text = fs::read_to_string(&out).context("callgrind wrote no file")?;
    let total = text.lines().find_map(|line| line.strip_prefix("totals: ")).context("callgrind wrote no totals")?;
    Ok(Some(total.split(' ').next().unwrap_or_default().parse().context("callgrind's totals are no number")?))
}

struct Runner {
    launcher: Launcher,
    scratch: PathBuf,
}

impl Runner {
    fn new(place: &Path) -> Result<Self> {
        let scratch = place.join("runs");
        Ok(Self { launcher: Launcher::new(&scratch)?, scratch })
    }

    /// All crates on all workloads, `runs` times in turn: workload, crate, run.
    fn interleave(&self, built: &[Built], runs: usize) -> Result<Vec<Vec<Vec<Sample>>>> {
        let mut samples = vec![vec![Vec::new(); built.len()]; WORKLOADS.len()];
        for _ in 0..runs {
            for (row, (name, _, count)) in WORKLOADS.iter().enumerate() {
                let mut sum = None;
                for (column, one) in built.iter().enumerate() {
                    let (sample, said) = self.run(one, name, *count)?;
                    if *sum.get_or_insert_with(|| said.clone()) != said {
                        bail!("{name}: another sum with {}", one.name);
                    }
                    samples[row][column].push(sample);
                }
            }
        }
        Ok(samples)
    }

    fn run(&self, built: &Built, workload: &str, count: usize) -> Result<(Sample, Vec<u8>)> {
        let task = Task {
            program: built.program.clone(),
            arguments: vec![workload.to_owned(), count.to_string()],
            dir: self.scratch.clone(),
            environment: Vec::new(),
            input: None,
            limit: LIMIT,
        };
        let outcome = self.launcher.run(&task, None)?;
        let End::Code(0) = outcome.end else { bail!("{workload} with {} ended with {:?}", built.name, outcome.end) };
        Ok((Sample { cpu_ms: outcome.usage.cpu * MILLIS, peak_mib: outcome.usage.peak_kib / KIB }, outcome.stdout))
    }
}

fn columns<'a>(first: &'a str, built: &'a [Built]) -> Vec<&'a str> {
    [first].into_iter().chain(built.iter().map(|one| one.name.as_str())).collect()
}

fn instructions(built: &[Built], counted: &[Vec<Option<f64>>]) -> Table {
    let note = "Instructions of one operation, the loop around it and the drop included, under callgrind: the difference of a run and one \
         of twice the length.";
    let mut table = Table::new("Instructions", note, &columns("operation", built));
    for ((_, what, _), row) in FLOWS.iter().zip(counted) {
        let cells = row.iter().map(|cost| cost.map_or("not under valgrind".to_owned(), |cost| format!("{cost:.1}")));
        table.rows.push([(*what).to_owned()].into_iter().chain(cells).collect());
    }
    table
}

fn least(samples: &[Sample], of: fn(&Sample) -> f64) -> f64 {
    stats::minimum(&samples.iter().map(of).collect::<Vec<_>>())
}

/// A row for each workload, a column for each crate.
fn table(title: &str, note: &str, built: &[Built], samples: &[Vec<Vec<Sample>>], of: fn(&Sample) -> f64) -> Table {
    let mut table = Table::new(title, note, &columns("workload", built));
    for ((_, what, _), row) in WORKLOADS.iter().zip(samples) {
        let base = row.first().map_or(0.0, |samples| least(samples, of));
        let cells = row.iter().map(|samples| {
            let value = least(samples, of);
            format!("{value:.0} ({:.2})", stats::ratio(value, base))
        });
        table.rows.push([(*what).to_owned()].into_iter().chain(cells).collect());
    }
    table
}

/// Every figure in which another crate is better.
fn losses(built: &[Built], counted: &[Vec<Option<f64>>], measured: &[Vec<Vec<Sample>>]) -> Table {
    let note = "Every figure above in which another crate is better than `spandrel-alloc` by more than 2 %.";
    let mut table = Table::new("Lost", note, &["what", "to", "Spandrel takes"]);
    let mut compare = |what: &str, figures: &[f64]| {
        let own = figures.first().copied().unwrap_or_default();
        for (one, &other) in built.iter().zip(figures).skip(1) {
            if own > other * NOISE {
                let times = format!("{:.2} times as much", stats::ratio(own, other));
                table.rows.push(vec![what.to_owned(), one.name.clone(), times]);
            }
        }
    };
    for ((_, what, _), row) in FLOWS.iter().zip(counted) {
        let figures: Vec<f64> = row.iter().map(|cost| cost.unwrap_or(f64::INFINITY)).collect();
        compare(&format!("instructions: {what}"), &figures);
    }
    for ((_, what, _), row) in WORKLOADS.iter().zip(measured) {
        let of = |of: fn(&Sample) -> f64| row.iter().map(|samples| least(samples, of)).collect::<Vec<_>>();
        compare(&format!("CPU time: {what}"), &of(|sample| sample.cpu_ms));
        compare(&format!("peak memory: {what}"), &of(|sample| sample.peak_mib));
    }
    table
}
