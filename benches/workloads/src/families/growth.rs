//! Buffers that grow by realloc: vectors that double, strings that grow by a half, logs and lines that grow by steps.
//! Which of them grows next is random; one that has reached its end is freed and begins anew.

use crate::harness::account::{Account, settle};
use crate::harness::block::Block;
use crate::harness::form::Form;
use crate::harness::rng::Rng;
use crate::harness::table::Table;
use crate::outcome::Outcome;

use super::mixed::clear;

const BUFFERS: usize = 64;
const STEPS: u64 = 800_000;

/// How a buffer grows: its first size, the multiplier in halves, the step, its end.
#[derive(Debug, Clone, Copy)]
struct Law {
    first: u32,
    halves: u32,
    step: u32,
    end: u32,
}

const LAWS: [Law; 4] = [
    Law { first: 16, halves: 4, step: 0, end: 1 << 20 },
    Law { first: 24, halves: 3, step: 0, end: 64 << 10 },
    Law { first: 4096, halves: 2, step: 4096, end: 256 << 10 },
    Law { first: 64, halves: 2, step: 48, end: 4096 },
];

/// The scale changes the number of steps.
pub(crate) fn run(form: &Form) -> Outcome {
    let mut account = Account::alone();
    let mut rng = Rng::new(form.seed, 0);
    let mut table: Table<Option<Block>> = Table::new(BUFFERS, |_| None);
    for _ in 0..form.count(STEPS) {
        let at = rng.index(BUFFERS);
        let law = LAWS[at % LAWS.len()];
        let slot = &mut table[at];
        *slot = match slot.take() {
            None => Some(Block::alloc(&mut account, law.first)),
            Some(block) => grow(block, law, &mut account),
        };
    }
    table.iter_mut().for_each(|slot| clear(slot, &mut account));
    settle(account).into()
}

fn grow(block: Block, law: Law, account: &mut Account) -> Option<Block> {
    let before = block.size();
    let after = before / 2 * law.halves + law.step;
    if after > law.end {
        block.free(account);
        return None;
    }
    let mut block = block.resize(account, after);
    block.touch(before);
    Some(block)
}
