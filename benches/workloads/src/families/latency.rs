//! Single calls, timed one by one: one or two threads replace blocks of 16 to 1040 bytes and swap some of them.

use crate::harness::account::{Account, Tally};
use crate::harness::block::Block;
use crate::harness::clock::Rate;
use crate::harness::crew;
use crate::harness::exchange::Exchange;
use crate::harness::form::Form;
use crate::harness::histogram::Histogram;
use crate::harness::rng::Rng;
use crate::harness::table::Table;
use crate::outcome::{Latency, Outcome, Percentiles};
use std::sync::{Mutex, PoisonError};

use super::mixed::clear;

pub(crate) const THREADS: usize = 2;
const STEPS: u64 = 3_000_000;
const SLOTS: usize = 4096;
const LEAST: u32 = 16;
const MOST: u32 = 1040;
const EXCHANGED: usize = 256;
const EXCHANGE_PERCENT: u32 = 12;

struct Timed {
    malloc: Histogram,
    free: Histogram,
}

impl Timed {
    fn new() -> Self {
        Self { malloc: Histogram::new(), free: Histogram::new() }
    }
}

/// The scale changes the number of calls.
pub(crate) fn run(form: &Form) -> Outcome {
    measured(form, THREADS)
}

/// As `run`, with one thread.
pub(crate) fn run_alone(form: &Form) -> Outcome {
    measured(form, 1)
}

fn measured(form: &Form, threads: usize) -> Outcome {
    let rate = Rate::calibrate();
    let tally = Tally::default();
    let exchange = Exchange::new(EXCHANGED);
    let all = Mutex::new(Timed::new());
    crew::join(threads, &tally, |index, account| {
        let mut timed = Timed::new();
        live(Rng::new(form.seed, index as u64), form.count(STEPS), (&rate, &exchange), &mut timed, account);
        let mut all = all.lock().unwrap_or_else(PoisonError::into_inner);
        all.malloc.merge(&timed.malloc);
        all.free.merge(&timed.free);
    });
    let mut account = Account::shared();
    for place in 0..exchange.places() {
        clear(&mut exchange.swap(place, None), &mut account);
    }
    account.close(&tally);
    let all = all.into_inner().unwrap_or_else(PoisonError::into_inner);
    let latency = Latency {
        resolution_ns: rate.resolution_ns(),
        malloc: percentiles(&all.malloc, &rate),
        free: percentiles(&all.free, &rate),
    };
    Outcome { totals: tally.totals(), latency: Some(latency), ..Outcome::default() }
}

fn live(mut rng: Rng, steps: u64, (rate, exchange): (&Rate, &Exchange), timed: &mut Timed, account: &mut Account) {
    let mut table: Table<Option<Block>> = Table::new(SLOTS, |_| None);
    for _ in 0..steps {
        let slot = &mut table[rng.index(SLOTS)];
        if let Some(block) = slot.take() {
            timed.free.add(rate.net(block.free_timed(account)));
        }
        let (block, ticks) = Block::alloc_timed(account, rng.between(LEAST, MOST));
        timed.malloc.add(rate.net(ticks));
        *slot = Some(block);
        if rng.percent(EXCHANGE_PERCENT) {
            *slot = exchange.swap(rng.index(EXCHANGED), slot.take());
        }
    }
    table.iter_mut().for_each(|slot| clear(slot, account));
}

fn percentiles(histogram: &Histogram, rate: &Rate) -> Percentiles {
    let at = |share| rate.ns(histogram.percentile(share));
    Percentiles {
        p50: at(0.5),
        p90: at(0.9),
        p99: at(0.99),
        p99_9: at(0.999),
        p99_99: at(0.9999),
        max: rate.ns(histogram.max()),
        count: histogram.count(),
    }
}
