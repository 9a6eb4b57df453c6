//! A Rust program that asks its allocator: how many bytes live, in which blocks, how large a block is, what can go back to
//! the kernel.
//! Run it: make -C examples figures
//! Prints:
//!   a buffer of 100 bytes gets a block of 112
//!   1000 of them: 112000 live bytes more, in 1000 blocks of 112
//!   all dropped: 0 live bytes more
//!   8 MiB written and dropped, and given back to the kernel: true

use spandrel::Spandrel;

#[global_allocator]
static ALLOCATOR: Spandrel = Spandrel;

const SIZE: usize = 100;

fn live_bytes() -> usize {
    ALLOCATOR.stats().expect("there is memory for a snapshot").live_bytes
}

/// Live blocks of that many bytes.
fn live_blocks(bytes: usize) -> usize {
    let mut live = 0;
    ALLOCATOR.for_each_class(|class| live += if class.block_bytes == bytes { class.live_blocks } else { 0 });
    live
}

fn main() {
    let block = ALLOCATOR.good_size(SIZE);
    println!("a buffer of {SIZE} bytes gets a block of {block}");

    let mut buffers: Vec<Vec<u8>> = Vec::with_capacity(1000);
    let (bytes, blocks) = (live_bytes(), live_blocks(block));
    buffers.resize_with(1000, || Vec::with_capacity(SIZE));
    let (more, made) = (live_bytes() - bytes, live_blocks(block) - blocks);
    println!("1000 of them: {more} live bytes more, in {made} blocks of {block}");
    buffers.clear();
    println!("all dropped: {} live bytes more", live_bytes() - bytes);

    drop(vec![1_u8; 8 << 20]);
    println!("8 MiB written and dropped, and given back to the kernel: {}", ALLOCATOR.purge(0));
}
