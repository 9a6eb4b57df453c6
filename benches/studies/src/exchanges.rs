//! How many atomic exchanges (locks among them) a call costs, from 2 to 512 threads: counted, not timed.
//!
//! Knows: callgrind's counts by instruction, and which instructions lock the bus. Must not know: what the library does.

use crate::page::{Page, Table};
use anyhow::{Context, Result, bail};
use serde::Deserialize;
use spandrel_xtask::repo;
use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

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
             fast path; a lock that no other thread wants takes two.",
            sites.len()
        ),
        &["workload", "calls in the difference", "exchanges", "per million calls"],
    );
    for (name, scale) in WORKLOADS {
        let (short, long) = (bench.count(name, scale, &sites)?, bench.count(name, 2.0 * scale, &sites)?);
        let calls =
            long.calls.checked_sub(short.calls).filter(|&calls| calls > 0).context("the longer run was not longer")?;
        let executed = long.executed.saturating_sub(short.executed);
        let rate = executed as f64 / calls as f64 * MILLION;
        table.rows.push(vec![name.to_owned(), calls.to_string(), executed.to_string(), format!("{rate:.0}")]);
    }
    Ok(Page { name: "exchanges", title: "Atomic exchanges per call", tables: vec![table] })
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
    executed: u64,
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
        let done = command.output().context("cannot run valgrind: install the package `valgrind`")?;
        if !done.status.success() {
            bail!("{command:?} ended with {}: {}", done.status, String::from_utf8_lossy(&done.stderr));
        }
        let said: Said = serde_json::from_slice(&done.stdout).context("the workload printed no result")?;
        let profile = fs::read_to_string(&self.output)?;
        Ok(Count { calls: said.ops, executed: executed(&profile, &self.library, sites) })
    }
}

/// How often instructions at `sites` of `library` were executed, by a profile with a line per instruction.
fn executed(profile: &str, library: &Path, sites: &HashSet<u64>) -> u64 {
    let (mut inside, mut is_call, mut sum) = (false, false, 0);
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
                sum += times;
            }
            is_call = false;
        }
    }
    sum
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
        assert_eq!(executed(profile, Path::new("/l.so"), &HashSet::from([0x10])), 6);
    }
}
