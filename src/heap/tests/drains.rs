//! Offers, and drains by another thread.

use super::*;

#[test]
fn a_drain_leaves_the_last_block_of_a_bin_and_the_end_of_a_batch() {
    let world = World::new(64 * MIB);
    let (idle, other) = (world.heap(), world.heap());
    let class = Class::of_size(64).expect("small");
    let theirs: Vec<_> = (0..50).map(|_| other.alloc(world.shared(), class).expect("memory")).collect();
    let own: Vec<_> = (0..200).map(|_| idle.alloc(world.shared(), class).expect("memory")).collect();
    for block in own.iter().chain(&theirs) {
        assert_eq!(idle.free(world.shared(), *block), Freed::Small);
    }
    let last = idle.bin(class).last();
    assert!(idle.bin(class).len() > 1);
    idle.set_idle_return(true);
    assert!(idle.make_offer(7));
    assert!(idle.bin_of_block(last).is_none() && idle.pop_fast(64).is_null(), "the fast path is closed");
    let mut blocks = u32::MAX;
    assert!(other.drain_other(world.shared(), idle, 7, &mut blocks), "an offer of this round is left alone");
    assert!(idle.bin(class).len() > 1);
    assert!(other.drain_other(world.shared(), idle, 8, &mut blocks));
    assert_eq!((idle.bin(class).len(), idle.bin(class).last()), (1, last));
    other.collect(world.shared());
    assert_eq!(world.out(), 2, "one block in each of the two bins");
    assert!(idle.take_offer(world.shared()) && !idle.take_offer(world.shared()));
    assert_eq!(
        (idle.pop_fast(64), idle.pop_fast(64)),
        (last, core::ptr::null_mut()),
        "the fast path is open, and has the last block"
    );
    // The batch is where it was, and takes more.
    assert_eq!(idle.free(world.shared(), last), Freed::Small);
    retire(&world, idle);
    retire(&world, other);
    world.shared().empty_caches();
    assert_eq!(world.out(), 0);
}
