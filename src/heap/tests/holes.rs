//! Holes of spans against a naive model: which bytes the program wrote, and which pages no block lies on.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::{HEAPS, World, retire};
use crate::base::class::Class;
use crate::base::units::{KIB, MIB, REGION_BYTES};
use crate::central::{Due, Holes, Place};
use crate::heap::{Freed, Heap};

const PAGE: usize = 4 * KIB;
/// A time that no clock reaches.
const NEVER: u64 = u64::MAX;

#[derive(Clone, Debug)]
enum Step {
    /// So many blocks of a size, of which one in so many is kept.
    Peak {
        heap: usize,
        size: usize,
        count: usize,
        kept_of: usize,
    },
    /// Every so many of all live blocks is freed by a heap.
    Thin {
        heap: usize,
        of: usize,
    },
    Retire {
        heap: usize,
    },
    Collect {
        heap: usize,
    },
    Offer {
        heap: usize,
    },
    Trim {
        heap: usize,
    },
    /// The thread of a heap takes the offer that stands.
    Take {
        heap: usize,
    },
}

fn step() -> impl Strategy<Value = Step> {
    let heap = 0..HEAPS;
    let size = prop_oneof![3 => 1_usize..600, 2 => 600_usize..5000, 1 => 5000_usize..33_000];
    prop_oneof![
        6 => (heap.clone(), size, 1_usize..400, 1_usize..9).prop_map(|(heap, size, count, kept_of)| {
            Step::Peak { heap, size: size.min(32 * KIB), count, kept_of }
        }),
        3 => (heap.clone(), 2_usize..6).prop_map(|(heap, of)| Step::Thin { heap, of }),
        1 => heap.clone().prop_map(|heap| Step::Retire { heap }),
        1 => heap.clone().prop_map(|heap| Step::Collect { heap }),
        2 => heap.clone().prop_map(|heap| Step::Offer { heap }),
        4 => heap.clone().prop_map(|heap| Step::Trim { heap }),
        1 => heap.prop_map(|heap| Step::Take { heap }),
    ]
}

/// Live blocks by address: their usable bytes, and what every byte of theirs was written.
type Live = BTreeMap<usize, (usize, u8)>;

#[expect(unsafe_code, reason = "writes to blocks as a program does")]
fn fill(block: *mut u8, (bytes, with): (usize, u8)) {
    // SAFETY: the block has so many bytes, and the test alone holds it.
    unsafe { block.write_bytes(with, bytes) };
}

#[expect(unsafe_code, reason = "reads blocks as a program does")]
fn holds(block: usize, (bytes, with): (usize, u8)) -> bool {
    let start = core::ptr::with_exposed_provenance::<u8>(block);
    // SAFETY: the block is live, so it has so many bytes, all of which were written.
    unsafe { core::slice::from_raw_parts(start, bytes) }.iter().all(|&byte| byte == with)
}

fn free(world: &World, heap: &Heap, block: usize) {
    assert_eq!(heap.free(world.shared(), core::ptr::with_exposed_provenance_mut(block)), Freed::Small);
}

fn trim(world: &World, heap: &Heap) -> bool {
    heap.collect(world.shared());
    heap.offer_or_drain_all(world.shared(), NEVER);
    heap.purge_all_holes(world.shared(), NEVER)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]
    #[test]
    fn no_page_of_a_live_block_is_dropped(steps in prop::collection::vec(step(), 1..50)) {
        let world = World::new(256 * MIB);
        let mut heaps: Vec<&Heap> = (0..HEAPS).map(|_| world.heap()).collect();
        heaps.iter().for_each(|heap| heap.set_idle_return(true));
        let (mut live, mut next, mut round) = (Live::new(), 0_u8, 1);
        for step in steps.into_iter().chain([Step::Trim { heap: 0 }]) {
            let drops = matches!(step, Step::Offer { .. } | Step::Trim { .. });
            match step {
                Step::Peak { heap, size, count, kept_of } => {
                    let class = Class::of_size(size).expect("small");
                    let blocks: Vec<_> = (0..count).map_while(|_| heaps[heap].alloc(world.shared(), class)).collect();
                    for (index, block) in blocks.into_iter().enumerate() {
                        next = next % u8::MAX + 1;
                        fill(block, (class.size(), next));
                        prop_assert_eq!(live.insert(block.addr(), (class.size(), next)), None, "handed out twice");
                        if index % kept_of != 0 {
                            live.remove(&block.addr());
                            free(&world, heaps[heap], block.addr());
                        }
                    }
                }
                Step::Thin { heap, of } => {
                    let gone: Vec<usize> = live.keys().step_by(of).copied().collect();
                    for block in gone {
                        live.remove(&block);
                        free(&world, heaps[heap], block);
                    }
                }
                Step::Retire { heap } => {
                    retire(&world, heaps[heap]);
                    heaps[heap] = world.heap();
                    heaps[heap].set_idle_return(true);
                }
                Step::Collect { heap } => heaps[heap].collect(world.shared()),
                Step::Offer { heap } => {
                    round += 1;
                    let _ = heaps[heap].make_offer(round);
                    let other = heaps[(heap + 1) % HEAPS];
                    let _ = other.drain_other(world.shared(), heaps[heap], round + 1, &mut { u32::MAX });
                }
                Step::Trim { heap } => {
                    trim(&world, heaps[heap]);
                }
                Step::Take { heap } => {
                    let _ = heaps[heap].take_offer(world.shared());
                }
            }
            for (&block, &content) in live.iter().filter(|_| drops) {
                prop_assert!(holds(block, content), "a live block of {} bytes lost its contents", content.0);
            }
        }
    }
}

