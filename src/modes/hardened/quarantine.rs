//! The quarantine of large blocks: freed blocks that must not be used again yet. It has room for so many bytes of address
//! space; when it is full, blocks leave it at random, so that a program cannot foresee when a block is used again. Must
//! not know what leaving means.

use crate::base::random::Random;
use crate::sys::mapping::{Mapped, zeroed};

/// A block in the quarantine.
#[derive(Clone, Copy, Debug)]
pub(super) struct Held {
    pub(super) address: usize,
    /// Bytes of the block.
    pub(super) whole: usize,
}

zeroed!(Held { address, whole });

/// Blocks that it holds at most: each may take two of the mappings that a process may have.
const ENTRIES: usize = 256;

/// The blocks that wait.
pub(super) struct Quarantine {
    /// The first `len` are blocks. No mapping before the first block.
    entries: Mapped<Held>,
    len: usize,
    bytes: usize,
    bytes_max: usize,
    random: Random,
}

impl Quarantine {
    /// An empty one without room.
    pub(super) const fn new() -> Self {
        Self { entries: Mapped::none(), len: 0, bytes: 0, bytes_max: 0, random: Random::UNSEEDED }
    }

    /// Gives it room, and seeds the random numbers.
    pub(super) fn begin(&mut self, bytes_max: usize, seed: u64) {
        self.bytes_max = bytes_max;
        self.random = Random::new(seed);
    }

    /// Whether a block of `whole` bytes may come in at all: not if it would fill more than a quarter of the quarantine.
    pub(super) fn has_room_for(&self, whole: usize) -> bool {
        const SHARE: usize = 4;
        whole <= self.bytes_max / SHARE
    }

    /// Adds a block; false if it may not come in, or there is no memory for its entry.
    pub(super) fn add(&mut self, block: Held) -> bool {
        if !self.has_room_for(block.whole) || self.len == ENTRIES {
            return false;
        }
        if self.entries.is_empty() {
            let Some(entries) = Mapped::new(ENTRIES) else { return false };
            self.entries = entries;
        }
        let Some(entry) = self.entries.get_mut(self.len) else { return false };
        *entry = block;
        self.len += 1;
        self.bytes += block.whole;
        true
    }

    /// Takes out a block that has to leave, drawn at random; none as long as there is room.
    pub(super) fn take_due(&mut self) -> Option<Held> {
        if self.bytes <= self.bytes_max && self.len < ENTRIES {
            return None;
        }
        let drawn = self.random.next() as usize % self.len;
        self.entries.get_mut(..self.len)?.swap(drawn, self.len - 1);
        self.take()
    }

    /// Takes out a block although there is room; none if it is empty.
    pub(super) fn take(&mut self) -> Option<Held> {
        let last = self.len.checked_sub(1)?;
        let block = *self.entries.get(last)?;
        self.len = last;
        self.bytes -= block.whole;
        Some(block)
    }

    /// Its blocks.
    pub(super) fn blocks(&self) -> &[Held] {
        self.entries.get(..self.len).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn blocks_leave_at_random_when_there_is_no_room() {
        let mut quarantine = Quarantine::new();
        assert!(!quarantine.add(Held { address: 16, whole: 16 }));
        quarantine.begin(1600, 5);
        let (mut inside, mut order) = (HashSet::new(), Vec::new());
        for address in (16..160_016).step_by(16) {
            assert!(quarantine.add(Held { address, whole: 16 }));
            inside.insert(address);
            while let Some(block) = quarantine.take_due() {
                assert!(inside.remove(&block.address));
                order.push(block.address);
            }
            assert!(inside.len() <= 100);
        }
        assert_eq!(inside.len(), 100);
        assert!(order.windows(2).any(|pair| pair[0] > pair[1]));
        assert!(!quarantine.add(Held { address: 8, whole: 401 }));
        assert_eq!(quarantine.blocks().iter().filter(|block| inside.contains(&block.address)).count(), 100);
        quarantine.begin(1 << 30, 5);
        for address in (1 << 20..).step_by(16).take(1000) {
            let _ = quarantine.add(Held { address, whole: 16 });
            while quarantine.take_due().is_some() {}
        }
        assert!(quarantine.blocks().len() < ENTRIES, "their number is bounded, too");
    }
}
