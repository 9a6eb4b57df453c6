//! xmalloc-test: producers allocate blocks in batches and queue them, consumers free them. Every block is freed by a
//! thread that did not allocate it, and no thread does both.

use crate::harness::account::Account;
use crate::harness::block::{Bare, Block};
use crate::harness::crew;
use crate::harness::form::Form;
use crate::outcome::Outcome;
use std::sync::{Condvar, Mutex, PoisonError};

/// Producers, and as many consumers.
pub(crate) const PAIRS: usize = 2;
const BATCH: usize = 4096;
const SIZE: u32 = 64;
/// Batches that may wait; fewer than the original's 100, so that the queue is full now and then in every run and peaks
/// compare.
const QUEUE: usize = 16;
const BATCHES: u64 = 1600;

/// A batch's own memory comes from the allocator under test, as in the original.
type Batch = Vec<Bare>;

struct Queue {
    state: Mutex<(Vec<Batch>, usize)>,
    filled: Condvar,
    taken: Condvar,
}

impl Queue {
    fn put(&self, batch: Batch) {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let mut state =
            self.taken.wait_while(state, |state| state.0.len() >= QUEUE).unwrap_or_else(PoisonError::into_inner);
        state.0.push(batch);
        self.filled.notify_one();
    }

    /// `None` once all producers have ended and nothing waits.
    fn take(&self) -> Option<Batch> {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let wait = |state: &mut (Vec<Batch>, usize)| state.0.is_empty() && state.1 > 0;
        let mut state = self.filled.wait_while(state, wait).unwrap_or_else(PoisonError::into_inner);
        let batch = state.0.pop();
        self.taken.notify_one();
        batch
    }

    fn end(&self) {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).1 -= 1;
        self.filled.notify_all();
    }
}

/// A fixed number of batches, not of seconds.
pub(crate) fn run(form: &Form) -> Outcome {
    let batches = form.count(BATCHES);
    let queue =
        Queue { state: Mutex::new((Vec::with_capacity(QUEUE), PAIRS)), filled: Condvar::new(), taken: Condvar::new() };
    let work = |index: usize, account: &mut Account| {
        if index.is_multiple_of(2) { produce(&queue, batches, account) } else { consume(&queue, account) }
    };
    crew::run(2 * PAIRS, work).into()
}

fn produce(queue: &Queue, batches: u64, account: &mut Account) {
    for _ in 0..batches {
        let mut batch = Batch::with_capacity(BATCH);
        for place in 0..BATCH {
            let mut block = Block::alloc(account, SIZE);
            block.fill(place as u8, SIZE);
            batch.push(block.into_bare());
        }
        queue.put(batch);
    }
    queue.end();
}

fn consume(queue: &Queue, account: &mut Account) {
    while let Some(batch) = queue.take() {
        for bare in batch {
            bare.with_size(SIZE).free(account);
        }
    }
}
