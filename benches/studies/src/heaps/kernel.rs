#![expect(unsafe_code, reason = "calls malloc, writes to blocks and reads the clock")]
//! One run of a flow with one library's heaps, in this process.
//!
//! Knows: the flows. Must not know: how runs are compared.

use super::libraries::{Block, Heap, Jemalloc, Library, Mimalloc, Spandrel};
use crate::rng::Rng;
use anyhow::{Context, Result, bail, ensure};
use serde::{Deserialize, Serialize};
use std::fs;
use std::hint::black_box;

/// Bytes of the blocks of pairs.
const SMALL: usize = 16;
/// Bytes of the heap that is destroyed.
pub(super) const FILLED: usize = 100 << 20;
/// The sizes that fill it in the flows that say `mixed`.
const MIXED: std::ops::Range<usize> = 16..1041;
const SEED: u64 = 0x9e37_79b9_7f4a_7c15;
const PAGE: f64 = 4096.0;

/// The outcome of a run.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(super) struct Measured {
    /// CPU time of one operation, in nanoseconds.
    pub(super) nanoseconds: f64,
    /// Resident bytes that one operation added.
    pub(super) resident: f64,
}

fn cpu_nanoseconds() -> f64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the clock exists, and `time` can be written.
    unsafe { libc::clock_gettime(libc::CLOCK_PROCESS_CPUTIME_ID, &raw mut time) };
    time.tv_sec as f64 * 1e9 + time.tv_nsec as f64
}

fn resident() -> Result<f64> {
    let text = fs::read_to_string("/proc/self/statm")?;
    let pages: f64 = text.split(' ').nth(1).context("statm has no such field")?.parse()?;
    Ok(pages * PAGE)
}

/// Measures `count` operations, which `work` does.
fn measure(count: usize, work: impl FnOnce()) -> Result<Measured> {
    // The first reading makes the buffers of the next.
    resident()?;
    let (held, begun) = (resident()?, cpu_nanoseconds());
    work();
    let nanoseconds = (cpu_nanoseconds() - begun) / count as f64;
    Ok(Measured { nanoseconds, resident: (resident()? - held) / count as f64 })
}

/// Measures `count` calls of `work`.
#[inline(always)]
fn repeat<T>(count: usize, work: impl Fn(usize) -> T) -> Result<Measured> {
    measure(count, || {
        for round in 0..count {
            black_box(work(round));
        }
    })
}

/// Prints what a flow costs with the heaps of a library that is preloaded.
pub(crate) fn kernel(library: &str, flow: &str, count: usize) -> Result<()> {
    let measured = match library {
        "spandrel" => flow_of(&Spandrel::load(false)?, flow, count),
        "spandrel-shared" => flow_of(&Spandrel::load(true)?, flow, count),
        "mimalloc" => flow_of(&Mimalloc::load(true)?, flow, count),
        "jemalloc" => flow_of(&Jemalloc::load(true)?, flow, count),
        _ => bail!("there is no library {library}"),
    }?;
    println!("{}", serde_json::to_string(&measured)?);
    Ok(())
}

fn flow_of<L: Library>(library: &L, flow: &str, count: usize) -> Result<Measured> {
    let heap = library.create();
    match flow {
        "loop" => repeat(count, |round| round),
        "default" => repeat(count, |_| plain_pair()),
        "create" => repeat(count, |_| library.create()),
        "first" => repeat(count, |_| library.alloc(library.create(), SMALL)),
        "come-and-go" => repeat(count, |_| library.destroy(black_box(library.create()))),
        "in-use" => {
            let entered = library.enter(heap);
            repeat(count, |_| library.free_in_use(entered, black_box(library.alloc_in_use(entered, SMALL))))
        }
        "explicit" => repeat(count, |_| library.free(heap, black_box(library.alloc(heap, SMALL)))),
        "switch" => {
            let other = library.create();
            library.enter(heap);
            repeat(count, |_| {
                black_box(library.enter(other));
                library.enter(heap)
            })
        }
        "destroy" | "destroy-small" | "free" => {
            ensure!(count == 1, "there is one heap to destroy");
            let blocks = fill(library, heap, flow != "destroy-small")?;
            measure(1, || match flow {
                "free" => blocks.iter().for_each(|&block| library.free(heap, block)),
                _ => library.destroy(heap),
            })
        }
        _ => bail!("there is no flow {flow}"),
    }
}

#[inline(always)]
fn plain_pair() {
    // SAFETY: malloc takes any size.
    let block = black_box(unsafe { libc::malloc(SMALL) });
    // SAFETY: the block lives.
    unsafe { libc::free(block) };
}

/// Fills a heap with blocks of [`MIXED`] sizes, or of [`SMALL`] bytes alone.
fn fill<L: Library>(library: &L, heap: Heap, is_mixed: bool) -> Result<Vec<Block>> {
    let (mut random, mut filled, mut blocks) = (Rng(SEED), 0, Vec::with_capacity(FILLED / SMALL));
    while filled < FILLED {
        let size = if is_mixed { MIXED.start + random.below(MIXED.len()) } else { SMALL };
        let block = black_box(library.alloc(heap, size));
        ensure!(!block.is_null(), "no memory for the block");
        // SAFETY: the block has at least that many bytes.
        unsafe { block.cast::<u64>().write(filled as u64) };
        blocks.push(block);
        filled += size;
    }
    Ok(blocks)
}
