//! Heaps against a naive model: which blocks are live, with what contents, on which heap.

mod bounds;
mod drains;
mod holes;
mod map;
mod merged;
mod orphans;
mod second_path;
mod undisturbed;

use std::collections::BTreeMap;

use super::{Freed, Heap, Registry, Shared};
use crate::base::class::Class;
use crate::base::units::{MIB, Region};
use crate::central::{Central, Place, State};
use crate::pages::{Bank, Entry, Space};
use proptest::prelude::*;

const BIN_BYTES: usize = 4096;
const HEAPS: usize = 3;
/// Bytes of the largest class.
const LARGEST: usize = 32 << 10;

/// A store of its own, small enough to run out.
struct World {
    central: Central,
    registry: Registry,
}

impl World {
    fn new(bytes: usize) -> Self {
        Self::within(Space::reserve(bytes, 4096).expect("address space"))
    }

    fn within(space: Space) -> Self {
        let world = Self { central: Central::new(), registry: Registry::new() };
        #[expect(unsafe_code, reason = "opens the store")]
        // SAFETY: no other thread has the store yet.
        unsafe {
            world.central.pages.open(space, None);
        }
        world
    }

    fn shared(&self) -> Shared<'_> {
        Shared { central: &self.central, registry: &self.registry }
    }

    fn heap(&self) -> &'static Heap {
        self.registry.acquire(&self.central.pages, BIN_BYTES).expect("metadata for a heap")
    }

    /// Blocks that the program has, and their bytes, by the counters of all heaps.
    fn net(&self) -> [usize; 2] {
        let mut net = [0; 2];
        self.registry.each_ever(|heap| {
            let [blocks, bytes] = heap.net();
            net = [net[0] + blocks, net[1] + bytes];
        });
        net.map(|sum| sum as usize)
    }

    /// Blocks that are out of all spans.
    fn out(&self) -> usize {
        let mut out = 0;
        self.central.each_span(|span, entry, region| {
            if entry.class().is_some() && span.first() == region {
                out += span.used() as usize;
            }
        });
        out
    }
}

#[derive(Clone, Debug)]
enum Step {
    Alloc {
        heap: usize,
        size: usize,
    },
    Free {
        heap: usize,
        victim: usize,
    },
    Retire {
        heap: usize,
    },
    Collect {
        heap: usize,
    },
    /// Another heap's thread makes an offer, and drains what was offered a round ago.
    Offer {
        heap: usize,
    },
    Drain {
        heap: usize,
        blocks: u32,
    },
    Take {
        heap: usize,
    },
}

fn step() -> impl Strategy<Value = Step> {
    let heap = 0..HEAPS;
    prop_oneof![
        8 => (heap.clone(), prop_oneof![0_usize..200, 0_usize..33_000])
            .prop_map(|(heap, size)| Step::Alloc { heap, size: size.min(32 << 10) }),
        7 => (heap.clone(), any::<usize>()).prop_map(|(heap, victim)| Step::Free { heap, victim }),
        1 => heap.clone().prop_map(|heap| Step::Retire { heap }),
        1 => heap.clone().prop_map(|heap| Step::Collect { heap }),
        1 => heap.clone().prop_map(|heap| Step::Offer { heap }),
        1 => (heap.clone(), 1_u32..400).prop_map(|(heap, blocks)| Step::Drain { heap, blocks }),
        1 => heap.prop_map(|heap| Step::Take { heap }),
    ]
}

