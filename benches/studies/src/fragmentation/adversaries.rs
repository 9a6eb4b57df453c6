//! Ten programs whose memory is hard to give back: peaks of which a little stays, sizes that shift, threads that come and
//! go, Robson's pattern.
//!
//! Knows: what a program does in each tick. Must not know: which allocator serves it, nor how memory is measured.

use crate::rng::Rng;
use std::collections::VecDeque;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::{self, JoinHandle};

/// Bytes of the program's, all written.
type Block = Box<[u8]>;

/// A program: its name, what it does in words, and its state at the start.
pub(super) struct Adversary {
    pub(super) name: &'static str,
    pub(super) does: &'static str,
    make: fn(Frame) -> Box<dyn Work>,
}

/// The program at work: steps between two measurements.
pub(super) trait Work {
    /// Does the work of tick `tick`.
    fn step(&mut self, tick: usize);
    /// Bytes of live blocks.
    fn live(&self) -> usize;
}

/// The bytes of a peak, and the number of ticks.
#[derive(Clone, Copy)]
pub(super) struct Frame {
    pub(super) most: usize,
    pub(super) ticks: usize,
}

pub(super) const ALL: [Adversary; 10] = [
    Adversary {
        name: "class shift",
        does: "ten sizes from 32 bytes to 1.2 KiB, one after the other; of each peak one block in 16 stays, at random",
        make: |frame| Box::new(ClassShift(Pool::new(frame))),
    },
    Adversary {
        name: "sawtooth",
        does: "16 to 1040 bytes: five times up to the peak and, in random order, down to a sixteenth",
        make: |frame| Box::new(Sawtooth(Pool::new(frame))),
    },
    Adversary {
        name: "producer and consumer",
        does: "one thread allocates 64 to 4160 bytes, another frees the oldest; how much waits between them swings",
        make: |frame| Box::new(Pipe::new(frame)),
    },
    Adversary {
        name: "one in 64",
        does: "two peaks of 1000 bytes; one block in 64 stays of each",
        make: |frame| Box::new(Pinned { pool: Pool::new(frame), sizes: [1000, 1000], kept_of: [64, 64], settled: 0 }),
    },
    Adversary {
        name: "one per span",
        does: "a peak of 64 bytes, then one of 96; one block per 32 KiB stays of each",
        make: |frame| Box::new(Pinned { pool: Pool::new(frame), sizes: [64, 96], kept_of: [512, 341], settled: 0 }),
    },
    Adversary {
        name: "thread churn",
        does: "four threads per tick allocate 16 to 1040 bytes and end; one block in 16 outlives them for a while",
        make: |frame| Box::new(Churn { frame, kept: VecDeque::new(), seed: 1 }),
    },
    Adversary {
        name: "growing buffers",
        does: "48 buffers grow by half at a time, up to a 32nd of the peak each, and begin again",
        make: |frame| Box::new(Buffers { frame, all: vec![Vec::new(); 48], rng: Rng(7) }),
    },
    Adversary {
        name: "Robson's pattern",
        does: "sizes double from 64 bytes to 64 KiB; of each those blocks stay that hinder the next size most",
        make: |frame| Box::new(Robson { pool: Pool::new(frame), place: 0 }),
    },
    Adversary {
        name: "random with drift",
        does: "random blocks are replaced all the time; their mean size goes from 64 bytes to 4 KiB",
        make: |frame| Box::new(Drift(Pool::new(frame))),
    },
    Adversary {
        name: "generations",
        does: "24 to 400 bytes: of 100 blocks 90 live for a tick, 9 for ten ticks, one for ever",
        make: |frame| Box::new(Generations { old: Pool::new(frame), middle: VecDeque::new() }),
    },
];

impl Adversary {
    pub(super) fn begin(&self, frame: Frame) -> Box<dyn Work> {
        (self.make)(frame)
    }
}

impl Frame {
    /// Which of `count` phases of equal length tick `tick` lies in, and how far, from 0 to 1.
    fn phase(self, tick: usize, count: usize) -> (usize, f64) {
        let at = (tick * count) as f64 / self.ticks as f64;
        (at as usize, at.fract())
    }

