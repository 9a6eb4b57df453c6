//! Tight pairs: a block is allocated and freed at once, over and over.

use crate::harness::account::{Account, settle};
use crate::harness::block::Block;
use crate::harness::form::Form;
use crate::outcome::Outcome;

/// `pairs` pairs of `size` bytes.
pub(crate) fn run(form: &Form, size: u32, pairs: u64) -> Outcome {
    let mut account = Account::alone();
    for _ in 0..form.count(pairs) {
        Block::alloc(&mut account, size).free(&mut account);
    }
    settle(account).into()
}
