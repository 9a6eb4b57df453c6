//! Counts words, with Spandrel as the allocator.
//! Run it: make -C examples project
//! Prints:
//!   the: 3
//!   allocator: 2
//!   served by Spandrel: true

use std::collections::HashMap;

#[global_allocator]
static ALLOCATOR: spandrel::Spandrel = spandrel::Spandrel;

const TEXT: &str = "the program asks the allocator and the allocator answers";

fn main() {
    let mut counts: HashMap<&str, usize> = HashMap::new();
    for word in TEXT.split(' ') {
        *counts.entry(word).or_default() += 1;
    }
    let mut counts: Vec<_> = counts.into_iter().filter(|&(_, count)| count > 1).collect();
    counts.sort_by_key(|&(word, count)| (std::cmp::Reverse(count), word));
    for (word, count) in counts {
        println!("{word}: {count}");
    }
    println!("served by Spandrel: {}", ALLOCATOR.is_active());
}
