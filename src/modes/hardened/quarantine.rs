//! A quarantine of large blocks: freed blocks that must not be used again yet. It has room for so many blocks and
//! bytes; when it is full, blocks leave it at random, so that a program cannot foresee when a block is used again. And
//! the blocks that have left it with their memory, ready to be used. Must not know what leaving means.

use crate::base::random::Random;
use crate::central::ROOM_MAX;
use crate::sys::mapping::{Mapped, zeroed};

/// A block in the quarantine.
#[derive(Clone, Copy, Debug)]
pub(super) struct Held {
    pub(super) address: usize,
    /// Bytes of the block.
    pub(super) whole: usize,
}

zeroed!(Held { address, whole });

/// The blocks that wait.
pub(super) struct Quarantine {
    /// The first `len` are blocks. No mapping before the first block.
    entries: Mapped<Held>,
    len: usize,
    bytes: usize,
    bytes_max: usize,
    entries_max: usize,
    random: Random,
}

impl Quarantine {
    /// An empty one without room.
    pub(super) const fn new() -> Self {
        Self { entries: Mapped::none(), len: 0, bytes: 0, bytes_max: 0, entries_max: 0, random: Random::UNSEEDED }
    }

    /// Gives it room for so many blocks and bytes, and seeds the random numbers.
    pub(super) fn begin(&mut self, entries_max: usize, bytes_max: usize, seed: u64) {
        (self.entries_max, self.bytes_max) = (entries_max, bytes_max);
        self.random = Random::new(seed);
    }

    /// Whether a block of `whole` bytes may come in at all: not if it would fill more than a third of the quarantine.
    pub(super) fn has_room_for(&self, whole: usize) -> bool {
        const SHARE: usize = 3;
        whole <= self.bytes_max / SHARE
    }

    /// Adds a block; false if it may not come in, or there is no memory for its entry.
    pub(super) fn add(&mut self, block: Held) -> bool {
        if !self.has_room_for(block.whole) || self.len == self.entries_max {
            return false;
        }
        if self.entries.is_empty() {
            let Some(entries) = Mapped::new(self.entries_max) else { return false };
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
        if self.bytes <= self.bytes_max && self.len < self.entries_max {
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

    /// Takes out a block of which `wanted` is true, if there is one.
    pub(super) fn take_where(&mut self, wanted: impl FnMut(&Held) -> bool) -> Option<Held> {
        let place = self.blocks().iter().position(wanted)?;
        self.entries.get_mut(..self.len)?.swap(place, self.len - 1);
        self.take()
    }

    pub(super) fn blocks(&self) -> &[Held] {
        self.entries.get(..self.len).unwrap_or_default()
    }
}

/// Most blocks of a size that are ready.
const DEPTH: usize = 16;
/// Sizes of runs: powers of two up to [`ROOM_MAX`] regions.
const ROWS: usize = ROOM_MAX.ilog2() as usize + 1;

/// Blocks that are zero and that nothing uses, by the regions of their runs.
pub(super) struct Ready {
    rows: [([Held; DEPTH], usize); ROWS],
    bytes: usize,
    bytes_max: usize,
}

impl Ready {
    /// None, and no room for any.
    pub(super) const fn new() -> Self {
        Self { rows: [const { ([Held { address: 0, whole: 0 }; DEPTH], 0) }; ROWS], bytes: 0, bytes_max: 0 }
    }

    /// Gives it room for so many bytes.
    pub(super) fn begin(&mut self, bytes_max: usize) {
        self.bytes_max = bytes_max;
    }

    /// Adds a block in a run of `regions`; false if there is no room for it.
    pub(super) fn add(&mut self, block: Held, regions: u32) -> bool {
        if self.bytes + block.whole > self.bytes_max {
            return false;
        }
        let Some((row, len)) = row_of(regions).and_then(|row| self.rows.get_mut(row)) else { return false };
        let Some(entry) = row.get_mut(*len) else { return false };
        *entry = block;
        *len += 1;
        self.bytes += block.whole;
        true
    }

    /// Takes out the block in a run of `regions` that was added last.
    pub(super) fn take(&mut self, regions: u32) -> Option<Held> {
        let (row, len) = self.rows.get_mut(row_of(regions)?)?;
        let last = len.checked_sub(1)?;
        let block = *row.get(last)?;
        *len = last;
        self.bytes -= block.whole;
        Some(block)
    }

    pub(super) fn blocks(&self) -> impl Iterator<Item = &Held> {
        self.rows.iter().flat_map(|(row, len)| row.get(..*len).unwrap_or_default())
    }

    /// Takes out any block.
    pub(super) fn take_any(&mut self) -> Option<Held> {
        (0..ROWS).find_map(|row| self.take(1 << row))
    }
}

/// The place of the row of runs of `regions`; none where these are no power of two.
const fn row_of(regions: u32) -> Option<usize> {
    if regions.is_power_of_two() { Some(regions.ilog2() as usize) } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn blocks_leave_at_random_when_there_is_no_room() {
        let mut quarantine = Quarantine::new();
        assert!(!quarantine.add(Held { address: 16, whole: 16 }));
        quarantine.begin(256, 1600, 5);
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
        assert!(!quarantine.add(Held { address: 8, whole: 534 }));
        assert_eq!(quarantine.blocks().iter().filter(|block| inside.contains(&block.address)).count(), 100);
        let second = quarantine.blocks()[1].address;
        assert_eq!(quarantine.take_where(|block| block.address == second).map(|block| block.address), Some(second));
        assert!(quarantine.take_where(|block| block.address == second).is_none() && quarantine.blocks().len() == 99);
        quarantine.begin(256, 1 << 30, 5);
        for address in (1 << 20..).step_by(16).take(1000) {
            let _ = quarantine.add(Held { address, whole: 16 });
            while quarantine.take_due().is_some() {}
        }
        assert!(quarantine.blocks().len() < 256, "their number is bounded, too");
    }

    #[test]
    fn a_block_is_ready_for_its_size_alone_and_once() {
        let mut ready = Ready::new();
        let block = |address| Held { address, whole: 100 };
        assert!(!ready.add(block(16), 2), "no room was given");
        ready.begin(2000);
        assert!(!ready.add(block(16), 3) && !ready.add(block(16), 2 * ROOM_MAX), "sizes that no request asks for");
        assert!(ready.add(block(16), 2) && ready.add(block(32), 2) && ready.add(block(48), ROOM_MAX));
        assert!([0, 1, 3, 4, ROOM_MAX + 1, 2 * ROOM_MAX].iter().all(|&regions| ready.take(regions).is_none()));
        let taken = [ready.take(2), ready.take(2), ready.take(2)].map(|block| block.map(|block| block.address));
        assert_eq!(taken, [Some(32), Some(16), None]);
        let added = (64..).step_by(16).take_while(|&address| ready.add(block(address), 4)).count();
        assert_eq!(added, DEPTH);
        let more = (1024..).step_by(16).take_while(|&address| ready.add(block(address), 8)).count();
        assert_eq!(more, 2000 / 100 - 1 - DEPTH);
        assert_eq!(core::iter::from_fn(|| ready.take_any()).count(), 20);
    }
}
