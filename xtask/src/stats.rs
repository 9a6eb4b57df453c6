//! The few statistics that measurements are reduced to.
//!
//! Knows: numbers. Must not know: what they measure.

/// The middle value (mean of the two middle ones for an even count); 0 for no values.
#[must_use]
pub fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    match (sorted.len(), sorted.len() % 2) {
        (0, _) => 0.0,
        (_, 1) => sorted[middle],
        _ => f64::midpoint(sorted[middle - 1], sorted[middle]),
    }
}

/// The smallest value; infinite for no values.
#[must_use]
pub fn minimum(values: &[f64]) -> f64 {
    values.iter().copied().fold(f64::INFINITY, f64::min)
}

/// The mean; 0 for no values.
#[must_use]
pub fn mean(values: &[f64]) -> f64 {
    if values.is_empty() { 0.0 } else { values.iter().sum::<f64>() / values.len() as f64 }
}

/// `part` over `whole`; 1 when there is nothing to compare with.
#[must_use]
pub fn ratio(part: f64, whole: f64) -> f64 {
    if whole > 0.0 { part / whole } else { 1.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians_of_odd_even_and_no_values() {
        assert_eq!(median(&[3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(&[4.0, 1.0, 2.0, 3.0]), 2.5);
        assert_eq!(median(&[]), 0.0);
    }

    #[test]
    fn minimum_mean_and_ratio() {
        assert_eq!(minimum(&[3.0, 1.0]), 1.0);
        assert_eq!(mean(&[3.0, 1.0]), 2.0);
        assert_eq!(ratio(1.0, 2.0), 0.5);
        assert_eq!(ratio(1.0, 0.0), 1.0);
    }
}
