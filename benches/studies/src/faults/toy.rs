//! A heap just good enough for random_mixed: spans of 64 KiB, one class each, bump and reuse. It decides when pages are
//! populated.
#![expect(unsafe_code, reason = "writes to blocks of a mapping")]

use super::populate::Way;
use crate::mapping::{Mapping, PAGE, write};
use crate::rng::Rng;
use anyhow::Result;
use std::mem::MaybeUninit;
use std::time::Instant;

const SPAN: usize = 64 << 10;
const STEP: usize = 16;
const LEAST: usize = 16;
const MOST: usize = 1040;
const CLASSES: usize = MOST / STEP;
const SEED: u64 = 11;
/// Room beyond what the live blocks need.
const ROOM: usize = 4;

/// How much is live and how long.
#[derive(Debug)]
pub(super) struct Load {
    pub(super) name: &'static str,
    pub(super) slots: usize,
    pub(super) steps: usize,
}

/// The figures of a round.
#[derive(Debug, Clone, Copy)]
pub(super) struct Round {
    pub(super) seconds: f64,
    pub(super) faults: i64,
    pub(super) resident: usize,
}

/// One class: free blocks, the rest of a span, and up to where it is populated.
#[derive(Debug, Default)]
struct Class {
    free: Vec<usize>,
    next: usize,
    end: usize,
    populated: usize,
}

struct Heap {
    arena: Mapping,
    taken: usize,
    populated: usize,
    classes: Vec<Class>,
    way: Way,
    batch: usize,
}

impl Heap {
    fn new(load: &Load, way: Way, batch: usize) -> Result<Self> {
        let len = ((load.slots * MOST / 2 + CLASSES * SPAN) * ROOM).next_multiple_of(1 << 20);
        let arena = Mapping::new(len, SPAN)?;
        let start = arena.start();
        let classes =
            (0..CLASSES).map(|_| Class { free: Vec::with_capacity(load.slots), ..Class::default() }).collect();
        Ok(Self { taken: start, populated: start, arena, classes, way, batch })
    }

    #[inline]
    fn alloc(&mut self, class: usize) -> Result<usize> {
        if let Some(block) = self.classes[class].free.pop() {
            return Ok(block);
        }
        let size = (class + 1) * STEP;
        if self.classes[class].next + size > self.classes[class].end {
            self.take_span(class)?;
        }
        let mine = &mut self.classes[class];
        let block = mine.next;
        mine.next += size;
        while self.batch < SPAN && self.way != Way::Lazy && mine.populated < mine.next {
            // SAFETY: the rest of the span is the heap's own and was never written.
            unsafe { self.way.populate(mine.populated, self.batch) }?;
            mine.populated += self.batch;
        }
        Ok(block)
    }

    fn take_span(&mut self, class: usize) -> Result<()> {
        let start = self.taken;
        self.taken += SPAN;
        while self.batch >= SPAN && self.populated < self.taken {
            // SAFETY: nothing of the arena behind `populated` was taken yet.
            unsafe { self.way.populate(self.populated, self.batch) }?;
            self.populated += self.batch;
        }
        let mine = &mut self.classes[class];
        (mine.next, mine.end, mine.populated) = (start, start + SPAN, start);
        Ok(())
    }
}

/// Runs `load` on a fresh heap.
pub(super) fn round(load: &Load, way: Way, batch: usize) -> Result<Round> {
    let mut heap = Heap::new(load, way, batch)?;
    let mut slots = vec![(0_usize, 0_usize); load.slots];
    // Written once, so that its own pages do not fault while the clock runs.
    slots.fill((0, 1));
    let mut rng = Rng(SEED);
    let (before, start) = (faults(), Instant::now());
    for _ in 0..load.steps {
        let slot = &mut slots[rng.below(load.slots)];
        if slot.0 != 0 {
            heap.classes[slot.1].free.push(slot.0);
        }
        let size = LEAST + rng.below(MOST - LEAST + 1);
        let class = (size - 1) / STEP;
        let block = heap.alloc(class)?;
        // SAFETY: the block is within the arena.
        unsafe { write(block, 1_u8) };
        // SAFETY: as above.
        unsafe { write(block + size - 1, 1_u8) };
        *slot = (block, class);
    }
    let (seconds, faults) = (start.elapsed().as_secs_f64(), faults() - before);
    debug_assert!(heap.populated.is_multiple_of(PAGE));
    Ok(Round { seconds, faults, resident: heap.arena.resident() })
}

/// Minor faults of this thread so far.
fn faults() -> i64 {
    let mut usage = MaybeUninit::<libc::rusage>::zeroed();
    // SAFETY: the structure is as large as the kernel writes.
    unsafe { libc::getrusage(libc::RUSAGE_THREAD, usage.as_mut_ptr()) };
    // SAFETY: all zeroes are a valid value, too.
    unsafe { usage.assume_init() }.ru_minflt
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOAD: Load = Load { name: "", slots: 2000, steps: 4000 };

    #[test]
    fn lazy_faults_once_a_page_and_larger_batches_hold_more() {
        let lazy = round(&LOAD, Way::Lazy, 0).unwrap();
        assert!(lazy.faults as usize >= lazy.resident / PAGE);
        for way in [Way::Touch, Way::Map, Way::Advise] {
            let (small, large) = (round(&LOAD, way, 16 << 10).unwrap(), round(&LOAD, way, 256 << 10).unwrap());
            assert!(small.resident >= lazy.resident && large.resident > small.resident, "{}", way.name());
        }
    }
}
