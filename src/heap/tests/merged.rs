//! Classes that a coarse one serves, and bins that shrink, where there are many heaps.

use super::{BIN_BYTES, World, retire};
use crate::base::class::Class;
use crate::base::units::{KIB, MIB};
use crate::heap::{Freed, Heap};

/// Heaps beside which further ones merge classes.
const EARLIER: usize = 8;

fn class(size: usize) -> Class {
    Class::of_size(size).expect("small")
}

/// A world in which the next heap merges classes, and that heap.
fn crowded() -> (World, &'static Heap) {
    let world = World::new(64 * MIB);
    (0..EARLIER).for_each(|_| assert_eq!(world.heap().serving(class(100)), class(100), "few heaps merge nothing"));
    let heap = wide(&world);
    (world, heap)
}

/// A heap whose bins may hold much.
fn wide(world: &World) -> &'static Heap {
    world.registry.acquire(&world.central.pages, 64 * KIB).expect("metadata for a heap")
}

fn alloc(world: &World, heap: &Heap, size: usize) -> *mut u8 {
    heap.alloc(world.shared(), heap.choose_class(class(size))).expect("memory")
}

#[test]
fn classes_of_which_a_heap_uses_little_share_one_span() {
    let (world, heap) = crowded();
    let regions = || world.central.pages.regions().count();
    alloc(&world, heap, 1024);
    let before = regions();
    // One block of each class that the same coarse class serves.
    let blocks: Vec<_> = (769..1024).step_by(16).map(|size| alloc(&world, heap, size)).collect();
    assert_eq!(regions(), before);
    assert!(blocks.iter().all(|&block| heap.bytes_of_block(block) == Some(1024)));
    blocks.into_iter().for_each(|block| assert_eq!(heap.free(world.shared(), block), Freed::Small));
    retire(&world, heap);
    assert_eq!(world.net(), [1, 1024]);
}

#[test]
fn a_class_gets_spans_of_its_own_at_the_third_refill() {
    let (world, heap) = crowded();
    let (wanted, coarse) = (class(900), class(1024));
    let mut refills = 0;
    while heap.serving(wanted) == coarse {
        refills += usize::from(heap.is_empty(coarse));
        alloc(&world, heap, 900);
        assert!(refills <= 3);
    }
    assert_eq!(refills, 3);
    assert_eq!(heap.bytes_of_block(heap.pop_fast(900)), Some(wanted.size()), "the fast path leads there");
    assert_eq!(heap.serving(class(800)), coarse, "the others stay");
    assert_eq!(heap.bytes_of_block(alloc(&world, heap, 900)), Some(wanted.size()));
}

#[test]
fn a_coarse_class_that_serves_much_takes_no_further_classes() {
    let (world, heap) = crowded();
    while heap.serving(class(1000)) == class(1024) {
        (0..40).for_each(|_| assert!(!alloc(&world, heap, 1024).is_null()));
        alloc(&world, heap, 1000);
    }
    let before = heap.serving(class(900));
    while !heap.is_empty(class(1024)) {
        alloc(&world, heap, 1024);
    }
    alloc(&world, heap, 900);
    assert_eq!([before, heap.serving(class(900))], [class(1024), class(900)]);
}

#[test]
fn the_next_thread_of_a_heap_begins_anew() {
    let (world, heap) = crowded();
    while heap.serving(class(900)) != class(900) {
        alloc(&world, heap, 900);
    }
    retire(&world, heap);
    assert!(core::ptr::eq(world.heap(), heap));
    assert_eq!(heap.serving(class(900)), class(1024));
}

#[test]
fn heaps_beside_many_others_have_smaller_bins() {
    let world = World::new(256 * MIB);
    // While blocks are allocated: bins of a crowded heap shrink when blocks are freed.
    let largest = |heap: &Heap| {
        let class = class(1024);
        let capacity = |_| {
            assert!(!heap.alloc(world.shared(), class).expect("memory").is_null());
            heap.bin(class).capacity()
        };
        (0..2000).map(capacity).max().expect("blocks") * class.size()
    };
    let first = largest(wide(&world));
    (0..1000).for_each(|_| assert!(wide(&world).is_empty(class(1024))));
    let last = largest(wide(&world));
    assert!(first >= 32 * KIB && last <= 16 * KIB, "{first} bytes, then {last}");
    let narrow = largest(world.heap());
    assert!(narrow <= BIN_BYTES, "never more than the option says");
}

