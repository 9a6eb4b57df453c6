//! The cost of each profile for five real programs: time, peak and idle memory, system calls for memory.
//!
//! Knows: the programs and how to look at a process. Must not know: what a profile sets.

use crate::page::{Page, Table};
use anyhow::{Context, Result, bail};
use spandrel_xtask::repo;
use spandrel_xtask::stats::median;
use std::fs::{self, File};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

const PROFILES: [&str; 6] =
    ["hosted-small", "hosted-server", "freestanding", "realtime", "compiler-internal", "test-fixture"];
/// For the profiles that have a pool: what the largest of the programs needs.
const POOL: &str = "512M";
/// How long a program does nothing before the study reads its figures.
const IDLE: Duration = Duration::from_secs(2);
const LIMIT: Duration = Duration::from_secs(120);
const POLL: Duration = Duration::from_millis(2);
/// The line that a program which stays prints when its work is done.
const DONE: &str = "work-is-done";
const KIB_PER_MIB: f64 = 1024.0;

/// A program; one that stays says `DONE`, does nothing for three seconds and ends, unless it is a server.
struct Program {
    name: &'static str,
    /// The command for a shell in the folder of its files.
    command: &'static str,
    stays: bool,
    /// The work that another program gives it while it runs; it prints nothing itself then.
    load: Option<&'static str>,
}

const PROGRAMS: [Program; 5] = [
    Program { name: "g++", command: "exec \"$COMPILER\" -quiet -O1 unit.ii -o unit.s", stays: false, load: None },
    Program {
        name: "python3",
        command: "PYTHONMALLOC=malloc exec /usr/bin/python3 -u work.py",
        stays: true,
        load: None,
    },
    Program {
        name: "sqlite3",
        command: "env -u LD_PRELOAD sh -c 'cat work.sql; until grep -q work-is-done output; do sleep 0.1; done; sleep 3' > feed & exec sqlite3 :memory: < feed",
        stays: true,
        load: None,
    },
    Program {
        name: "redis-server",
        command: "exec redis-server --port 47913 --save '' --appendonly no --daemonize no > /dev/null",
        stays: true,
        load: Some(
            "until redis-cli -p 47913 ping > /dev/null 2>&1; do sleep 0.05; done; \
             redis-benchmark -p 47913 -q -n 60000 -r 30000 -d 300 -t set,get,lpush,hset > /dev/null; redis-cli -p 47913 flushall > /dev/null",
        ),
    },
    Program {
        name: "threads (larson)",
        command: "exec \"$WORKLOAD\" run larson --scale 0.5 > /dev/null",
        stays: false,
        load: None,
    },
];

/// The figures of one run.
#[derive(Clone, Copy, Debug, Default)]
struct Seen {
    cpu: f64,
    peak: f64,
    idle: Option<f64>,
    calls: u64,
}

/// Measures all and makes the page.
pub(crate) fn study(runs: usize) -> Result<Page> {
    let root = repo::root()?;
    let library = repo::library(None)?;
    let folder = repo::target(&root).join("studies/profiles");
    prepare(&root, &folder)?;
    let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let load = load.split(' ').next().unwrap_or("unknown").to_owned();
    let mut tables = Vec::new();
    for program in &PROGRAMS {
        let mut seen = vec![Vec::new(); PROFILES.len() + 1];
        for _ in 0..runs {
            seen[0].push(look(program, &folder, None, "")?);
            for (profile, seen) in PROFILES.iter().zip(&mut seen[1..]) {
                seen.push(look(program, &folder, Some(&library), profile)?);
            }
        }
        tables.push(table(program, runs, &load, &seen));
    }
    Ok(Page { name: "profiles", title: "What each profile costs", tables })
}

/// Lays out what the programs read.
fn prepare(root: &Path, folder: &Path) -> Result<()> {
    fs::create_dir_all(folder)?;
    for name in ["work.py", "work.sql"] {
        let text = fs::read_to_string(root.join("xtask/programs").join(name))?;
        let end = if name == "work.py" {
            format!(
                "\ndel blocks, kept, index, text, back, found, words\nimport time\nprint('{DONE}')\ntime.sleep(3)\n"
            )
        } else {
            format!("\nDELETE FROM part;\nDELETE FROM item;\n.print {DONE}\n")
        };
        fs::write(folder.join(name), text + &end)?;
    }
    let unit = "#include <algorithm>\n#include <iostream>\n#include <map>\n#include <regex>\n#include <string>\n#include <vector>\n\
                int main() { std::map<std::string, std::vector<int>> m; std::regex r(\"a+b\"); std::string line;\n\
                while (std::getline(std::cin, line)) if (std::regex_search(line, r)) m[line].push_back(1);\n\
                for (auto &[k, v] : m) { std::sort(v.begin(), v.end()); std::cout << k << v.size(); } }\n";
    fs::write(folder.join("unit.cpp"), unit)?;
    let feed = folder.join("feed");
    if !feed.exists() && !Command::new("mkfifo").arg(&feed).status()?.success() {
        bail!("no fifo at {}", feed.display());
    }
    let done = Command::new("g++").args(["-E", "-O1", "unit.cpp", "-o", "unit.ii"]).current_dir(folder).status()?;
    if done.success() { Ok(()) } else { bail!("g++ -E ended with {done}") }
}

