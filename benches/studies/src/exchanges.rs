//! How many atomic exchanges (locks among them) a call costs, from 2 to 512 threads: counted, not timed.
//!
//! Knows: callgrind's counts by instruction, and which instructions lock the bus. Must not know: what the library does.

use crate::page::{Page, Table};
use anyhow::{Context, Result, bail};
use serde::Deserialize;
use spandrel_xtask::repo;
use std::collections::{BTreeMap, HashSet};
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Workloads, and the scale of the shorter of two runs; the longer is twice that.
const WORKLOADS: [(&str, f64); 5] = [
    ("many-threads-2", 0.02),
    ("many-threads-64", 0.06),
    ("many-threads-512", 0.12),
    ("larson", 0.02),
    ("xmalloc", 0.05),
];
const THREADS_MAX: u32 = 600;
const MILLION: f64 = 1e6;

/// Counts all and makes the page.
pub(crate) fn study() -> Result<Page> {
    let root = repo::root()?;
    let bench = Bench {
        library: repo::library(None)?,
        workloads: repo::target(&root).join("release/spandrel-workload"),
        output: repo::target(&root).join("studies/callgrind.exchanges"),
    };
    fs::create_dir_all(bench.output.parent().context("no directory")?)?;
    let sites = sites(&bench.library)?;
    let mut table = Table::new(
        "Atomic exchanges in the library",
        format!(
            "Executed instructions with a `lock` prefix, and exchanges with memory, per million calls of malloc, free and realloc: the \
             difference of a run and one of twice the length, under callgrind. The library has {} such instructions, all of them off the \
             fast path; a lock that no other thread wants takes two. Purges and idle return, which depend on time and not on calls, are \
             switched off meanwhile.",
            sites.len()
        ),
        &["workload", "calls in the difference", "exchanges", "per million calls"],
    );
    let places = places(&root, &bench.library, &sites)?;
    let mut by_place: BTreeMap<&str, [f64; WORKLOADS.len()]> = BTreeMap::new();
    for (column, (name, scale)) in WORKLOADS.into_iter().enumerate() {
        let (short, long) = (bench.count(name, scale, &sites)?, bench.count(name, 2.0 * scale, &sites)?);
        let calls =
            long.calls.checked_sub(short.calls).filter(|&calls| calls > 0).context("the longer run was not longer")?;
        let rate = |executed: u64| executed as f64 / calls as f64 * MILLION;
        let executed = long.sum().saturating_sub(short.sum());
        for (site, place) in &places {
            let executed = long.at(*site).saturating_sub(short.at(*site));
            by_place.entry(place).or_default()[column] += rate(executed);
        }
        table.rows.push(vec![
            name.to_owned(),
            calls.to_string(),
            executed.to_string(),
            format!("{:.0}", rate(executed)),
        ]);
    }
    Ok(Page { name: "exchanges", title: "Atomic exchanges per call", tables: vec![table, table_of(&by_place)] })
}

/// The rates by the function that each exchange belongs to, the largest first.
fn table_of(by_place: &BTreeMap<&str, [f64; WORKLOADS.len()]>) -> Table {
    let columns: Vec<&str> = ["function"].into_iter().chain(WORKLOADS.map(|(name, _)| name)).collect();
    let mut table = Table::new(
        "Where they are",
        "The same per million calls, by the function that takes the lock or makes the exchange. Functions with less than one in a \
         million of every workload are left out."
            .to_owned(),
        &columns,
    );
    let largest = |rates: &[f64; WORKLOADS.len()]| rates.iter().copied().fold(0.0, f64::max);
    let mut rows: Vec<_> = by_place.iter().filter(|(_, rates)| largest(rates) >= 1.0).collect();
    rows.sort_by(|(_, one), (_, other)| largest(other).total_cmp(&largest(one)));
    for (place, rates) in rows {
        let cells = rates.iter().map(|rate| format!("{rate:.0}"));
        table.rows.push([format!("`{place}`")].into_iter().chain(cells).collect());
    }
    table
}

/// Where what is.
#[derive(Debug)]
struct Bench {
    library: PathBuf,
    workloads: PathBuf,
    output: PathBuf,
}

