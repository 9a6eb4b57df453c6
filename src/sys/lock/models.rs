//! A lock, model-checked.

use super::*;
use loom::sync::Arc;
use loom::thread;
use std::vec::Vec;

#[test]
fn loom_one_thread_at_a_time_holds_a_lock() {
    loom::model(|| {
        let shared = Arc::new((Lock::new(Rank::Runs, 0_u32), loom::cell::UnsafeCell::new(0_u32)));
        drop(shared.0.lock());
        let adders: Vec<_> = (0..2)
            .map(|_| {
                let shared = shared.clone();
                thread::spawn(move || {
                    let mut value = shared.0.lock();
                    // SAFETY: loom checks that nothing else has access.
                    shared.1.with_mut(|inner| unsafe { *inner += 1 });
                    *value += 1;
                })
            })
            .collect();
        for adder in adders {
            adder.join().expect("no panic");
        }
        assert_eq!(*shared.0.lock(), 2);
    });
}
