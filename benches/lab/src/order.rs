//! The order of the runs: drawn from a seed that is recorded, so that a run of the lab can be repeated.
//!
//! Knows: shuffling. Must not know: what is shuffled.

/// Draws orders.
#[derive(Debug)]
pub struct Order(u64);

impl Order {
    /// Starts at `seed`.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// A number below `limit` (which is above 0).
    fn below(&mut self, limit: usize) -> usize {
        // SplitMix64 (Steele, Lea, Flood 2014).
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^= mixed >> 31;
        usize::try_from(mixed % (limit as u64)).unwrap_or(0)
    }

    /// The numbers below `count` in a drawn order.
    pub fn draw(&mut self, count: usize) -> Vec<usize> {
        let mut order: Vec<usize> = (0..count).collect();
        for last in (1..count).rev() {
            order.swap(last, self.below(last + 1));
        }
        order
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_order_holds_everything_once_and_repeats_with_its_seed() {
        let (mut first, mut second) = (Order::new(7), Order::new(7));
        let drawn = first.draw(20);
        assert_eq!(drawn, second.draw(20));
        assert_ne!(drawn, first.draw(20));
        let mut sorted = drawn.clone();
        sorted.sort_unstable();
        assert_eq!(sorted, (0..20).collect::<Vec<_>>());
    }

    #[test]
    fn every_place_gets_every_number() {
        let mut order = Order::new(1);
        let mut seen = [[false; 4]; 4];
        for _ in 0..200 {
            for (place, number) in order.draw(4).into_iter().enumerate() {
                seen[place][number] = true;
            }
        }
        assert!(seen.iter().flatten().all(|seen| *seen));
    }
}
