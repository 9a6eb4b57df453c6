//! Bins and batches that a call leaves as they are: it may have interrupted an operation on any bin but that of its own
//! class, and an addition to any batch of the fast path.

use super::World;
use crate::base::class::Class;
use crate::base::units::MIB;
use crate::heap::{Freed, Heap};

/// More than fit into one batch.
const SENT: usize = 150;

struct Scene {
    world: World,
    own: &'static Heap,
    other: &'static Heap,
    /// Live blocks of `own`, [`SENT`] of each class.
    blocks: [Vec<*mut u8>; 4],
}

fn classes() -> [Class; 4] {
    [32, 100, 500, 3000].map(|size| Class::of_size(size).expect("small"))
}

/// The class whose bin misses.
fn missing() -> Class {
    classes()[2]
}

impl Scene {
    /// One block is left in each bin of `own`, so there is room for more.
    fn new() -> Self {
        let world = World::new(64 * MIB);
        let (own, other) = (world.heap(), world.heap());
        let blocks = classes().map(|class| {
            let blocks = (0..SENT).map(|_| own.alloc(world.shared(), class).expect("memory")).collect();
            while own.binned(class) != 1 {
                own.alloc(world.shared(), class).expect("memory");
            }
            blocks
        });
        Self { world, own, other, blocks }
    }

    /// The other heap frees `blocks`, and sends them off.
    fn send(&self, blocks: impl Iterator<Item = *mut u8>) {
        for block in blocks {
            assert_eq!(self.other.free(self.world.shared(), block), Freed::Small);
        }
        self.other.send_all(self.world.shared());
    }

    /// The number of blocks and the last slot of each bin but that of `class`, and what that slot holds.
    fn bins_but(&self, class: Option<Class>) -> Vec<(usize, *mut *mut u8, *mut u8)> {
        let others = classes().into_iter().filter(|&other| Some(other) != class);
        others
            .map(|other| {
                let bin = self.own.bin(other);
                (bin.len(), bin.slot(bin.len()), bin.last())
            })
            .collect()
    }

    /// Has the bin of [`missing`] miss; how many blocks were received meanwhile, and are back in their spans or that
    /// bin.
    fn miss(&self) -> (u64, usize) {
        let before = (self.own.traffic().received_blocks, self.world.out());
        let binned = self.own.binned(missing());
        for _ in 0..2 {
            self.own.alloc(self.world.shared(), missing()).expect("memory");
        }
        let gained = self.own.binned(missing()) + 2 - binned;
        (self.own.traffic().received_blocks - before.0, before.1 + gained - self.world.out())
    }
}

#[test]
fn received_blocks_reach_no_bin_but_that_of_the_class_that_misses() {
    for index in [0, 1, 3] {
        let scene = Scene::new();
        scene.send(scene.blocks[index].iter().copied());
        let before = scene.bins_but(Some(missing()));
        assert_eq!(scene.miss(), (SENT as u64, SENT));
        assert_eq!(scene.bins_but(Some(missing())), before);
    }
}

#[test]
fn blocks_of_many_classes_in_one_batch_reach_no_other_bin() {
    let scene = Scene::new();
    let [first, second, _, third] = &scene.blocks;
    scene.send((0..30).flat_map(|index| [first[index], second[index], third[index]]));
    let before = scene.bins_but(Some(missing()));
    assert_eq!(scene.miss(), (90, 90));
    assert_eq!(scene.bins_but(Some(missing())), before);
}

#[test]
fn deferred_blocks_reach_no_bin() {
    let scene = Scene::new();
    let (before, out) = (scene.bins_but(None), scene.world.out());
    scene.own.defer(|| {
        for &block in scene.blocks.iter().flatten() {
            assert_eq!(scene.own.free(scene.world.shared(), block), Freed::Small);
        }
    });
    assert_eq!(scene.bins_but(None), before);
    assert_eq!(scene.world.out(), out - 4 * SENT);
}

#[test]
fn draining_idle_bins_leaves_the_last_block_where_it_is() {
    let scene = Scene::new();
    for block in scene.blocks.iter().flat_map(|blocks| &blocks[..5]) {
        assert_eq!(scene.own.free(scene.world.shared(), *block), Freed::Small);
    }
    let before = scene.bins_but(None);
    assert!(before.iter().all(|&(len, _, _)| len > 1));
    // The first call notes how many blocks there are.
    for _ in 0..2 {
        scene.own.drain_idle_bins(scene.world.shared());
    }
    let left: Vec<_> = before.into_iter().map(|(_, slot, last)| (1, slot, last)).collect();
    assert!(classes().into_iter().all(|class| scene.own.bin(class).is_drained()));
    assert_eq!(scene.bins_but(None), left);
}

#[test]
fn blocks_from_caches_join_no_batch_of_the_fast_path() {
    let scene = Scene::new();
    let [freed, cached] = [scene.blocks[0][0], scene.blocks[0][1]];
    assert_eq!(scene.other.free(scene.world.shared(), freed), Freed::Small);
    scene.other.return_or_send(scene.world.shared(), cached);
    let lens: Vec<usize> = scene.other.outbox.batches().map(crate::central::Batch::len).collect();
    assert_eq!(lens, [1, 1]);
}

#[test]
fn a_block_that_left_with_a_drain_may_be_sent_again() {
    let scene = Scene::new();
    let shared = scene.world.shared();
    let block = scene.blocks[0][0];
    scene.send([block].into_iter());
    scene.own.collect(shared);
    let again =
        (0..10_000).map(|_| scene.own.alloc(shared, classes()[0]).expect("memory")).find(|&other| other == block);
    assert_eq!(again, Some(block));
    assert_eq!(scene.other.free(shared, block), Freed::Small);
    assert_eq!(scene.other.outbox.batches().map(crate::central::Batch::len).sum::<usize>(), 1);
}
