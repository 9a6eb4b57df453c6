#![expect(unsafe_code, reason = "calls malloc, libc's own and the clock")]
//! Blocks above 32 MiB: thousands allocated, then freed in order, beside other allocators; and the free of a block of libc's beside them.
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
    Ok(Page { name: "large", title: "Direct blocks", tables: vec![table] })
}

fn once(launcher: &Launcher, (name, library): (&str, Option<&PathBuf>), blocks: usize) -> Result<Times> {
    let foreign = (name != "jemalloc").to_string();
    let task = Task {
        program: env::current_exe()?,
        arguments: vec!["large-kernel".to_owned(), blocks.to_string(), foreign],
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
