//! What one thread has called and what is live.
//!
//! Knows: requested bytes. Must not know: addresses.
//! Invariants: the checksum depends on the sizes asked for, in their order within a thread, and on nothing that an allocator
//! chooses. The peak is exact with one thread, and with several exact to `GRANULE` bytes for each other thread.

use super::fail::fail;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering::Relaxed};

/// A thread tells the others of its balance when it is out by this much.
const GRANULE: u64 = 64 << 10;
const TURN: u32 = 5;

static LIVE: AtomicI64 = AtomicI64::new(0);
static PEAK: AtomicI64 = AtomicI64::new(0);

/// The books of one thread.
#[derive(Debug)]
pub(crate) struct Account {
    allocs: u64,
    frees: u64,
    checksum: u64,
    balance: i64,
    high: i64,
    granule: u64,
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
        Self { allocs: 0, frees: 0, checksum: 0, balance: 0, high: 0, granule: u64::MAX }
    }

    /// For one of several threads.
    pub(crate) fn shared() -> Self {
        Self { granule: GRANULE, ..Self::alone() }
    }

    #[inline]
    pub(crate) fn on_alloc(&mut self, size: u32) {
        self.allocs += 1;
        self.note(u64::from(size));
        self.balance += i64::from(size);
        self.high = self.high.max(self.balance);
        self.publish_if_far();
    }

    /// Says how many frees there were before.
    #[inline]
    pub(crate) fn on_free(&mut self, size: u32) -> u64 {
        self.frees += 1;
        self.balance -= i64::from(size);
        self.publish_if_far();
        self.frees
    }

    /// One call that made `before` bytes into `after`.
    #[inline]
    pub(crate) fn on_resize(&mut self, before: u32, after: u32) {
        self.allocs += 1;
        self.note(u64::from(after));
        self.balance += i64::from(after) - i64::from(before);
        self.high = self.high.max(self.balance);
        self.publish_if_far();
    }

    /// Takes over what someone else has counted: calls, and a peak while nothing else was live.
    pub(crate) fn on_others(&mut self, calls: u64, peak: i64) {
        self.allocs += calls;
        self.high = self.high.max(peak);
    }

    /// Adds something to the checksum that has to be the same with every allocator.
    #[inline]
    pub(crate) fn note(&mut self, value: u64) {
        self.checksum = self.checksum.rotate_left(TURN).wrapping_add(value);
    }

    #[inline]
    fn publish_if_far(&mut self) {
        if self.balance.unsigned_abs() > self.granule {
            self.publish();
        }
    }

    /// Tells the other threads of this one's balance.
    #[cold]
    #[inline(never)]
    pub(crate) fn publish(&mut self) {
        let before = LIVE.fetch_add(self.balance, Relaxed);
        PEAK.fetch_max(before + self.high, Relaxed);
        self.balance = 0;
        self.high = 0;
    }

    /// Closes the books: nothing was counted twice, and these calls count for `totals`.
    pub(crate) fn close(mut self, totals: &Tally) {
        self.publish();
        totals.ops.fetch_add(self.allocs + self.frees, Relaxed);
        totals.checksum.fetch_add(self.checksum, Relaxed);
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
