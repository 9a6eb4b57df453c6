//! The cost of each mode: instructions of a malloc and a free, and time and memory of real programs.
//!
//! Knows: the modes and the programs. Must not know: how instructions are counted.

use crate::page::{Page, Table};
use anyhow::{Result, bail};
use spandrel_xtask::count::bench::Bench;
use spandrel_xtask::count::cases::{Case, PAIRED};
use spandrel_xtask::repo;
use spandrel_xtask::run::{End, Launcher, Task};
use spandrel_xtask::stats;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// A name and settings for each; the first is what others are compared with.
const MODES: [(&str, &[(&str, &str)]); 8] = [
    ("fast", &[(MODE, "fast")]),
    ("libc", &[(MODE, "libc")]),
    ("counting", &[(MODE, "counting")]),
    ("guarded", &[(MODE, "guarded")]),
    ("custom", &[(MODE, "custom")]),
    ("tracked without stacks", &[(MODE, "tracked"), ("SPANDREL_TRACKED_FRAMES", "0")]),
    ("tracked", &[(MODE, "tracked")]),
    ("hardened", &[(MODE, "hardened")]),
];
const MODE: &str = "SPANDREL_MODE";
/// Some modes take a hundred times the instructions of the fastest.
const PART: u32 = 25;
const LIMIT: Duration = Duration::from_secs(300);
const MILLIS: f64 = 1e3;
const KIB: f64 = 1024.0;

/// A program, and what is to be known of it.
struct Program {
    name: &'static str,
    program: &'static str,
    arguments: Vec<String>,
    environment: Vec<(String, String)>,
}

/// The time and memory of one run.
#[derive(Clone, Copy)]
struct Sample {
    cpu_ms: f64,
    peak_mib: f64,
}

const LISTS: &str = "x = [[i] for i in range(500000)]; print(len(x))";
const TABLE: &str = "create table t(a integer primary key, b text); with recursive n(i) as (select 1 union all select i+1 from n \
     where i < 300000) insert into t select i, printf('%.*c', i % 200, 'q') from n; create index b on t(b); \
     select count(*), sum(length(b)), count(distinct b) from t;";

fn programs(root: &Path) -> Vec<Program> {
    let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
    let tests = root.join("ffi-tests");
    let (source, include) = (tests.join("cxx/std_containers.cpp"), format!("-I{}", tests.join("support").display()));
    vec![
        Program {
            name: "python3, a million lists and numbers",
            program: "python3",
            arguments: words(&["-c", LISTS]),
            environment: vec![("PYTHONMALLOC".to_owned(), "malloc".to_owned())],
        },
        Program {
            name: "sqlite3",
            program: "sqlite3",
            arguments: words(&[":memory:", TABLE]),
            environment: Vec::new(),
        },
        Program {
            name: "g++",
            program: "g++",
            arguments: words(&["-O1", "-S", "-o", "/dev/null", &include, &source.display().to_string()]),
            environment: Vec::new(),
        },
    ]
}

/// Measures all and makes the page.
pub(crate) fn study(runs: usize) -> Result<Page> {
    let root = repo::root()?;
    let programs = programs(&root);
    let samples = Runner::new(&root)?.interleave(&programs, runs)?;
    let note = format!(
        "The least of {runs} interleaved runs, and in brackets how many times that of mode `fast`. In mode `custom` the program has set no \
         function. python3 has PYTHONMALLOC=malloc, so that each object is a block."
    );
    Ok(Page {
        name: "modes",
        title: "What the modes cost",
        tables: vec![
            instructions()?,
            table("CPU time in ms", &note, &programs, &samples, |sample| sample.cpu_ms),
            table("Peak memory in MiB", &note, &programs, &samples, |sample| sample.peak_mib),
        ],
    })
}

/// One size again and again. Random sizes vary by more than the random numbers of a mode, so they do not compare.
const CASES: [&Case; 2] = [&PAIRED[0], &PAIRED[1]];

fn instructions() -> Result<Table> {
    let bench = Bench::prepare(None)?;
    let note = "Instructions inside the library for a malloc and a free together, under callgrind: the difference of a run and one of twice the \
         length. What libc does in mode `libc` is not among them.";
    let mut columns = vec!["mode"];
    columns.extend(CASES.iter().map(|case| case.text));
    let mut table = Table::new("Instructions per pair", note, &columns);
    for (mode, setting) in MODES {
        let costs = CASES.iter().map(|case| bench.cost(&case.variant(setting, PART))).collect::<Result<Vec<_>>>()?;
        let mut row = vec![mode.to_owned()];
        row.extend(costs.iter().map(|cost| format!("{:.1}", cost.instructions)));
        table.rows.push(row);
    }
    Ok(table)
}

/// Launcher and library.
struct Runner {
    launcher: Launcher,
    library: PathBuf,
    scratch: PathBuf,
}

impl Runner {
    fn new(root: &Path) -> Result<Self> {
        let scratch = repo::target(root).join("studies/runs");
        Ok(Self { launcher: Launcher::new(&scratch)?, library: repo::library(None)?, scratch })
    }

    /// All modes on all programs, `runs` times in turn: mode, program, run.
    fn interleave(&self, programs: &[Program], runs: usize) -> Result<Vec<Vec<Vec<Sample>>>> {
        let mut samples = vec![vec![Vec::new(); programs.len()]; MODES.len()];
        for _ in 0..runs {
            for (column, program) in programs.iter().enumerate() {
                let mut output = None;
                for (row, (mode, setting)) in MODES.iter().enumerate() {
                    let (sample, said) = self.run(program, mode, setting)?;
                    if *output.get_or_insert_with(|| said.clone()) != said {
                        bail!("{}: other output in mode {mode}", program.name);
                    }
                    samples[row][column].push(sample);
                }
            }
        }
        Ok(samples)
    }

    fn run(&self, program: &Program, mode: &str, setting: &[(&str, &str)]) -> Result<(Sample, Vec<u8>)> {
        let Some(path) = repo::program(program.program) else { bail!("{} is not installed", program.program) };
        let mut environment = program.environment.clone();
        environment.extend(setting.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        let task = Task {
            program: path,
            arguments: program.arguments.clone(),
            dir: self.scratch.clone(),
            environment,
            input: None,
            limit: LIMIT,
        };
        let outcome = self.launcher.run(&task, Some(&self.library))?;
        let End::Code(0) = outcome.end else { bail!("{} in mode {mode} ended with {:?}", program.name, outcome.end) };
        Ok((Sample { cpu_ms: outcome.usage.cpu * MILLIS, peak_mib: outcome.usage.peak_kib / KIB }, outcome.stdout))
    }
}

/// A row for each mode, a column for each program.
fn table(title: &str, note: &str, programs: &[Program], samples: &[Vec<Vec<Sample>>], of: fn(&Sample) -> f64) -> Table {
    let mut columns = vec!["mode"];
    columns.extend(programs.iter().map(|program| program.name));
    let mut table = Table::new(title, note, &columns);
    let least = |samples: &[Sample]| stats::minimum(&samples.iter().map(of).collect::<Vec<_>>());
    let base: Vec<f64> =
        samples.first().map_or_else(Vec::new, |row| row.iter().map(|samples| least(samples)).collect());
    for ((mode, _), row) in MODES.iter().zip(samples) {
        let mut cells = vec![(*mode).to_owned()];
        cells.extend(row.iter().zip(&base).map(|(samples, &base)| {
            let value = least(samples);
            format!("{value:.0} ({:.2})", stats::ratio(value, base))
        }));
        table.rows.push(cells);
    }
    table
}
