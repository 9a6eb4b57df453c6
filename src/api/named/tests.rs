//! Named heaps as a Rust program has them.

use super::*;
use crate::sys::atomic::{AtomicUsize, Ordering};
use std::thread;

const KIB: usize = 1 << 10;

fn layout(size: usize, align: usize) -> Layout {
    Layout::from_size_align(size, align).unwrap()
}

fn bytes(limit: usize) -> Option<NonZeroUsize> {
    NonZeroUsize::new(limit)
}

/// A block of the heap that is filled with a byte.
fn filled(heap: &NamedHeap, layout: Layout, byte: u8) -> NonNull<u8> {
    let block = heap.allocate(layout).unwrap().cast::<u8>();
    assert!(block.addr().get().is_multiple_of(layout.align()));
    assert_eq!(Spandrel.heap_of(block), Some(heap.id()));
    // SAFETY: the block has that many bytes.
    unsafe { block.write_bytes(byte, layout.size()) };
    block
}

fn holds(block: NonNull<u8>, size: usize, byte: u8) -> bool {
    // SAFETY: callers pass a live block of at least that many bytes.
    unsafe { core::slice::from_raw_parts(block.as_ptr(), size) }.iter().all(|&found| found == byte)
}

/// Frees blocks of one layout.
fn free(blocks: impl IntoIterator<Item = NonNull<u8>>, layout: Layout) {
    // SAFETY: callers pass live blocks with their layout.
    blocks.into_iter().for_each(|block| unsafe { Spandrel.deallocate(block, layout) });
}

#[test]
fn blocks_of_a_dropped_heap_stay() {
    let heap = NamedHeap::new("dropped").unwrap();
    let id = heap.id();
    let layouts = [layout(1, 1), layout(100, 8), layout(200, 256), layout(5000, 4096), layout(300_000, 8)];
    let blocks = layouts.map(|layout| filled(&heap, layout, 7));
    drop(heap);
    for (block, layout) in blocks.into_iter().zip(layouts) {
        assert!(holds(block, layout.size(), 7) && Spandrel.heap_of(block).is_none());
        free([block], layout);
    }
    Spandrel.for_each_heap(|other, _| assert_ne!(other, id));
}

#[test]
fn a_destroyed_heap_takes_its_blocks_along() {
    let heap = NamedHeap::new("destroyed").unwrap();
    let id = heap.id();
    for size in (1..3000).chain([300_000]) {
        filled(&heap, layout(size, 8), 1);
    }
    assert!(heap.stats().unwrap().held_bytes > 4 << 20);
    // SAFETY: the blocks are not used any more.
    unsafe { heap.destroy() }.unwrap();
    assert_eq!(figures::stats_of(id), None);
}

#[test]
fn scopes_nest_and_end_by_panics_too() {
    let [outer, inner] = ["outer", "inner"].map(|name| NamedHeap::new(name).unwrap());
    let current = || Spandrel.current_heap();
    assert_eq!(current(), None);
    outer
        .within(|| {
            assert_eq!(current(), Some(outer.id()));
            let block = Spandrel.allocate(layout(50, 8)).unwrap().cast();
            assert_eq!(Spandrel.heap_of(block), Some(outer.id()));
            free([block], layout(50, 8));
            let caught = std::panic::catch_unwind(|| {
                let _scope = inner.scope().unwrap();
                assert_eq!(current(), Some(inner.id()));
                std::panic::resume_unwind(std::boxed::Box::new(1));
            });
            assert!(caught.is_err() && current() == Some(outer.id()));
            assert_eq!(inner.within(|| 5).unwrap(), 5);
        })
        .unwrap();
    assert_eq!(current(), None);
    assert_eq!([&outer, &inner].map(|heap| heap.stats().unwrap().users), [0, 0]);
}

#[test]
fn a_forgotten_scope_keeps_its_heap() {
    let alone = thread::spawn(|| {
        let heap = NamedHeap::new("forgotten").unwrap();
        let id = heap.id();
        core::mem::forget(heap.scope().unwrap());
        let block = filled(&heap, layout(64, 8), 3);
        drop(heap);
        assert!(holds(block, 64, 3) && figures::stats_of(id).is_some());
        let other = NamedHeap::new("other").unwrap();
        core::mem::forget(other.scope().unwrap());
        // SAFETY: it has no block.
        assert_eq!(unsafe { other.destroy() }.unwrap_err().raw_os_error(), Some(libc::EBUSY));
        free([block], layout(64, 8));
    });
    alone.join().unwrap();
}

#[test]
fn two_threads_need_a_shared_heap() {
    let alone = NamedHeap::new("alone").unwrap();
    let shared = HeapOptions::new("shared").shared(true).create().unwrap();
    let _scopes = (alone.scope().unwrap(), shared.scope().unwrap());
    thread::scope(|threads| {
        threads.spawn(|| {
            assert_eq!(alone.scope().unwrap_err().kind(), io::ErrorKind::ResourceBusy);
            assert_eq!(alone.allocate(layout(10, 1)), Err(AllocError));
            let _scope = shared.scope().unwrap();
            free([filled(&shared, layout(10, 1), 1)], layout(10, 1));
            assert_eq!(shared.stats().unwrap().users, 2);
        });
    });
}

static MET: [AtomicUsize; 2] = [const { AtomicUsize::new(0) }; 2];

