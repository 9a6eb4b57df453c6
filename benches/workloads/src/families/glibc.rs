//! The two malloc benchmarks of glibc. Simple: blocks of one size, allocated n at a time, half of them freed first to
//! last, the others last to first; alone, in a second thread, and alone again once there have been threads. Thread: a
//! table per thread, sizes of an inverse square distribution, all bytes written.

use crate::harness::account::{Account, Tally};
use crate::harness::block::Block;
use crate::harness::crew;
use crate::harness::form::Form;
use crate::harness::rng::Rng;
use crate::harness::table::Table;
use crate::outcome::Outcome;

use super::mixed::{clear, replace};

pub(crate) const THREADS: usize = 4;
const AT_A_TIME: [usize; 4] = [25, 100, 400, 1600];
const SIMPLE_SIZE: u32 = 16;
const SIMPLE_BLOCKS: u64 = 4_500_000;

const SLOTS: usize = 1024;
const LEAST: f64 = 4.0;
const MOST: f64 = 32_768.0;
const SIZES: usize = 8000;
const OFFSETS: usize = 4 * SLOTS;
const STEPS: u64 = 45_000_000;

/// bench-malloc-simple.
pub(crate) fn simple(form: &Form) -> Outcome {
    let tally = Tally::default();
    let mut account = Account::shared();
    let mut table = Table::new(AT_A_TIME[AT_A_TIME.len() - 1], |_| None);
    let blocks = form.count(SIMPLE_BLOCKS);
    bulks(blocks, &mut table, &mut account);
    crew::join(1, &tally, |_, account| {
        let mut table = Table::new(AT_A_TIME[AT_A_TIME.len() - 1], |_| None);
        bulks(blocks, &mut table, account);
    });
    bulks(blocks, &mut table, &mut account);
    account.close(&tally);
    tally.totals().into()
}

fn bulks(blocks: u64, table: &mut [Option<Block>], account: &mut Account) {
    for at_a_time in AT_A_TIME {
        for _ in 0..(blocks / at_a_time as u64).max(1) {
            let slots = &mut table[..at_a_time];
            for slot in slots.iter_mut() {
                let mut block = Block::alloc(account, SIMPLE_SIZE);
                block.fill(at_a_time as u8, SIMPLE_SIZE);
                *slot = Some(block);
            }
            let (first, second) = slots.split_at_mut(at_a_time / 2);
            first.iter_mut().for_each(|slot| clear(slot, account));
            second.iter_mut().rev().for_each(|slot| clear(slot, account));
        }
    }
}

/// bench-malloc-thread.
pub(crate) fn thread(form: &Form) -> Outcome {
    let mut rng = Rng::new(form.seed, THREADS as u64);
    let sizes = Table::new(SIZES, |_| inverse_square(&mut rng));
    let offsets = Table::new(OFFSETS, |_| rng.index(SLOTS));
    crew::run(THREADS, |_, account| {
        let mut table = Table::new(SLOTS, |_| None);
        for step in 0..form.count(STEPS / THREADS as u64) as usize {
            let slot = &mut table[offsets[step % OFFSETS]];
            let size = sizes[step % SIZES];
            replace(slot, account, size);
            slot.iter_mut().for_each(|block| block.fill(size as u8, size));
        }
        table.iter_mut().for_each(|slot| clear(slot, account));
    })
    .into()
}

/// 4 to 32768 bytes; twice as large is a quarter as likely.
fn inverse_square(rng: &mut Rng) -> u32 {
    let share = f64::from(rng.below(u32::MAX)) / f64::from(u32::MAX);
    (1.0 / ((1.0 / MOST - 1.0 / LEAST) * share + 1.0 / LEAST)) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_small_mostly_and_within_bounds() {
        let mut rng = Rng::new(1, 0);
        let sizes: Vec<u32> = (0..10_000).map(|_| inverse_square(&mut rng)).collect();
        assert!(sizes.iter().all(|size| (4..=32_768).contains(size)));
        let small = sizes.iter().filter(|size| **size < 8).count();
        assert!((4500..5500).contains(&small), "{small}");
    }
}