    /// Whether a phase begins with tick `tick`.
    fn begins(self, tick: usize, count: usize) -> bool {
        tick == 0 || self.phase(tick, count).0 != self.phase(tick - 1, count).0
    }
}

fn block(bytes: usize) -> Block {
    vec![1; bytes].into_boxed_slice()
}

fn bytes_of<'a>(blocks: impl IntoIterator<Item = &'a Block>) -> usize {
    blocks.into_iter().map(|block| block.len()).sum()
}

/// Blocks, and how many bytes they have.
struct Pool {
    frame: Frame,
    blocks: Vec<Block>,
    live: usize,
    rng: Rng,
}

impl Pool {
    fn new(frame: Frame) -> Self {
        Self { frame, blocks: Vec::new(), live: 0, rng: Rng(42) }
    }

    fn add(&mut self, bytes: usize) {
        self.blocks.push(block(bytes));
        self.live += bytes;
    }

    /// Allocates until `bytes` bytes are live.
    fn fill(&mut self, bytes: usize, size: impl Fn(&mut Rng) -> usize) {
        while self.live < bytes {
            let size = size(&mut self.rng);
            self.add(size);
        }
    }

    /// Frees the blocks from number `from` on that `keep` does not name.
    fn thin(&mut self, from: usize, mut keep: impl FnMut(usize, &Block, &mut Rng) -> bool) {
        let (mut index, rng) = (0, &mut self.rng);
        self.blocks.retain(|block| {
            index += 1;
            index <= from || keep(index - 1 - from, block, rng)
        });
        self.live = bytes_of(&self.blocks);
    }

    /// Frees blocks at random until `bytes` bytes are live.
    fn shrink(&mut self, bytes: usize) {
        while self.live > bytes {
            let index = self.rng.below(self.blocks.len());
            self.live -= self.blocks.swap_remove(index).len();
        }
    }
}

struct ClassShift(Pool);

impl Work for ClassShift {
    fn step(&mut self, tick: usize) {
        const SIZES: usize = 10;
        let pool = &mut self.0;
        let (phase, within) = pool.frame.phase(tick, SIZES);
        let size = (32.0 * 1.5_f64.powi(phase as i32)) as usize;
        if within < 0.6 {
            let grown = (within + SIZES as f64 / pool.frame.ticks as f64) / 0.6;
            pool.fill((pool.frame.most as f64 * grown.min(1.0)) as usize, |_| size);
        } else if pool.live > pool.frame.most / 2 {
            pool.thin(0, |_, block, rng| block.len() != size || rng.below(16) == 0);
        }
    }

    fn live(&self) -> usize {
        self.0.live
    }
}

struct Sawtooth(Pool);

impl Work for Sawtooth {
    fn step(&mut self, tick: usize) {
        let pool = &mut self.0;
        let (_, within) = pool.frame.phase(tick + 1, 5);
        let (most, least) = (pool.frame.most as f64, pool.frame.most as f64 / 16.0);
        if within > 0.0 && within < 0.6 {
            pool.fill((least + (most - least) * within / 0.6) as usize, |rng| 16 + rng.below(1024));
        } else {
            let left = if within == 0.0 { 0.0 } else { (1.0 - within) / 0.4 };
            pool.shrink((least + (most - least) * left) as usize);
        }
    }

    fn live(&self) -> usize {
        self.0.live
    }
}

/// The consumer frees the oldest blocks until as many bytes are left, and answers how many are.
enum Message {
    Take(Vec<Block>),
    Leave(usize),
}

struct Pipe {
    frame: Frame,
    rng: Rng,
    sender: Option<Sender<Message>>,
    left: Receiver<usize>,
    live: usize,
    consumer: Option<JoinHandle<()>>,
}

