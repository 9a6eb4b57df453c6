//! Statistics of repeated measurements: median, minimum, spread, noise, geometric mean.
//!
//! Knows: numbers. Must not know: what they measure.

use spandrel_xtask::stats;

/// The spread of fewer measurements says nothing.
pub const FEW: usize = 3;

/// Repeated measurements of one thing.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Figure {
    /// The middle one.
    pub median: f64,
    /// The smallest.
    pub minimum: f64,
    /// Distance between the quartiles, as a share of the median.
    pub spread: f64,
    /// How many there were.
    pub count: usize,
}

impl Figure {
    /// Reduces measurements; none of none.
    #[must_use]
    pub fn of(values: &[f64]) -> Option<Self> {
        let median = stats::median(values);
        let between = quantile(values, 0.75)? - quantile(values, 0.25)?;
        Some(Self {
            median,
            minimum: stats::minimum(values),
            spread: if median > 0.0 { between / median } else { 0.0 },
            count: values.len(),
        })
    }

    /// By how much the median may be off by chance, as a share of it: twice its standard error, as measurements around
    /// a normal distribution with this spread would have it. None of fewer than [`FEW`].
    #[must_use]
    pub fn noise(&self) -> Option<f64> {
        /// The quartiles of a normal distribution lie so many standard deviations apart, those of `n` values drawn from
        /// it on average `(n - 1) / (n + 0.4)` times that (a fit to the means of order statistics, within 7 %).
        const QUARTILES: f64 = 1.349;
        const FIT: f64 = 0.4;
        /// Standard error of a median against that of a mean.
        const MEDIAN: f64 = 1.2533;
        let count = self.count as f64;
        let deviation = self.spread / QUARTILES * (count + FIT) / (count - 1.0);
        (self.count >= FEW).then(|| 2.0 * MEDIAN * deviation / count.sqrt())
    }
}

/// The value below which a `share` of the values lies, between neighbours in proportion; none of none.
#[must_use]
pub fn quantile(values: &[f64], share: f64) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let place = share * (sorted.len().checked_sub(1)? as f64);
    let (low, high) = (sorted.get(place.floor() as usize)?, sorted.get(place.ceil() as usize)?);
    Some(low + (high - low) * place.fract())
}

/// The geometric mean of positive values; none of none.
#[must_use]
pub fn geometric_mean(values: &[f64]) -> Option<f64> {
    let logs: Vec<f64> = values.iter().filter(|value| **value > 0.0).map(|value| value.ln()).collect();
    (!logs.is_empty()).then(|| stats::mean(&logs).exp())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_lie_between_neighbours() {
        let values = [4.0, 1.0, 3.0, 2.0, 5.0];
        assert_eq!(quantile(&values, 0.0), Some(1.0));
        assert_eq!(quantile(&values, 0.25), Some(2.0));
        assert_eq!(quantile(&values, 1.0), Some(5.0));
        assert_eq!(quantile(&[1.0, 2.0], 0.25), Some(1.25));
        assert_eq!(quantile(&[], 0.5), None);
    }

    #[test]
    fn a_figure_has_median_minimum_and_spread() {
        let figure = Figure::of(&[10.0, 12.0, 11.0, 9.0, 20.0]).unwrap();
        assert_eq!((figure.median, figure.minimum, figure.count), (11.0, 9.0, 5));
        assert!((figure.spread - 2.0 / 11.0).abs() < 1e-12);
        assert_eq!(Figure::of(&[7.0]).unwrap().spread, 0.0);
        assert_eq!(Figure::of(&[7.0, 8.0]).unwrap().noise(), None);
        assert!(Figure::of(&[]).is_none());
    }

    #[test]
    fn the_noise_shrinks_with_the_number_of_runs() {
        let of = |count: usize| {
            let values: Vec<f64> = (0..count).map(|number| 100.0 + (number % 3) as f64).collect();
            Figure::of(&values).unwrap().noise().unwrap()
        };
        assert!(of(3) > 0.01 && of(3) < 0.03, "{}", of(3));
        assert!(of(30) < of(3) / 2.0, "{}", of(30));
        assert_eq!(Figure::of(&[5.0; 4]).unwrap().noise(), Some(0.0));
    }

    #[test]
    fn geometric_means_undo_reciprocals() {
        assert!((geometric_mean(&[0.5, 2.0]).unwrap() - 1.0).abs() < 1e-12);
        assert!((geometric_mean(&[4.0, 1.0]).unwrap() - 2.0).abs() < 1e-12);
        assert_eq!(geometric_mean(&[]), None);
    }
}
