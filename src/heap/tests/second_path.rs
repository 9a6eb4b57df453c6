#![expect(unsafe_code, reason = "looks at the words of fresh blocks")]
//! Which second path a miss takes: that of the mode, of an open heap, or none.

use core::ptr::null_mut;

use super::World;
use crate::base::class::Class;
use crate::base::units::MIB;
use crate::heap::second_path::{DEFAULT, SecondPath, free, free_sized, malloc, zeroed};
use crate::heap::{FastHeap, Freed, Heap, SampledBy};

const SIZE: usize = 64;

/// The mark of calls that the slow path got.
const SLOW: usize = 0x510;
/// The mark of calls that the mode got.
const MODE: usize = 0x0d0;

extern "C" fn slow(_: usize) -> *mut u8 {
    core::ptr::without_provenance_mut(SLOW)
}

fn mark<A>(_: A, _: &FastHeap) -> *mut u8 {
    core::ptr::without_provenance_mut(MODE)
}

/// The second path of a mode that serves nothing.
static OF_MODE: SecondPath = SecondPath {
    after_fast: false,
    malloc: |size, heap, _| mark(size, heap),
    zeroed: |size, heap, _| mark(size, heap),
    aligned: |_, size, heap, _| mark(size, heap),
    free: |_, _, _| {},
    free_sized: |_, _, _, _| {},
};

fn class() -> Class {
    Class::of_size(SIZE).expect("small")
}

/// A heap with blocks in the bin of [`class`], and one of them.
fn filled(world: &World) -> (&'static Heap, *mut u8) {
    let heap = world.heap();
    let block = heap.alloc(world.shared(), class()).expect("memory");
    assert!(heap.binned(class()) > 2);
    (heap, block)
}

fn missed(heap: &Heap) -> usize {
    assert!(heap.pop_fast(SIZE).is_null());
    malloc(SIZE, heap, slow).addr()
}

/// Whether free takes `block` on the second path.
fn is_taken(heap: &Heap, block: *mut u8) -> bool {
    thread_local!(static SLOW: core::cell::Cell<bool> = const { core::cell::Cell::new(false) });
    SLOW.set(false);
    (heap.second().free)(block, heap, |_| SLOW.set(true));
    !SLOW.get()
}

#[test]
fn a_closed_heap_takes_the_slow_path() {
    let world = World::new(64 * MIB);
    let (heap, own) = filled(&world);
    let other = filled(&world).1;
    world.registry.sampling.switch(1 << 30, SampledBy::Calls);
    heap.follow_sampling(&world.registry.sampling);
    assert_eq!(heap.free(world.shared(), other), Freed::Small, "a batch is open");
    for _ in 0..2 {
        let block = malloc(SIZE, heap, slow);
        assert!(block.addr() > SLOW, "sampled requests are popped");
        assert!(heap.push_sampled(block, SIZE) && !heap.push_sampled(own, 2 * SIZE));
        let another = world.heap().alloc(world.shared(), class()).expect("memory");
        assert!(!is_taken(heap, another) && !is_taken(heap, own), "no batch is open for its owner");
        heap.close();
        assert_eq!((missed(heap), zeroed(SIZE, heap, slow).addr()), (SLOW, SLOW));
        assert!(!is_taken(heap, other), "the batch is left alone");
        heap.reopen_fast_path(world.shared());
    }
}

#[test]
fn remote_frees_join_an_open_batch() {
    let world = World::new(64 * MIB);
    let ((heap, _), (owner, first)) = (filled(&world), filled(&world));
    let blocks: Vec<_> = (0..3).map(|_| owner.alloc(world.shared(), class()).expect("memory")).collect();
    assert!(!is_taken(heap, blocks[0]), "there is no batch yet");
    assert_eq!(heap.free(world.shared(), first), Freed::Small);
    assert!(blocks.iter().all(|&block| is_taken(heap, block)) && !is_taken(heap, blocks[2]));
    assert!(!is_taken(heap, null_mut()));
    assert_eq!(heap.outbox.batches().map(crate::central::Batch::len).sum::<usize>(), 4);
}

#[test]
fn a_mode_sees_every_call_of_a_heap() {
    let world = World::new(64 * MIB);
    let (heap, own) = filled(&world);
    world.registry.second.set(Some(&OF_MODE));
    heap.reopen_fast_path(world.shared());
    let is_seen = || missed(heap) == MODE && heap.bin_of_block(own).is_none() && heap.bin_of_medium(2000).is_none();
    assert!(is_seen());
    // Sampling that begins or ends opens nothing.
    for mean in [0, 1 << 20, 0] {
        world.registry.sampling.switch(mean, SampledBy::Bytes);
        heap.follow_sampling(&world.registry.sampling);
        assert!(is_seen());
    }
    heap.close();
    assert_eq!(missed(heap), SLOW);
    world.registry.sampling.switch(0, SampledBy::Bytes);
    heap.follow_sampling(&world.registry.sampling);
    assert_eq!((missed(heap), is_taken(heap, own)), (SLOW, false), "a closed heap stays closed");
    heap.reopen_fast_path(world.shared());
    assert!(is_seen());
    // The mode ends: another thread announces that, and the heap's thread follows in its next call.
    world.registry.second.set(None);
    heap.announce(world.shared());
    assert_eq!(missed(heap), SLOW);
    heap.run_pending(world.shared());
    assert!(!heap.pop_fast(SIZE).is_null() && core::ptr::eq(heap.second(), &DEFAULT));
}

#[test]
fn zeroed_blocks_are_zero() {
    let world = World::new(64 * MIB);
    let (heap, block) = filled(&world);
    world.registry.sampling.switch(1 << 30, SampledBy::Calls);
    heap.follow_sampling(&world.registry.sampling);
    // SAFETY: the block has that many bytes.
    unsafe { block.write_bytes(0xa5, SIZE) };
    assert_eq!(heap.free(world.shared(), block), Freed::Small);
    assert_eq!(zeroed(SIZE, heap, slow), block);
    // SAFETY: as above.
    let bytes = unsafe { core::slice::from_raw_parts(block, SIZE) };
    assert!(bytes.iter().all(|&byte| byte == 0));
}

#[test]
fn a_thread_without_a_heap_takes_the_slow_path() {
    thread_local!(static CALLS: core::cell::Cell<u32> = const { core::cell::Cell::new(0) });
    free(null_mut(), |_| CALLS.set(CALLS.get() + 1));
    free_sized(null_mut(), 8, |_, _| CALLS.set(CALLS.get() + 1));
    assert_eq!(CALLS.get(), 2);
}