fn retire(world: &World, heap: &'static Heap) {
    heap.retire(world.shared());
    world.registry.release(heap);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]
    #[test]
    fn blocks_do_not_overlap_and_all_return(steps in prop::collection::vec(step(), 1..900)) {
        let world = World::new(64 * MIB);
        let mut heaps: Vec<&Heap> = (0..HEAPS).map(|_| world.heap()).collect();
        let mut live: BTreeMap<usize, usize> = BTreeMap::new();
        let mut round = 1;
        for step in steps {
            match step {
                Step::Alloc { heap, size } => {
                    let class = Class::of_size(size).expect("small");
                    let Some(block) = heaps[heap].alloc(world.shared(), class) else { continue };
                    let (start, end) = (block.addr(), block.addr() + class.size());
                    prop_assert!(live.range(..end).next_back().is_none_or(|(_, &other)| other <= start), "overlap");
                    prop_assert_eq!(start % 16.min(class.size()), 0);
                    live.insert(start, end);
                }
                Step::Free { heap, victim } if !live.is_empty() => {
                    let &start = live.keys().nth(victim % live.len()).expect("in range");
                    live.remove(&start);
                    let block = core::ptr::with_exposed_provenance_mut(start);
                    prop_assert_eq!(heaps[heap].free(world.shared(), block), Freed::Small);
                }
                Step::Free { .. } => {}
                Step::Retire { heap } => {
                    retire(&world, heaps[heap]);
                    heaps[heap] = world.heap();
                }
                Step::Collect { heap } => heaps[heap].collect(world.shared()),
                Step::Offer { heap } => {
                    heaps[heap].set_idle_return(true);
                    round += 1;
                    prop_assert!(heaps[heap].make_offer(round));
                }
                Step::Drain { heap, mut blocks } => {
                    let by = heaps[(heap + 1) % HEAPS];
                    round += 1;
                    let _ = by.drain_other(world.shared(), heaps[heap], round, &mut blocks);
                }
                Step::Take { heap } => {
                    let _ = heaps[heap].take_offer(world.shared());
                }
            }
            for &start in live.keys() {
                prop_assert!(matches!(world.central.resolve(start), Place::Small { .. }), "a live block lost its span");
            }
            let bytes = live.iter().map(|(start, end)| end - start).sum();
            prop_assert_eq!(world.net(), [live.len(), bytes], "the counters miss blocks");
        }
        for heap in heaps {
            retire(&world, heap);
        }
        world.shared().empty_caches();
        prop_assert_eq!(world.out(), live.len(), "after all heaps are gone only live blocks are out");
    }
}

#[test]
fn exhaustion_gives_none_and_ends_when_blocks_are_freed() {
    let world = World::new(8 * MIB);
    let heap = world.heap();
    let class = Class::of_size(32 << 10).expect("small");
    let mut blocks = Vec::new();
    while let Some(block) = heap.alloc(world.shared(), class) {
        blocks.push(block);
    }
    assert!(blocks.len() * class.size() > 4 * MIB, "most of the space was usable: {}", blocks.len());
    for block in blocks.drain(..) {
        assert_eq!(heap.free(world.shared(), block), Freed::Small);
    }
    assert!(heap.alloc(world.shared(), class).is_some());
    retire(&world, heap);
}

#[test]
fn a_collection_leaves_one_block_of_a_class_and_the_end_of_the_thread_none() {
    for class in Class::all() {
        let world = World::new(64 * MIB);
        let heap = world.heap();
        let blocks: Vec<_> = (0..1000).map(|_| heap.alloc(world.shared(), class).expect("memory")).collect();
        for block in blocks {
            assert_eq!(heap.free(world.shared(), block), Freed::Small);
        }
        heap.collect(world.shared());
        assert_eq!(world.out(), 1, "class of {} bytes", class.size());
        let mut regions = 0;
        world.central.each_span(|_, _, _| regions += 1);
        assert_eq!(regions, class.geometry().regions, "class of {} bytes keeps more than one span", class.size());
        retire(&world, heap);
        assert_eq!(world.out(), 0, "class of {} bytes", class.size());
        world.central.each_span(|_, _, _| panic!("class of {} bytes keeps a span", class.size()));
    }
}

#[test]
fn remote_frees_reach_their_spans_by_the_inbox_and_after_the_owner_ended() {
    let world = World::new(64 * MIB);
    let (owner, other) = (world.heap(), world.heap());
    let class = Class::of_size(64).expect("small");
    let mut blocks: Vec<_> = (0..2000).map(|_| owner.alloc(world.shared(), class).expect("memory")).collect();
    for block in blocks.drain(..1000) {
        assert_eq!(other.free(world.shared(), block), Freed::Small);
    }
    assert!(world.out() >= 2000, "no block is in its span before the owner collects");
    owner.collect(world.shared());
    assert!(world.out() < 2000);
    retire(&world, owner);
    for block in blocks {
        assert_eq!(other.free(world.shared(), block), Freed::Small);
    }
    retire(&world, other);
    world.shared().empty_caches();
    assert_eq!(world.out(), 0);
}

