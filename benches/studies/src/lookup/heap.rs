//! A heap to look things up in: regions of 64 KiB, each with blocks of one class.
//!
//! Knows: where blocks lie. Must not know: how their class is found again.

use crate::mapping::Mapping;
use crate::rng::Rng;
use anyhow::Result;

/// Address bits of a region.
pub(crate) const REGION_SHIFT: u32 = 16;
pub(crate) const REGION: usize = 1 << REGION_SHIFT;
/// Classes of 16, 32 … 1024 bytes.
pub(crate) const CLASSES: u32 = 64;
const STEP: usize = 16;
/// Room at the start of each region, for schemes that keep something there.
pub(crate) const FRONT: usize = 64;
const SEED: u64 = 7;

/// Blocks of all classes.
#[derive(Debug)]
pub(crate) struct Heap {
    pub(crate) arena: Mapping,
    /// The class of each region, in order.
    pub(crate) regions: Vec<u32>,
    /// Addresses of blocks, in random order.
    pub(crate) blocks: Vec<usize>,
    /// Bytes before each block.
    pub(crate) header: usize,
}

/// Bytes of a block.
pub(crate) fn size(class: u32) -> usize {
    (class as usize + 1) * STEP
}

impl Heap {
    /// `count` blocks of random classes. `header` bytes before each block are kept free; blocks stay aligned to 16.
    pub(crate) fn new(count: usize, header: usize) -> Result<Self> {
        let mut rng = Rng(SEED);
        let mut wanted = vec![0_usize; CLASSES as usize];
        (0..count).for_each(|_| wanted[rng.below(CLASSES as usize)] += 1);
        let lead = header.next_multiple_of(STEP);
        let per_region = |class: u32| (REGION - FRONT - lead) / stride(class, header);
        let needed: usize = (0..CLASSES).map(|class| wanted[class as usize].div_ceil(per_region(class))).sum();
        let arena = Mapping::new(needed * REGION, REGION)?;
        let (mut regions, mut blocks) = (Vec::new(), Vec::new());
        for class in 0..CLASSES {
            for _ in 0..wanted[class as usize].div_ceil(per_region(class)) {
                let start = arena.start() + regions.len() * REGION + FRONT;
                let first = start + lead;
                let left = wanted[class as usize].min(per_region(class));
                blocks.extend((0..left).map(|index| first + index * stride(class, header)));
                wanted[class as usize] -= left;
                regions.push(class);
            }
        }
        for last in (1..blocks.len()).rev() {
            blocks.swap(last, rng.below(last + 1));
        }
        Ok(Self { arena, regions, blocks, header })
    }

    /// The class of the region that `address` lies in.
    pub(crate) fn class_of(&self, address: usize) -> Option<u32> {
        let at = address.checked_sub(self.arena.start())? >> REGION_SHIFT;
        self.regions.get(at).copied()
    }

    /// Bytes that headers add to all blocks.
    pub(crate) fn header_bytes(&self) -> usize {
        let extra = |&block: &usize| self.class_of(block).map_or(0, |class| stride(class, self.header) - size(class));
        self.blocks.iter().map(extra).sum()
    }
}

/// From one block to the next.
fn stride(class: u32, header: usize) -> usize {
    (size(class) + header).next_multiple_of(STEP)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_lie_apart_within_regions_of_their_class() {
        for header in [0, 1] {
            let heap = Heap::new(5000, header).unwrap();
            let mut blocks = heap.blocks.clone();
            blocks.sort_unstable();
            assert_eq!(blocks.len(), 5000);
            for pair in blocks.windows(2) {
                let class = heap.class_of(pair[0]).unwrap();
                assert!(pair[0] + size(class) + header <= pair[1]);
                assert!((pair[0] + size(class) - 1) / REGION == pair[0] / REGION);
                assert!(pair[0] % 16 == 0 && (pair[0] - header) % REGION >= FRONT - 16);
            }
        }
    }
}
