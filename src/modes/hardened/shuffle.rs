//! Spare blocks of one class, among which a fresh one is drawn: where a block lies says nothing about where the next one will. Must not
//! know where spares come from.

use crate::base::random::Random;

/// Spares of small classes; those of large ones are fewer.
const SPARES_MAX: usize = 32;
const SPARES_MIN: usize = 2;
/// Spares of a class hold no more bytes than this, as far as the number above allows.
const BYTES_MAX: usize = 64 << 10;

/// See the module.
pub(crate) struct Spares {
    blocks: [usize; SPARES_MAX],
    len: usize,
    random: Random,
}

impl Spares {
    /// None yet.
    pub(crate) const fn new() -> Self {
        Self { blocks: [0; SPARES_MAX], len: 0, random: Random::UNSEEDED }
    }

    /// Gives chance a seed.
    pub(crate) fn begin(&mut self, seed: u64) {
        self.random = Random::new(seed);
    }

    /// Puts a fresh block of `bytes` bytes among the spares and draws one; none while there are too few.
    pub(crate) fn exchange(&mut self, fresh: usize, bytes: usize) -> Option<usize> {
        let wanted = (BYTES_MAX / bytes).clamp(SPARES_MIN, SPARES_MAX);
        if self.len < wanted {
            *self.blocks.get_mut(self.len)? = fresh;
            self.len += 1;
            return None;
        }
        let drawn = self.random.next() as usize % (self.len + 1);
        // The fresh one may be drawn, too.
        Some(self.blocks.get_mut(drawn).filter(|_| drawn < wanted).map_or(fresh, |place| core::mem::replace(place, fresh)))
    }

    /// One of the spares, which is none any more.
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
        let mut spares = Spares::new();
        spares.begin(3);
        let drawn: Vec<usize> = (1..=10_000_usize).filter_map(|fresh| spares.exchange(fresh, 64)).collect();
        assert_eq!(drawn.len(), 10_000 - SPARES_MAX);
        let mut sorted = drawn.clone();
        sorted.sort_unstable();
        sorted.dedup();
        assert_eq!(sorted.len(), drawn.len());
        assert_ne!(sorted, drawn);
        let rest: Vec<usize> = std::iter::from_fn(|| spares.take()).collect();
        assert_eq!(rest.len(), SPARES_MAX);
        assert!(rest.iter().all(|block| sorted.binary_search(block).is_err()));
    }
}
