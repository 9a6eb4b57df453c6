//! Notes against a map, and notes that several threads use at once.

use super::*;
use proptest::prelude::*;
use std::collections::HashMap;

fn block_of(n: usize) -> Block {
    let by = Act { thread: n as u32, stack: StackId(n as u32 / 3) };
    Block { address: 0x7f00_0000_0000 + n * 16, size: n * 7, made: n as u64, by }
}

fn notes(data: usize) -> &'static Notes {
    let notes = Box::leak(Box::new(Notes::new()));
    notes.begin(data, 4096);
    notes
}

proptest! {
    #[test]
    fn notes_are_a_map_from_places_to_blocks(
        steps in prop::collection::vec((0_usize..3, 0_usize..8, any::<prop::sample::Index>()), 1..2000)
    ) {
        let (notes, heaps) = (notes(64 << 20), [Free::new(), Free::new()]);
        let mut live: HashMap<u32, Block> = HashMap::new();
        let mut places = Vec::new();
        for (n, (heap, what, which)) in steps.into_iter().enumerate() {
            let free = heaps.get(heap);
            if what < 4 || places.is_empty() {
                let place = notes.add(free, &block_of(n));
                if free.is_none() {
                    prop_assert_eq!(place, WITHOUT_NOTE);
                    continue;
                }
                prop_assert!(live.insert(place, block_of(n)).is_none(), "a place of its own");
                places.push(place);
            } else {
                let at = which.index(places.len());
                if what == 4 {
                    notes.change(places[at], &block_of(n));
                    live.insert(places[at], block_of(n));
                } else {
                    let place = places.swap_remove(at);
                    prop_assert_eq!(notes.remove(free, place), live.remove(&place));
                }
            }
        }
        let found: HashMap<_, _> = (0..notes.limit()).filter_map(|at| Some((at, notes.copy(at)?))).collect();
        prop_assert_eq!(found, live);
    }
}

#[test]
fn a_block_without_memory_for_its_note_has_none() {
    let notes = notes(RESERVE_MIN * SHARE);
    let free = Free::new();
    let room = RESERVE_MIN / size_of::<Note>() - FIRST as usize;
    let places: Vec<u32> = (0..room).map(|n| notes.add(Some(&free), &block_of(n))).collect();
    let whole = room / BATCH as usize * BATCH as usize;
    assert!(places[..whole].iter().all(|&place| place >= FIRST));
    assert!(places[whole..].iter().all(|&place| place == WITHOUT_NOTE));
    assert_eq!(notes.remove(Some(&free), WITHOUT_NOTE), None);
    assert_eq!(notes.remove(Some(&free), places[0]), Some(block_of(0)));
    assert_eq!(notes.add(Some(&free), &block_of(9)), places[0]);
}

#[test]
fn notes_move_between_heaps_in_batches() {
    let (notes, makes, frees) = (notes(64 << 20), Free::new(), Free::new());
    for n in 0..100_000 {
        let place = notes.add(Some(&makes), &block_of(n));
        assert_eq!(notes.remove(Some(&frees), place), Some(block_of(n)));
    }
    assert!(notes.limit() < FIRST + 5 * BATCH, "{}", notes.limit());
}

#[test]
fn a_copy_is_of_one_block() {
    let notes = notes(64 << 20);
    std::thread::scope(|scope| {
        for thread in 0..2 {
            scope.spawn(move || {
                let free = Free::new();
                for n in 0..200_000 {
                    let place = notes.add(Some(&free), &block_of(n * 2 + thread));
                    notes.remove(Some(&free), place);
                }
            });
        }
        scope.spawn(|| {
            for _ in 0..20_000 {
                for block in (0..notes.limit()).filter_map(|place| notes.copy(place)) {
                    assert_eq!(block, block_of(block.size / 7));
                }
            }
        });
    });
}
