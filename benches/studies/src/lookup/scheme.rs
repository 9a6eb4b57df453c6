//! The ways to get from a pointer to a class.
//!
//! Knows: one heap. Must not know: how they are compared.
#![expect(unsafe_code, reason = "headers next to blocks, and lookups without bounds checks")]

use super::heap::{FRONT, Heap, REGION, REGION_SHIFT};
use super::map::Flat;
use crate::mapping::{read, write};
use anyhow::Result;
use std::cell::Cell;

/// The answer for what is not a block of the heap.
pub(crate) const NOT_OURS: u32 = u32::MAX;
pub(super) const WORD: usize = 8;
const GIVEN_SHIFT: u32 = 56;

/// A way of lookup.
pub(crate) trait Scheme: Sized {
    /// In tables.
    const NAME: &'static str;
    /// Bytes it needs before each block.
    const HEADER: usize = 0;

    /// Notes the classes of all regions.
    fn build(heap: &Heap) -> Result<Self>;
    /// The class, or [`NOT_OURS`].
    ///
    /// # Safety
    /// - The memory that [`Scheme::reads`] names is readable.
    unsafe fn lookup(&self, address: usize) -> u32;
    /// The address next to the block that a lookup reads, if any.
    fn reads(&self, _address: usize) -> Option<usize> {
        None
    }
    /// A region gets another class.
    fn reassign(&mut self, region: usize, class: u32);
    /// Resident bytes beyond the blocks.
    fn resident(&self, heap: &Heap) -> usize;
}

/// Entries in mappings are classes plus one; 0 is nothing.
pub(super) fn entry(class: u32) -> u64 {
    u64::from(class) + 1
}

pub(super) fn class(entry: u64) -> u32 {
    (entry as u32).wrapping_sub(1)
}

/// No lookup at all: the class comes with the address, above its bits. The cost of the others is the difference to this.
pub(crate) struct Given;

impl Given {
    /// An address with its class.
    pub(crate) fn address(address: usize, class: u32) -> usize {
        address | (class as usize) << GIVEN_SHIFT
    }
}

impl Scheme for Given {
    const NAME: &'static str = "none: the class is known";

    fn build(_heap: &Heap) -> Result<Self> {
        Ok(Self)
    }

    #[inline(always)]
    unsafe fn lookup(&self, address: usize) -> u32 {
        (address >> GIVEN_SHIFT) as u32
    }

    fn reassign(&mut self, _region: usize, _class: u32) {}

    fn resident(&self, _heap: &Heap) -> usize {
        0
    }
}

/// The class is in the byte before the block.
pub(crate) struct HeaderByte;

impl Scheme for HeaderByte {
    const NAME: &'static str = "one byte before the block";
    const HEADER: usize = 1;

    fn build(heap: &Heap) -> Result<Self> {
        for &block in &heap.blocks {
            let class = heap.class_of(block).unwrap_or(0) as u8;
            // SAFETY: the heap left a byte free before each block.
            unsafe { write(block - 1, class) };
        }
        Ok(Self)
    }

    #[inline(always)]
    unsafe fn lookup(&self, address: usize) -> u32 {
        // SAFETY: as the caller vouches.
        u32::from(unsafe { read::<u8>(address - 1) })
    }

    fn reads(&self, address: usize) -> Option<usize> {
        Some(address.wrapping_sub(1))
    }

    fn reassign(&mut self, _region: usize, _class: u32) {}

    fn resident(&self, heap: &Heap) -> usize {
        heap.header_bytes()
    }
}

/// The class is at the start of the block's region.
pub(crate) struct RegionHeader;

impl Scheme for RegionHeader {
    const NAME: &'static str = "start of the region";

    fn build(heap: &Heap) -> Result<Self> {
        for (at, &class) in heap.regions.iter().enumerate() {
            // SAFETY: the heap leaves the front of each region free.
            unsafe { write(heap.arena.start() + at * REGION, entry(class)) };
        }
        Ok(Self)
    }

    #[inline(always)]
    unsafe fn lookup(&self, address: usize) -> u32 {
        // SAFETY: as the caller vouches.
        class(unsafe { read(address & !(REGION - 1)) })
    }

    fn reads(&self, address: usize) -> Option<usize> {
        Some(address & !(REGION - 1))
    }

