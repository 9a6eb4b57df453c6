//! How much memory is left resident two seconds after a peak. Several threads grow to about 200 MiB of mixed sizes and
//! free most of it in random order; then all of them sleep.

use crate::harness::account::{Account, Tally, live_bytes};
use crate::harness::block::Block;
use crate::harness::crew;
use crate::harness::form::Form;
use crate::harness::resident;
use crate::harness::rng::Rng;
use crate::harness::table::Table;
use crate::outcome::{Idle, Outcome};
use std::sync::Barrier;
use std::thread;
use std::time::Duration;

use super::mixed::clear;

/// Growing threads; the main thread is one more.
pub(crate) const THREADS: usize = 4;
const PEAK_BYTES: u64 = (200 << 20) / THREADS as u64;
const KEPT_BYTES: u64 = (4 << 20) / THREADS as u64;
/// Sizes from 16 bytes to below 64 KiB.
const LEAST_SHIFT: u32 = 4;
const MOST_SHIFT: u32 = 16;
const SLOTS: usize = 16_384;
const SECONDS: u64 = 2;
const WAKES: u64 = 20;
const WAKE_SIZE: u32 = 64;

/// Which blocks stay, and whether anyone calls the allocator meanwhile.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rest {
    /// The oldest stay; the main thread calls malloc and free each 100 ms.
    Oldest,
    /// The oldest stay; no call at all.
    OldestSilent,
    /// Blocks at random stay; the main thread calls malloc and free each 100 ms.
    Scattered,
}

/// The same at every scale: the peak is what is measured.
pub(crate) fn run(form: &Form, rest: Rest) -> Outcome {
    let tally = Tally::default();
    let mut account = Account::shared();
    let meet = Barrier::new(THREADS + 1);
    let mut idle = None;
    thread::scope(|scope| {
        let (meet, tally) = (&meet, &tally);
        let seed = form.seed;
        scope.spawn(move || {
            crew::join(THREADS, tally, |index, account| live(Rng::new(seed, index as u64), rest, meet, account))
        });
        meet.wait();
        let rss_kib_at_peak = resident::kib();
        meet.wait();
        meet.wait();
        let live_bytes = u64::try_from(live_bytes()).unwrap_or(0);
        pause(rest, &mut account);
        idle = Some(Idle { live_bytes, rss_kib_at_peak, rss_kib_after: resident::kib(), seconds: SECONDS });
        meet.wait();
    });
    account.close(&tally);
    Outcome { totals: tally.totals(), idle, ..Outcome::default() }
}

/// Two seconds.
fn pause(rest: Rest, account: &mut Account) {
    for _ in 0..WAKES {
        thread::sleep(Duration::from_secs(SECONDS) / WAKES as u32);
        if rest != Rest::OldestSilent {
            Block::alloc(account, WAKE_SIZE).free(account);
        }
    }
}

/// One thread: grow, meet, free, meet, sleep until the pause is over.
fn live(mut rng: Rng, rest: Rest, meet: &Barrier, account: &mut Account) {
    let mut table = Table::new(SLOTS, |_| None);
    let mut places = Table::new(SLOTS, |place| place as u32);
    let (mut bytes, mut used, mut oldest) = (0, 0, 0);
    while bytes < PEAK_BYTES && used < SLOTS {
        let size = rng.size(LEAST_SHIFT, MOST_SHIFT);
        let mut block = Block::alloc(account, size);
        block.fill(size as u8, size);
        table[used] = Some(block);
        used += 1;
        bytes += u64::from(size);
        if bytes <= KEPT_BYTES {
            oldest = used;
        }
    }
    meet.wait();
    meet.wait();
    let first = if rest == Rest::Scattered { 0 } else { oldest };
    let order = &mut places[first..used];
    rng.shuffle(order);
    let mut left = if rest == Rest::Scattered { bytes } else { u64::MAX };
    for &mut place in order {
        let slot: &mut Option<Block> = &mut table[place as usize];
        left -= slot.as_ref().map_or(0, |block| u64::from(block.size()));
        if left < KEPT_BYTES {
            break;
        }
        clear(slot, account);
    }
    account.publish();
    meet.wait();
    meet.wait();
    table.iter_mut().for_each(|slot| clear(slot, account));
}
