//! Uses jemalloc as Rust programs do: as the global allocator, and its statistics by `tikv-jemalloc-ctl`.

use std::collections::HashMap;
use std::thread;

use tikv_jemalloc_ctl::{epoch, stats};

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// A type whose blocks need an alignment of their own.
#[repr(align(64))]
#[derive(Clone)]
struct Wide([u8; 64]);

fn work(seed: usize) -> usize {
    let mut map = HashMap::new();
    for index in 0..20_000 {
        map.insert(index, "x".repeat((index * seed) % 700));
    }
    let wide = vec![Wide([1; 64]); 1000];
    assert!(wide.iter().all(|one| one.0.as_ptr().addr() % 64 == 0));
    let mut grown = Vec::new();
    grown.extend((0..300_000).map(|value| value ^ seed));
    grown.shrink_to_fit();
    let zeroed = vec![0_u8; 5 << 20];
    assert!(zeroed.iter().all(|&byte| byte == 0));
    map.values().map(String::len).sum::<usize>() + wide.len() + grown.len()
}

fn allocated() -> usize {
    epoch::advance().expect("epoch");
    stats::allocated::read().expect("stats.allocated")
}

fn main() {
    let before = allocated();
    let held = vec![7_u8; 64 << 20];
    let grown = allocated() - before;
    assert!((64 << 20..66 << 20).contains(&grown), "{grown}");
    assert!(stats::resident::read().expect("stats.resident") >= stats::active::read().expect("stats.active"));
    drop(held);
    let threads: Vec<_> = (1..5).map(|seed| thread::spawn(move || work(seed))).collect();
    let sum: usize = threads.into_iter().map(|thread| thread.join().expect("a thread")).sum();
    println!("{sum} {}", tikv_jemalloc_ctl::version::read().expect("version"));
}