/// Runs a program once and looks at it.
fn look(program: &Program, folder: &Path, library: Option<&Path>, profile: &str) -> Result<Seen> {
    let (output, errors) = (folder.join("output"), folder.join("errors"));
    let mut command = Command::new("/bin/sh");
    // The shell becomes the program: what is preloaded into it is the program's.
    command.args(["-c", program.command]).current_dir(folder).stdin(Stdio::null());
    command.stdout(File::create(&output)?).stderr(File::create(&errors)?);
    let compiler = Command::new("g++").arg("-print-prog-name=cc1plus").output()?.stdout;
    command.env("COMPILER", String::from_utf8(compiler)?.trim());
    command.env("WORKLOAD", std::env::current_exe()?.with_file_name("spandrel-workload"));
    if let Some(library) = library {
        command
            .env("LD_PRELOAD", library)
            .env("SPANDREL_PROFILE", profile)
            .env("SPANDREL_LEAKS", "0")
            .env("SPANDREL_STATS", "1");
        if profile == "freestanding" || profile == "realtime" {
            command.env("SPANDREL_POOL", POOL);
        }
    }
    let mut child = command.spawn().with_context(|| format!("cannot run {}", program.name))?;
    let seen = watch(program, &mut child, &output);
    if program.load.is_some() || seen.is_err() {
        end(&child);
    }
    let mut seen = seen.with_context(|| format!("{} in {profile}", program.name))?;
    child.wait()?;
    seen.calls = calls(&fs::read_to_string(&errors)?);
    Ok(seen)
}

/// Asks a server to end, so that it has a last word. One that is gone need not be asked.
fn end(child: &Child) {
    let _ = rustix::process::kill_process(rustix::process::Pid::from_child(child), rustix::process::Signal::TERM);
}

/// Looks at a program until its work is done and, if it stays, once more after it did nothing for a while.
fn watch(program: &Program, child: &mut Child, output: &Path) -> Result<Seen> {
    let (id, start, mut seen) = (child.id(), Instant::now(), Seen::default());
    let mut load = match program.load {
        Some(load) => Some(Command::new("/bin/sh").args(["-c", load]).spawn()?),
        None => None,
    };
    loop {
        if let Some((cpu, peak)) = figures(id) {
            (seen.cpu, seen.peak) = (cpu, peak.max(seen.peak));
        }
        let done = match &mut load {
            Some(load) => load.try_wait()?.is_some(),
            None => program.stays && fs::read_to_string(output)?.contains(DONE),
        };
        if done {
            thread::sleep(IDLE);
            seen.idle = Some(status(id, "VmRSS:").context("it is gone")? / KIB_PER_MIB);
            return Ok(seen);
        }
        if let Some(end) = child.try_wait()? {
            return if program.stays || !end.success() { Err(anyhow::anyhow!("ended with {end}")) } else { Ok(seen) };
        }
        if start.elapsed() > LIMIT {
            bail!("not done after {LIMIT:?}");
        }
        thread::sleep(POLL);
    }
}

/// Seconds of processor time so far, and the most MiB that were resident.
fn figures(id: u32) -> Option<(f64, f64)> {
    const TICKS: f64 = 100.0;
    let stat = fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
    let fields: Vec<&str> = stat.rsplit(") ").next()?.split(' ').collect();
    let ticks = |at: usize| fields.get(at)?.parse::<f64>().ok();
    Some(((ticks(11)? + ticks(12)?) / TICKS, status(id, "VmHWM:")? / KIB_PER_MIB))
}

fn status(id: u32, name: &str) -> Option<f64> {
    let text = fs::read_to_string(format!("/proc/{id}/status")).ok()?;
    text.lines().find_map(|line| line.strip_prefix(name))?.split_whitespace().next()?.parse().ok()
}

/// The sum of the library's own system calls for memory, as it told at its end.
fn calls(errors: &str) -> u64 {
    let counts = errors.lines().filter_map(|line| line.strip_prefix("spandrel: stats: ")?.split_once(" calls"));
    let kinds = ["mmap", "munmap", "mprotect", "madvise", "mremap"];
    counts.filter(|(kind, _)| kinds.contains(kind)).filter_map(|(_, count)| count.trim().parse::<u64>().ok()).sum()
}

fn table(program: &Program, runs: usize, load: &str, seen: &[Vec<Seen>]) -> Table {
    let note = format!(
        "Least processor time and median memory of {runs} interleaved runs (load at the start: {load}). Idle: resident two seconds after the work is done, \
         as long as the program stays. System calls: the library's own for memory, where the program ends by itself or at a signal; of glibc they are not \
         counted. Profiles with a pool have one of {POOL}, and `test-fixture` reports no leaks, for programs do leak."
    );
    let mut table = Table::new(program.name, note, &["profile", "CPU s", "peak MiB", "idle MiB", "system calls"]);
    for (name, seen) in ["none (glibc)"].iter().chain(&PROFILES).zip(seen) {
        let middle = |of: fn(&Seen) -> f64| median(&seen.iter().map(of).collect::<Vec<_>>());
        let least = seen.iter().map(|one| one.cpu).fold(f64::INFINITY, f64::min);
        let idle =
            if program.stays { format!("{:.1}", middle(|one| one.idle.unwrap_or(0.0))) } else { "ends".to_owned() };
        let calls = seen.iter().map(|one| one.calls).max().unwrap_or_default();
        let calls = if calls == 0 { "not told".to_owned() } else { calls.to_string() };
        table.rows.push(vec![
            (*name).to_owned(),
            format!("{least:.2}"),
            format!("{:.1}", middle(|one| one.peak)),
            idle,
            calls,
        ]);
    }
    table
}
