#![expect(unsafe_code, reason = "follows batch pointers")]
//! The inbox: batches of this heap's blocks that other threads freed.
//!
//! A stack to which any thread may push and which is emptied as a whole (Treiber, "Coping with parallelism"): because
//! no batch is popped singly there is no ABA problem. A closed inbox refuses batches, and the sender reads the page map
//! again: by then the blocks have another owner. Must not know blocks.

use core::cell::Cell;

use crate::central::Batch;
use crate::sys::atomic::{AtomicPtr, AtomicU32, Ordering};

/// The inbox of one heap. All-zero bytes are an inbox that accepts.
#[repr(align(128))]
pub(crate) struct Inbox {
    /// The batch pushed last; null when empty, [`closed`] when closed. Written by senders, which push, by the thread
    /// that holds the heap's spans, which empties it, and by the heap's thread, which opens and closes it.
    head: AtomicPtr<Batch>,
    /// Batches pushed since they were last taken, roughly: a hint. Written by senders, which count up, and by the
    /// thread that takes the batches, which sets 0.
    waiting: AtomicU32,
}

/// The outcome of a push.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[must_use]
pub(crate) enum Pushed {
    /// The owner will receive it.
    Delivered,
    /// The inbox is closed; the batch is still the sender's.
    Closed,
}

fn closed() -> *mut Batch {
    core::ptr::without_provenance_mut(1)
}

impl Inbox {
    /// Offset of the batch pushed last; a number below a page's where there is none.
    pub(in crate::heap) const HEAD_AT: usize = core::mem::offset_of!(Self, head);

    /// An inbox that accepts.
    #[cfg(loom)]
    pub(crate) const fn new() -> Self {
        Self { head: AtomicPtr::new(core::ptr::null_mut()), waiting: AtomicU32::new(0) }
    }

    /// Hands `batch` to the owner.
    pub(crate) fn push(&self, batch: &Batch) -> Pushed {
        // Acquire pairs with the Release in `close`: a sender that is refused sees the blocks' new owner.
        let mut head = self.head.load(Ordering::Acquire);
        loop {
            if head == closed() {
                return Pushed::Closed;
            }
            batch.next.set(head);
            let new = core::ptr::from_ref(batch).cast_mut();
            // Release pairs with the Acquire in `take` and `close`; Acquire on failure as for the load above.
            match self.head.compare_exchange_weak(head, new, Ordering::Release, Ordering::Acquire) {
                Ok(_) => return Pushed::Delivered,
                Err(now) => head = now,
            }
        }
    }

    /// Counts a batch that was delivered; how many wait by now, roughly.
    pub(crate) fn count(&self) -> u32 {
        // Relaxed: a hint.
        self.waiting.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// Whether there may be something to take. A hint.
    pub(crate) fn is_empty(&self) -> bool {
        // Relaxed: an old value only delays the receiver.
        let head = self.head.load(Ordering::Relaxed);
        head.is_null() || head == closed()
    }

    /// The batch pushed last, which stays in the inbox; null if there is none. The chain behind it stays as long as the
    /// caller holds the heap's spans.
    pub(in crate::heap) fn peek(&self) -> *mut Batch {
        // Acquire pairs with the Release in `push`.
        let head = self.head.load(Ordering::Acquire);
        if head == closed() { core::ptr::null_mut() } else { head }
    }

    /// Takes all batches, newest first; null if there are none. For the thread that holds the heap's spans.
    pub(crate) fn take(&self) -> *mut Batch {
        if self.is_empty() {
            return core::ptr::null_mut();
        }
        // Relaxed: a hint.
        self.waiting.store(0, Ordering::Relaxed);
        // Acquire pairs with the Release in `push`.
        self.head.swap(core::ptr::null_mut(), Ordering::Acquire)
    }

    /// Closes the inbox and takes the batches that are left. For the owner, after its blocks have another one.
    pub(crate) fn close(&self) -> *mut Batch {
        // AcqRel: Acquire as in `take`; Release pairs with the Acquire in `push`, so that a refused sender sees what
        // the owner wrote before, above all to the map.
        let head = self.head.swap(closed(), Ordering::AcqRel);
        if head == closed() { core::ptr::null_mut() } else { head }
    }

    /// Accepts again. For the new owner of a used heap.
    pub(crate) fn open(&self) {
        // Relaxed: a hint.
        self.waiting.store(0, Ordering::Relaxed);
        // Release: batches of the new owner's time follow. Pairs with the Acquire in `take`.
        self.head.store(core::ptr::null_mut(), Ordering::Release);
    }
}

/// Takes the first batch off a chain that came from an inbox.
pub(in crate::heap) fn pop(chain: &Cell<*mut Batch>) -> Option<&'static Batch> {
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

    #[test]
    fn loom_a_refused_sender_sees_the_new_owner() {
        use loom::sync::atomic::{AtomicUsize, Ordering};
        loom::model(|| {
            // The map entry of one block, and the inbox of its first owner.
            let shared = Arc::new((AtomicUsize::new(1), Inbox::new()));
            assert!(shared.1.is_empty());
            let owner = {
                let shared = shared.clone();
                thread::spawn(move || {
                    shared.0.store(2, Ordering::Relaxed);
                    keys(shared.1.close()).len()
                })
            };
            let seen = shared.0.load(Ordering::Relaxed);
            let delivered = seen == 1 && shared.1.push(batch(1)) == Pushed::Delivered;
            if !delivered {
                assert_eq!(shared.0.load(Ordering::Relaxed), 2, "no heap would ever receive the block");
            }
            assert_eq!(owner.join().expect("no panic"), usize::from(delivered));
        });
    }
}
