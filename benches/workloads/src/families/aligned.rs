//! posix_memalign mixed with malloc: alignments from 16 bytes to a page, in random ones of 1024 slots.

use crate::harness::account::{Account, settle};
use crate::harness::block::Block;
use crate::harness::form::Form;
use crate::harness::rng::Rng;
use crate::harness::table::Table;
use crate::outcome::Outcome;

use super::mixed::clear;

const SLOTS: usize = 1024;
const STEPS: u64 = 8_000_000;
const LEAST_SHIFT: u32 = 4;
const MOST_SHIFT: u32 = 12;
const PLAIN_PERCENT: u32 = 25;

/// The scale changes the number of steps.
pub(crate) fn run(form: &Form) -> Outcome {
    let mut account = Account::alone();
    let mut rng = Rng::new(form.seed, 0);
    let mut table = Table::new(SLOTS, |_| None);
    for _ in 0..form.count(STEPS) {
        let slot = &mut table[rng.index(SLOTS)];
        clear(slot, &mut account);
        let size = rng.size(LEAST_SHIFT, MOST_SHIFT);
        *slot = Some(if rng.percent(PLAIN_PERCENT) {
            Block::alloc(&mut account, size)
        } else {
            Block::alloc_aligned(&mut account, 1 << rng.between(LEAST_SHIFT, MOST_SHIFT), size)
        });
    }
    table.iter_mut().for_each(|slot| clear(slot, &mut account));
    settle(account).into()
}
