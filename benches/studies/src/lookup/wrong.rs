//! The answers of the ways of lookup for addresses that are not the start of a block.
#![expect(unsafe_code, reason = "lookups of odd addresses, and an overrun on purpose")]

use super::heap::{CLASSES, Heap, REGION_SHIFT, size};
use super::scheme::{NOT_OURS, Scheme};
use crate::mapping::{Mapping, PAGE, write};
use crate::rng::Rng;
use anyhow::Result;

/// Counts of wrong answers, and of how many.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) inside: (usize, usize),
    pub(super) taken: (usize, usize),
    pub(super) read: (usize, usize),
    pub(super) overrun: (usize, usize),
    /// A region's old class is still answered.
    pub(super) stale: bool,
}

const OVERRUN: u8 = b'x';
const NON_CANONICAL: usize = 1 << 62;
const SMALL: usize = 4095;
static DATA: [u8; 64] = [1; 64];

/// Asks about everything.
pub(super) fn probe<S: Scheme>(heap: &Heap) -> Result<Found> {
    let mut scheme = S::build(heap)?;
    let mut rng = Rng(1);
    for &block in &heap.blocks {
        fill(heap, block, &mut rng);
    }
    let inside = inside(&scheme, heap, &mut rng);
    let (taken, read) = foreign(&scheme, heap)?;
    let stale = stale(&mut scheme, heap);
    let overrun = overrun(&S::build(heap)?, heap);
    Ok(Found { inside, taken, read, overrun, stale })
}

/// The program's own bytes.
fn fill(heap: &Heap, block: usize, rng: &mut Rng) {
    for offset in 0..heap.class_of(block).map_or(0, size) {
        // SAFETY: within the block.
        unsafe { write(block + offset, rng.next() as u8) };
    }
}

/// Whether the way may be asked: what it reads lies in the heap.
fn is_safe<S: Scheme>(scheme: &S, heap: &Heap, address: usize) -> bool {
    scheme.reads(address).is_none_or(|read| heap.arena.contains(read))
}

fn inside<S: Scheme>(scheme: &S, heap: &Heap, rng: &mut Rng) -> (usize, usize) {
    let wrong = heap.blocks.iter().filter(|&&block| {
        let class = heap.class_of(block).unwrap_or(NOT_OURS);
        let address = block + 1 + rng.below(size(class) - 1);
        // SAFETY: what is read lies in the heap, since the address lies in a block behind the front of its region.
        class != unsafe { scheme.lookup(address) }
    });
    (wrong.count(), heap.blocks.len())
}

/// Foreign addresses taken for blocks, and those next to which memory is read.
fn foreign<S: Scheme>(scheme: &S, heap: &Heap) -> Result<((usize, usize), (usize, usize))> {
    let local = 0_u64;
    let other = Mapping::new(16 * PAGE, PAGE)?;
    let boxed = Box::new([0_u8; 100]);
    let mut addresses = vec![0, 1, 16, SMALL, NON_CANONICAL, usize::MAX - 15];
    addresses.extend([(&raw const local).addr(), DATA.as_ptr().addr(), boxed.as_ptr().addr()]);
    addresses.extend((0..16).map(|page| other.start() + page * PAGE + 16));
    let unsafe_ones = addresses.iter().filter(|&&address| !is_safe(scheme, heap, address)).count();
    let taken = addresses.iter().filter(|&&address| {
        // SAFETY: what is read, if anything, lies in the heap.
        is_safe(scheme, heap, address) && unsafe { scheme.lookup(address) } < CLASSES
    });
    Ok(((taken.count(), addresses.len()), (unsafe_ones, addresses.len())))
}

/// Looks a block up, gives its region another class, and looks up a block of that class at the same place.
fn stale<S: Scheme>(scheme: &mut S, heap: &Heap) -> bool {
    let block = heap.blocks[0];
    let class = heap.class_of(block).unwrap_or(0);
    let other = (class + 1) % CLASSES;
    // SAFETY: the block is one of the heap's.
    unsafe { scheme.lookup(block) };
    scheme.reassign(block >> REGION_SHIFT, other);
    if S::HEADER > 0 {
        // SAFETY: the new block's header is written when it is made.
        unsafe { write(block - 1, other as u8) };
    }
    // SAFETY: as above.
    other != unsafe { scheme.lookup(block) }
}

/// Every block's predecessor writes one byte too many.
fn overrun<S: Scheme>(scheme: &S, heap: &Heap) -> (usize, usize) {
    let wrong = heap.blocks.iter().filter(|&&block| {
        if S::HEADER > 0 {
            // SAFETY: the byte before the block is the one behind its predecessor.
            unsafe { write(block - 1, OVERRUN) };
        }
        // SAFETY: the block is one of the heap's.
        heap.class_of(block) != Some(unsafe { scheme.lookup(block) })
    });
    (wrong.count(), heap.blocks.len())
}

#[cfg(test)]
mod tests {
    use super::super::map::{Flat, Radix};
    use super::super::scheme::{Hash, HeaderByte, LastClass, Ranged};
    use super::*;

    fn found<S: Scheme>() -> Found {
        probe::<S>(&Heap::new(1000, S::HEADER).unwrap()).unwrap()
    }

    #[test]
    fn maps_are_never_wrong() {
        for found in [found::<Flat<u64>>(), found::<Flat<u32>>(), found::<Radix>(), found::<Hash>(), found::<Ranged>()]
        {
            assert_eq!(
                (found.inside.0, found.taken.0, found.read.0, found.overrun.0, found.stale),
                (0, 0, 0, 0, false)
            );
        }
    }

    #[test]
    fn headers_and_caches_are_wrong_where_one_expects_it() {
        let header = found::<HeaderByte>();
        assert!(header.inside.0 > 900 && header.read.0 > 20 && header.overrun.0 > 900 && !header.stale);
        assert!(found::<LastClass<Flat<u64>>>().stale);
    }
}
