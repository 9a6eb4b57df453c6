//! rptest: threads with a table of a thousand blocks of random size, small ones more often. In each loop a thread frees
//! some and replaces some; in every second loop it also makes a batch and leaves it to another thread to free.

use crate::harness::account::{Account, Tally};
use crate::harness::block::Block;
use crate::harness::crew;
use crate::harness::form::Form;
use crate::harness::rng::Rng;
use crate::harness::table::Table;
use crate::outcome::Outcome;
use std::sync::{Barrier, Mutex, PoisonError};

use super::mixed::{clear, replace};

pub(crate) const THREADS: usize = 4;
const LOOPS: u64 = 16_000;
const SLOTS: usize = 1000;
const LEAST: u32 = 8;
const MOST: u32 = 16_000;
/// Most operations of a loop, and of these the frees.
const OPERATIONS: u32 = 100;
const FREES: u32 = 80;
const LEAST_PERCENT: u32 = 30;
const CROSS_EVERY: u64 = 2;
/// Steps over the table that have no common factor with its length.
const FREE_STEP: usize = 7;
const ALLOC_STEP: usize = 3;
/// Loops between two meetings of all threads: without them the live set would be up to the scheduler.
const MEET_EVERY: u64 = 16;

/// Batches that wait for one thread. Their own memory comes from the allocator under test, as in the original.
type Mailbox = Mutex<Vec<Vec<Block>>>;

struct Worker<'a> {
    index: usize,
    rng: Rng,
    table: Table<Option<Block>>,
    free_at: usize,
    alloc_at: usize,
    sent: usize,
    mailboxes: &'a [Mailbox],
}

/// The scale changes the number of loops.
pub(crate) fn run(form: &Form) -> Outcome {
    let tally = Tally::default();
    let mailboxes = Table::new(THREADS, |_| Mailbox::default());
    let meet = Barrier::new(THREADS);
    crew::join(THREADS, &tally, |index, account| {
        let mut worker = Worker {
            index,
            rng: Rng::new(form.seed, index as u64),
            table: Table::new(SLOTS, |_| None),
            free_at: 0,
            alloc_at: 0,
            sent: 0,
            mailboxes: &mailboxes,
        };
        for round in 0..form.count(LOOPS) {
            worker.work(round, account);
            if round.is_multiple_of(MEET_EVERY) {
                meet.wait();
            }
        }
        meet.wait();
        worker.receive(account);
        worker.table.iter_mut().for_each(|slot| clear(slot, account));
    });
    tally.totals().into()
}

impl Worker<'_> {
    fn work(&mut self, round: u64, account: &mut Account) {
        for _ in 0..self.operations(FREES) {
            clear(&mut self.table[self.free_at], account);
            self.free_at = (self.free_at + FREE_STEP) % SLOTS;
        }
        self.receive(account);
        let allocs = self.operations(OPERATIONS);
        for _ in 0..allocs {
            let size = size(&mut self.rng);
            let slot = &mut self.table[self.alloc_at];
            replace(slot, account, size);
            slot.iter_mut().for_each(|block| block.touch(0));
            self.alloc_at = (self.alloc_at + ALLOC_STEP) % SLOTS;
        }
        if round.is_multiple_of(CROSS_EVERY) {
            self.send(allocs, account);
        }
    }

    /// 30 to 100 percent of `most`.
    fn operations(&mut self, most: u32) -> u32 {
        most * self.rng.between(LEAST_PERCENT, 100) / 100
    }

    /// Leaves a batch to the next thread in turn.
    fn send(&mut self, blocks: u32, account: &mut Account) {
        let mut batch = Vec::with_capacity(blocks as usize);
        for _ in 0..blocks {
            let mut block = Block::alloc(account, size(&mut self.rng));
            block.touch(0);
            batch.push(block);
        }
        self.sent = self.sent % (THREADS - 1) + 1;
        let to = &self.mailboxes[(self.index + self.sent) % THREADS];
        to.lock().unwrap_or_else(PoisonError::into_inner).push(batch);
    }

    fn receive(&mut self, account: &mut Account) {
        let batches = std::mem::take(&mut *self.mailboxes[self.index].lock().unwrap_or_else(PoisonError::into_inner));
        for block in batches.into_iter().flatten() {
            block.free(account);
        }
    }
}

/// Linear drop-off: large sizes are rare.
fn size(rng: &mut Rng) -> u32 {
    let range = MOST - LEAST;
    let (first, second) = (rng.below(range), rng.below(range));
    let weight = f64::from(first + second) / f64::from(range) - 1.0;
    LEAST + (f64::from(rng.below(range)) * weight.abs()) as u32
}