/// The counts of one run.
#[derive(Debug)]
struct Count {
    calls: u64,
    executed: BTreeMap<u64, u64>,
}

impl Count {
    fn sum(&self) -> u64 {
        self.executed.values().sum()
    }

    fn at(&self, site: u64) -> u64 {
        self.executed.get(&site).copied().unwrap_or(0)
    }
}

/// The figures of a workload's output that matter here.
#[derive(Debug, Deserialize)]
struct Said {
    ops: u64,
}

impl Bench {
    fn count(&self, workload: &str, scale: f64, sites: &HashSet<u64>) -> Result<Count> {
        let mut command = Command::new("valgrind");
        command.args(["--tool=callgrind", "--dump-instr=yes", "--compress-pos=no", "--compress-strings=no"]);
        command
            .arg(format!("--max-threads={THREADS_MAX}"))
            .arg(format!("--callgrind-out-file={}", self.output.display()));
        command.args(["/lib64/ld-linux-x86-64.so.2", "--preload"]).arg(&self.library).arg(&self.workloads);
        command.args(["run", workload, "--scale", &scale.to_string()]);
        // Purges and idle return depend on time, of which callgrind takes fifty times as much.
        command.env("SPANDREL_PURGE_DELAY", "never");
        let done = command.output().context("cannot run valgrind: install the package `valgrind`")?;
        if !done.status.success() {
            bail!("{command:?} ended with {}: {}", done.status, String::from_utf8_lossy(&done.stderr));
        }
        let said: Said = serde_json::from_slice(&done.stdout).context("the workload printed no result")?;
        let profile = fs::read_to_string(&self.output)?;
        Ok(Count { calls: said.ops, executed: executed(&profile, &self.library, sites) })
    }
}

/// How often each instruction at `sites` of `library` was executed, by a profile with a line per instruction.
fn executed(profile: &str, library: &Path, sites: &HashSet<u64>) -> BTreeMap<u64, u64> {
    let (mut inside, mut is_call, mut counts) = (false, false, BTreeMap::new());
    for line in profile.lines() {
        if let Some(object) = line.strip_prefix("ob=") {
            inside = Path::new(object) == library;
        } else if line.starts_with("calls=") {
            // The next line tells what the called function cost.
            is_call = true;
        } else if let Some(counted) = line.strip_prefix("0x") {
            let mut words = counted.split_whitespace();
            let address = words.next().and_then(|word| u64::from_str_radix(word, 16).ok());
            let times = words.next_back().and_then(|word| word.parse::<u64>().ok());
            if let (true, false, Some(address), Some(times)) = (inside, is_call, address, times)
                && sites.contains(&address)
            {
                *counts.entry(address).or_default() += times;
            }
            is_call = false;
        }
    }
    counts
}

/// The function of the sources that each exchange belongs to: the innermost one that is above atomics and locks.
fn places(root: &Path, library: &Path, sites: &HashSet<u64>) -> Result<BTreeMap<u64, String>> {
    let mut command = Command::new("addr2line");
    command.args(["--addresses", "--functions", "--inlines", "--demangle", "--exe"]).arg(library);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().context("cannot run addr2line")?;
    let questions: String = sites.iter().map(|site| format!("{site:#x}\n")).collect();
    let mut input = child.stdin.take().context("addr2line has no input")?;
    let asked = std::thread::spawn(move || input.write_all(questions.as_bytes()));
    let output = child.wait_with_output()?;
    asked.join().ok().context("addr2line was not asked")??;
    let is_ours = |file: &str| !file.starts_with("sys/") && root.join("src").join(file).is_file();
    Ok(places_of(&String::from_utf8_lossy(&output.stdout), &is_ours))
}

/// The same from what addr2line prints: an address, then a function and its place for each frame, innermost first.
fn places_of(printed: &str, is_ours: &dyn Fn(&str) -> bool) -> BTreeMap<u64, String> {
    let mut places = BTreeMap::new();
    let (mut site, mut function) = (0, "");
    for line in printed.lines() {
        let address = line.strip_prefix("0x").and_then(|digits| u64::from_str_radix(digits, 16).ok());
        let file = line.rsplit_once("/src/").and_then(|(_, rest)| rest.split_once(':')).map(|(file, _)| file);
        match (address, file) {
            (Some(address), _) => site = address,
            (None, Some(file)) if is_ours(file) => {
                places.entry(site).or_insert_with(|| format!("{file}: {}", short(function)));
            }
            _ => function = line,
        }
    }
    places
}

