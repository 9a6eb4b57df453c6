//! Collections that take an allocator, by the trait of the crate allocator-api2: they use Spandrel, all else in the program
//! uses the allocator of the standard library. Needs the feature `allocator-api2` of spandrel-alloc.
//! Run it: make -C examples collections
//! Prints:
//!   a vector of 1000 numbers and a map of their squares
//!   both are Spandrel's: true
//!   a vector of the standard library is: false

use allocator_api2::vec::Vec as VecIn;
use hashbrown::HashMap;
use spandrel::Spandrel;
use std::hash::RandomState;

/// Live bytes that `work` adds to Spandrel's while its result lives.
fn grows<T>(work: impl FnOnce() -> T) -> (T, bool) {
    let live = || Spandrel.stats().map_or(0, |stats| stats.live_bytes);
    let before = live();
    let made = work();
    (made, live() > before)
}

fn main() {
    let (numbers, first) = grows(|| {
        let mut numbers = VecIn::new_in(Spandrel);
        numbers.extend(0..1000_u64);
        numbers
    });
    let (squares, second) = grows(|| {
        let mut squares = HashMap::with_hasher_in(RandomState::new(), Spandrel);
        squares.extend(numbers.iter().map(|&number| (number, number * number)));
        squares
    });
    assert_eq!(squares[&31], 961);
    println!("a vector of {} numbers and a map of their squares", numbers.len());
    println!("both are Spandrel's: {}", first && second);

    let (_standard, third) = grows(|| vec![0_u8; 1000]);
    println!("a vector of the standard library is: {third}");
}