    fn reassign(&mut self, region: usize, class: u32) {
        // SAFETY: as in `build`.
        unsafe { write(region << REGION_SHIFT, entry(class)) };
    }

    fn resident(&self, heap: &Heap) -> usize {
        heap.regions.len() * FRONT
    }
}

/// A hash table of regions, open addressing, at most half full.
pub(crate) struct Hash {
    slots: Vec<(usize, u64)>,
    shift: u32,
}

const MULTIPLIER: u64 = 0x9e37_79b9_7f4a_7c15;

impl Hash {
    #[inline(always)]
    fn first(&self, region: usize) -> usize {
        ((region as u64).wrapping_mul(MULTIPLIER) >> self.shift) as usize
    }
}

impl Scheme for Hash {
    const NAME: &'static str = "hash of the address";

    fn build(heap: &Heap) -> Result<Self> {
        let len = (2 * heap.regions.len()).next_power_of_two();
        let mut hash = Self { slots: vec![(0, 0); len], shift: u64::BITS - len.ilog2() };
        for (at, &class) in heap.regions.iter().enumerate() {
            hash.reassign((heap.arena.start() >> REGION_SHIFT) + at, class);
        }
        Ok(hash)
    }

    #[inline(always)]
    unsafe fn lookup(&self, address: usize) -> u32 {
        let region = address >> REGION_SHIFT;
        let mut at = self.first(region);
        loop {
            // SAFETY: `at` is below the length, a power of two.
            let (key, entry) = unsafe { *self.slots.get_unchecked(at) };
            if key == region || entry == 0 {
                return class(entry);
            }
            at = (at + 1) & (self.slots.len() - 1);
        }
    }

    fn reassign(&mut self, region: usize, class: u32) {
        let mut at = self.first(region);
        while self.slots[at].1 != 0 && self.slots[at].0 != region {
            at = (at + 1) % self.slots.len();
        }
        self.slots[at] = (region, entry(class));
    }

    fn resident(&self, _heap: &Heap) -> usize {
        self.slots.len() * size_of::<(usize, u64)>()
    }
}

/// A map of the heap's own address range alone.
pub(crate) struct Ranged {
    start: usize,
    entries: Vec<u64>,
}

impl Scheme for Ranged {
    const NAME: &'static str = "map of the reservation, range checked (ours)";

    fn build(heap: &Heap) -> Result<Self> {
        Ok(Self {
            start: heap.arena.start() >> REGION_SHIFT,
            entries: heap.regions.iter().map(|&class| entry(class)).collect(),
        })
    }

    #[inline(always)]
    unsafe fn lookup(&self, address: usize) -> u32 {
        self.entries.get((address >> REGION_SHIFT).wrapping_sub(self.start)).map_or(NOT_OURS, |&entry| class(entry))
    }

    fn reassign(&mut self, region: usize, class: u32) {
        self.entries[region - self.start] = entry(class);
    }

    fn resident(&self, _heap: &Heap) -> usize {
        self.entries.len() * WORD
    }
}

/// The last region and its class, before another scheme. It is not told of regions that change their class.
pub(crate) struct LastClass<S> {
    last: Cell<(usize, u32)>,
    behind: S,
}

/// Names of schemes with a cache in front.
pub(crate) trait Cached: Scheme {
    /// In tables.
    const CACHED: &'static str;
}

impl Cached for Flat<u64> {
    const CACHED: &'static str = "last class, then the flat map";
}

impl Cached for Hash {
    const CACHED: &'static str = "last class, then the hash";
}

impl<S: Cached> Scheme for LastClass<S> {
    const NAME: &'static str = S::CACHED;

    fn build(heap: &Heap) -> Result<Self> {
        Ok(Self { last: Cell::new((usize::MAX, NOT_OURS)), behind: S::build(heap)? })
    }

    #[inline(always)]
    unsafe fn lookup(&self, address: usize) -> u32 {
        let (region, known) = self.last.get();
        if address >> REGION_SHIFT == region {
            return known;
        }
        // SAFETY: as the caller vouches.
        let class = unsafe { self.behind.lookup(address) };
        if class != NOT_OURS {
            self.last.set((address >> REGION_SHIFT, class));
        }
        class
    }

    fn reassign(&mut self, region: usize, class: u32) {
        self.behind.reassign(region, class);
    }

    fn resident(&self, heap: &Heap) -> usize {
        self.behind.resident(heap) + size_of::<(usize, u32)>()
    }
}
