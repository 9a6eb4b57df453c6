//! Bulk: many blocks of one size are allocated, then all are freed in one order.

use crate::harness::account::{Account, settle};
use crate::harness::block::Block;
use crate::harness::form::Form;
use crate::harness::rng::Rng;
use crate::harness::table::Table;
use crate::outcome::Outcome;

use super::mixed::clear;

const BLOCKS: usize = 100_000;
const SIZE: u32 = 64;
/// Rounds in an order the memory is friendly to, and in random order.
const ROUNDS: u64 = 750;
const RANDOM_ROUNDS: u64 = 220;

/// In which order blocks are freed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Order {
    Lifo,
    Fifo,
    Random,
}

/// Frees in `order`.
pub(crate) fn run(form: &Form, order: Order) -> Outcome {
    let mut account = Account::alone();
    let mut table = Table::new(BLOCKS, |_| None);
    let mut places = Table::new(BLOCKS, |place| place as u32);
    let mut rounds = ROUNDS;
    match order {
        Order::Fifo => {}
        Order::Lifo => places.reverse(),
        Order::Random => {
            Rng::new(form.seed, 0).shuffle(&mut places);
            rounds = RANDOM_ROUNDS;
        }
    }
    for _ in 0..form.count(rounds) {
        for slot in table.iter_mut() {
            *slot = Some(Block::alloc(&mut account, SIZE));
        }
        for &place in places.iter() {
            clear(&mut table[place as usize], &mut account);
        }
    }
    settle(account).into()
}
