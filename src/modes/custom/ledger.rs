//! The ledger: notes about blocks, apart from the heap, in hash tables by address that many threads use. It has shards,
//! each behind a lock, and each grows by itself, so growth never stops a thread for longer than it takes to move the
//! records of one shard. All of it lies in mappings of its own, so the notes never use the heap that they describe.
//!
//! A table has open addressing, the next free place, and removal that closes the gap, so a search never meets a record
//! that was removed. A signal handler, which may have interrupted the holder of a shard, only tries its lock. Must not
//! know the records.

use crate::sys::atomic::spin;
use crate::sys::lock::{Guard, Lock, Patience, Rank};
use crate::sys::mapping::{Mapped, Zeroed};

/// The records of a table. The record of all-zero bytes has key 0 and stands for an empty place.
pub(crate) trait Record: Copy + Zeroed {
    /// The key by which the record is found; not 0. The low three bits may be the same for all.
    fn key(&self) -> usize;
}

/// The table. It has no mapping before the first record.
pub(crate) struct Table<R> {
    /// As many as a power of two, or none.
    slots: Mapped<R>,
    len: usize,
}

/// Bytes of the first mapping: a page.
const FIRST_BYTES: usize = 4096;
/// A table grows when so many quarters are full.
const FULL_QUARTERS: usize = 3;
/// Knuth's multiplicative hash, 2^64 by the golden ratio.
const FACTOR: usize = 0x9e37_79b9_7f4a_7c15;
const KEY_SHIFT: u32 = 3;
/// The uppermost bits of a hash choose among so many tables.
const SHARD_BITS: u32 = 6;

/// A hash of a key, the upper bits of which are good.
fn hash(key: usize) -> usize {
    (key >> KEY_SHIFT).wrapping_mul(FACTOR)
}

impl<R: Record> Table<R> {
    /// An empty table.
    pub(crate) const fn new() -> Self {
        Self { slots: Mapped::none(), len: 0 }
    }

    /// How many records there are.
    #[cfg(test)]
    fn len(&self) -> usize {
        self.len
    }

    /// A power of two, or 0 before the first record.
    fn capacity(&self) -> usize {
        self.slots.len()
    }

    /// The home place of `key`: where its search begins, by the bits of its hash below those that choose among tables.
    fn home(&self, key: usize) -> usize {
        (hash(key) << SHARD_BITS) >> (usize::BITS - self.capacity().trailing_zeros())
    }

    /// The place of `key`, or the empty place where the search for it ended.
    fn place(&self, key: usize) -> Result<usize, usize> {
        let mut at = self.home(key);
        for _ in 0..self.capacity() {
            match self.slots.get(at).map_or(0, Record::key) {
                0 => return Err(at),
                found if found == key => return Ok(at),
                _ => at = (at + 1) & (self.capacity() - 1),
            }
        }
        Err(self.capacity())
    }

    /// The record of `key`.
    pub(crate) fn get(&self, key: usize) -> Option<&R> {
        if self.len == 0 {
            return None;
        }
        self.slots.get(self.place(key).ok()?)
    }

    /// Keeps `record`, in place of one of the same key. False if there is no memory for it.
    pub(crate) fn insert(&mut self, record: R) -> bool {
        if (self.len + 1) * 4 > self.capacity() * FULL_QUARTERS && !self.grow() && self.len + 1 >= self.capacity() {
            return false;
        }
        let (at, fresh) = match self.place(record.key()) {
            Ok(at) => (at, false),
            Err(at) => (at, true),
        };
        self.len += usize::from(fresh);
        if let Some(slot) = self.slots.get_mut(at) {
            *slot = record;
        }
        true
    }

    /// Takes the record of `key` out.
    pub(crate) fn remove(&mut self, key: usize) -> Option<R> {
        if self.len == 0 {
            return None;
        }
        let mut gap = self.place(key).ok()?;
        let removed = *self.slots.get(gap)?;
        self.len -= 1;
        let mask = self.capacity() - 1;
        let mut at = gap;
        loop {
            at = (at + 1) & mask;
            let Some(&record) = self.slots.get(at).filter(|record| record.key() != 0) else { break };
            // A record whose home place does not lie behind the gap moves into it.
            let from_home = at.wrapping_sub(self.home(record.key())) & mask;
            if from_home >= at.wrapping_sub(gap) & mask {
                self.put(gap, record);
                gap = at;
            }
        }
        self.put(gap, R::zeroed());
        Some(removed)
    }

    fn put(&mut self, at: usize, record: R) {
        if let Some(slot) = self.slots.get_mut(at) {
            *slot = record;
        }
    }

    /// All records, in no order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &R> {
        self.slots.iter().filter(|record| record.key() != 0)
    }

    /// Moves the records to a mapping twice as large; false if the kernel refuses.
    #[cold]
    fn grow(&mut self) -> bool {
        let first = FIRST_BYTES / size_of::<R>().next_power_of_two();
        let capacity = if self.capacity() == 0 { first } else { self.capacity() * 2 };
        let Some(slots) = Mapped::new(capacity) else { return false };
        let mut larger = Self { slots, len: 0 };
        for record in self.iter() {
            if let Err(at) = larger.place(record.key()) {
                larger.put(at, *record);
                larger.len += 1;
            }
        }
        *self = larger;
        true
    }
}

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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::mapping::zeroed;
    use proptest::prelude::*;
    use std::collections::HashMap;

    #[derive(Clone, Copy, PartialEq, Eq, Debug)]
    struct Note {
        key: usize,
        value: u64,
    }

    zeroed!(Note { key, value });

    impl Record for Note {
        fn key(&self) -> usize {
            self.key
        }
    }

    proptest! {
        #[test]
        fn a_table_is_a_map(steps in prop::collection::vec((0_u8..3, 1_usize..600, any::<u64>()), 1..3000)) {
            let (mut table, mut model) = (Table::new(), HashMap::new());
            for (what, key, value) in steps {
                let key = key * 16;
                match what {
                    0 | 1 => {
                        let kept = table.insert(Note { key, value });
                        prop_assert!(kept);
                        model.insert(key, value);
                    }
                    _ => prop_assert_eq!(table.remove(key).map(|note| note.value), model.remove(&key)),
                }
                prop_assert_eq!(table.get(key).map(|note| note.value), model.get(&key).copied());
                prop_assert_eq!(table.len(), model.len());
            }
            let all: HashMap<_, _> = table.iter().map(|note| (note.key, note.value)).collect();
            prop_assert_eq!(all, model);
        }
    }
}