fn count_met(met: &LimitMet) {
    let at = if met.limit == Limit::Soft { 0 } else { 1 };
    assert_eq!(met.limit_bytes, [128 * KIB, 512 * KIB][at]);
    assert_eq!(figures::stats_of(met.heap).unwrap().name(), "bounded");
    MET[at].fetch_add(1, Ordering::Relaxed);
}

#[test]
fn limits_refuse_requests_and_call_the_function() {
    let options = HeapOptions::new("bounded").soft_limit(bytes(128 * KIB)).hard_limit(bytes(512 * KIB));
    let heap = options.on_limit(count_met).create().unwrap();
    let layout = layout(4000, 8);
    let blocks: std::vec::Vec<_> = core::iter::from_fn(|| heap.allocate(layout).ok()).map(NonNull::cast).collect();
    let stats = heap.stats().unwrap();
    assert!(blocks.len() > 64 && stats.held_bytes <= 512 * KIB && stats.refusals > 0, "{stats:?}");
    assert_eq!(stats.live_blocks, blocks.len());
    assert_eq!((stats.soft_limit, stats.hard_limit), (bytes(128 * KIB), bytes(512 * KIB)));
    assert!(MET.iter().all(|met| met.load(Ordering::Relaxed) > 0));
    heap.set_limits(None, None).unwrap();
    let more = filled(&heap, layout, 1);
    assert_eq!(heap.stats().unwrap().hard_limit, None);
    free(blocks.into_iter().chain([more]), layout);
}

#[test]
fn errors_have_their_kinds() {
    let invalid = |made: io::Result<NamedHeap>| made.unwrap_err().kind() == io::ErrorKind::InvalidInput;
    assert!(invalid(NamedHeap::new("a\0b")));
    assert!(invalid(HeapOptions::new("above").soft_limit(bytes(2)).hard_limit(bytes(1)).create()));
    let heap = HeapOptions::new("equal").soft_limit(bytes(1)).hard_limit(bytes(1)).create().unwrap();
    assert_eq!(heap.set_limits(bytes(2), bytes(1)).unwrap_err().kind(), io::ErrorKind::InvalidInput);
    assert_eq!(heap.allocate(layout(1 << 62, 8)), Err(AllocError));
}

#[test]
fn long_names_are_cut_between_letters() {
    let name = "ä".repeat(40);
    let heap = NamedHeap::new(&name).unwrap();
    assert_eq!(heap.stats().unwrap().name(), &name[..62]);
}

#[test]
fn a_taken_block_keeps_bytes_and_alignment() {
    let heap = NamedHeap::new("taker").unwrap();
    for layout in [layout(100, 8), layout(100, 128), layout(5000, 4096), layout(300_000, 8), layout(300_000, 65_536)] {
        let block = Spandrel.allocate(layout).unwrap().cast::<u8>();
        // SAFETY: the block has that many bytes.
        unsafe { block.write_bytes(9, layout.size()) };
        // SAFETY: the block is live and of that layout.
        let taken = unsafe { heap.take(block, layout) }.unwrap();
        assert!(taken.addr().get().is_multiple_of(layout.align()) && holds(taken, layout.size(), 9));
        assert_eq!(Spandrel.heap_of(taken), Some(heap.id()));
        free([taken], layout);
    }
}

#[test]
fn blocks_change_their_size_in_their_heap() {
    let heap = NamedHeap::new("sizes").unwrap();
    let (small, large, tiny) = (layout(100, 8), layout(40_000, 64), layout(10, 1));
    let block = filled(&heap, small, 5);
    // SAFETY: the block is live and of that layout.
    let grown = unsafe { heap.grow_zeroed(block, small, large) }.unwrap().cast::<u8>();
    assert!(holds(grown, 100, 5) && Spandrel.heap_of(grown) == Some(heap.id()));
    // SAFETY: as above.
    let shrunk = unsafe { heap.shrink(grown, large, tiny) }.unwrap().cast::<u8>();
    assert!(holds(shrunk, 10, 5) && Spandrel.heap_of(shrunk) == Some(heap.id()));
    // SAFETY: as above.
    let again = unsafe { heap.grow(shrunk, tiny, small) }.unwrap().cast::<u8>();
    assert!(holds(again, 10, 5) && Spandrel.heap_of(again) == Some(heap.id()));
    free([again], small);
    let zeroed = heap.allocate_zeroed(large).unwrap().cast::<u8>();
    assert!(holds(zeroed, 40_000, 0));
    free([zeroed], large);
}

#[cfg(feature = "allocator-api2")]
#[test]
fn collections_take_a_heap_or_a_reference_to_one() {
    use allocator_api2::{boxed::Box, vec::Vec};
    let heap = NamedHeap::new("collections").unwrap();
    let mut numbers = Vec::new_in(&heap);
    numbers.extend(0..10_000_u64);
    let boxed = Box::new_in([1_u8; 100], &heap);
    let mut map = hashbrown::HashMap::with_hasher_in(std::hash::RandomState::new(), &heap);
    map.extend(numbers.iter().take(100).map(|&number| (number, number)));
    for address in [numbers.as_ptr().addr(), core::ptr::from_ref(&*boxed).addr()] {
        let block = NonNull::new(core::ptr::without_provenance_mut(address)).unwrap();
        assert_eq!(Spandrel.heap_of(block), Some(heap.id()));
    }
    assert!(heap.stats().unwrap().live_blocks >= 2);
    drop((numbers, boxed, map));
    let mut owned = Vec::new_in(heap);
    owned.extend_from_slice(&[1, 2, 3]);
    assert_eq!(owned.iter().sum::<i32>(), 6);
}
