//! A long mixed run: phases of different sizes and live sets follow one another, two threads swap some of their blocks,
//! and the run reads resident and live bytes after each step.

use crate::harness::account::{Account, Tally, live_bytes};
use crate::harness::crew;
use crate::harness::exchange::Exchange;
use crate::harness::form::Form;
use crate::harness::resident;
use crate::harness::rng::Rng;
use crate::harness::table::Table;
use crate::outcome::Outcome;
use std::sync::Barrier;
use std::thread;
use std::time::{Duration, Instant};

use super::mixed::{clear, replace};

pub(crate) const THREADS: usize = 2;
const STEPS: u64 = 500;
/// A shorter series would show nothing.
const LEAST_STEPS: u64 = 100;
const STEP_LENGTH: Duration = Duration::from_millis(8);
const STEPS_OF_A_PHASE: u64 = 25;
const SLOTS: usize = 16_384;
const EXCHANGED: usize = 256;
const EXCHANGE_PERCENT: u32 = 6;
const KIB: u64 = 1024;

/// The requests of a phase.
#[derive(Debug, Clone, Copy)]
struct Phase {
    /// Slots in use; the others are emptied when they are met.
    slots: usize,
    /// Sizes from `1 << low` to below `1 << high`.
    low: u32,
    high: u32,
    replacements: u64,
}

const PHASES: [Phase; 5] = [
    Phase { slots: 16_384, low: 4, high: 8, replacements: 20_000 },
    Phase { slots: 8192, low: 4, high: 11, replacements: 20_000 },
    Phase { slots: 4096, low: 4, high: 15, replacements: 8000 },
    Phase { slots: 512, low: 10, high: 18, replacements: 4000 },
    Phase { slots: 1024, low: 4, high: 8, replacements: 20_000 },
];

/// The scale changes the number of steps.
pub(crate) fn run(form: &Form) -> Outcome {
    let steps = form.count(STEPS).max(LEAST_STEPS);
    let tally = Tally::default();
    let exchange = Exchange::new(EXCHANGED);
    let meet = Barrier::new(THREADS + 1);
    let mut series = Vec::with_capacity(steps as usize);
    thread::scope(|scope| {
        let (meet, tally, exchange, seed) = (&meet, &tally, &exchange, form.seed);
        scope.spawn(move || {
            crew::join(THREADS, tally, |index, account| {
                live(Rng::new(seed, index as u64), steps, exchange, meet, account)
            });
        });
        let start = Instant::now();
        for _ in 0..steps {
            meet.wait();
            let live = u64::try_from(live_bytes()).unwrap_or(0) / KIB;
            series.push([start.elapsed().as_millis() as u64, resident::kib(), live]);
            meet.wait();
        }
    });
    let mut account = Account::shared();
    for place in 0..exchange.places() {
        clear(&mut exchange.swap(place, None), &mut account);
    }
    account.close(&tally);
    Outcome { totals: tally.totals(), series: Some(series), ..Outcome::default() }
}

fn live(mut rng: Rng, steps: u64, exchange: &Exchange, meet: &Barrier, account: &mut Account) {
    let mut table = Table::new(SLOTS, |_| None);
    for step in 0..steps {
        let start = Instant::now();
        let phase = PHASES[(step / STEPS_OF_A_PHASE) as usize % PHASES.len()];
        for _ in 0..phase.replacements {
            let at = rng.index(SLOTS);
            let slot = &mut table[at];
            if at < phase.slots {
                replace(slot, account, rng.size(phase.low, phase.high));
                slot.iter_mut().for_each(|block| block.touch(0));
            } else {
                clear(slot, account);
            }
            if rng.percent(EXCHANGE_PERCENT) {
                *slot = exchange.swap(rng.index(EXCHANGED), slot.take());
            }
        }
        account.publish();
        thread::sleep(STEP_LENGTH.saturating_sub(start.elapsed()));
        meet.wait();
        meet.wait();
    }
    table.iter_mut().for_each(|slot| clear(slot, account));
}
