//! A generator cheap enough that the allocator is what is timed: wyrand, by Wang Yi.

const STEP: u64 = 0xa076_1d64_78bd_642f;
const TWIST: u64 = 0xe703_7ed1_a0b4_28db;
const PERCENT: u32 = 100;

/// A stream of random numbers.
#[derive(Debug, Clone)]
pub(crate) struct Rng {
    state: u64,
}

impl Rng {
    /// Stream `stream` of `seed`.
    pub(crate) fn new(seed: u64, stream: u64) -> Self {
        let mut rng = Self { state: seed ^ stream.wrapping_mul(TWIST) };
        rng.next();
        rng
    }

    #[inline]
    pub(crate) fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(STEP);
        let product = u128::from(self.state) * u128::from(self.state ^ TWIST);
        (product >> 64) as u64 ^ product as u64
    }

    /// A number below `limit`.
    #[inline]
    pub(crate) fn below(&mut self, limit: u32) -> u32 {
        (((self.next() >> 32) * u64::from(limit)) >> 32) as u32
    }

    /// Two numbers below two limits, for one step of the generator.
    #[inline]
    pub(crate) fn two(&mut self, first: u32, second: u32) -> (u32, u32) {
        let drawn = self.next();
        let scaled = |half: u64, limit: u32| ((half * u64::from(limit)) >> 32) as u32;
        (scaled(drawn >> 32, first), scaled(drawn & u64::from(u32::MAX), second))
    }

    /// A number from `least` to `most`, both included.
    #[inline]
    pub(crate) fn between(&mut self, least: u32, most: u32) -> u32 {
        least + self.below(most - least + 1)
    }

    /// A size from `1 << low` to below `1 << high`; each doubling is as likely as the others.
    #[inline]
    pub(crate) fn size(&mut self, low: u32, high: u32) -> u32 {
        let base = 1 << (low + self.below(high - low));
        base + self.below(base)
    }

    /// A place in a table of `len`.
    #[inline]
    pub(crate) fn index(&mut self, len: usize) -> usize {
        self.below(len as u32) as usize
    }

    /// True in `percent` of all calls.
    #[inline]
    pub(crate) fn percent(&mut self, percent: u32) -> bool {
        self.below(PERCENT) < percent
    }

    /// Puts `items` into random order.
    pub(crate) fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            items.swap(last, self.index(last + 1));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_stay_within_bounds_and_reach_them() {
        let mut rng = Rng::new(1, 2);
        let drawn: Vec<u32> = (0..1000).map(|_| rng.between(3, 6)).collect();
        assert!(drawn.iter().all(|number| (3..=6).contains(number)));
        assert!((3..=6).all(|number| drawn.contains(&number)));
    }

    #[test]
    fn two_numbers_stay_within_their_bounds() {
        let mut rng = Rng::new(1, 3);
        let drawn: Vec<(u32, u32)> = (0..1000).map(|_| rng.two(3, 5)).collect();
        assert!((0..3).all(|first| (0..5).all(|second| drawn.contains(&(first, second)))));
        assert!(drawn.iter().all(|(first, second)| *first < 3 && *second < 5));
    }

    #[test]
    fn streams_differ_and_repeat() {
        assert_ne!(Rng::new(1, 0).next(), Rng::new(1, 1).next());
        assert_eq!(Rng::new(1, 1).next(), Rng::new(1, 1).next());
    }

    #[test]
    fn shuffling_keeps_all_items() {
        let mut items: Vec<u32> = (0..100).collect();
        Rng::new(7, 0).shuffle(&mut items);
        assert_ne!(items, (0..100).collect::<Vec<_>>());
        items.sort_unstable();
        assert_eq!(items, (0..100).collect::<Vec<_>>());
    }
}
