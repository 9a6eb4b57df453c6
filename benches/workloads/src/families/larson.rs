//! larson: the threads of a server. Each replaces random ones of its blocks for a while, then starts a successor, hands
//! all blocks over to it, and ends. Blocks are so freed by other threads than those that allocated them, and owners
//! die.

use crate::harness::account::{Account, Tally};
use crate::harness::block::Block;
use crate::harness::fail::fail;
use crate::harness::form::Form;
use crate::harness::rng::Rng;
use crate::harness::table::Table;
use crate::outcome::Outcome;
use std::sync::Arc;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread;

use super::mixed::{clear, replace};

/// Threads at any time.
pub(crate) const CHAINS: usize = 4;
const GENERATIONS: u32 = 12;
const SLOTS: usize = 5000;
const LEAST: u32 = 8;
const MOST: u32 = 999;
/// Replacements by the main thread before the start, per slot.
const WARM_UP: usize = 4;
const STEPS: u64 = 500_000;
const STACK: usize = 128 << 10;

/// The state that one thread hands to the next.
struct Chain {
    slots: Table<Option<Block>>,
    rng: Rng,
    steps: u64,
    generations: u32,
    tally: Arc<Tally>,
    done: SyncSender<Table<Option<Block>>>,
}

/// Fixed numbers of generations, not of seconds.
pub(crate) fn run(form: &Form) -> Outcome {
    let tally = Arc::new(Tally::default());
    let mut account = Account::shared();
    let (done, ended) = sync_channel(CHAINS);
    for index in 0..CHAINS {
        let mut rng = Rng::new(form.seed, index as u64);
        let mut slots = Table::new(SLOTS, |_| None);
        warm_up(&mut slots, &mut rng, &mut account);
        let steps = form.count(STEPS);
        start(Chain { slots, rng, steps, generations: GENERATIONS, tally: tally.clone(), done: done.clone() });
    }
    for mut slots in ended.iter().take(CHAINS) {
        slots.iter_mut().for_each(|slot| clear(slot, &mut account));
    }
    account.close(&tally);
    tally.totals().into()
}

fn warm_up(slots: &mut Table<Option<Block>>, rng: &mut Rng, account: &mut Account) {
    for slot in slots.iter_mut() {
        replace(slot, account, rng.between(LEAST, MOST));
    }
    rng.shuffle(slots);
    for _ in 0..WARM_UP * SLOTS {
        let place = rng.index(SLOTS);
        replace(&mut slots[place], account, rng.between(LEAST, MOST));
    }
}

fn start(chain: Chain) {
    if thread::Builder::new().stack_size(STACK).spawn(move || live(chain)).is_err() {
        fail("a successor could not be started");
    }
}

/// One thread's life.
fn live(mut chain: Chain) {
    let mut account = Account::shared();
    for _ in 0..chain.steps {
        let (place, above) = chain.rng.two(SLOTS as u32, MOST - LEAST + 1);
        replace(&mut chain.slots[place as usize], &mut account, LEAST + above);
    }
    account.close(&chain.tally);
    chain.generations -= 1;
    if chain.generations > 0 {
        start(chain);
    } else if chain.done.send(chain.slots).is_err() {
        fail("no thread takes the last blocks");
    }
}
