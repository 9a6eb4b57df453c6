//! The part of the page map that the fast path sees.

use super::{LARGEST, World};
use crate::base::class::{self, Class};
use crate::base::units::{MIB, REGION_BYTES};
use crate::heap::Freed;
use crate::pages::{Bank, Entry, Space};
use std::collections::BTreeSet;

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
    heap.reopen_fast_path(world.shared());
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
fn starts_are_proven_at_every_address_of_a_span_and_nothing_else_is() {
    let world = World::new(64 * MIB);
    let (heap, space) = (world.heap(), world.central.pages.space());
    let mut begins = BTreeSet::new();
    for class in Class::all() {
        let (size, geometry) = (class.size(), class.geometry());
        for _ in 0..2 {
            let entry = Entry::small(heap.address(), class);
            let region = world.central.new_span(class, entry, Bank::FIRST).expect("memory");
            assert_eq!(space.entry(region), entry, "the word yields the entry");
            begins.insert(region.0 % class::SPAN_REGIONS_MAX);
            let bytes = geometry.regions as usize * REGION_BYTES;
            for offset in 0..bytes {
                let starts = offset % size == 0 && offset + size <= bytes;
                let seen = heap.bytes_of_block(core::ptr::without_provenance_mut(space.address(region) + offset));
                assert_eq!(seen, starts.then_some(size), "{offset} in a span of blocks of {size}");
            }
        }
    }
    assert!(begins.len() > 8, "spans begin at regions of many kinds: {begins:?}");
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
        assert!(heap.bin_of_block(core::ptr::without_provenance_mut(unused)).is_none(), "its entry can be read, too");
    }
}
