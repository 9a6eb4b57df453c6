#![expect(unsafe_code, reason = "calls malloc, libc's own and the clock")]
//! Blocks above 32 KiB, beside other allocators: replaced by two threads; grown by realloc; and above 32 MiB, thousands of
//! them, freed in order, and the free of a block of libc's beside them.
//!
//! Knows: which libraries there are, and the program, which is this one with the library preloaded. Must not know: how a library finds
//! a block.

use crate::page::{Page, Table};
use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};
use spandrel_xtask::run::{End, Launcher, Task};
use spandrel_xtask::{repo, stats};
use std::env;
use std::ffi::c_void;
use std::path::PathBuf;
use std::time::Duration;

const BYTES: usize = 33 << 20;
/// Below `vm.max_map_count`, which allocators that divide a mapping would reach.
const BLOCKS: usize = 50_000;
const FEW: usize = 50;
const FOREIGN: usize = 2000;
const DEBIAN_JEMALLOC: &str = "/usr/lib/x86_64-linux-gnu/libjemalloc.so.2";
const LIMIT: Duration = Duration::from_secs(300);

unsafe extern "C" {
    safe fn __libc_malloc(bytes: usize) -> *mut c_void;
}

/// Microseconds of CPU time.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Times {
    /// To allocate a block and to free it.
    pair: f64,
    /// To free a block of libc's meanwhile; none where that is not tried.
    foreign: Option<f64>,
}

fn cpu_seconds() -> f64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the clock exists, and `time` can be written.
    unsafe { libc::clock_gettime(libc::CLOCK_PROCESS_CPUTIME_ID, &raw mut time) };
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}

fn free(block: *mut c_void) {
    // SAFETY: each caller frees a block that it allocated, once.
    unsafe { libc::free(std::hint::black_box(block)) };
}

/// One run, in this process: prints [`Times`].
pub(crate) fn kernel(blocks: usize, with_foreign: bool) -> Result<()> {
    let begun = cpu_seconds();
    // SAFETY: malloc takes any size.
    let all: Vec<_> = (0..blocks).map(|_| std::hint::black_box(unsafe { libc::malloc(BYTES) })).collect();
    let allocated = cpu_seconds() - begun;
    if all.iter().any(|block| block.is_null()) {
        bail!("no memory for {blocks} blocks");
    }
    let foreign = with_foreign.then(|| {
        let foreign: Vec<_> = (0..FOREIGN).map(|_| __libc_malloc(100)).collect();
        let begun = cpu_seconds();
        foreign.into_iter().for_each(free);
        (cpu_seconds() - begun) / FOREIGN as f64 * 1e6
    });
    let begun = cpu_seconds();
    all.into_iter().for_each(free);
    let pair = (allocated + cpu_seconds() - begun) / blocks as f64 * 1e6;
    println!("{}", serde_json::to_string(&Times { pair, foreign })?);
    Ok(())
}

/// The cost of one run of [`replace`] or [`grow`].
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Cost {
    /// Milliseconds of CPU time.
    cpu: f64,
    faults: f64,
    peak_mib: f64,
}

/// Blocks that each thread of [`replace`] has.
const SLOTS: usize = 16;
const THREADS: usize = 2;
/// Replacements of each thread.
const STEPS: usize = 100_000;
const SEED: u64 = 0x9e37_79b9_7f4a_7c15;
const PAGE: usize = 4096;
const GIB: usize = 1 << 30;
const MIB: f64 = (1 << 20) as f64;

/// A kind of [`replace`]: the smallest and the largest block, in KiB, and whether each page is written or the first and
/// the last byte alone.
const MIXES: [(usize, usize, bool); 3] = [(64, 512, false), (64, 4096, false), (64, 4096, true)];
/// A page written costs a hundred times as much as a call.
const WRITING_SHARE: usize = 20;

fn usage() -> Cost {
    let mut usage = std::mem::MaybeUninit::<libc::rusage>::zeroed();
    // SAFETY: `usage` can be written.
    unsafe { libc::getrusage(libc::RUSAGE_SELF, usage.as_mut_ptr()) };
    // SAFETY: all-zero bytes are a valid value, too.
    let usage = unsafe { usage.assume_init() };
    Cost { cpu: cpu_seconds() * 1e3, faults: usage.ru_minflt as f64, peak_mib: usage.ru_maxrss as f64 * 1024.0 / MIB }
}

fn print_since(begun: Cost) -> Result<()> {
    let now = usage();
    let cost = Cost { cpu: now.cpu - begun.cpu, faults: now.faults - begun.faults, ..now };
    println!("{}", serde_json::to_string(&cost)?);
    Ok(())
}

