//! Heaps against a naive model: which blocks are live, with what contents, on which heap.

mod bounds;
mod undisturbed;

use std::collections::BTreeMap;

use super::{Freed, Heap, Registry, Shared};
use crate::base::class::Class;
use crate::base::units::{MIB, REGION_BYTES, Region};
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
        // SAFETY: nobody else has the store yet.
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

fn retire(world: &World, heap: &Heap) {
    heap.retire(world.shared());
    world.registry.release(heap);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]
    #[test]
    fn blocks_do_not_overlap_and_all_come_home(steps in prop::collection::vec(step(), 1..900)) {
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
                    heaps[heap].take_part(true);
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
        }
        for heap in heaps {
            retire(&world, heap);
        }
        world.central.empty_caches(|batch| super::settle(world.shared(), batch));
        prop_assert_eq!(world.out(), live.len(), "after all heaps are gone only live blocks are out");
    }
}

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
    idle.take_part(true);
    assert!(idle.make_offer(7));
    assert!(idle.bin_of_block(last).is_none() && idle.pop_hit(64).is_null(), "the fast path is closed");
    let mut blocks = u32::MAX;
    assert!(other.drain_other(world.shared(), idle, 7, &mut blocks), "an offer of this round is left alone");
    assert!(idle.bin(class).len() > 1);
    assert!(other.drain_other(world.shared(), idle, 8, &mut blocks));
    assert_eq!((idle.bin(class).len(), idle.bin(class).last()), (1, last));
    other.collect(world.shared());
    assert_eq!(world.out(), 2, "one block in each of the two bins");
    assert!(idle.take_offer(world.shared()) && !idle.take_offer(world.shared()));
    assert_eq!(
        (idle.pop_hit(64), idle.pop_hit(64)),
        (last, core::ptr::null_mut()),
        "the fast path is open, and has the last block"
    );
    // The batch is where it was, and takes more.
    assert_eq!(idle.free(world.shared(), last), Freed::Small);
    retire(&world, idle);
    retire(&world, other);
    world.central.empty_caches(|batch| super::settle(world.shared(), batch));
    assert_eq!(world.out(), 0);
}

#[test]
fn exhaustion_is_an_answer_and_ends_when_blocks_come_back() {
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
fn remote_frees_come_home_through_the_inbox_and_after_the_owner_is_gone() {
    let world = World::new(64 * MIB);
    let (owner, other) = (world.heap(), world.heap());
    let class = Class::of_size(64).expect("small");
    let mut blocks: Vec<_> = (0..2000).map(|_| owner.alloc(world.shared(), class).expect("memory")).collect();
    for block in blocks.drain(..1000) {
        assert_eq!(other.free(world.shared(), block), Freed::Small);
    }
    assert!(world.out() >= 2000, "nothing is home before the owner looks");
    owner.collect(world.shared());
    assert!(world.out() < 2000);
    retire(&world, owner);
    for block in blocks {
        assert_eq!(other.free(world.shared(), block), Freed::Small);
    }
    retire(&world, other);
    world.central.empty_caches(|batch| super::settle(world.shared(), batch));
    assert_eq!(world.out(), 0);
}

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
    // The next span comes from the depot, which has taken the orphan's over.
    let used = world.central.pages.figures().used;
    for _ in 0..2000 {
        own.alloc(world.shared(), class).expect("memory");
    }
    assert_eq!(world.central.pages.figures().used, used, "no fresh memory while the orphan's can be had");
    assert_eq!(heaps(&world), 1);
}

