//! Tables of the whole address space: in two levels, and flat.
//!
//! Knows: one heap. Must not know: how tables are compared.
#![expect(unsafe_code, reason = "tables in mappings")]

use super::heap::{CLASSES, Heap, REGION_SHIFT};
use super::scheme::{NOT_OURS, Scheme, WORD, class, entry};
use crate::mapping::{Mapping, PAGE, read, write};
use anyhow::Result;

const ADDRESS_BITS: u32 = 47;
const REGION_BITS: u32 = ADDRESS_BITS - REGION_SHIFT;

/// Two levels: a root of leaves, each for 2 GiB of address space.
pub(crate) struct Radix {
    root: Mapping,
    leaves: Vec<Mapping>,
    none: Mapping,
}

const LEAF_BITS: u32 = 15;
const ROOT_BITS: u32 = REGION_BITS - LEAF_BITS;

impl Radix {
    fn put(&mut self, region: usize, class: u32) -> Result<()> {
        let slot = self.root.start() + (region >> LEAF_BITS) * WORD;
        // SAFETY: regions of user addresses lie within the root.
        let mut leaf = unsafe { read::<usize>(slot) };
        if leaf == self.none.start() {
            let mapping = Mapping::new(WORD << LEAF_BITS, PAGE)?;
            leaf = mapping.start();
            self.leaves.push(mapping);
            // SAFETY: as above.
            unsafe { write(slot, leaf) };
        }
        // SAFETY: the index is within the leaf.
        unsafe { write(leaf + (region % (1 << LEAF_BITS)) * WORD, entry(class)) };
        Ok(())
    }
}

impl Scheme for Radix {
    const NAME: &'static str = "two-level radix";

    fn build(heap: &Heap) -> Result<Self> {
        let (root, none) = (Mapping::new(WORD << ROOT_BITS, PAGE)?, Mapping::new(WORD << LEAF_BITS, PAGE)?);
        for at in 0..1_usize << ROOT_BITS {
            // SAFETY: within the root.
            unsafe { write(root.start() + at * WORD, none.start()) };
        }
        let mut radix = Self { root, leaves: Vec::new(), none };
        for (at, &class) in heap.regions.iter().enumerate() {
            radix.put((heap.arena.start() >> REGION_SHIFT) + at, class)?;
        }
        Ok(radix)
    }

    #[inline(always)]
    unsafe fn lookup(&self, address: usize) -> u32 {
        let region = address >> REGION_SHIFT;
        let slot = self.root.start() + (region >> LEAF_BITS & ((1 << ROOT_BITS) - 1)) * WORD;
        // SAFETY: masked to the root.
        let leaf = unsafe { read::<usize>(slot) };
        // SAFETY: every root slot leads to a leaf.
        class(unsafe { read(leaf + (region & ((1 << LEAF_BITS) - 1)) * WORD) })
    }

    fn reassign(&mut self, region: usize, class: u32) {
        let leaf = self.put(region, class);
        debug_assert!(leaf.is_ok());
    }

    fn resident(&self, _heap: &Heap) -> usize {
        self.root.resident() + self.leaves.iter().map(Mapping::resident).sum::<usize>() + self.none.resident()
    }
}

/// One entry for each region of the whole address space, of type `E`.
pub(crate) struct Flat<E> {
    map: Mapping,
    mask: usize,
    tag: E,
}

/// An entry of a flat map.
pub(crate) trait Entry: Copy {
    /// In tables.
    const NAME: &'static str;
    /// The word by which the heap knows its own entries.
    const TAG: Self;
    fn of(class: u32) -> Self;
    fn class(self, tag: Self) -> u32;
}

impl Entry for u64 {
    const NAME: &'static str = "flat map, 8 bytes";
    const TAG: Self = 0;
    fn of(class: u32) -> Self {
        entry(class)
    }
    #[inline(always)]
    fn class(self, _tag: Self) -> u32 {
        class(self)
    }
}

/// Owner and class packed into four bytes, told apart by a tag.
const CLASS_SHIFT: u32 = 5;

impl Entry for u32 {
    const NAME: &'static str = "flat map, 4 bytes with a tag";
    const TAG: Self = 0x0055_1000;
    fn of(class: u32) -> Self {
        Self::TAG | class << CLASS_SHIFT
    }
    #[inline(always)]
    fn class(self, tag: Self) -> u32 {
        let rest = self ^ tag;
        if rest < CLASSES << CLASS_SHIFT { rest >> CLASS_SHIFT } else { NOT_OURS }
    }
}

impl<E: Entry> Scheme for Flat<E> {
    const NAME: &'static str = E::NAME;

    fn build(heap: &Heap) -> Result<Self> {
        let map = Mapping::new(size_of::<E>() << REGION_BITS, PAGE)?;
        let mut flat = Self { map, mask: (1 << REGION_BITS) - 1, tag: E::TAG };
        for (at, &class) in heap.regions.iter().enumerate() {
            flat.reassign((heap.arena.start() >> REGION_SHIFT) + at, class);
        }
        Ok(flat)
    }

    #[inline(always)]
    unsafe fn lookup(&self, address: usize) -> u32 {
        let at = (address >> REGION_SHIFT) & self.mask;
        // SAFETY: masked to the map.
        unsafe { read::<E>(self.map.start() + at * size_of::<E>()) }.class(self.tag)
    }

    fn reassign(&mut self, region: usize, class: u32) {
        // SAFETY: regions of user addresses lie within the map.
        unsafe { write(self.map.start() + region * size_of::<E>(), E::of(class)) };
    }

    fn resident(&self, heap: &Heap) -> usize {
        let first = (heap.arena.start() >> REGION_SHIFT) * size_of::<E>() / PAGE;
        let last = ((heap.arena.start() >> REGION_SHIFT) + heap.regions.len()) * size_of::<E>() / PAGE;
        (last - first + 1) * PAGE
    }
}