/// Whole pages of spans on which no block of `out` lies, that are present.
fn present_free_pages(world: &World, live: &Live) -> usize {
    let space = world.central.pages.space();
    let mut present = 0;
    world.central.each_span(|_, entry, region| {
        if entry.class().is_none() {
            return;
        }
        let start = space.address(region);
        for page in (start..start + REGION_BYTES).step_by(PAGE) {
            let before = live.range(..page + PAGE).next_back();
            if before.is_none_or(|(&block, &(bytes, _))| block + bytes <= page) {
                present += usize::from(is_present(page));
            }
        }
    });
    present
}

#[expect(unsafe_code, reason = "asks the kernel")]
fn is_present(page: usize) -> bool {
    let mut answer = 0_u8;
    // SAFETY: one page, one byte for the answer.
    let result = unsafe { libc::mincore(core::ptr::with_exposed_provenance_mut(page), PAGE, &raw mut answer) };
    assert_eq!(result, 0);
    answer & 1 != 0
}

#[test]
fn a_trim_drops_the_free_pages_of_spans_of_every_owner() {
    for size in [16, 100, 1000, 3000, 9000] {
        let world = World::new(256 * MIB);
        let (own, other, ended) = (world.heap(), world.heap(), world.heap());
        let class = Class::of_size(size).expect("small");
        let mut live = Live::new();
        for heap in [own, other, ended] {
            let blocks: Vec<_> =
                (0..4 * MIB / size).map(|_| heap.alloc(world.shared(), class).expect("memory")).collect();
            for (index, block) in blocks.iter().enumerate() {
                fill(*block, (class.size(), 1));
                if index.is_multiple_of(64 * KIB / size) {
                    live.insert(block.addr(), (class.size(), 1));
                } else {
                    free(&world, heap, block.addr());
                }
            }
            // Blocks in the bin of another thread count as in use.
            heap.collect(world.shared());
        }
        retire(&world, ended);
        let before = present_free_pages(&world, &live);
        assert!(before > 1000, "{before} pages");
        assert!(trim(&world, own));
        let last = |heap: &Heap| usize::from(!heap.bin(class).last().is_null());
        let pinned = (class.size() / PAGE + 2) * (last(own) + last(other));
        let after = present_free_pages(&world, &live);
        assert!(after <= pinned, "{after} free pages of spans of {size} bytes stay, {pinned} may");
        assert!(!trim(&world, own), "nothing has changed since");
        for (&block, &content) in &live {
            assert!(holds(block, content));
        }
    }
}

#[test]
fn blocks_in_purged_pages_are_counted_until_one_is_taken() {
    let world = World::new(64 * MIB);
    let heap = world.heap();
    let class = Class::of_size(1000).expect("small");
    let blocks: Vec<_> = (0..64).map(|_| heap.alloc(world.shared(), class).expect("memory")).collect();
    for block in &blocks[1..] {
        free(&world, heap, block.addr());
    }
    let holes = || {
        let mut holes = 0;
        world.central.each_span(|span, entry, region| {
            holes += if entry.class().is_some() && span.first() == region { span.purged_bytes() } else { 0 };
        });
        holes
    };
    assert_eq!(holes(), 0);
    assert!(trim(&world, heap));
    let purged = holes();
    assert!(purged >= REGION_BYTES - 3 * PAGE, "{purged}");
    while heap.binned(class) > 0 {
        heap.alloc(world.shared(), class).expect("memory");
    }
    heap.alloc(world.shared(), class).expect("memory");
    assert!(holes() < purged, "a span from which blocks were taken counts as present");
}

#[test]
fn a_span_that_shrinks_gives_back_large_holes_alone() {
    let world = World::new(64 * MIB);
    let (heap, other) = (world.heap(), world.heap());
    [heap, other].iter().for_each(|heap| heap.set_idle_return(true));
    let wide = Class::all().filter(|class| class.geometry().regions >= 4);
    let class = wide.max_by_key(|class| class.geometry().capacity).expect("spans of several regions");
    let (geometry, size) = (class.geometry(), class.size());
    let mut blocks: Vec<_> =
        (0..geometry.capacity).map(|_| heap.alloc(world.shared(), class).expect("memory").addr()).collect();
    blocks.sort_unstable();
    let Place::Small { span, .. } = world.central.resolve(blocks[0]) else { panic!("not a small block") };
    let first = span.first();
    // A hole of half of the span, and a small one behind it.
    let (half, last) = (blocks.len() / 2, blocks.len() - 1);
    let small = half + (2 * PAGE).div_ceil(size).max(2);
    let purge = |due| (world.central.purge_holes(class, first, due, None), span.purged_bytes());
    for (index, &block) in blocks.iter().enumerate() {
        if index < half || (half + 1..=small).contains(&index) {
            free(&world, heap, block);
        }
    }
    assert!(small < last && size * (small - half) < REGION_BYTES, "{size} bytes");
    // A collection would purge around the block that stays in the bin.
    let _ = heap.make_offer(1);
    assert!(other.drain_other(world.shared(), heap, 2, &mut { u32::MAX }));
    let (holes, large) = purge(Due::Shrinking);
    assert_eq!(holes, Holes::Purged);
    assert!(large >= REGION_BYTES && large <= half * size, "{large} bytes");
    assert_eq!(purge(Due::Shrinking), (Holes::Waiting, large), "it has not changed");
    let (holes, all) = purge(Due::AtRest);
    assert!(holes == Holes::Purged && all > large, "{all} of {large} bytes, at rest");
    assert_eq!(purge(Due::Shrinking), (Holes::None, all));
    assert_eq!(purge(Due::AtRest), (Holes::None, all));
}
