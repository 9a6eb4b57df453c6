//! A model of a batch: one addition of its heap's thread beside a drain, in every interleaving.

use super::*;
use crate::base::class::Class;
use loom::sync::Arc;
use loom::thread;
use std::vec::Vec;

struct Shared(Batch);

// SAFETY: the cells are written by one of the two threads each, and read by the other after both are done.
unsafe impl Send for Shared {}
// SAFETY: as above.
unsafe impl Sync for Shared {}

#[test]
fn loom_an_interrupted_addition_and_a_drain() {
    for before in 1..=3_usize {
        loom::model(move || {
            let class = Class::all().next().expect("a class");
            let (geometry, entry) = (class.geometry(), Entry::central(class));
            let block = |number: usize| core::ptr::without_provenance_mut::<u8>(number * 16);
            let shared = Arc::new(Shared(Batch::new(0)));
            (1..=before).for_each(|number| assert!(shared.0.push(block(number), entry, geometry)));
            let owner = {
                let shared = shared.clone();
                thread::spawn(move || shared.0.push_common(block(before + 1), geometry))
            };
            let mut seen = Vec::new();
            shared.0.move_each(|block| seen.push(block));
            assert!(owner.join().expect("no panic"), "the batch has room");
            shared.0.move_each(|block| seen.push(block));
            assert_eq!(seen, (1..=before + 1).map(block).collect::<Vec<_>>(), "a block is lost or doubled");
            assert_eq!(shared.0.len(), 0);
        });
    }
}
