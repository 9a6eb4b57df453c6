//! Random numbers, and the two functions of analysis that sampling needs and `core` does not have. Must not know what
//! is sampled.

/// A stream of random numbers (xorshift64*, Vigna 2016): quick, small, and good enough for gaps between samples.
pub(crate) struct Random(u64);

impl Random {
    /// Nothing but zeroes, until it is replaced.
    pub(crate) const UNSEEDED: Self = Self(0);

    /// A stream that `seed` decides.
    pub(crate) const fn new(seed: u64) -> Self {
        // SplitMix's step spreads seeds that differ little; zero would be followed by zeroes.
        let mixed = (seed ^ seed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        Self((mixed ^ mixed >> 27) | 1)
    }

    /// Where the stream stands, for [`Random::new`]'s owner to keep.
    pub(crate) const fn state(&self) -> u64 {
        self.0
    }

    /// The stream that stood at `state`, which is not zero.
    pub(crate) const fn resume(state: u64) -> Self {
        Self(state)
    }

    /// The next number.
    pub(crate) const fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// A gap between two events of a Poisson process, `mean` on average, at least 1.
    pub(crate) fn gap(&mut self, mean: usize) -> usize {
        // Uniform in (0, 1], so that the logarithm is finite.
        let uniform = (self.next() >> 11) as f64 / (1_u64 << 53) as f64 + f64::EPSILON / 4.0;
        ((-logarithm(uniform) * mean as f64) as usize).saturating_add(1)
    }
}

const LN_2: f64 = core::f64::consts::LN_2;
const MANTISSA_BITS: u32 = 52;
const EXPONENT_BIAS: i64 = 1023;

/// The natural logarithm of a positive normal number, to some ten digits.
pub(crate) fn logarithm(value: f64) -> f64 {
    let bits = value.to_bits();
    let exponent = (bits >> MANTISSA_BITS) as i64 - EXPONENT_BIAS;
    let mantissa = f64::from_bits(bits & ((1 << MANTISSA_BITS) - 1) | (EXPONENT_BIAS as u64) << MANTISSA_BITS);
    // 2 artanh((m - 1) / (m + 1)), whose argument is below a third.
    let ratio = (mantissa - 1.0) / (mantissa + 1.0);
    let square = ratio * ratio;
    let series = (0..10).rev().fold(0.0, |sum, term| sum * square + 1.0 / f64::from(2 * term + 1));
    exponent as f64 * LN_2 + 2.0 * ratio * series
}

/// `1 - exp(-x)` for `x` not below zero: the probability that something of length `x` meets an event of a Poisson
/// process of rate 1. Exact to some ten digits for small `x`, too.
pub(crate) fn probability(x: f64) -> f64 {
    /// From here on the exponential is nothing beside one.
    const LARGE: f64 = 40.0;
    const HALVINGS: u32 = 6;
    if x >= LARGE {
        return 1.0;
    }
    // The series for a small part of x, then doubled: 1 - e^-2y = c (2 - c) with c = 1 - e^-y.
    let part = x / f64::from(1 << HALVINGS);
    let series = (1..=12).rev().fold(0.0, |sum, term| (1.0 - sum) * part / f64::from(term));
    (0..HALVINGS).fold(series, |whole, _| whole * (2.0 - whole))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn gaps_are_exponential() {
        const MEAN: usize = 100_000;
        const COUNT: usize = 200_000;
        let mut random = Random::new(7);
        let gaps: Vec<usize> = (0..COUNT).map(|_| random.gap(MEAN)).collect();
        let mean = gaps.iter().sum::<usize>() as f64 / COUNT as f64;
        let share = gaps.iter().filter(|&&gap| gap > MEAN).count() as f64 / COUNT as f64;
        assert!((mean / MEAN as f64 - 1.0).abs() < 0.02, "{mean}");
        assert!((share - (-1.0_f64).exp()).abs() < 0.01, "{share}");
    }

    #[test]
    fn streams_differ_and_resume() {
        let (mut one, mut other) = (Random::new(0), Random::new(1));
        assert_ne!(one.next(), other.next());
        let mut again = Random::resume(one.state());
        assert_eq!(one.next(), again.next());
    }

    proptest! {
        #[test]
        fn analysis_is_that_of_the_standard_library(x in 1e-12_f64..100.0) {
            prop_assert!((logarithm(x) - x.ln()).abs() <= 1e-9 * x.ln().abs().max(1.0));
            let expected = -(-x).exp_m1();
            prop_assert!((probability(x) - expected).abs() <= 1e-9 * expected);
        }
    }
}
