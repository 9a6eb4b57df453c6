//! Heaps that a program makes, beside mimalloc's heaps and jemalloc's arenas: the cost to make one, to ask one for
//! memory, to change from one to another, and to destroy one.
//!
//! Knows: how runs are compared. Must not know: how a library is called (`libraries`), what a flow does (`kernel`).

mod kernel;
mod libraries;

pub(crate) use kernel::kernel;

use crate::page::{Page, Table};
use anyhow::{Context, Result, bail};
use kernel::{FILLED, Measured};
use spandrel_xtask::run::{End, Launcher, Task};
use spandrel_xtask::{repo, stats};
use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(120);
const LOADER: &str = "/lib64/ld-linux-x86-64.so.2";
const KIB: f64 = 1024.0;
const MILLION: f64 = 1e6;
/// Bytes of a region, which is the span of most classes of Spandrel's.
const REGION: f64 = 32.0 * KIB;
const MISSING: &str = "-";

/// A library, as the kernel calls it, as the page does, and the file among the peers; none for Spandrel.
struct Candidate {
    name: &'static str,
    shown: &'static str,
    peer: Option<&'static str>,
}

/// The first is what the others are compared with.
const CANDIDATES: [Candidate; 4] = [
    Candidate { name: "spandrel", shown: "spandrel", peer: None },
    Candidate { name: "spandrel-shared", shown: "spandrel, shared", peer: None },
    Candidate { name: "mimalloc", shown: "mimalloc 3", peer: Some("mimalloc3") },
    Candidate { name: "jemalloc", shown: "jemalloc", peer: Some("jemalloc") },
];

/// Operations whose instructions are counted: the flow, what the page says, and how many.
const COUNTED: [(&str, &str, usize); 7] = [
    ("default", "a pair of plain malloc and free", 20_000),
    ("in-use", "a pair, while the thread uses the heap", 20_000),
    ("explicit", "a pair by a call that names the heap", 20_000),
    ("switch", "to another heap and back", 20_000),
    ("create", "a heap made", 200),
    ("first", "a heap made, and its first block", 200),
    ("come-and-go", "a heap made and destroyed", 200),
];

/// Operations whose time is taken: as above, and how many in a run.
const TIMED: [(&str, &str, usize); 6] = [
    ("in-use", "a pair, while the thread uses the heap", 5_000_000),
    ("explicit", "a pair by a call that names the heap", 5_000_000),
    ("switch", "to another heap and back", 2_000_000),
    ("create", "a heap made", 1000),
    ("first", "a heap made, and its first block", 1000),
    ("come-and-go", "a heap made and destroyed", 1000),
];

/// The ends of a heap of [`FILLED`] bytes.
const ENDS: [(&str, &str); 3] = [
    ("destroy", "destroyed, blocks of 16 to 1040 bytes"),
    ("destroy-small", "destroyed, blocks of 16 bytes"),
    ("free", "each block of 16 to 1040 bytes freed"),
];

/// A library that is there.
struct Built {
    candidate: &'static Candidate,
    library: PathBuf,
}

/// Measures all and makes the page.
pub(crate) fn study(runs: usize) -> Result<Page> {
    let root = repo::root()?;
    let scratch = repo::target(&root).join("studies/heaps");
    fs::create_dir_all(&scratch)?;
    let built = built(&root)?;
    let runner = Runner { launcher: Launcher::new(&scratch)?, scratch };
    let mut tables = vec![runner.instructions(&built)?];
    let note = format!(
        "Nanoseconds of one operation, the least of {runs} interleaved runs. In brackets: how many times that of \
         `spandrel`, of the least runs, and the median of the ratios of runs that followed one another."
    );
    let mut timed = Table::new("CPU time", note, &columns("operation", &built));
    let mut resident = Vec::new();
    for (flow, what, count) in TIMED {
        let samples = runner.interleave(&built, flow, count, runs)?;
        timed.rows.push(row(what, &samples, |one| one.nanoseconds));
        if matches!(flow, "create" | "first") {
            resident.push((what, samples));
        }
    }
    tables.push(timed);
    tables.push(runner.ends(&built, runs)?);
    let note = format!("KiB of resident memory that one more heap takes, of 1000: the median of {runs} runs.");
    let mut memory = Table::new("Memory of a heap", note, &columns("heap", &built));
    for (what, samples) in resident {
        let cells = samples.iter().map(|samples| {
            samples.as_ref().map_or(MISSING.to_owned(), |samples| {
                let all: Vec<f64> = samples.iter().map(|one| one.resident / KIB).collect();
                format!("{:.2}", stats::median(&all))
            })
        });
        memory.rows.push([what.to_owned()].into_iter().chain(cells).collect());
    }
    tables.push(memory);
    Ok(Page { name: "heaps", title: "Named heaps beside mimalloc's heaps and jemalloc's arenas", tables })
}