#[test]
fn a_crowded_heap_gives_up_a_class_that_the_program_no_longer_uses() {
    let (world, heap) = crowded();
    let (wanted, coarse) = (class(900), class(1024));
    let mut blocks = Vec::new();
    while heap.serving(wanted) == coarse || blocks.len() < 40 {
        blocks.push(alloc(&world, heap, 900));
    }
    let (own, shared): (Vec<_>, Vec<_>) =
        blocks.into_iter().partition(|&block| heap.bytes_of_block(block) == Some(wanted.size()));
    let free = |block| assert_eq!(heap.free(world.shared(), block), Freed::Small);
    // As flushes of other classes do.
    (0..8).for_each(|_| heap.note_shrinking());
    let (last, others) = own.split_last().expect("blocks");
    others.iter().for_each(|&block| free(block));
    assert!(
        [heap.binned(wanted), heap.bin(wanted).capacity()] == [0, 0],
        "{} blocks, frees go past the bin",
        own.len()
    );
    assert_eq!(heap.serving(wanted), coarse, "the next request begins with the coarse class");
    free(*last);
    assert!(heap.spans(wanted).partial.first().is_none(), "its spans are released");
    shared.into_iter().for_each(free);
    assert_eq!(world.net(), [0, 0]);
    assert!(!heap.alloc(world.shared(), wanted).expect("memory").is_null() && heap.bin(wanted).capacity() > 0);
}

/// The largest room that the bin of 16 bytes has while blocks are allocated, and what it has once most of them are
/// freed.
fn rooms(world: &World, heap: &Heap) -> (usize, usize) {
    let wanted = class(16);
    let mut most = 0;
    let blocks: Vec<_> = (0..2000)
        .map(|_| {
            let block = heap.alloc(world.shared(), wanted).expect("memory");
            most = most.max(heap.bin(wanted).capacity());
            block
        })
        .collect();
    // As flushes of other classes do.
    (0..4).for_each(|_| heap.note_shrinking());
    let (kept, freed) = blocks.split_at(100);
    freed.iter().for_each(|&block| assert_eq!(heap.free(world.shared(), block), Freed::Small));
    let last = heap.bin(wanted).capacity();
    kept.iter().for_each(|&block| assert_eq!(heap.free(world.shared(), block), Freed::Small));
    (most, last)
}

#[test]
fn bins_of_a_crowded_heap_shrink_with_its_memory_unless_the_program_works_in_phases() {
    let (world, heap) = crowded();
    let (most, last) = rooms(&world, heap);
    assert!(most >= 254 && last <= most / 8, "{most} blocks, then {last}");
    let later: Vec<_> = (0..6).map(|_| rooms(&world, heap)).collect();
    let (most, last) = later[5];
    assert!(last >= most, "{later:?}");
    let world = World::new(64 * MIB);
    let (most, last) = rooms(&world, wide(&world));
    assert!(last >= most, "beside few threads {most} blocks, then {last}");
}

#[test]
fn a_heap_with_few_neighbours_gives_up_no_class() {
    let world = World::new(64 * MIB);
    let heap = wide(&world);
    let blocks: Vec<_> = (0..200).map(|_| alloc(&world, heap, 900)).collect();
    blocks.into_iter().for_each(|block| assert_eq!(heap.free(world.shared(), block), Freed::Small));
    assert!(heap.bin(class(900)).capacity() > 0 && heap.serving(class(900)) == class(900));
}

#[test]
fn a_program_that_keeps_blocks_keeps_its_bin() {
    let (world, heap) = crowded();
    let blocks: Vec<_> = (0..200).map(|_| heap.alloc(world.shared(), class(900)).expect("memory")).collect();
    blocks.iter().skip(20).for_each(|&block| assert_eq!(heap.free(world.shared(), block), Freed::Small));
    assert!(heap.bin(class(900)).capacity() > 0);
}

#[test]
fn bins_beside_very_many_heaps_are_narrow_at_first() {
    let world = World::new(256 * MIB);
    (0..1000).for_each(|_| assert!(wide(&world).is_empty(class(1024))));
    let heap = wide(&world);
    let room = |blocks: usize| {
        (0..blocks).for_each(|_| assert!(!heap.alloc(world.shared(), class(400)).expect("memory").is_null()));
        heap.bin(class(400)).capacity()
    };
    let (first, later) = (room(10), room(1000));
    assert!(first == 3 && later > 12, "{first}, then {later}");
}
