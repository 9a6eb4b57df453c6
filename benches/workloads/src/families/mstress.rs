//! mstress: generations of threads. Each allocates short-lived and retained objects of small powers of two words, a few
//! of them a hundred to ten thousand times larger, frees most of them at random, and swaps some with objects of other
//! threads in a shared table. Half of that table survives into the next generation. All words are written and checked.

use crate::harness::account::{Account, Tally};
use crate::harness::crew;
use crate::harness::form::Form;
use crate::harness::rng::Rng;
use crate::harness::table::Table;
use crate::harness::words::{Place, Words};
use crate::outcome::Outcome;

pub(crate) const THREADS: usize = 4;
const GENERATIONS: u64 = 75;
/// Objects of the first thread; the second has twice as many, and so on.
const OBJECTS: usize = 100 * 50;
const TRANSFERS: usize = 1000;
/// The table of short-lived objects grows by this many.
const GROWTH: usize = 100_000;
const SHORT_SHIFTS: u32 = 5;
const RETAINED_SHIFTS: u32 = 7;

/// The scale changes the number of generations.
pub(crate) fn run(form: &Form) -> Outcome {
    let tally = Tally::default();
    let transfers = Table::new(TRANSFERS, |_| Place::default());
    let mut account = Account::shared();
    let mut rng = Rng::new(form.seed, u64::MAX);
    let generations = form.count(GENERATIONS);
    for generation in 0..generations {
        crew::join(THREADS, &tally, |index, account| live(index, form.seed ^ generation, &transfers, account));
        for place in transfers.iter() {
            if rng.percent(50) || generation + 1 == generations {
                discard(&mut place.swap(None), &mut account);
            }
        }
    }
    account.close(&tally);
    tally.totals().into()
}

/// One thread's life. The tables come from the allocator under test, as in the original.
fn live(index: usize, seed: u64, transfers: &[Place], account: &mut Account) {
    let mut rng = Rng::new(seed, index as u64);
    let mut left = OBJECTS * (index + 1);
    let mut to_retain = left / 2;
    let mut retained: Vec<Words> = Vec::with_capacity(to_retain);
    let mut objects: Vec<Option<Words>> = Vec::new();
    while left > 0 || to_retain > 0 {
        if to_retain == 0 || (left > 0 && rng.percent(50)) {
            left -= 1;
            if objects.len() == objects.capacity() {
                objects.reserve_exact(GROWTH);
            }
            objects.push(Some(object(SHORT_SHIFTS, &mut rng, account)));
        } else {
            to_retain -= 1;
            retained.push(object(RETAINED_SHIFTS, &mut rng, account));
        }
        if objects.is_empty() {
            continue;
        }
        if rng.percent(66) {
            let at = rng.index(objects.len());
            discard(&mut objects[at], account);
        }
        if rng.percent(25) {
            let at = rng.index(objects.len());
            let place = &transfers[rng.index(TRANSFERS)];
            objects[at] = place.swap(objects[at].take());
        }
    }
    retained.into_iter().for_each(|object| object.free(account));
    objects.iter_mut().for_each(|object| discard(object, account));
}

/// An object of 1 to 2^(shifts - 1) words; one in a hundred is a hundred times larger, some of those a thousand or ten
/// thousand.
fn object(shifts: u32, rng: &mut Rng, account: &mut Account) -> Words {
    let mut words = 1 << rng.below(shifts);
    if rng.percent(1) {
        words *= if rng.percent(1) {
            10_000
        } else if rng.percent(10) {
            1000
        } else {
            100
        };
    }
    Words::alloc(account, words)
}

fn discard(object: &mut Option<Words>, account: &mut Account) {
    if let Some(object) = object.take() {
        object.free(account);
    }
}