/// The last part of a function's path that a person wrote: no types in angle brackets, no closures, no marks of the
/// compiler.
fn short(function: &str) -> String {
    let (mut depth, mut path) = (0_u32, String::new());
    for letter in function.chars() {
        depth += u32::from(letter == '<');
        if depth == 0 {
            path.push(letter);
        }
        depth = depth.saturating_sub(u32::from(letter == '>'));
    }
    let is_hash = |part: &str| part.len() == 17 && part[1..].chars().all(|letter| letter.is_ascii_hexdigit());
    let mut parts = path.rsplit("::").filter(|part| !part.is_empty() && !part.starts_with('{') && !is_hash(part));
    parts.next().unwrap_or(function).to_owned()
}

/// Addresses of the instructions of `library` that lock the bus.
fn sites(library: &Path) -> Result<HashSet<u64>> {
    let done = Command::new("objdump")
        .args(["-d", "--no-show-raw-insn"])
        .arg(library)
        .output()
        .context("cannot run objdump")?;
    if !done.status.success() {
        bail!("objdump ended with {}", done.status);
    }
    let found: HashSet<u64> = String::from_utf8_lossy(&done.stdout).lines().filter_map(site).collect();
    if found.is_empty() {
        bail!("{} has no instruction that locks the bus", library.display());
    }
    Ok(found)
}

fn site(line: &str) -> Option<u64> {
    let (address, instruction) = line.trim().split_once(':')?;
    let instruction = instruction.trim();
    let locks = instruction.starts_with("lock ") || instruction.starts_with("xchg") && instruction.contains('(');
    locks.then(|| u64::from_str_radix(address, 16).ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn locked_instructions_and_exchanges_with_memory_are_sites() {
        assert_eq!(site("    61c8:\tlock cmpxchg %esi,0x28(%rcx)"), Some(0x61c8));
        assert_eq!(site("    6313:\txchg   %eax,(%rdi)"), Some(0x6313));
        assert_eq!(site("    6315:\txchg   %ax,%ax"), None);
        assert_eq!(site("    6317:\tmov    %eax,(%rdi)"), None);
    }

    #[test]
    fn only_the_librarys_own_executions_count() {
        let profile =
            "ob=/l.so\nfn=a\n0x10 1 5\n0x20 1 7\ncalls=3 0x40 1\n0x10 1 100\n0x10 2 1\nob=/other.so\nfn=b\n0x10 1 50\n";
        assert_eq!(executed(profile, Path::new("/l.so"), &HashSet::from([0x10])), BTreeMap::from([(0x10, 6)]));
    }

    #[test]
    fn functions_have_the_names_that_people_gave_them() {
        for (function, name) in [
            ("spandrel::pages::Pages::put::h0123456789abcdef", "put"),
            ("spandrel::pages::Pages::put::{closure#0}", "put"),
            ("spandrel::central::with_list<usize, spandrel::a::{closure_env#1}>", "with_list"),
            ("<spandrel::a::B as c::D>::lock", "lock"),
        ] {
            assert_eq!(short(function), name);
        }
    }

    #[test]
    fn an_exchange_belongs_to_the_function_that_takes_the_lock() {
        let printed = "0x0010\ncore::swap\n/rust/library/core/src/sync/atomic.rs:5\nspandrel::sys::lock::lock\n/w/src/sys/lock.rs:9\n\
            spandrel::central::Central::made::h0123456789abcdef\n/w/src/central/store.rs:7 (discriminator 2)\nouter\n/w/src/api/c.rs:1\n\
            0x0020\n??\n??:0\n";
        let is_ours = |file: &str| ["central/store.rs", "api/c.rs"].contains(&file);
        assert_eq!(places_of(printed, &is_ours), BTreeMap::from([(0x10, "central/store.rs: made".to_owned())]));
    }
}