/// One run, in this process: two threads replace random ones of their blocks. Prints [`Cost`].
pub(crate) fn replace(mix: usize) -> Result<()> {
    let (least, most, writes) = *MIXES.get(mix).context("there is no such mix")?;
    let steps = if writes { STEPS / WRITING_SHARE } else { STEPS };
    let begun = usage();
    std::thread::scope(|scope| {
        for thread in 1..=THREADS as u64 {
            scope.spawn(move || {
                let mut random = SEED.wrapping_mul(thread);
                let mut next = move || {
                    random ^= random << 13;
                    random ^= random >> 7;
                    random ^= random << 17;
                    random as usize
                };
                let mut slots = [std::ptr::null_mut(); SLOTS];
                for _ in 0..steps {
                    let slot = &mut slots[next() % SLOTS];
                    free(*slot);
                    let bytes = (least << 10) + next() % ((most - least) << 10);
                    // SAFETY: malloc takes any size.
                    *slot = std::hint::black_box(unsafe { libc::malloc(bytes) });
                    for at in (0..bytes).step_by(if writes { PAGE } else { bytes - 1 }) {
                        // SAFETY: the block has so many bytes.
                        unsafe { slot.cast::<u8>().wrapping_add(at).write_volatile(1) };
                    }
                }
                slots.into_iter().for_each(free);
            });
        }
    });
    print_since(begun)
}

/// One run, in this process: a buffer grows from a byte to a GiB, by so many halves each time, and all bytes are
/// written. Prints [`Cost`].
pub(crate) fn grow(halves: usize) -> Result<()> {
    let begun = usage();
    let (mut buffer, mut bytes, mut written) = (std::ptr::null_mut(), 1, 0);
    while written < GIB {
        // SAFETY: the block is the last one that this returned, or null.
        buffer = std::hint::black_box(unsafe { libc::realloc(buffer, bytes) });
        if buffer.is_null() {
            bail!("no memory for {bytes} bytes");
        }
        // SAFETY: the block has so many bytes.
        unsafe { buffer.cast::<u8>().wrapping_add(written).write_bytes(1, bytes - written) };
        written = bytes;
        bytes = (bytes * halves).div_ceil(2).max(bytes + 1).min(GIB);
    }
    free(buffer);
    print_since(begun)
}

/// Allocators beside which large blocks are measured, as far as they were built.
const PEERS: [&str; 4] = ["jemalloc", "tcmalloc", "mimalloc3", "rpmalloc"];

/// The tables of [`replace`] and [`grow`].
fn cost_tables(runs: usize, launcher: &Launcher, root: &std::path::Path) -> Result<Vec<Table>> {
    let peer = |name: &&'static str| (*name, Some(repo::target(root).join("peers").join(format!("{name}.so"))));
    let mut settings = vec![("spandrel", Some(repo::library(None)?))];
    settings.extend(PEERS.iter().map(peer).filter(|(_, path)| path.as_ref().is_some_and(|path| path.is_file())));
    settings.push(("glibc", None));
    let kinds = MIXES.map(|(least, most, writes)| {
        let what = if writes { "each page written" } else { "two bytes written" };
        (format!("{least} to {most} KiB, {what}"), if writes { STEPS / WRITING_SHARE } else { STEPS } * THREADS)
    });
    let mut replaced = Table::new(
        "Replaced by two threads",
        format!(
            "{THREADS} threads with {SLOTS} blocks each free a random one and allocate another. For each block: microseconds of CPU \
             time, the least of {runs} interleaved runs, and page faults, their median. The peak is that of the process, in MiB."
        ),
        &["blocks", "allocator", "CPU time", "page faults", "peak"],
    );
    for (mix, (what, blocks)) in kinds.iter().enumerate() {
        let costs = cost_of(runs, launcher, &settings, &["large-replace", &mix.to_string()])?;
        for (name, cost) in costs {
            let blocks = *blocks as f64;
            let cells =
                [cost.cpu * 1e3 / blocks, cost.faults / blocks, cost.peak_mib].map(|value| format!("{value:.2}"));
            replaced.rows.push([what.clone(), name.to_owned()].into_iter().chain(cells).collect());
        }
    }
    let mut grown = Table::new(
        "Grown by realloc",
        format!(
            "A buffer that grows from a byte to a GiB, each byte written once. Milliseconds of CPU time, the least of {runs} \
             interleaved runs; page faults in thousands, of which the GiB itself takes 262; the peak in MiB."
        ),
        &["growth", "allocator", "CPU time", "page faults", "peak"],
    );
    for (halves, what) in [("4", "by doubling"), ("3", "by a half")] {
        for (name, cost) in cost_of(runs, launcher, &settings, &["large-grow", halves])? {
            let cells = [cost.cpu, cost.faults / 1e3, cost.peak_mib].map(|value| format!("{value:.0}"));
            grown.rows.push([what.to_owned(), name.to_owned()].into_iter().chain(cells).collect());
        }
    }
    Ok(vec![replaced, grown])
}

