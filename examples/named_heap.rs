//! Rust's named heaps: all that code asks for counts for its tenant, a limit is met without an abort, and what is left
//! outlives the heap.
//! Run it: make -C examples named_heap
//! Prints:
//!   atlas holds 1000 names
//!   birch holds none
//!   atlas is refused at 1 MiB: the request for 4 MiB failed
//!   the names outlive their heap: name 999
//! Says: ALLOCATOR_HEAP_LIMIT

use core::num::NonZeroUsize;
use spandrel::{HeapOptions, NamedHeap, Spandrel};

#[global_allocator]
static ALLOCATOR: Spandrel = Spandrel;

/// Code that knows nothing of heaps.
fn names() -> Vec<String> {
    (0..1000).map(|number| format!("name {number}")).collect()
}

fn blocks(heap: &NamedHeap) -> usize {
    heap.stats().map_or(0, |stats| stats.live_blocks)
}

fn main() -> std::io::Result<()> {
    let atlas = HeapOptions::new("atlas").hard_limit(NonZeroUsize::new(1 << 20)).create()?;
    let birch = NamedHeap::new("birch")?;

    let names = atlas.within(names)?;
    // A block for each name, and one for the list of them.
    println!("atlas holds {} names", blocks(&atlas) - 1);
    println!("birch holds {}", if blocks(&birch) == 0 { "none" } else { "some" });

    let mut buffer = Vec::<u8>::new();
    let refused = atlas.within(|| buffer.try_reserve(4 << 20))?;
    println!("atlas is refused at 1 MiB: the request for 4 MiB {}", if refused.is_err() { "failed" } else { "passed" });

    // The end of the owner deletes the heap: its blocks stay.
    drop(atlas);
    println!("the names outlive their heap: {}", names[999]);
    Ok(())
}
