//! Bounds on the blocks that bins and transfer caches hold.

use super::{BIN_BYTES, World, retire};
use crate::base::class::Class;
use crate::base::units::{KIB, MIB};
use crate::central::Batch;
use crate::heap::{Freed, Heap};
use crate::pages::Entry;

/// Blocks that a bin may hold whatever their size.
const BLOCKS_MIN: usize = 3;

fn blocks(world: &World, heap: &Heap, class: Class, count: usize) -> Vec<*mut u8> {
    (0..count).map(|_| heap.alloc(world.shared(), class).expect("memory")).collect()
}

fn free(world: &World, heap: &Heap, blocks: Vec<*mut u8>) {
    blocks.into_iter().for_each(|block| assert_eq!(heap.free(world.shared(), block), Freed::Small));
}

#[test]
fn a_bin_holds_no_more_than_it_may() {
    let world = World::new(128 * MIB);
    let heap = world.heap();
    for class in Class::all() {
        let most = BIN_BYTES.max(BLOCKS_MIN * class.size());
        for block in blocks(&world, heap, class, 1000) {
            assert_eq!(heap.free(world.shared(), block), Freed::Small);
            assert!(heap.binned(class) * class.size() <= most, "{} of {} bytes", heap.binned(class), class.size());
        }
    }
    retire(&world, heap);
}

#[test]
fn unused_bins_are_emptied_while_others_are_used() {
    let world = World::new(64 * MIB);
    let heap = world.heap();
    let [idle, used] = [100, 500].map(|size| Class::of_size(size).expect("small"));
    free(&world, heap, blocks(&world, heap, idle, 20));
    assert!(heap.binned(idle) > 0);
    for _ in 0..40 {
        free(&world, heap, blocks(&world, heap, used, 300));
    }
    assert_eq!(heap.binned(idle), 1, "the last block of a bin stays");
    assert!(heap.binned(used) > 0);
    retire(&world, heap);
}

#[test]
fn transfer_caches_hold_no_more_than_they_may() {
    let most = 96 * KIB;
    let world = World::new(64 * MIB);
    world.central.set_cache_bytes(most);
    for class in Class::all() {
        let full = class.geometry().batch as usize * class.size();
        let put = || {
            let batch: &Batch = world.central.acquire_batch(0).expect("metadata");
            for _ in 0..class.geometry().batch {
                let _ = batch.push(core::ptr::without_provenance_mut(8), Entry::central(class), class.geometry());
            }
            world.central.put_batch(class, batch)
        };
        let kept = (0..200).take_while(|_| put()).count();
        assert!(kept >= 1 && (kept == 1 || kept * full <= most), "{kept} batches of {full} bytes");
    }
}
