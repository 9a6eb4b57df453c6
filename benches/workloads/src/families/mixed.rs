//! random_mixed: a table of slots; each step frees the block in a random one and puts a block of random size there.

use crate::harness::account::{Account, settle};
use crate::harness::block::Block;
use crate::harness::form::Form;
use crate::harness::rng::Rng;
use crate::harness::table::Table;
use crate::outcome::Outcome;

const STEPS: u64 = 45_000_000;
const LEAST: u32 = 16;
const MOST: u32 = 1040;

/// With `slots` slots.
pub(crate) fn run(form: &Form, slots: usize) -> Outcome {
    let mut account = Account::alone();
    let mut rng = Rng::new(form.seed, 0);
    let mut table = Table::new(slots, |_| None);
    for _ in 0..form.count(STEPS) {
        let (place, above) = rng.two(slots as u32, MOST - LEAST + 1);
        replace(&mut table[place as usize], &mut account, LEAST + above);
    }
    for slot in table.iter_mut() {
        clear(slot, &mut account);
    }
    settle(account).into()
}

/// Frees what is in `slot` and puts a new block there.
#[inline]
pub(crate) fn replace(slot: &mut Option<Block>, account: &mut Account, size: u32) {
    clear(slot, account);
    *slot = Some(Block::alloc(account, size));
}

/// Frees what is in `slot`.
#[inline]
pub(crate) fn clear(slot: &mut Option<Block>, account: &mut Account) {
    if let Some(block) = slot.take() {
        block.free(account);
    }
}