type Setting = (&'static str, Option<PathBuf>);

fn cost_of(
    runs: usize,
    launcher: &Launcher,
    settings: &[Setting],
    arguments: &[&str],
) -> Result<Vec<(&'static str, Cost)>> {
    let mut samples = vec![Vec::new(); settings.len()];
    for _ in 0..runs {
        for ((name, library), samples) in settings.iter().zip(&mut samples) {
            let cost: Cost = outcome_of(launcher, (name, library.as_ref()), arguments)?;
            samples.push(cost);
        }
    }
    let median =
        |samples: &[Cost], value: fn(&Cost) -> f64| stats::median(&samples.iter().map(value).collect::<Vec<_>>());
    Ok(settings
        .iter()
        .zip(&samples)
        .map(|((name, _), samples)| {
            let cpu = samples.iter().map(|cost| cost.cpu).fold(f64::INFINITY, f64::min);
            let faults = median(samples, |cost| cost.faults);
            (*name, Cost { cpu, faults, peak_mib: median(samples, |cost| cost.peak_mib) })
        })
        .collect())
}

/// Measures all and makes the page.
pub(crate) fn study(runs: usize) -> Result<Page> {
    let root = repo::root()?;
    let built = repo::target(&root).join("peers/jemalloc.so");
    let jemalloc = if built.is_file() { built } else { PathBuf::from(DEBIAN_JEMALLOC) };
    let mut settings = vec![("spandrel", Some(repo::library(None)?)), ("glibc", None)];
    if jemalloc.is_file() {
        settings.insert(1, ("jemalloc", Some(jemalloc)));
    }
    let launcher = Launcher::new(&repo::target(&root).join("studies/large"))?;
    let mut table = Table::new(
        "Blocks of 33 MiB",
        format!(
            "Microseconds of CPU time, medians of {runs} interleaved runs: to allocate a block and free it again, with {FEW} and with \
             {BLOCKS} of them, freed in the order in which they were made; and to free a block of libc's while they are alive, which \
             only Spandrel and glibc do."
        ),
        &["allocator", "a pair, few", "a pair, many", "libc's, few", "libc's, many"],
    );
    let mut samples = vec![[Vec::new(), Vec::new(), Vec::new(), Vec::new()]; settings.len()];
    for _ in 0..runs {
        for ((name, library), samples) in settings.iter().zip(&mut samples) {
            for (index, blocks) in [FEW, BLOCKS].into_iter().enumerate() {
                let times = once(&launcher, (name, library.as_ref()), blocks)?;
                samples[index].push(times.pair);
                samples[index + 2].extend(times.foreign);
            }
        }
    }
    for ((name, _), samples) in settings.iter().zip(&samples) {
        let cell = |all: &Vec<f64>| if all.is_empty() { "-".to_owned() } else { format!("{:.2}", stats::median(all)) };
        table.rows.push(std::iter::once((*name).to_owned()).chain(samples.iter().map(cell)).collect());
    }
    let mut tables = cost_tables(runs, &launcher, &root)?;
    tables.push(table);
    Ok(Page { name: "large", title: "Large and direct blocks", tables })
}

fn once(launcher: &Launcher, (name, library): (&str, Option<&PathBuf>), blocks: usize) -> Result<Times> {
    let foreign = (name != "jemalloc").to_string();
    outcome_of(launcher, (name, library), &["large-kernel", &blocks.to_string(), &foreign])
}

/// The result that this program prints with `arguments` and that library.
fn outcome_of<T: serde::de::DeserializeOwned>(
    launcher: &Launcher,
    (name, library): (&str, Option<&PathBuf>),
    arguments: &[&str],
) -> Result<T> {
    let task = Task {
        program: env::current_exe()?,
        arguments: arguments.iter().map(|&argument| argument.to_owned()).collect(),
        dir: env::temp_dir(),
        environment: Vec::new(),
        input: None,
        limit: LIMIT,
    };
    let outcome = launcher.run(&task, library.map(PathBuf::as_path))?;
    if outcome.end != End::Code(0) {
        bail!("{name} ended with {:?}: {}", outcome.end, String::from_utf8_lossy(&outcome.stderr));
    }
    serde_json::from_slice(&outcome.stdout).with_context(|| format!("{name} printed no line"))
}
