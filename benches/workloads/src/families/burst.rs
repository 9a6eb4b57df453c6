//! sh6bench and sh8bench: bursts of blocks of rising sizes, small ones more often, fill a table. When it is full a
//! fifth of it is kept for another round; what lies before that is freed first to last, what lies behind it last to
//! first. In sh8bench the threads also swap their tables' blocks, so that many are freed by a thread that did not
//! allocate them.

use crate::harness::account::{Account, Tally};
use crate::harness::block::Block;
use crate::harness::crew;
use crate::harness::exchange::Exchange;
use crate::harness::form::Form;
use crate::harness::table::Table;
use crate::outcome::Outcome;
use std::ops::Range;

use super::mixed::clear;

pub(crate) const THREADS: usize = 4;
const SLOTS: usize = 10_000;
const KEPT: usize = SLOTS / 5;
const LARGEST: u32 = 1000;
/// Up to which size there are how many blocks in a row.
const SMALL: (u32, u32) = (100, 250);
const MEDIUM: u32 = 50;
/// Every so many blocks one is swapped.
const SWAP_EVERY: usize = 4;

struct Burst {
    table: Table<Option<Block>>,
    next: usize,
    kept: Range<usize>,
}

impl Burst {
    /// Puts a block into the next place that is not kept.
    fn put(&mut self, block: Block, account: &mut Account) {
        self.table[self.next] = Some(block);
        self.next += 1;
        if self.next == self.kept.start {
            self.next = self.kept.end;
        }
        if self.next >= SLOTS {
            self.sweep(account);
        }
    }

    /// Keeps the next fifth, frees the rest.
    fn sweep(&mut self, account: &mut Account) {
        let start = if self.kept.end >= SLOTS { 0 } else { self.kept.end };
        self.kept = start..(start + KEPT).min(SLOTS);
        self.table[..self.kept.start].iter_mut().for_each(|slot| clear(slot, account));
        self.table[self.kept.end..].iter_mut().rev().for_each(|slot| clear(slot, account));
        self.next = if self.kept.start == 0 { self.kept.end } else { 0 };
    }
}

/// `rounds` rounds over all sizes in each thread, with or without swaps.
pub(crate) fn run(form: &Form, rounds: u64, swaps: bool) -> Outcome {
    let tally = Tally::default();
    let exchange = Exchange::new(SLOTS / THREADS);
    crew::join(THREADS, &tally, |_, account| live(form.count(rounds), swaps.then_some(&exchange), account));
    let mut account = Account::shared();
    for place in 0..exchange.places() {
        clear(&mut exchange.swap(place, None), &mut account);
    }
    account.close(&tally);
    tally.totals().into()
}

fn live(rounds: u64, exchange: Option<&Exchange>, account: &mut Account) {
    let mut burst = Burst { table: Table::new(SLOTS, |_| None), next: 0, kept: SLOTS..SLOTS };
    let mut made = 0;
    for _ in 0..rounds {
        for size in sizes() {
            for _ in 0..if size < SMALL.0 { SMALL.1 } else { MEDIUM } {
                made += 1;
                let mut block = Some(Block::alloc(account, size));
                if let Some(exchange) = exchange.filter(|_| made % SWAP_EVERY == 0) {
                    block = exchange.swap(made / SWAP_EVERY % exchange.places(), block);
                }
                if let Some(block) = block {
                    burst.put(block, account);
                }
            }
        }
    }
    burst.table.iter_mut().for_each(|slot| clear(slot, account));
}

/// Bases that grow by a half, and all halves of each base.
fn sizes() -> impl Iterator<Item = u32> {
    let bases = std::iter::successors(Some(1), |base| Some(base * 3 / 2 + 1)).take_while(|base| *base < LARGEST);
    bases.flat_map(|base| std::iter::successors(Some(base), |size| Some(size / 2)).take_while(|size| *size > 0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_bases_and_their_halves() {
        let first: Vec<u32> = sizes().take(10).collect();
        assert_eq!(first, [1, 2, 1, 4, 2, 1, 7, 3, 1, 11]);
        assert!(sizes().all(|size| (1..LARGEST).contains(&size)));
    }
}
