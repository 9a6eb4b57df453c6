//! Many threads with few objects each. All of them live at the same time and take turns: a short burst of replacements,
//! then another thread runs.

use crate::harness::crew;
use crate::harness::form::Form;
use crate::harness::rng::Rng;
use crate::harness::table::Table;
use crate::outcome::Outcome;
use std::sync::Barrier;
use std::thread;

use super::mixed::{clear, replace};

const SLOTS: usize = 16;
const LEAST: u32 = 16;
const MOST: u32 = 1040;
const BURST: u64 = 500;
/// Bursts of all threads together, so that the number of threads does not change the work.
const BURSTS: u64 = 100_000;

/// With `threads` threads.
pub(crate) fn run(form: &Form, threads: usize) -> Outcome {
    let (start, end) = (Barrier::new(threads), Barrier::new(threads));
    let bursts = form.count(BURSTS).div_ceil(threads as u64);
    crew::run(threads, |index, account| {
        let mut rng = Rng::new(form.seed, index as u64);
        let mut table = Table::new(SLOTS, |_| None);
        start.wait();
        for _ in 0..bursts {
            for _ in 0..BURST {
                let (place, above) = rng.two(SLOTS as u32, MOST - LEAST + 1);
                replace(&mut table[place as usize], account, LEAST + above);
            }
            thread::yield_now();
        }
        end.wait();
        table.iter_mut().for_each(|slot| clear(slot, account));
    })
    .into()
}
