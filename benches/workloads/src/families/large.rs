//! malloc-large: up to twenty buffers of 5 to 25 MiB, replaced at random, all bytes written.

use crate::harness::account::{Account, settle};
use crate::harness::form::Form;
use crate::harness::rng::Rng;
use crate::harness::table::Table;
use crate::outcome::Outcome;

use super::mixed::{clear, replace};

const BUFFERS: usize = 20;
const LEAST: u32 = 5 << 20;
const MOST: u32 = 25 << 20;
const STEPS: u64 = 200;

/// The scale changes the number of replacements.
pub(crate) fn run(form: &Form) -> Outcome {
    let mut account = Account::alone();
    let mut rng = Rng::new(form.seed, 0);
    let mut table = Table::new(BUFFERS, |_| None);
    for _ in 0..form.count(STEPS) {
        let slot = &mut table[rng.index(BUFFERS)];
        let size = rng.between(LEAST, MOST);
        replace(slot, &mut account, size);
        slot.iter_mut().for_each(|block| block.fill(0, size));
    }
    table.iter_mut().for_each(|slot| clear(slot, &mut account));
    settle(account).into()
}
