//! A ledger: a table of records by address that many threads use, in shards, each behind a lock. Each shard grows by
//! itself, so growth never stops a thread for longer than it takes to move the records of one shard.
//!
//! A signal handler, which may have interrupted the holder of a shard, only tries its lock. Must not know the records.

use super::table::{Record, SHARD_BITS, Table, hash};
use crate::sys::atomic::spin;
use crate::sys::lock::{Guard, Lock, Patience, Rank};

const SHARDS: usize = 1 << SHARD_BITS;
/// A holder that runs unlocks the shard within so many attempts of another thread.
const ATTEMPTS: usize = 1000;

/// The table, one shard after the other.
pub(crate) struct Ledger<R> {
    shards: [Lock<Table<R>>; SHARDS],
}

impl<R: Record> Ledger<R> {
    /// An empty ledger.
    pub(crate) const fn new() -> Self {
        Self { shards: [const { Lock::new(Rank::Ledger, Table::new()) }; SHARDS] }
    }

    fn lock_of(&self, address: usize) -> &Lock<Table<R>> {
        // The uppermost bits choose, so the index is below the number of shards.
        &self.shards[hash(address) >> (usize::BITS - SHARD_BITS)]
    }

    /// The shard of `address`, locked.
    pub(crate) fn shard(&self, address: usize) -> Guard<'_, Table<R>> {
        self.lock_of(address).lock()
    }

    /// As [`Ledger::shard`], for a signal handler: `None` if the thread that it interrupted may be the holder.
    pub(crate) fn try_shard(&self, address: usize) -> Option<Guard<'_, Table<R>>> {
        let lock = self.lock_of(address);
        (0..ATTEMPTS).find_map(|_| {
            spin();
            lock.try_lock()
        })
    }

    /// Takes all locks for a fork.
    pub(crate) fn lock_for_fork(&self, patience: &Patience) {
        self.shards.iter().for_each(|lock| lock.lock_for_fork(patience));
    }

    /// Ends `lock_for_fork`.
    pub(crate) fn unlock_after_fork(&self) {
        for shard in &self.shards {
            shard.unlock_after_fork();
        }
    }
}
