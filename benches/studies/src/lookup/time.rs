//! Times passes over a stream of blocks, one way after the other, round after round.
#![expect(unsafe_code, reason = "lookups of addresses that are known to be blocks")]

use super::heap::{CLASSES, Heap};
use super::map::{Flat, Radix};
use super::scheme::{Given, Hash, HeaderByte, LastClass, Ranged, RegionHeader, Scheme};
use super::with_each;
use anyhow::{Result, bail};
use spandrel_xtask::stats;
use std::any::TypeId;
use std::hint::black_box;
use std::time::Instant;

/// Lookups of one timed pass, at least.
const LOOKUPS: usize = 400_000;
const BIN: usize = 256;
const NANOS: f64 = 1e9;

/// Where a free would push to: rings, so that nothing is ever full.
#[derive(Debug)]
pub(super) struct Bins {
    tops: [usize; CLASSES as usize],
    places: Box<[usize; CLASSES as usize * BIN]>,
}

impl Bins {
    pub(super) fn new() -> Self {
        Self { tops: [0; CLASSES as usize], places: Box::new([0; CLASSES as usize * BIN]) }
    }

    #[inline(always)]
    fn push(&mut self, class: usize, address: usize) {
        let top = self.tops[class];
        self.places[class * BIN + top] = address;
        self.tops[class] = (top + 1) % BIN;
    }
}

/// A heap, a way to look it up, and the addresses to look up.
pub(super) struct Course<S> {
    _heap: Heap,
    scheme: S,
    stream: Vec<usize>,
    bins: Bins,
}

impl<S: Scheme + 'static> Course<S> {
    pub(super) fn new(blocks: usize) -> Result<Self> {
        let heap = Heap::new(blocks, S::HEADER)?;
        let scheme = S::build(&heap)?;
        let given = TypeId::of::<S>() == TypeId::of::<Given>();
        let tell =
            |&block: &usize| if given { Given::address(block, heap.class_of(block).unwrap_or(0)) } else { block };
        let stream = heap.blocks.iter().map(tell).cycle().take(blocks.max(LOOKUPS)).collect();
        Ok(Self { _heap: heap, scheme, stream, bins: Bins::new() })
    }

    /// Looks up the whole stream; says how many there were.
    pub(super) fn pass(&mut self) -> Result<usize> {
        let missed = walk(black_box(&self.scheme), &self.stream, &mut self.bins);
        if missed > 0 {
            bail!("{}: {missed} blocks were not found", S::NAME);
        }
        Ok(self.stream.len())
    }
}

/// The loop that is measured.
#[inline(never)]
fn walk<S: Scheme>(scheme: &S, stream: &[usize], bins: &mut Bins) -> usize {
    let mut missed = 0;
    for &address in stream {
        // SAFETY: the address is a block of the heap the scheme was built for.
        let class = unsafe { scheme.lookup(address) };
        if class < CLASSES {
            bins.push(class as usize, address);
        } else {
            missed += 1;
        }
    }
    missed
}

type Pass = Box<dyn FnMut() -> Result<f64>>;

/// A pass that says how many ns a lookup took.
fn timed<S: Scheme + 'static>(blocks: usize) -> Result<Pass> {
    let mut course = Course::<S>::new(blocks)?;
    Ok(Box::new(move || {
        let start = Instant::now();
        let lookups = course.pass()?;
        Ok(start.elapsed().as_secs_f64() * NANOS / lookups as f64)
    }))
}

/// For each way the median of ns, less those of the first way in the same round (the first in full).
pub(super) fn medians(blocks: usize, runs: usize) -> Result<Vec<f64>> {
    let mut passes: Vec<Pass> = with_each!(timed(blocks)).into_iter().collect::<Result<_>>()?;
    let mut columns = vec![Vec::new(); passes.len()];
    for round in 0..=runs {
        let mut base = 0.0;
        for (at, pass) in passes.iter_mut().enumerate() {
            let ns = pass()?;
            if at == 0 {
                base = ns;
            }
            if round > 0 {
                columns[at].push(if at == 0 { ns } else { ns - base });
            }
        }
    }
    Ok(columns.iter().map(|column| stats::median(column)).collect())
}
