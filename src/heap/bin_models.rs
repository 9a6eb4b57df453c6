//! Models of a bin: one operation of its heap's thread beside a drain, in every interleaving.

use super::*;
use crate::base::class::Class;
use crate::heap::bin_drain::DRAIN_MAX;
use loom::sync::Arc;
use loom::thread;
use std::vec::Vec;

const ORDER: u8 = 3;
const BLOCKS: usize = 4;

struct Shared(Bin);

// SAFETY: the cells are read by both threads and written by none.
unsafe impl Send for Shared {}
// SAFETY: as above.
unsafe impl Sync for Shared {}

fn block(number: usize) -> *mut u8 {
    core::ptr::without_provenance_mut(number * 16)
}

fn bin(blocks: usize) -> Shared {
    let slots: Vec<Slot> = (0..1 << ORDER).map(|_| Slot::new(core::ptr::null_mut())).collect();
    let bin = Bin::unused();
    bin.forget();
    bin.set_proof(Class::of_size(16).expect("a class").geometry().proof());
    bin.adopt(Vec::leak(slots).as_mut_ptr(), ORDER, (1 << ORDER) - NULL_SLOTS);
    (1..=blocks).for_each(|number| assert!(bin.push(block(number))));
    Shared(bin)
}

/// One operation, begun before the fast path was closed, resumes while another thread drains the bin twice.
fn model(blocks: usize, operation: fn(&Bin) -> Vec<*mut u8>, pushed: usize) {
    loom::model(move || {
        let shared = Arc::new(bin(blocks));
        let owner = {
            let shared = shared.clone();
            thread::spawn(move || operation(&shared.0))
        };
        let mut seen = Vec::new();
        for _ in 0..2 {
            let mut drained = [core::ptr::null_mut(); DRAIN_MAX];
            let count = shared.0.drain(&mut drained).pointers().len();
            seen.extend_from_slice(&drained[..count]);
        }
        seen.extend(owner.join().expect("no panic"));
        // The owner's next operations wait for the lock of the spans, so they come after the drains.
        while let left @ 1.. = shared.0.len() {
            let popped = shared.0.pop();
            assert!(!popped.is_null(), "{left} blocks are left, and none is seen");
            seen.push(popped);
        }
        assert!(shared.0.pop().is_null());
        seen.sort_unstable();
        let all: Vec<*mut u8> = (1..=blocks + pushed).map(block).collect();
        assert_eq!(seen, all, "a block is lost or doubled");
    });
}

#[test]
fn loom_an_interrupted_pop_and_a_drain() {
    for blocks in 0..=BLOCKS {
        model(blocks, |bin| [bin.pop()].into_iter().filter(|block| !block.is_null()).collect(), 0);
    }
}

#[test]
fn loom_an_interrupted_push_and_a_drain() {
    model(1, |bin| push_next(bin, 2), 1);
    model(BLOCKS, |bin| push_next(bin, BLOCKS + 1), 1);
}

fn push_next(bin: &Bin, number: usize) -> Vec<*mut u8> {
    assert!(bin.push(block(number)));
    Vec::new()
}
