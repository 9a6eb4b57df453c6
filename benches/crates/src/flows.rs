//! Single operations, again and again, for counting instructions.
//!
//! Knows: collections of the standard library. Must not know: which allocator serves them.

use crate::workloads::{Random, Workload};
use std::hint::black_box;

pub(crate) const ALL: &[(&str, Workload)] = &[
    ("box-16", |count| boxes::<16>(count)),
    ("box-500", |count| boxes::<500>(count)),
    ("box-aligned", aligned),
    ("zeroed-512", zeroed),
    ("mix-256", mix),
    ("vec-push", push),
    ("shrink", shrink),
];

/// A box is made and dropped.
fn boxes<const BYTES: usize>(count: usize) -> u64 {
    for _ in 0..count {
        drop(black_box(Box::<[u8; BYTES]>::new_uninit()));
    }
    count as u64
}

#[repr(align(64))]
struct Lines([u64; 24]);

/// The same, of three cache lines at a multiple of one.
fn aligned(count: usize) -> u64 {
    for _ in 0..count {
        drop(black_box(Box::<Lines>::new_uninit()));
    }
    let lines = Box::new(Lines([count as u64; 24]));
    assert!(core::ptr::from_ref(&*lines).is_aligned());
    lines.0[7]
}

/// A buffer of zeroes.
fn zeroed(count: usize) -> u64 {
    (0..count).map(|_| u64::from(black_box(vec![0_u8; 512])[7])).sum()
}

/// Buffers of 1 to 1024 bytes that replace one another in 256 slots.
fn mix(count: usize) -> u64 {
    let (mut random, mut slots) = (Random::new(7), (0..256).map(|_| Vec::new()).collect::<Vec<Vec<u8>>>());
    for _ in 0..count {
        let number = random.next();
        slots[number as usize % 256] = Vec::with_capacity(1 + (number >> 32) as usize % 1024);
    }
    slots.iter().map(|slot| u64::from(slot.capacity() > 0)).sum()
}

/// A vector that grows to 1000 numbers, from 16 bytes to 4 KiB in nine steps.
fn push(count: usize) -> u64 {
    let grow = || {
        let mut numbers = Vec::new();
        (0..1000_u32).for_each(|number| numbers.push(black_box(number)));
        u64::from(numbers[999])
    };
    (0..count).map(|_| grow()).sum()
}

/// A string that is built with room to spare and then made as small as it can be.
fn shrink(count: usize) -> u64 {
    let make = || {
        let mut text = String::with_capacity(black_box(100));
        text.push_str(black_box("a name of forty letters, or about as many"));
        black_box(text.into_boxed_str()).len() as u64
    };
    (0..count).map(|_| make()).sum()
}
