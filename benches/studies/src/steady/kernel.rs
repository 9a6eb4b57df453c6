//! One long run in this process, which has the allocator preloaded: four threads fill tables with bursts of rising sizes,
//! keep a fifth, free the rest from both ends, and swap every fourth block with another thread. Once a second the rate,
//! the live bytes and the resident memory are read.
//!
//! Knows: the work and the clock. Must not know: which allocator serves it.

use crate::fragmentation::{STATUS, resident};
use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use std::fs::File;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

pub(super) const THREADS: usize = 4;
const SLOTS: usize = 10_000;
const KEPT: usize = SLOTS / 5;
/// Sizes are below this.
const LARGEST: usize = 1000;
/// Below this size a burst has more blocks.
const SMALL: usize = 100;
const BURST_OF_SMALL: usize = 250;
const BURST: usize = 50;
/// Every so many blocks one is swapped.
const SWAP_EVERY: usize = 4;
const SWAPPED: usize = SLOTS / THREADS;
const SECOND: Duration = Duration::from_secs(1);
const TICKS_PER_SECOND: f64 = 100.0;
/// With less CPU time since the moment before, a second has no rate and joins the next one.
const LEAST_CPU: f64 = 0.25;

/// Bytes of the program's, of which the first is written.
type Block = Vec<u8>;
type Exchange = [Mutex<Option<Block>>];

/// The state after a second of the run, or after some if it had little CPU time.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Moment {
    /// Since the start.
    pub(super) seconds: f64,
    /// Blocks allocated and freed since the moment before, per second of CPU time.
    pub(super) rate: f64,
    /// Bytes of live blocks, right after the tables were swept.
    pub(super) live: i64,
    /// Resident KiB above those before the start.
    pub(super) resident: usize,
}

/// The figures that the threads publish.
#[derive(Default)]
struct Tally {
    freed: AtomicU64,
    live: AtomicI64,
    stop: AtomicBool,
}

/// Works for `seconds` and prints a list of [`Moment`].
pub(super) fn run(seconds: usize) -> Result<()> {
    let status = File::open(STATUS).context(STATUS)?;
    let exchange: Vec<Mutex<Option<Block>>> = (0..SWAPPED).map(|_| Mutex::default()).collect();
    let tally = Tally::default();
    let mut moments = Vec::with_capacity(seconds);
    let base = resident(&status)?;
    let (start, mut before) = (Instant::now(), (0, cpu()?));
    thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| Worker::new(&exchange, &tally).work());
        }
        let read = (0..seconds).try_for_each(|second| {
            thread::sleep((SECOND * (second + 1) as u32).saturating_sub(start.elapsed()));
            // Relaxed: figures.
            let (freed, live) = (tally.freed.load(Ordering::Relaxed), tally.live.load(Ordering::Relaxed));
            let now = (freed, cpu()?);
            let spent = now.1 - before.1;
            if spent < LEAST_CPU {
                return anyhow::Ok(());
            }
            let rate = (now.0 - before.0) as f64 / spent;
            let resident = resident(&status)?.saturating_sub(base);
            moments.push(Moment { seconds: start.elapsed().as_secs_f64(), rate, live, resident });
            before = now;
            Ok(())
        });
        // Relaxed: the threads see it sooner or later.
        tally.stop.store(true, Ordering::Relaxed);
        read
    })?;
    println!("{}", serde_json::to_string(&moments)?);
    Ok(())
}

/// Seconds of CPU time of this process.
fn cpu() -> Result<f64> {
    const FILE: &str = "/proc/self/stat";
    /// Fields behind the name: the state is the first.
    const USER: usize = 11;
    let text = std::fs::read_to_string(FILE).context(FILE)?;
    let (_, fields) = text.rsplit_once(')').context(FILE)?;
    let ticks = fields.split_whitespace().skip(USER).take(2).map(str::parse::<f64>).sum::<Result<f64, _>>()?;
    Ok(ticks / TICKS_PER_SECOND)
}

/// A thread: its table, where it puts the next block, and the places that it keeps.
struct Worker<'a> {
    table: Vec<Option<Block>>,
    next: usize,
    kept: Range<usize>,
    exchange: &'a Exchange,
    tally: &'a Tally,
    freed: u64,
    live: i64,
}

impl<'a> Worker<'a> {
    fn new(exchange: &'a Exchange, tally: &'a Tally) -> Self {
        let table = (0..SLOTS).map(|_| None).collect();
        Self { table, next: 0, kept: SLOTS..SLOTS, exchange, tally, freed: 0, live: 0 }
    }

    fn work(mut self) {
        let mut made = 0_usize;
        // Relaxed: see where it is set.
        while !self.tally.stop.load(Ordering::Relaxed) {
            for size in sizes() {
                for _ in 0..if size < SMALL { BURST_OF_SMALL } else { BURST } {
                    made += 1;
                    let mut block = Block::with_capacity(size);
                    block.push(1);
                    self.live += block.capacity() as i64;
                    let mut block = Some(block);
                    if made.is_multiple_of(SWAP_EVERY) {
                        let place = &self.exchange[made / SWAP_EVERY % SWAPPED];
                        std::mem::swap(&mut *place.lock().unwrap_or_else(PoisonError::into_inner), &mut block);
                    }
                    if block.is_some() {
                        self.put(block);
                    }
                }
            }
        }
    }

    /// Puts a block into the next place that is not kept.
    fn put(&mut self, block: Option<Block>) {
        self.table[self.next] = block;
        self.next += 1;
        if self.next == self.kept.start {
            self.next = self.kept.end;
        }
        if self.next >= SLOTS {
            self.sweep();
        }
    }

    /// Keeps the next fifth, frees what lies before it first to last and what lies behind it last to first.
    fn sweep(&mut self) {
        let start = if self.kept.end >= SLOTS { 0 } else { self.kept.end };
        self.kept = start..(start + KEPT).min(SLOTS);
        (0..self.kept.start).for_each(|place| self.free(place));
        (self.kept.end..SLOTS).rev().for_each(|place| self.free(place));
        self.next = if self.kept.start == 0 { self.kept.end } else { 0 };
        // Relaxed: figures.
        self.tally.freed.fetch_add(std::mem::take(&mut self.freed), Ordering::Relaxed);
        self.tally.live.fetch_add(std::mem::take(&mut self.live), Ordering::Relaxed);
    }

    fn free(&mut self, place: usize) {
        if let Some(block) = self.table[place].take() {
            self.freed += 1;
            self.live -= block.capacity() as i64;
        }
    }
}

/// Bases that grow by a half, and all halves of each base.
fn sizes() -> impl Iterator<Item = usize> {
    let bases = std::iter::successors(Some(1), |base| Some(base * 3 / 2 + 1)).take_while(|base| *base < LARGEST);
    bases.flat_map(|base| std::iter::successors(Some(base), |size| Some(size / 2)).take_while(|size| *size > 0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_worker_frees_all_but_what_it_keeps() {
        let (tally, exchange) = (Tally::default(), Vec::new());
        let mut worker = Worker::new(&exchange, &tally);
        (0..SLOTS).for_each(|_| worker.put(Some(Block::with_capacity(8))));
        assert_eq!(worker.table.iter().flatten().count(), KEPT);
        assert_eq!(tally.freed.load(Ordering::Relaxed), (SLOTS - KEPT) as u64);
        (0..SLOTS - KEPT).for_each(|_| worker.put(Some(Block::with_capacity(8))));
        assert_eq!(worker.kept, KEPT..2 * KEPT);
        assert!(worker.table[worker.kept.clone()].iter().all(Option::is_some));
    }
}
