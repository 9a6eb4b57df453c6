#![expect(unsafe_code, reason = "links blocks through their first word")]
//! Deferred frees: blocks freed where no heap may be touched and no lock taken (a signal handler that interrupted the
//! allocator), or while there was no memory for the batch that would have carried them to their owner.
//!
//! They are in a stack, linked through their own first word: the only case in which the allocator writes to a freed
//! block. Any thread takes the whole stack in its next slow call (Treiber's stack without single pops, so without ABA).

use crate::sys::atomic::{AtomicPtr, Ordering};

/// The stack of deferred blocks.
pub(crate) struct Deferred {
    /// The block pushed last. Any thread pushes, any thread takes all.
    head: AtomicPtr<u8>,
}

impl Deferred {
    /// An empty stack.
    pub(crate) const fn new() -> Self {
        Self { head: AtomicPtr::new(core::ptr::null_mut()) }
    }

    /// Leaves a block.
    ///
    /// # Safety
    /// - `block` has at least eight writable bytes, aligned to eight, and is no longer in use.
    pub(crate) unsafe fn push(&self, block: *mut u8) {
        // Relaxed: the exchange below publishes.
        let mut head = self.head.load(Ordering::Relaxed);
        loop {
            // SAFETY: the caller gives the block up.
            unsafe { block.cast::<*mut u8>().write(head) };
            // Release pairs with the Acquire in `take`.
            match self.head.compare_exchange_weak(head, block, Ordering::Release, Ordering::Relaxed) {
                Ok(_) => return,
                Err(now) => head = now,
            }
        }
    }

    /// Takes all blocks and calls `free` with each.
    pub(crate) fn take(&self, mut free: impl FnMut(*mut u8)) {
        // Relaxed: a hint; what is missed now is taken later.
        if self.head.load(Ordering::Relaxed).is_null() {
            return;
        }
        // Acquire pairs with the Release in `push`.
        let mut block = self.head.swap(core::ptr::null_mut(), Ordering::Acquire);
        while !block.is_null() {
            // SAFETY: blocks on the stack carry the next one in their first word.
            let next = unsafe { block.cast::<*mut u8>().read() };
            free(block);
            block = next;
        }
    }
}

#[cfg(all(test, loom))]
mod models {
    use super::*;
    use loom::sync::Arc;
    use loom::thread;
    use std::{boxed::Box, vec::Vec};

    fn block() -> *mut u8 {
        core::ptr::from_mut(Box::leak(Box::new(0_u64))).cast()
    }

    #[test]
    fn loom_every_deferred_block_is_taken_once() {
        loom::model(|| {
            let deferred = Arc::new(Deferred::new());
            deferred.take(|_| unreachable!("nothing was freed yet"));
            let pushers: Vec<_> = (0..2)
                .map(|_| {
                    let deferred = deferred.clone();
                    // SAFETY: a fresh block of eight bytes.
                    thread::spawn(move || unsafe { deferred.push(block()) })
                })
                .collect();
            let mut taken = Vec::new();
            deferred.take(|block| taken.push(block.addr()));
            for pusher in pushers {
                pusher.join().expect("no panic");
            }
            deferred.take(|block| taken.push(block.addr()));
            taken.sort_unstable();
            taken.dedup();
            assert_eq!(taken.len(), 2);
        });
    }
}