fn built(root: &Path) -> Result<Vec<Built>> {
    let own = repo::library(None)?;
    let of = |candidate: &'static Candidate| {
        let peers = repo::target(root).join("peers");
        let library = candidate.peer.map_or(own.clone(), |peer| peers.join(peer).with_extension("so"));
        Built { candidate, library }
    };
    Ok(CANDIDATES.iter().map(of).filter(|one| one.library.is_file()).collect())
}

fn columns<'a>(first: &'a str, built: &[Built]) -> Vec<&'a str> {
    [first].into_iter().chain(built.iter().map(|one| one.candidate.shown)).collect()
}

/// Samples of each library; none where it has no such operation.
type Samples = Vec<Option<Vec<Measured>>>;

/// Whether a library has the operation: mimalloc 3 has no heap in use that could be changed.
fn has(one: &Built, flow: &str) -> bool {
    flow != "switch" || one.candidate.name != "mimalloc"
}

/// A row of the least samples and their ratios to those of the first library.
fn row(what: &str, samples: &Samples, of: fn(&Measured) -> f64) -> Vec<String> {
    let figures: Vec<Option<Vec<f64>>> =
        samples.iter().map(|samples| samples.as_ref().map(|samples| samples.iter().map(of).collect())).collect();
    let base = figures.first().cloned().flatten().unwrap_or_default();
    let cell = |(column, figures): (usize, &Option<Vec<f64>>)| {
        let Some(figures) = figures else { return MISSING.to_owned() };
        let least = stats::minimum(figures);
        if column == 0 {
            return shown(least);
        }
        let ratios: Vec<f64> = figures.iter().zip(&base).map(|(&figure, &base)| stats::ratio(figure, base)).collect();
        let [of_least, of_pairs] = [stats::ratio(least, stats::minimum(&base)), stats::median(&ratios)];
        format!("{} ({of_least:.2}, {of_pairs:.2})", shown(least))
    };
    [what.to_owned()].into_iter().chain(figures.iter().enumerate().map(cell)).collect()
}

/// A figure with some three digits.
fn shown(figure: f64) -> String {
    if figure < 10.0 { format!("{figure:.2}") } else { format!("{figure:.1}") }
}

struct Runner {
    launcher: Launcher,
    scratch: PathBuf,
}

impl Runner {
    /// Each library in turn, `runs` times.
    fn interleave(&self, built: &[Built], flow: &str, count: usize, runs: usize) -> Result<Samples> {
        let mut samples: Samples = built.iter().map(|one| has(one, flow).then(Vec::new)).collect();
        for _ in 0..runs {
            for (one, samples) in built.iter().zip(&mut samples) {
                if let Some(samples) = samples {
                    samples.push(self.once(one, flow, count)?);
                }
            }
        }
        Ok(samples)
    }

    fn once(&self, built: &Built, flow: &str, count: usize) -> Result<Measured> {
        let task = Task {
            program: env::current_exe()?,
            arguments: arguments(built, flow, count).to_vec(),
            dir: self.scratch.clone(),
            environment: Vec::new(),
            input: None,
            limit: LIMIT,
        };
        let outcome = self.launcher.run(&task, Some(&built.library))?;
        if outcome.end != End::Code(0) || !outcome.stderr.is_empty() {
            let said = String::from_utf8_lossy(&outcome.stderr).into_owned();
            bail!("{flow} with {} ended with {:?}: {said}", built.candidate.shown, outcome.end);
        }
        serde_json::from_slice(&outcome.stdout).with_context(|| format!("{flow} printed no line"))
    }

