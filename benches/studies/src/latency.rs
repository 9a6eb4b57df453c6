//! How long single calls take at worst: percentiles and maxima of malloc and free, one call at a time, beside other
//! allocators.
//!
//! Knows: the workloads that time their calls, and which libraries there are. Must not know: how a call is timed.

use crate::page::{Page, Table};
use anyhow::{Context, Result, bail};
use serde::Deserialize;
use spandrel_xtask::repo;
use spandrel_xtask::run::{End, Launcher, Outcome, Task};
use std::env;
use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

const WORKLOADS: [(&str, &str); 2] =
    [("latency-alone", "one thread"), ("latency", "two threads that free each other's blocks")];
const PEERS: [&str; 6] = ["mimalloc3", "mimalloc2", "jemalloc", "snmalloc", "tcmalloc", "rpmalloc"];
/// Long enough for a hundred calls above the last percentile, short enough to take turns.
const SCALE: &str = "0.4";
const LIMIT: Duration = Duration::from_secs(120);

/// A library and its environment.
struct Setting {
    name: String,
    library: Option<PathBuf>,
    environment: Vec<(String, String)>,
}

#[derive(Clone, Copy, Debug, Deserialize)]
struct Percentiles {
    p50: f64,
    p99: f64,
    p99_9: f64,
    p99_99: f64,
    max: f64,
}

#[derive(Clone, Copy, Debug, Deserialize)]
struct Latency {
    malloc: Percentiles,
    free: Percentiles,
}

#[derive(Debug, Deserialize)]
struct Line {
    latency: Option<Latency>,
}

/// Measures all and makes the page.
pub(crate) fn study(runs: usize) -> Result<Page> {
    let root = repo::root()?;
    let settings = settings(&root)?;
    let scratch = repo::target(&root).join("studies/latency");
    let launcher = Launcher::new(&scratch)?;
    let program = env::current_exe()?.with_file_name("spandrel-workload").display().to_string();
    let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let load = load.split(' ').next().unwrap_or("unknown").to_owned();
    let first = realtime();
    let way = if first.is_empty() { "among other processes" } else { "ahead of ordinary processes (`chrt --fifo 1`)" };
    let mut tables = Vec::new();
    for (workload, title) in WORKLOADS {
        let mut samples = vec![Vec::new(); settings.len()];
        for _ in 0..runs {
            for (setting, samples) in settings.iter().zip(&mut samples) {
                let run = [program.as_str(), "run", workload, "--scale", SCALE].map(str::to_owned);
                let words = [first.as_slice(), &run].concat();
                let task = Task {
                    program: PathBuf::from(&words[0]),
                    arguments: words[1..].to_vec(),
                    dir: scratch.clone(),
                    environment: setting.environment.clone(),
                    input: None,
                    limit: LIMIT,
                };
                samples.push(timed(&launcher.run(&task, setting.library.as_deref())?, workload, &setting.name)?);
            }
        }
        for (call, of) in [("malloc", (|all| all.malloc) as fn(&Latency) -> Percentiles), ("free", |all| all.free)] {
            tables.push(table(&format!("{call}: {title}"), (runs, &load, way), &settings, &samples, of));
        }
    }
    Ok(Page { name: "latency", title: "The longest calls", tables })
}

/// How to start a program so that no ordinary one interrupts it, where that is allowed.
fn realtime() -> Vec<String> {
    let words = ["/usr/bin/chrt", "--fifo", "1"];
    let allowed = Command::new(words[0]).args(&words[1..]).arg("/bin/true").status().is_ok_and(|end| end.success());
    if allowed { words.map(str::to_owned).to_vec() } else { Vec::new() }
}

/// Spandrel in three profiles, the C library, and what peers are built.
fn settings(root: &std::path::Path) -> Result<Vec<Setting>> {
    let library = repo::library(None)?;
    let ours = |profile: &str| Setting {
        name: format!("spandrel, {profile}"),
        library: Some(library.clone()),
        environment: vec![("SPANDREL_PROFILE".to_owned(), profile.to_owned())],
    };
    let mut settings = vec![ours("realtime"), ours("hosted-small"), ours("hosted-server")];
    settings.push(Setting { name: "glibc".to_owned(), library: None, environment: Vec::new() });
    let folder = repo::target(root).join("peers");
    for peer in PEERS {
        let library = folder.join(peer).with_extension("so");
        if library.is_file() {
            settings.push(Setting { name: peer.to_owned(), library: Some(library), environment: Vec::new() });
        }
    }
    if settings.len() == 4 {
        bail!("there is no other allocator to compare with: run `make peers`");
    }
    Ok(settings)
}

fn timed(outcome: &Outcome, workload: &str, name: &str) -> Result<Latency> {
    if outcome.end != End::Code(0) || !outcome.stderr.is_empty() {
        bail!("{workload} with {name} ended with {:?}: {}", outcome.end, String::from_utf8_lossy(&outcome.stderr));
    }
    let line: Line = serde_json::from_slice(&outcome.stdout).with_context(|| format!("{workload} printed no line"))?;
    line.latency.with_context(|| format!("{workload} times no calls"))
}

/// A row for each setting. Other processes lengthen calls in some runs, so the least of each figure counts.
fn table(
    title: &str,
    (runs, load, way): (usize, &str, &str),
    settings: &[Setting],
    samples: &[Vec<Latency>],
    of: fn(&Latency) -> Percentiles,
) -> Table {
    let note = format!(
        "Run {way}. Nanoseconds by the processor's clock, net of reading it; blocks of 16 to 1040 bytes, 4096 alive per thread. Of each figure the least of \
         {runs} interleaved runs, because other users of the machine can only lengthen a call (load at the start: {load}); the last \
         column is the median of the runs' maxima."
    );
    let mut table = Table::new(title, note, &["allocator", "p50", "p99", "p99.9", "p99.99", "max", "median max"]);
    for (setting, samples) in settings.iter().zip(samples) {
        let all: Vec<Percentiles> = samples.iter().map(of).collect();
        let least = |pick: fn(&Percentiles) -> f64| all.iter().map(pick).fold(f64::INFINITY, f64::min);
        let picks: [fn(&Percentiles) -> f64; 5] = [|p| p.p50, |p| p.p99, |p| p.p99_9, |p| p.p99_99, |p| p.max];
        let mut row = vec![setting.name.clone()];
        row.extend(picks.map(|pick| format!("{:.0}", least(pick))));
        let maxima: Vec<f64> = all.iter().map(|one| one.max).collect();
        row.push(format!("{:.0}", spandrel_xtask::stats::median(&maxima)));
        table.rows.push(row);
    }
    table
}
