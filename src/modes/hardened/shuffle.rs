//! Held blocks of one class: a fresh block joins them, and one drawn at random is handed out, so the address of a block
//! says nothing about the address of the next. Must not know where blocks come from.

use crate::base::random::Random;

/// How many blocks of a small class are held; of a large class fewer.
const HELD_MAX: usize = 32;
const HELD_MIN: usize = 2;
/// The held blocks of a class have no more bytes than this, unless there are only [`HELD_MIN`].
const BYTES_MAX: usize = 64 << 10;

/// The held blocks of one class.
pub(crate) struct Shuffle {
    blocks: [usize; HELD_MAX],
    len: usize,
    random: Random,
}

impl Shuffle {
    /// No blocks.
    pub(crate) const fn new() -> Self {
        Self { blocks: [0; HELD_MAX], len: 0, random: Random::UNSEEDED }
    }

    /// Seeds the random numbers.
    pub(crate) fn begin(&mut self, seed: u64) {
        self.random = Random::new(seed);
    }

    /// Adds a fresh block of `bytes` bytes and draws one; none while too few are held.
    pub(crate) fn exchange(&mut self, fresh: usize, bytes: usize) -> Option<usize> {
        let wanted = (BYTES_MAX / bytes).clamp(HELD_MIN, HELD_MAX);
        if self.len < wanted {
            *self.blocks.get_mut(self.len)? = fresh;
            self.len += 1;
            return None;
        }
        let drawn = self.random.next() as usize % (self.len + 1);
        // The fresh one may be drawn, too.
        let held = self.blocks.get_mut(drawn).filter(|_| drawn < wanted);
        Some(held.map_or(fresh, |place| core::mem::replace(place, fresh)))
    }

    /// Takes one of the blocks out.
    pub(crate) fn take(&mut self) -> Option<usize> {
        self.len = self.len.checked_sub(1)?;
        self.blocks.get(self.len).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_block_is_drawn_once_and_not_in_order() {
        let mut shuffle = Shuffle::new();
        shuffle.begin(3);
        let drawn: Vec<usize> = (1..=10_000_usize).filter_map(|fresh| shuffle.exchange(fresh, 64)).collect();
        assert_eq!(drawn.len(), 10_000 - HELD_MAX);
        let mut sorted = drawn.clone();
        sorted.sort_unstable();
        sorted.dedup();
        assert_eq!(sorted.len(), drawn.len());
        assert_ne!(sorted, drawn);
        let rest: Vec<usize> = std::iter::from_fn(|| shuffle.take()).collect();
        assert_eq!(rest.len(), HELD_MAX);
        assert!(rest.iter().all(|block| sorted.binary_search(block).is_err()));
    }
}