/// Gives the central list a span of `bank` with one block out; its region.
fn leave_span(world: &World, class: Class, bank: Bank) -> Region {
    let region = world.central.new_span(class, Entry::central(class), bank).expect("memory");
    let (span, mut block) = (world.central.span(region), core::ptr::null_mut());
    #[expect(unsafe_code, reason = "takes a block")]
    // SAFETY: one block for one place.
    unsafe {
        span.take(class.geometry(), world.central.pages.space().address(region), 1, &raw mut block);
    }
    world.central.surrender_span(class, region);
    region
}

#[test]
fn spans_of_the_own_bank_are_adopted_first() {
    let world = World::within(Space::reserve_banks(2, 64 * MIB));
    let class = Class::all().nth(20).expect("a class");
    let banks: Vec<Bank> = world.central.pages.space().banks().collect();
    let spans: Vec<Region> = [0, 1, 0].map(|bank| leave_span(&world, class, banks[bank])).to_vec();
    let heap = world.heap();
    let adopt = |bank| world.central.adopt_span(class, Entry::small(heap.address(), class), bank);
    assert_eq!(adopt(Some(banks[1])), Some(spans[1]), "though it is neither the first nor the last one that was left");
    assert_eq!(adopt(Some(banks[1])), None, "a new span is nearer than those that are left");
    assert!(spans.contains(&adopt(None).expect("anything, where there is no memory")));
}

#[test]
fn batches_are_not_kept_where_blocks_have_nodes() {
    let class = Class::all().next().expect("a class");
    for (space, kept) in
        [(Space::reserve_banks(2, 64 * MIB), false), (Space::reserve(64 * MIB, 4096).expect("address space"), true)]
    {
        let world = World::within(space);
        let batch = world.central.acquire_batch(0).expect("metadata");
        for _ in 0..class.geometry().batch {
            let _ = batch.push(core::ptr::without_provenance_mut(8), Entry::central(class), class.geometry());
        }
        assert_eq!(world.central.put_batch(class, batch), kept);
    }
}

#[test]
fn a_heap_is_near_to_its_thread() {
    // Nothing here knows of nodes, so every thread is near to the first bank.
    let world = World::within(Space::reserve_banks(2, 64 * MIB));
    let here = world.central.pages.space().bank_here();
    let first = world.heap();
    world.registry.release(first);
    assert_eq!(world.heap().address(), first.address(), "it is near and has no thread");
    first.own_bank.set(world.central.pages.space().banks().find(|&bank| bank != here).expect("another bank"));
    world.registry.release(first);
    let second = world.heap();
    assert_ne!(second.address(), first.address(), "that one is far away");
    world.registry.release(second);
    assert_eq!(world.heap().address(), second.address());
}

#[test]
#[cfg(debug_assertions)]
fn the_check_finds_what_is_wrong() {
    let world = World::new(64 * MIB);
    let heap = world.heap();
    let class = Class::of_size(100).expect("small");
    let blocks: Vec<_> = (0..10).map(|_| heap.alloc(world.shared(), class).expect("memory")).collect();
    assert_eq!(heap.check(world.shared()), Ok(()));
    // A block that the program freed twice, as a stray write into the bin would look, too.
    assert_eq!(heap.free(world.shared(), blocks[0]), Freed::Small);
    let last = heap.bin(class).len();
    heap.bin(class).set_block(1, core::ptr::with_exposed_provenance_mut(blocks[1].addr() + 8));
    assert!(last > 1 && heap.check(world.shared()).is_err());
    let other = world.heap();
    let kept = other.alloc(world.shared(), class).expect("memory");
    assert_eq!(other.check(world.shared()), Ok(()));
    let region = other.spans(class).partial.first().expect("a span");
    world.central.span(region).set_state(State::Full);
    assert!(!kept.is_null() && other.check(world.shared()).is_err());
}