impl Pipe {
    fn new(frame: Frame) -> Self {
        let (sender, messages) = channel();
        let (answers, left) = channel();
        let consumer = thread::spawn(move || {
            let (mut held, mut live) = (VecDeque::<Block>::new(), 0);
            for message in messages {
                match message {
                    Message::Take(blocks) => {
                        live += bytes_of(&blocks);
                        held.extend(blocks);
                    }
                    Message::Leave(bytes) => {
                        while live > bytes {
                            live -= held.pop_front().map_or(live, |block| block.len());
                        }
                        if answers.send(live).is_err() {
                            return;
                        }
                    }
                }
            }
        });
        Self { frame, rng: Rng(3), sender: Some(sender), left, live: 0, consumer: Some(consumer) }
    }
}

impl Work for Pipe {
    fn step(&mut self, tick: usize) {
        const BATCH: usize = 64;
        let Some(sender) = &self.sender else { return };
        let mut made = 0;
        while made < self.frame.most / 4 {
            let batch: Vec<Block> = (0..BATCH).map(|_| block(64 + self.rng.below(4096))).collect();
            made += bytes_of(&batch);
            let _ = sender.send(Message::Take(batch));
        }
        let swing = (self.frame.phase(tick, 3).1 * std::f64::consts::TAU).cos();
        let _ = sender.send(Message::Leave((self.frame.most as f64 * (0.5 - 0.45 * swing)) as usize));
        self.live = self.left.recv().unwrap_or(0);
    }

    fn live(&self) -> usize {
        self.live
    }
}

impl Drop for Pipe {
    fn drop(&mut self) {
        self.sender = None;
        let _ = self.consumer.take().map(JoinHandle::join);
    }
}

struct Pinned {
    pool: Pool,
    sizes: [usize; 2],
    kept_of: [usize; 2],
    /// Blocks that stay of earlier peaks.
    settled: usize,
}

impl Work for Pinned {
    fn step(&mut self, tick: usize) {
        let (most, pool) = (self.pool.frame.most as f64, &mut self.pool);
        let (phase, within) = pool.frame.phase(tick, 2);
        if within < 0.5 {
            let grown = (within + 2.0 / pool.frame.ticks as f64) / 0.5;
            pool.fill((most * grown.min(1.0)) as usize, |_| self.sizes[phase]);
        } else if pool.live as f64 > most / 2.0 {
            pool.thin(self.settled, |index, _, _| index.is_multiple_of(self.kept_of[phase]));
            self.settled = pool.blocks.len();
        }
    }

    fn live(&self) -> usize {
        self.pool.live
    }
}

struct Churn {
    frame: Frame,
    kept: VecDeque<Vec<Block>>,
    seed: u64,
}

impl Work for Churn {
    fn step(&mut self, _: usize) {
        const THREADS: u64 = 4;
        let share = self.frame.most / 8;
        let threads: Vec<_> = (self.seed..self.seed + THREADS)
            .map(|seed| {
                thread::spawn(move || {
                    let frame = Frame { most: share, ticks: 1 };
                    let mut pool = Pool { rng: Rng(seed), ..Pool::new(frame) };
                    pool.fill(share, |rng| 16 + rng.below(1024));
                    pool.thin(0, |_, _, rng| rng.below(16) == 0);
                    pool.blocks
                })
            })
            .collect();
        self.seed += THREADS;
        self.kept.extend(threads.into_iter().filter_map(|thread| thread.join().ok()));
        while self.kept.len() > self.frame.ticks * THREADS as usize / 4 {
            self.kept.pop_front();
        }
    }

    fn live(&self) -> usize {
        self.kept.iter().map(bytes_of).sum()
    }
}

struct Buffers {
    frame: Frame,
    all: Vec<Vec<u8>>,
    rng: Rng,
}

impl Work for Buffers {
    fn step(&mut self, tick: usize) {
        for (number, buffer) in self.all.iter_mut().enumerate() {
            if (number + tick).is_multiple_of(3) {
                let len = buffer.len() + buffer.len() / 2 + 64 + self.rng.below(64);
                if len > self.frame.most / 32 {
                    *buffer = Vec::new();
                } else {
                    buffer.reserve_exact(len - buffer.len());
                    buffer.resize(len, 1);
                }
            }
        }
    }

