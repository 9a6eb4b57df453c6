#![expect(unsafe_code, reason = "writes around blocks")]
//! Placement of blocks in the pool, and writes around them.

use super::*;

const PAGE: usize = 4096;

fn pool(count: usize) -> (Box<Pool>, usize, usize) {
    pool_of(count, Layout { side: GuardedSide::Both, exact: false })
}

fn pool_of(count: usize, layout: Layout) -> (Box<Pool>, usize, usize) {
    let mut pool = Box::new(Pool::new());
    let (start, end) = pool.begin(count, PAGE, layout, 7).unwrap();
    (pool, start, end)
}

#[test]
fn blocks_lie_at_the_ends_of_pages_and_places_are_used_again_last() {
    let (mut pool, start, end) = pool(4);
    assert_eq!(end - start, 9 * PAGE);
    let blocks: Vec<usize> = (0..4).map(|size| pool.alloc(size + 100, 1, Act::default(), None).unwrap()).collect();
    assert_eq!(pool.alloc(1, 1, Act::default(), None), Err(Refusal::Full));
    for (index, &block) in blocks.iter().enumerate() {
        let page = start + (2 * index + 1) * PAGE;
        assert!(block == page || block + 100 + index + 15 >= page + PAGE, "{block:x}");
        assert_eq!(pool.place(block).unwrap().size, 100 + index);
    }
    for &block in [&blocks[2], &blocks[0], &blocks[3]] {
        assert_eq!(pool.free(block, Act::default(), true), Fate::Freed);
        assert_eq!(pool.free(block, Act::default(), true), Fate::Double);
    }
    assert_eq!(pool.free(blocks[1] + 8, Act::default(), true), Fate::Inside);
    for expected in [2, 0, 3] {
        let block = pool.alloc(PAGE, 1, Act::default(), None).unwrap();
        assert_eq!(block, start + (2 * expected + 1) * PAGE);
    }
    assert_eq!(pool.alloc(1, 1, Act::default(), None), Err(Refusal::Full));
    let (mut pool, start, _) = self::pool(32);
    for index in 0..32 {
        let empty = pool.alloc(0, 1, Act::default(), None).unwrap();
        assert_eq!((empty - start) / PAGE, 2 * index + 1);
        assert_eq!(pool.free(empty, Act::default(), true), Fate::Freed);
    }
    for (size, align) in [(PAGE + 1, 1), (1, 2 * PAGE)] {
        assert_eq!(pool.alloc(size, align, Act::default(), None), Err(Refusal::Unfit));
    }
}

#[test]
fn a_place_is_never_live_twice() {
    let (mut pool, ..) = pool(3);
    let (mut live, mut random) = (Vec::new(), Random::new(11));
    for _ in 0..10_000 {
        if random.next() & 1 == 0 {
            match pool.alloc(10, 1, Act::default(), None) {
                Ok(block) => {
                    assert!(!live.iter().any(|&other: &usize| other / PAGE == block / PAGE));
                    live.push(block);
                }
                Err(refusal) => assert_eq!((live.len(), refusal), (3, Refusal::Full)),
            }
        } else if !live.is_empty() {
            let block = live.swap_remove(random.next() as usize % live.len());
            assert_eq!(pool.free(block, Act::default(), true), Fate::Freed);
        }
    }
}

#[test]
fn alignment_holds_and_what_is_written_behind_is_seen() {
    let (mut pool, ..) = pool(64);
    let mut seen = 0;
    for round in 0..64_usize {
        let align = 1 << (round % 10);
        let block = pool.alloc(21, align, Act::default(), None).unwrap();
        assert_eq!(block % align.max(16), 0);
        if block % PAGE != 0 {
            // SAFETY: the byte lies in the page of the block, which nobody else uses.
            unsafe { core::ptr::with_exposed_provenance_mut::<u8>(block + 21).write(1) };
            assert_eq!(
                pool.free(block, Act::default(), round % 3 != 0),
                if round % 3 == 0 { Fate::Freed } else { Fate::Overflowed(21) }
            );
            seen += 1;
        }
    }
    assert!(seen > 10);
}

#[test]
fn exact_blocks_end_where_the_guard_page_begins() {
    for (side, align) in [(GuardedSide::Right, 1), (GuardedSide::Right, 32), (GuardedSide::Left, 1)] {
        let (mut pool, ..) = pool_of(64, Layout { side, exact: true });
        for size in 0..64 {
            let block = pool.alloc(size, align, Act::default(), None).unwrap();
            // An empty block lies in its page, too.
            let rest = PAGE - block % PAGE - size.max(1);
            match side {
                GuardedSide::Left => assert_eq!(block % PAGE, 0),
                _ => assert!(block % align == 0 && rest < align),
            }
        }
    }
}

#[test]
fn writes_on_either_side_are_seen_whichever_end_the_block_lies_at() {
    for (side, at, fate) in [
        (GuardedSide::Left, 100, Fate::Overflowed(100)),
        (GuardedSide::Left, 163, Fate::Overflowed(163)),
        (GuardedSide::Left, 164, Fate::Freed),
        (GuardedSide::Right, -1, Fate::Underflowed(1)),
        (GuardedSide::Right, -64, Fate::Underflowed(64)),
        (GuardedSide::Right, -65, Fate::Freed),
    ] {
        let (mut pool, ..) = pool_of(1, Layout { side, exact: true });
        let block = pool.alloc(100, 1, Act::default(), None).unwrap();
        let place = core::ptr::with_exposed_provenance_mut::<u8>(block.wrapping_add_signed(at));
        // SAFETY: the byte lies in the page of the block, which nobody else uses.
        unsafe { place.write(1) };
        assert_eq!(pool.free(block, Act::default(), true), fate, "{at}");
    }
}

#[test]
fn an_access_belongs_to_the_nearest_block() {
    let (mut pool, start, _) = pool(3);
    assert!(pool.nearest(start + 5).is_none());
    let block = pool.alloc(PAGE, 1, Act::default(), None).unwrap();
    for address in [block - 1, block, block + PAGE, block - PAGE] {
        assert_eq!(pool.nearest(address).map(|place| place.address), Some(block));
    }
    let other = pool.alloc(PAGE, 1, Act::default(), None).unwrap();
    assert_eq!(pool.nearest(block + PAGE + 10).map(|place| place.address), Some(block));
    assert_eq!(pool.nearest(other - 10).map(|place| place.address), Some(other));
}
