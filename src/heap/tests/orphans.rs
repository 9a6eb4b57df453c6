//! Heaps whose threads a fork lost.

use std::collections::BTreeMap;

use super::World;
use crate::base::class::Class;
use crate::base::units::MIB;
use crate::heap::{Freed, Heap};

fn heaps(world: &World) -> usize {
    let mut count = 0;
    world.registry.each(|_| count += 1);
    count
}

#[test]
fn orphans_are_adopted_whatever_their_threads_were_doing() {
    let world = World::new(64 * MIB);
    let (own, lost) = (world.heap(), world.heap());
    let class = Class::of_size(128).expect("small");
    let kept: Vec<_> = (0..3000).map(|_| lost.alloc(world.shared(), class).expect("memory")).collect();
    for block in kept.iter().skip(1000) {
        assert_eq!(lost.free(world.shared(), *block), Freed::Small);
    }
    world.registry.orphan_all_but(Some(own));
    assert_eq!(heaps(&world), 2);
    for block in kept.iter().take(1000) {
        assert_eq!(own.free(world.shared(), *block), Freed::Small);
    }
    // The next span comes from the central list, which has taken over the orphan's.
    let used = world.central.pages.figures().used;
    for _ in 0..2000 {
        own.alloc(world.shared(), class).expect("memory");
    }
    assert_eq!(world.central.pages.figures().used, used, "no fresh memory while the orphan's can be had");
    assert_eq!(heaps(&world), 1);
}

/// Makes heaps that hold blocks in bins, batches, spans and inboxes, and loses their threads; the live blocks.
fn lose_heaps(world: &World, own: &'static Heap, count: usize) -> Vec<(usize, usize)> {
    let mut live = Vec::new();
    let lost: Vec<&Heap> = (0..count).map(|_| world.heap()).collect();
    for (index, heap) in lost.iter().enumerate() {
        for size in [16, 100, 700, 5000] {
            let class = Class::of_size(size).expect("small");
            let blocks: Vec<_> = (0..60).map(|_| heap.alloc(world.shared(), class).expect("memory")).collect();
            for (number, &block) in blocks.iter().enumerate() {
                // Some of them by another heap, which is lost, too.
                match number % 3 {
                    0 => live.push((block.addr(), class.size())),
                    1 => assert_eq!(heap.free(world.shared(), block), Freed::Small),
                    _ => assert_eq!(lost[(index + 1) % count].free(world.shared(), block), Freed::Small),
                }
            }
        }
    }
    world.registry.orphan_all_but(Some(own));
    live
}

/// Nothing that is handed out lies in a live block.
fn takes_only_what_is_free(world: &World, own: &Heap, live: &[(usize, usize)]) {
    let taken: BTreeMap<usize, usize> = live.iter().map(|&(start, bytes)| (start, start + bytes)).collect();
    assert_eq!(taken.len(), live.len());
    for size in [16, 100, 700, 5000] {
        let class = Class::of_size(size).expect("small");
        for _ in 0..3000 {
            let block = own.alloc(world.shared(), class).expect("memory").addr();
            let before = taken.range(..block + class.size()).next_back();
            assert!(before.is_none_or(|(_, &end)| end <= block), "a live block was handed out again");
        }
    }
}

#[test]
fn orphans_are_adopted_in_steps() {
    let world = World::new(256 * MIB);
    let own = world.heap();
    let live = lose_heaps(&world, own, 50);
    world.registry.adopt_orphans(world.shared());
    assert_eq!(heaps(&world), 51, "one step does not do for fifty heaps");
    let steps = (1..).find(|_| {
        world.registry.adopt_orphans(world.shared());
        heaps(&world) == 1
    });
    assert!(steps.is_some_and(|steps| steps < 200), "{steps:?} steps");
    assert_eq!(world.out(), live.len(), "only live blocks are out");
    takes_only_what_is_free(&world, own, &live);
}

#[test]
fn a_fork_in_the_midst_of_an_adoption_loses_nothing_and_doubles_nothing() {
    for steps in [1, 5, 10, 15, 20, 25, 30] {
        let world = World::new(256 * MIB);
        let own = world.heap();
        let live = lose_heaps(&world, own, 30);
        for _ in 0..steps {
            world.registry.adopt_orphans(world.shared());
        }
        let kept: Vec<_> = (0..500)
            .map(|_| own.alloc(world.shared(), Class::of_size(100).expect("small")).expect("memory").addr())
            .collect();
        let mut live: Vec<_> = live.into_iter().chain(kept.into_iter().map(|block| (block, 100))).collect();
        live.extend(lose_heaps(&world, own, 3));
        for _ in 0..500 {
            world.registry.adopt_orphans(world.shared());
        }
        assert_eq!(heaps(&world), 1);
        takes_only_what_is_free(&world, own, &live);
        own.collect(world.shared());
    }
}

#[test]
fn no_thread_gets_the_spans_of_an_orphan() {
    let world = World::new(64 * MIB);
    let (own, lost) = (world.heap(), world.heap());
    assert!(lost.try_lock_spans());
    world.registry.leave_others(Some(own));
    assert!(!lost.try_lock_spans() && own.try_lock_spans());
    own.unlock_spans();
    world.registry.orphan_all_but(Some(own));
    world.registry.adopt_orphans(world.shared());
    // A thread that gets the heap later finds the spans free, whichever thread held them; also those of a heap that had
    // no thread.
    assert_eq!(world.heap().address(), lost.address());
    assert!(lost.try_lock_spans());
    world.registry.release(lost);
    world.registry.leave_others(Some(own));
    assert_eq!(world.heap().address(), lost.address());
    assert!(lost.try_lock_spans());
}

#[test]
fn no_thread_drains_an_orphan_that_was_not_entered() {
    let world = World::new(64 * MIB);
    let (own, lost) = (world.heap(), world.heap());
    let class = Class::of_size(64).expect("small");
    lost.alloc(world.shared(), class).expect("memory");
    lost.set_idle_return(true);
    assert!(lost.make_offer(1));
    let binned = lost.binned(class);
    world.registry.leave_others(Some(own));
    let mut blocks = u32::MAX;
    assert!(binned > 1 && own.drain_other(world.shared(), lost, 2, &mut blocks));
    assert!(!lost.try_lock_spans() && lost.binned(class) == binned);
}

#[test]
fn blocks_of_an_orphan_that_was_entered_stay_out() {
    for entered in [false, true] {
        let world = World::new(64 * MIB);
        let (own, lost) = (world.heap(), world.heap());
        let class = Class::of_size(128).expect("small");
        let blocks: Vec<_> = (0..100).map(|_| lost.alloc(world.shared(), class).expect("memory")).collect();
        for block in blocks {
            assert_eq!(lost.free(world.shared(), block), Freed::Small);
        }
        let binned = lost.binned(class);
        lost.set_entered(entered);
        world.registry.orphan_all_but(Some(own));
        for _ in 0..100 {
            world.registry.adopt_orphans(world.shared());
        }
        assert!(binned > 1 && heaps(&world) == 1);
        assert_eq!(world.out(), if entered { binned } else { 0 });
    }
}
