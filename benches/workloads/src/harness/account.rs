//! The calls of one thread, and its live blocks.
//!
//! Knows: requested bytes. Must not know: addresses.
//! Invariants: the checksum depends on the sizes asked for and on nothing that an allocator chooses. The peak is exact
//! with one thread; with several, each may have up to `RISE_MOST` bytes more than it told, or `FALL` less. Every block
//! is freed before the end, so counting frees counts both. Noting a call takes a few instructions: what is timed is the
//! allocator.

use super::fail::fail;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering::Relaxed};

/// A thread tells the others when its balance has risen by this part of what it told last, within these limits.
const RISE_PART: i64 = 16;
const RISE_LEAST: i64 = 256;
const RISE_MOST: i64 = 4 << 10;
/// And when it has fallen by this much.
const FALL: i64 = 64 << 10;
/// Frees between two looks at a falling balance. A power of two.
const TOLD_EVERY: u64 = 16;
const TURN: u32 = 5;

static LIVE: AtomicI64 = AtomicI64::new(0);
static PEAK: AtomicI64 = AtomicI64::new(0);

/// The books of one thread.
#[derive(Debug)]
pub(crate) struct Account {
    /// Bytes asked for, and bytes freed.
    taken: u64,
    given: u64,
    frees: u64,
    /// Calls that are not paired with a free.
    others: u64,
    noted: u64,
    /// The balance above which it is noted or told.
    mark: i64,
    /// The part of the balance that others were told.
    told: i64,
    shared: bool,
}

/// The books of a whole run.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Totals {
    /// Calls of malloc, free and realloc.
    pub(crate) ops: u64,
    /// Equal for all allocators.
    pub(crate) checksum: u64,
    /// Most bytes that were asked for and not freed.
    pub(crate) peak_live: u64,
}

impl Account {
    /// For the only thread.
    pub(crate) fn alone() -> Self {
        Self { taken: 0, given: 0, frees: 0, others: 0, noted: 0, mark: 0, told: 0, shared: false }
    }

    /// For one of several threads.
    pub(crate) fn shared() -> Self {
        Self { shared: true, ..Self::alone() }
    }

    #[inline]
    fn balance(&self) -> i64 {
        self.taken.wrapping_sub(self.given) as i64
    }

    #[inline]
    pub(crate) fn on_alloc(&mut self, size: u32) {
        self.taken += u64::from(size);
        if self.balance() > self.mark {
            self.rise();
        }
    }

    /// Whether this is one of the few frees at which the block is to be checked.
    #[inline]
    pub(crate) fn on_free(&mut self, size: u32) -> bool {
        self.given += u64::from(size);
        self.frees += 1;
        let looked_at = self.frees.is_multiple_of(TOLD_EVERY);
        if looked_at {
            self.fall();
        }
        looked_at
    }

    /// One call that made `before` bytes into `after`.
    #[inline]
    pub(crate) fn on_resize(&mut self, before: u32, after: u32) {
        self.others += 1;
        self.given += u64::from(before);
        self.on_alloc(after);
    }

    /// Takes over what someone else has counted: calls, and a peak while nothing else was live.
    pub(crate) fn on_others(&mut self, calls: u64, peak: i64) {
        self.others += calls;
        self.mark = self.mark.max(peak);
    }

    /// Adds something to the checksum that has to be the same with every allocator.
    #[inline]
    pub(crate) fn note(&mut self, value: u64) {
        self.noted = self.noted.rotate_left(TURN).wrapping_add(value);
    }

    /// The balance is above the mark.
    #[cold]
    #[inline(never)]
    fn rise(&mut self) {
        if self.shared {
            self.publish();
        } else {
            self.mark = self.balance();
        }
    }

    #[inline]
    fn fall(&mut self) {
        if self.shared && self.balance() < self.told - FALL {
            self.publish();
        }
    }

    /// Tells the other threads of this one's balance.
    #[cold]
    #[inline(never)]
    pub(crate) fn publish(&mut self) {
        let change = self.balance() - self.told;
        let before = LIVE.fetch_add(change, Relaxed);
        let peak = if self.shared { before + change } else { self.mark };
        PEAK.fetch_max(peak, Relaxed);
        self.told = self.balance();
        if self.shared {
            self.mark = self.told + (self.told / RISE_PART).clamp(RISE_LEAST, RISE_MOST);
        }
    }

    /// Closes the books: nothing was counted twice, and these calls count for `totals`.
    pub(crate) fn close(mut self, totals: &Tally) {
        self.publish();
        totals.ops.fetch_add(2 * self.frees + self.others, Relaxed);
        totals.checksum.fetch_add(self.taken.rotate_left(u32::BITS) ^ self.noted, Relaxed);
    }
}

/// Adds up the accounts of several threads.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    ops: AtomicU64,
    checksum: AtomicU64,
}

impl Tally {
    /// The totals, once every account is closed. Ends the process if a block was not freed or was freed twice.
    pub(crate) fn totals(&self) -> Totals {
        let live = live_bytes();
        if live != 0 {
            fail(&format!("{live} bytes were left at the end"));
        }
        Totals {
            ops: self.ops.load(Relaxed),
            checksum: self.checksum.load(Relaxed),
            peak_live: u64::try_from(PEAK.load(Relaxed)).unwrap_or(0),
        }
    }
}

/// Requested bytes that are live, as far as published.
pub(crate) fn live_bytes() -> i64 {
    LIVE.load(Relaxed)
}

/// The totals of a run with one account.
pub(crate) fn settle(account: Account) -> Totals {
    let tally = Tally::default();
    account.close(&tally);
    tally.totals()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_bytes_and_the_peak_of_one_thread_are_exact() {
        let mut account = Account::alone();
        for size in [100, 50] {
            account.on_alloc(size);
        }
        assert!(!account.on_free(100));
        account.on_resize(50, 80);
        account.on_free(80);
        assert_eq!((account.balance(), account.mark, 2 * account.frees + account.others), (0, 150, 5));
    }

    #[test]
    fn some_frees_are_looked_at() {
        let mut account = Account::alone();
        let looked_at = (0..64).filter(|_| {
            account.on_alloc(8);
            account.on_free(8)
        });
        assert_eq!(looked_at.count() as u64, 64 / TOLD_EVERY);
    }
}