/// Makes heaps that hold blocks in bins, batches, spans and inboxes, and loses their threads; the live blocks.
fn lose_heaps(world: &World, own: &Heap, count: usize) -> Vec<(usize, usize)> {
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
fn orphans_are_adopted_in_portions() {
    let world = World::new(256 * MIB);
    let own = world.heap();
    let live = lose_heaps(&world, own, 50);
    world.registry.adopt_orphans(world.shared());
    assert_eq!(heaps(&world), 51, "one portion does not do for fifty heaps");
    let portions = (1..).find(|_| {
        world.registry.adopt_orphans(world.shared());
        heaps(&world) == 1
    });
    assert!(portions.is_some_and(|portions| portions < 200), "{portions:?} portions");
    assert_eq!(world.out(), live.len(), "only live blocks are out");
    takes_only_what_is_free(&world, own, &live);
}

#[test]
fn a_fork_in_the_midst_of_an_adoption_loses_nothing_and_doubles_nothing() {
    for portions in [1, 5, 10, 15, 20, 25, 30] {
        let world = World::new(256 * MIB);
        let own = world.heap();
        let live = lose_heaps(&world, own, 30);
        for _ in 0..portions {
            world.registry.adopt_orphans(world.shared());
        }
        let kept: Vec<_> =
            (0..500).map(|_| own.alloc(world.shared(), Class::of_size(100).expect("small")).expect("memory").addr()).collect();
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
fn nobody_works_on_the_spans_of_an_orphan() {
    let world = World::new(64 * MIB);
    let (own, lost) = (world.heap(), world.heap());
    assert!(lost.try_hold_spans());
    world.registry.leave_others(Some(own));
    assert!(!lost.try_hold_spans() && own.try_hold_spans());
    own.free_spans();
    world.registry.orphan_all_but(Some(own));
    world.registry.adopt_orphans(world.shared());
    // A thread that gets the heap later finds the spans free, whoever had them; also those of a heap that had no thread.
    assert_eq!(world.heap().address(), lost.address());
    assert!(lost.try_hold_spans());
    world.registry.release(lost);
    world.registry.leave_others(Some(own));
    assert_eq!(world.heap().address(), lost.address());
    assert!(lost.try_hold_spans());
}

#[test]
fn nobody_drains_an_orphan_that_was_at_rest() {
    let world = World::new(64 * MIB);
    let (own, lost) = (world.heap(), world.heap());
    let class = Class::of_size(64).expect("small");
    lost.alloc(world.shared(), class).expect("memory");
    lost.take_part(true);
    assert!(lost.make_offer(1));
    let binned = lost.binned(class);
    world.registry.leave_others(Some(own));
    let mut blocks = u32::MAX;
    assert!(binned > 1 && own.drain_other(world.shared(), lost, 2, &mut blocks));
    assert!(!lost.try_hold_spans() && lost.binned(class) == binned);
}

#[test]
fn what_a_busy_orphan_held_stays_out() {
    for busy in [false, true] {
        let world = World::new(64 * MIB);
        let (own, lost) = (world.heap(), world.heap());
        let class = Class::of_size(128).expect("small");
        let blocks: Vec<_> = (0..100).map(|_| lost.alloc(world.shared(), class).expect("memory")).collect();
        for block in blocks {
            assert_eq!(lost.free(world.shared(), block), Freed::Small);
        }
        let binned = lost.binned(class);
        lost.set_busy(busy);
        world.registry.orphan_all_but(Some(own));
        for _ in 0..100 {
            world.registry.adopt_orphans(world.shared());
        }
        assert!(binned > 1 && heaps(&world) == 1);
        assert_eq!(world.out(), if busy { binned } else { 0 });
    }
}

/// Has the depot own a span of `bank` with one block out; where it is.
fn leave_span(world: &World, class: Class, bank: Bank) -> Region {
    let region = world.central.new_span(class, Entry::depot(class), bank).expect("memory");
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
            let _ = batch.push(core::ptr::without_provenance_mut(8), Entry::depot(class), class.geometry());
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
    first.home.set(world.central.pages.space().banks().find(|&bank| bank != here).expect("another bank"));
    world.registry.release(first);
    let second = world.heap();
    assert_ne!(second.address(), first.address(), "that one is far away");
    world.registry.release(second);
    assert_eq!(world.heap().address(), second.address());
}

#[test]
fn the_fast_path_sees_the_map_as_far_as_it_can_be_read() {
    // A map that can be read as a whole, and one whose next word is not there yet.
    for bytes in [64 * MIB, 1024 * MIB] {
        sees_the_map(&World::new(bytes));
    }
}

fn sees_the_map(world: &World) {
    let (heap, class) = (world.heap(), Class::of_size(100).expect("small"));
    let block = heap.alloc(world.shared(), class).expect("memory");
    let sees = |block: *mut u8| heap.bin_of_block(block).is_some();
    assert!(sees(block), "also in a small reservation");
    let [base, map] = world.central.pages.space().window();
    let wild = |address: usize| core::ptr::without_provenance_mut(address);
    for bits in 40..64 {
        assert!(!sees(wild(block.addr() ^ 1 << bits)), "bit {bits}");
    }
    // Around the data area, where the map has no words, and in what describes the area.
    let regions = world.central.pages.space().reach();
    for address in [0, 1, map, base - 1, base, base + regions * REGION_BYTES, usize::MAX - 7] {
        assert!(!sees(wild(address)), "{address:#x}");
    }
    heap.close();
    assert!(!sees(block));
    let _ = heap.free(world.shared(), block);
    assert!(!sees(block), "a slow free opens nothing");
    heap.reopen(world.central.pages.space(), true);
    assert!(sees(block));
}

#[test]
fn a_slow_free_has_the_fast_path_see_what_was_committed_since() {
    // More than one step of the map's words describes.
    let world = World::new(1024 * MIB);
    let (heap, class) = (world.heap(), Class::of_size(LARGEST).expect("small"));
    let sees = |block: *mut u8| heap.bin_of_block(block).is_some();
    let before = world.central.pages.space().reach();
    let mut blocks = Vec::new();
    while world.central.pages.space().reach() == before {
        blocks.push(heap.alloc(world.shared(), class).expect("memory"));
    }
    blocks.extend((0..100).map(|_| heap.alloc(world.shared(), class).expect("memory")));
    let far = *blocks.iter().max_by_key(|block| block.addr()).expect("blocks");
    assert!(!sees(far));
    assert_eq!(heap.free(world.shared(), blocks[0]), Freed::Small);
    assert!(sees(far));
}

#[test]
fn banks_are_seen_as_a_whole() {
    let world = World::within(Space::reserve_banks(2, 64 * MIB));
    let space = world.central.pages.space();
    let heap = world.heap();
    for bank in space.banks() {
        let class = Class::of_size(100).expect("small");
        let region = world.central.new_span(class, Entry::small(heap.address(), class), bank).expect("memory");
        assert!(heap.bin_of_block(core::ptr::without_provenance_mut(space.address(region))).is_some());
        let unused = space.address(space.first_region(bank).plus(1000));
        assert!(heap.bin_of_block(core::ptr::without_provenance_mut(unused)).is_none(), "it can be looked up, too");
    }
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
    let region = other.partial(class).first().expect("a span");
    world.central.span(region).set_state(State::Full);
    assert!(!kept.is_null() && other.check(world.shared()).is_err());
}
