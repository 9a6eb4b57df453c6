//! cache-scratch and cache-thrash: threads write to small blocks over and over. Blocks of different threads in one
//! cache line make them slow (false sharing): actively, when the allocator gives neighbours to two threads that ask
//! (thrash); passively, when a thread frees what it was handed and is given the same neighbours again (scratch).

use crate::harness::account::{Account, Tally};
use crate::harness::block::Block;
use crate::harness::crew;
use crate::harness::form::Form;
use crate::harness::table::Table;
use crate::outcome::Outcome;
use std::sync::{Barrier, Mutex, PoisonError};

pub(crate) const THREADS: usize = 2;
const ROUNDS: u64 = 1000;
const SIZE: u32 = 1;
const WRITES: u64 = 2_000_000;

/// With blocks handed to the threads before the start, or without.
pub(crate) fn run(form: &Form, handed: bool) -> Outcome {
    let tally = Tally::default();
    let mut account = Account::shared();
    let first = Table::new(THREADS, |_| Mutex::new(handed.then(|| Block::alloc(&mut account, SIZE))));
    account.publish();
    let start = Barrier::new(THREADS);
    crew::join(THREADS, &tally, |index, account| {
        start.wait();
        if let Some(block) = first[index].lock().unwrap_or_else(PoisonError::into_inner).take() {
            block.free(account);
        }
        for _ in 0..form.count(ROUNDS) {
            let mut block = Block::alloc(account, SIZE);
            block.hammer(WRITES / THREADS as u64);
            block.free(account);
        }
    });
    account.close(&tally);
    tally.totals().into()
}
