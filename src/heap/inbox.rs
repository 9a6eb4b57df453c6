#![expect(unsafe_code, reason = "follows batch pointers")]
//! The inbox: batches of blocks that other threads freed, on their way home.
//!
//! A stack that anyone may push to and only the owner empties, whole (Treiber, "Coping with parallelism"): because nothing is
//! ever popped singly there is no ABA. A closed inbox refuses, and the sender asks the region map again: by then the blocks have
//! another owner. Must not know blocks.

use core::cell::Cell;

use crate::central::Batch;
use crate::sys::atomic::{AtomicPtr, Ordering};

/// See the module. All-zero bytes are an inbox that accepts.
#[repr(align(128))]
pub(crate) struct Inbox {
    /// The batch pushed last; null when empty, [`closed`] when closed. Senders push, the owner empties, opens and closes.
    head: AtomicPtr<Batch>,
}

/// What became of a batch that was pushed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[must_use]
pub(crate) enum Pushed {
    /// The owner will find it.
    Delivered,
    /// Nobody looks here any more; the batch is still the sender's.
    Closed,
}

fn closed() -> *mut Batch {
    core::ptr::without_provenance_mut(1)
}

impl Inbox {
    /// An inbox that accepts.
    #[cfg(loom)]
    pub(crate) const fn new() -> Self {
        Self { head: AtomicPtr::new(core::ptr::null_mut()) }
    }

    /// Hands `batch` to the owner.
    pub(crate) fn push(&self, batch: &Batch) -> Pushed {
        // Relaxed: the exchange below publishes.
        let mut head = self.head.load(Ordering::Relaxed);
        loop {
            if head == closed() {
                return Pushed::Closed;
            }
            batch.next.set(head);
            let new = core::ptr::from_ref(batch).cast_mut();
            // Release pairs with the Acquire in `take` and `close`.
            match self.head.compare_exchange_weak(head, new, Ordering::Release, Ordering::Relaxed) {
                Ok(_) => return Pushed::Delivered,
                Err(now) => head = now,
            }
        }
    }

    /// Whether there may be something to take. A hint.
    pub(crate) fn is_empty(&self) -> bool {
        // Relaxed: a late answer only drains later.
        let head = self.head.load(Ordering::Relaxed);
        head.is_null() || head == closed()
    }

    /// Takes all batches, newest first; null if there are none. For the owner.
    pub(crate) fn take(&self) -> *mut Batch {
        if self.is_empty() {
            return core::ptr::null_mut();
        }
        // Acquire pairs with the Release in `push`.
        self.head.swap(core::ptr::null_mut(), Ordering::Acquire)
    }

    /// Closes the inbox and takes what is left. For the owner, after its blocks have another one.
    pub(crate) fn close(&self) -> *mut Batch {
        // AcqRel: Acquire as in `take`; Release so that a sender that finds the inbox closed sees the new owner in the map. The
        // sender's load is Relaxed, which is enough on x86-64's ordered loads and is backed by the check under the shelf's lock.
        let head = self.head.swap(closed(), Ordering::AcqRel);
        if head == closed() { core::ptr::null_mut() } else { head }
    }

    /// Accepts again. For the new owner of a used heap.
    pub(crate) fn open(&self) {
        // Release: batches of the new owner's time follow. Pairs with the Acquire in `take`.
        self.head.store(core::ptr::null_mut(), Ordering::Release);
    }
}

/// Takes the first batch off a chain that came from an inbox.
pub(super) fn pop(chain: &Cell<*mut Batch>) -> Option<&'static Batch> {
    // SAFETY: a chain taken from an inbox holds valid batches that are the taker's alone; metadata is never unmapped.
    let batch = unsafe { chain.get().as_ref() }?;
    chain.set(batch.next.get());
    Some(batch)
}

#[cfg(all(test, loom))]
mod models {
    use super::*;
    use loom::sync::Arc;
    use loom::thread;
    use std::vec::Vec;

    fn batch(key: usize) -> &'static Batch {
        Box::leak(Box::new(Batch::new(key)))
    }

    fn keys(chain: *mut Batch) -> Vec<usize> {
        let chain = Cell::new(chain);
        std::iter::from_fn(|| pop(&chain)).map(|batch| batch.key.get()).collect()
    }

    #[test]
    fn loom_two_senders_and_an_owner_lose_nothing() {
        loom::model(|| {
            let inbox = Arc::new(Inbox::new());
            assert!(inbox.is_empty());
            let senders: Vec<_> = (1..=2)
                .map(|key| {
                    let inbox = inbox.clone();
                    thread::spawn(move || inbox.push(batch(key)))
                })
                .collect();
            let mut seen = keys(inbox.take());
            for sender in senders {
                assert_eq!(sender.join().expect("no panic"), Pushed::Delivered);
            }
            seen.extend(keys(inbox.take()));
            seen.sort_unstable();
            assert_eq!(seen, [1, 2]);
        });
    }

    #[test]
    fn loom_a_batch_is_delivered_or_refused_never_both() {
        loom::model(|| {
            let inbox = Arc::new(Inbox::new());
            assert!(inbox.is_empty());
            let sender = {
                let inbox = inbox.clone();
                thread::spawn(move || {
                    (1..=2).map(|key| inbox.push(batch(key))).filter(|&pushed| pushed == Pushed::Delivered).count()
                })
            };
            let mut seen = keys(inbox.take());
            seen.extend(keys(inbox.close()));
            assert_eq!(sender.join().expect("no panic"), seen.len());
            assert_eq!(inbox.push(batch(3)), Pushed::Closed);
            inbox.open();
            assert_eq!(inbox.push(batch(4)), Pushed::Delivered);
        });
    }
}
