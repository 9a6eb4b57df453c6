#![expect(unsafe_code, reason = "links blocks through their first word")]
//! Deferred frees: blocks freed where no heap may be touched and no lock taken (a signal handler that interrupted the
//! allocator), or while there was no memory for the batch that would have carried them to their owner.
//!
//! They are in a stack, linked through their own first word: the only case in which the allocator writes to a freed
//! block. Any thread takes the whole stack in its next slow call (Treiber's stack without single pops, so without ABA).

use crate::sys::atomic::{AtomicPtr, Ordering};

/// In the link of a block: it was seen. Blocks are aligned to eight.
const SEEN: usize = 1;

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

    /// Takes all blocks and calls `free` with each, once. A block that the program left twice, if there is one.
    #[must_use]
    pub(crate) fn take(&self, mut free: impl FnMut(*mut u8)) -> Option<*mut u8> {
        // Relaxed: a hint; what is missed now is taken later.
        if self.head.load(Ordering::Relaxed).is_null() {
            return None;
        }
        // Acquire pairs with the Release in `push`.
        let mut block = self.head.swap(core::ptr::null_mut(), Ordering::Acquire);
        let twice = cut(block);
        while !block.is_null() {
            let next = link(block).map_addr(|next| next & !SEEN);
            free(block);
            block = next;
        }
        twice
    }
}

/// The link of a block of a stack that the caller has.
fn link(block: *mut u8) -> *mut u8 {
    // SAFETY: blocks on the stack carry the next one in their first word.
    unsafe { block.cast::<*mut u8>().read() }
}

/// Marks the blocks of a stack that the caller has, and ends it where one comes that is marked already: it was left
/// twice, and its link leads in a circle. Before any block is freed, because a free block may be another thread's.
fn cut(first: *mut u8) -> Option<*mut u8> {
    let set = |block: *mut u8, next: *mut u8| {
        // SAFETY: the caller has the block, whose first word is the link.
        unsafe { block.cast::<*mut u8>().write(next.map_addr(|next| next | SEEN)) };
    };
    let (mut last, mut block) = (first, first);
    while !block.is_null() {
        let next = link(block);
        if next.addr() & SEEN != 0 {
            set(last, core::ptr::null_mut());
            return Some(block);
        }
        set(block, next);
        (last, block) = (block, next);
    }
    None
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use std::vec::Vec;

    /// The blocks taken, and the one that was left twice, after blocks were left in that order.
    fn taken(order: &[usize]) -> (Vec<usize>, Option<usize>) {
        let mut words = [0_u64; 4];
        let start = words.as_mut_ptr();
        let place = |block: *mut u8| (block.addr() - start.addr()) / size_of::<u64>();
        let deferred = Deferred::new();
        for &index in order {
            // SAFETY: a word of the array.
            unsafe { deferred.push(start.wrapping_add(index).cast()) };
        }
        let mut taken = Vec::new();
        let twice = deferred.take(|block| taken.push(place(block)));
        assert_eq!(deferred.take(|_| unreachable!("all were taken")), None);
        (taken, twice.map(place))
    }

    #[test]
    fn blocks_are_taken_once_each() {
        assert_eq!(taken(&[]), (Vec::new(), None));
        assert_eq!(taken(&[0, 1, 2, 3]), (Vec::from([3, 2, 1, 0]), None));
    }

    #[test]
    fn a_block_that_is_left_twice_is_taken_once() {
        assert_eq!(taken(&[0, 0]), (Vec::from([0]), Some(0)));
        assert_eq!(taken(&[0, 1, 2, 1]), (Vec::from([1, 2]), Some(1)));
        assert_eq!(taken(&[0, 1, 0, 1, 2]), (Vec::from([2, 1, 0]), Some(1)));
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
            assert!(deferred.take(|_| unreachable!("nothing was freed yet")).is_none());
            let pushers: Vec<_> = (0..2)
                .map(|_| {
                    let deferred = deferred.clone();
                    // SAFETY: a fresh block of eight bytes.
                    thread::spawn(move || unsafe { deferred.push(block()) })
                })
                .collect();
            let mut taken = Vec::new();
            assert!(deferred.take(|block| taken.push(block.addr())).is_none());
            for pusher in pushers {
                pusher.join().expect("no panic");
            }
            assert!(deferred.take(|block| taken.push(block.addr())).is_none());
            taken.sort_unstable();
            taken.dedup();
            assert_eq!(taken.len(), 2);
        });
    }
}
