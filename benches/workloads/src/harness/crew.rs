//! Several threads with an account each.
//!
//! Starting a thread makes a few small allocations of the standard library; they are the same with every allocator.

use super::account::{Account, Tally, Totals};
use super::fail::fail;
use std::thread;

/// Room for a worker; none of them goes deep.
const STACK: usize = 128 << 10;

/// Runs `work` on `threads` new threads and waits for all of them.
pub(crate) fn run(threads: usize, work: impl Fn(usize, &mut Account) + Sync) -> Totals {
    let tally = Tally::default();
    join(threads, &tally, work);
    tally.totals()
}

/// As [`run`], but the caller takes the totals.
pub(crate) fn join(threads: usize, tally: &Tally, work: impl Fn(usize, &mut Account) + Sync) {
    thread::scope(|scope| {
        for index in 0..threads {
            let work = &work;
            let body = move || {
                let mut account = Account::shared();
                work(index, &mut account);
                account.close(tally);
            };
            if thread::Builder::new().stack_size(STACK).spawn_scoped(scope, body).is_err() {
                fail(&format!("thread {index} could not be started"));
            }
        }
    });
}