    fn live(&self) -> usize {
        self.all.iter().map(Vec::capacity).sum()
    }
}

struct Robson {
    pool: Pool,
    /// Of each block that stayed so far an address that is this modulo the last size.
    place: usize,
}

impl Work for Robson {
    fn step(&mut self, tick: usize) {
        const SMALLEST: usize = 64;
        const DOUBLINGS: usize = 11;
        let pool = &mut self.pool;
        if !pool.frame.begins(tick, DOUBLINGS) {
            return;
        }
        let (doubling, _) = pool.frame.phase(tick, DOUBLINGS);
        let size = SMALLEST << doubling;
        if doubling > 0 {
            let covers = |block: &Block, place: usize| place.wrapping_sub(block.as_ptr().addr()) % size < block.len();
            let gain = |place: usize| -> usize {
                pool.blocks
                    .iter()
                    .filter(|block| covers(block, place))
                    .map(|block| size.saturating_sub(block.len()))
                    .sum()
            };
            let places = [self.place, self.place + size / 2];
            self.place = places.into_iter().max_by_key(|&place| gain(place)).unwrap_or(0);
            pool.thin(0, |_, block, _| covers(block, self.place));
        }
        pool.fill(pool.frame.most.saturating_sub(size - 1), |_| size);
    }

    fn live(&self) -> usize {
        self.pool.live
    }
}

struct Drift(Pool);

impl Work for Drift {
    fn step(&mut self, tick: usize) {
        let pool = &mut self.0;
        let mean = 64.0 * 64_f64.powf(pool.frame.phase(tick, 1).1);
        let mut replaced = 0;
        while replaced < pool.frame.most / 8 {
            // From a quarter of the mean to four times as much, small ones more often.
            let size = mean * 2_f64.powf(pool.rng.below(4000) as f64 / 1000.0 - 2.0);
            pool.add(size as usize);
            replaced += size as usize;
            pool.shrink(pool.frame.most);
        }
    }

    fn live(&self) -> usize {
        self.0.live
    }
}

struct Generations {
    old: Pool,
    middle: VecDeque<Vec<Block>>,
}

impl Work for Generations {
    fn step(&mut self, _: usize) {
        const LIFE: usize = 10;
        let (mut young, mut middle, mut made) = (Vec::new(), Vec::new(), 0);
        while made < self.old.frame.most / 4 {
            let size = 24 + self.old.rng.below(377);
            made += size;
            match self.old.rng.below(100) {
                0 => self.old.add(size),
                1..10 => middle.push(block(size)),
                _ => young.push(block(size)),
            }
        }
        self.middle.push_back(middle);
        if self.middle.len() > LIFE {
            self.middle.pop_front();
        }
    }

    fn live(&self) -> usize {
        self.old.live + self.middle.iter().map(bytes_of).sum::<usize>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_adversary_grows_and_leaves_something() {
        for adversary in ALL {
            let frame = Frame { most: 1 << 20, ticks: 40 };
            let mut work = adversary.begin(frame);
            let live: Vec<usize> = (0..frame.ticks)
                .map(|tick| {
                    work.step(tick);
                    work.live()
                })
                .collect();
            let (most, last) = (live.iter().max().copied().unwrap_or(0), live.last().copied().unwrap_or(0));
            assert!(last > 0 && most > frame.most / 8, "{}: {most}, in the end {last}", adversary.name);
            assert!(most < frame.most * 3 / 2, "{}: {most}", adversary.name);
        }
    }

    #[test]
    fn robson_keeps_what_hinders_the_next_size() {
        let frame = Frame { most: 1 << 20, ticks: 11 };
        let mut robson = Robson { pool: Pool::new(frame), place: 0 };
        (0..3).for_each(|tick| robson.step(tick));
        // Every aligned piece of 256 bytes with a block that stayed has one at the place that was chosen.
        let kept = robson.pool.blocks.iter().filter(|block| block.len() < 256).count();
        assert!(kept > 100, "{kept}");
    }
}