    /// Instructions under callgrind: the difference of a run and one of twice the length, less that of an empty loop.
    fn instructions(&self, built: &[Built]) -> Result<Table> {
        let note = "Instructions of one operation under callgrind, in the program and all libraries: the difference of \
            a run and one of twice the length, without the loop. Requests of 16 bytes. *shared*: a heap that several \
            threads may use at the same time, as all of mimalloc's are. Each arena of jemalloc has a thread cache of \
            its own, named in the call; plain requests in an arena go by the thread's usual cache.";
        let mut table = Table::new("Instructions", note, &columns("operation", built));
        for (flow, what, count) in COUNTED {
            let mut cells = vec![what.to_owned()];
            for one in built {
                cells.push(if has(one, flow) {
                    let cost = self.cost(one, flow, count)? - self.cost(one, "loop", count)?;
                    format!("{cost:.1}")
                } else {
                    MISSING.to_owned()
                });
            }
            table.rows.push(cells);
        }
        Ok(table)
    }

    fn cost(&self, built: &Built, flow: &str, count: usize) -> Result<f64> {
        let [once, twice] = [self.counted(built, flow, count)?, self.counted(built, flow, 2 * count)?];
        Ok((twice as f64 - once as f64) / count as f64)
    }

    fn counted(&self, built: &Built, flow: &str, count: usize) -> Result<u64> {
        let out = self.scratch.join("callgrind.out");
        let output = Command::new("valgrind")
            .args(["--tool=callgrind", &format!("--callgrind-out-file={}", out.display())])
            // Through the loader: `LD_PRELOAD` would reach valgrind itself.
            .args([LOADER, "--preload"])
            .args([&built.library, &env::current_exe()?])
            .args(arguments(built, flow, count))
            // Work that is due once in so many milliseconds would come fifty times as often for each call.
            .env("SPANDREL_IDLE_RETURN", "off")
            .output()
            .context("cannot run valgrind: install the package `valgrind`")?;
        if !output.status.success() {
            bail!("{flow} with {} under valgrind: {}", built.candidate.shown, String::from_utf8_lossy(&output.stderr));
        }
        let text = fs::read_to_string(&out).context("callgrind wrote no file")?;
        let total = text.lines().find_map(|line| line.strip_prefix("totals: ")).context("callgrind wrote no totals")?;
        total.split(' ').next().unwrap_or_default().parse().context("callgrind's totals are no number")
    }

    /// The time to destroy a heap, or to free all of its blocks.
    fn ends(&self, built: &[Built], runs: usize) -> Result<Table> {
        let spans = FILLED as f64 / REGION;
        let note = format!(
            "Milliseconds of CPU time for a heap of {} MiB, which has {spans:.0} regions of 32 KiB, the least of {runs} \
             interleaved runs, and in brackets the ratios as above.",
            FILLED >> 20
        );
        let mut table = Table::new("The end of a heap", note, &columns("heap", built));
        for (flow, what) in ENDS {
            let samples = self.interleave(built, flow, 1, runs)?;
            let in_milliseconds = samples.into_iter().map(|samples| {
                let scaled = |one: Measured| Measured { nanoseconds: one.nanoseconds / MILLION, ..one };
                samples.map(|samples| samples.into_iter().map(scaled).collect())
            });
            table.rows.push(row(what, &in_milliseconds.collect(), |one| one.nanoseconds));
        }
        Ok(table)
    }
}

fn arguments(built: &Built, flow: &str, count: usize) -> [String; 4] {
    ["heaps-kernel", built.candidate.name, flow, &count.to_string()].map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ratios_are_to_the_first_library() {
        let sample = |figures: &[f64]| {
            Some(figures.iter().map(|&nanoseconds| Measured { nanoseconds, resident: 0.0 }).collect::<Vec<_>>())
        };
        let samples = vec![sample(&[2.0, 4.0, 3.0]), None, sample(&[6.0, 4.0, 6.0])];
        assert_eq!(row("a", &samples, |one| one.nanoseconds), ["a", "2.00", "-", "4.00 (2.00, 2.00)"]);
    }
}
