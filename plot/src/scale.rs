//! Axes: values to pixels, and which values get a tick.
//!
//! Knows: linear and logarithmic scales. Must not know: what is drawn along them.

/// An axis.
#[derive(Debug, Clone, Copy)]
pub struct Scale {
    low: f64,
    high: f64,
    from: f64,
    to: f64,
    logarithmic: bool,
}

impl Scale {
    /// A linear axis from 0 to at least `high`, which is put on a tick.
    #[must_use]
    pub fn from_zero(high: f64, from: f64, to: f64) -> Self {
        let step = step(high);
        Self { low: 0.0, high: (high / step).ceil().max(1.0) * step, from, to, logarithmic: false }
    }

    /// A linear axis from 0 to `high`.
    #[must_use]
    pub fn linear(high: f64, from: f64, to: f64) -> Self {
        Self { low: 0.0, high, from, to, logarithmic: false }
    }

    /// A linear axis from `low` to `high`.
    #[must_use]
    pub fn between(low: f64, high: f64, from: f64, to: f64) -> Self {
        Self { low, high, from, to, logarithmic: false }
    }

    /// A logarithmic axis that holds `low` and `high`, both above 0.
    #[must_use]
    pub fn logarithmic(low: f64, high: f64, from: f64, to: f64) -> Self {
        Self { low, high, from, to, logarithmic: true }
    }

    /// The pixel of a value; values beyond the ends lie on them.
    #[must_use]
    pub fn pixel(&self, value: f64) -> f64 {
        let value = value.clamp(self.low, self.high);
        let share = if self.logarithmic {
            (value / self.low).ln() / (self.high / self.low).ln()
        } else {
            (value - self.low) / (self.high - self.low)
        };
        self.from + share * (self.to - self.from)
    }

    /// True if the value lies beyond the end.
    #[must_use]
    pub fn beyond(&self, value: f64) -> bool {
        value > self.high
    }

    /// The values that get a tick.
    #[must_use]
    pub fn ticks(&self) -> Vec<f64> {
        let all: Vec<f64> = if self.logarithmic {
            let decades = self.low.log10().floor() as i32..=self.high.log10().ceil() as i32;
            let digits = digits(self.high / self.low);
            decades.flat_map(|decade| digits.iter().map(move |digit| digit * 10f64.powi(decade))).collect()
        } else {
            let step = step(self.high - self.low);
            (0..=(self.high / step).round() as u32).map(|number| f64::from(number) * step).collect()
        };
        let slack = 1e-9 * self.high;
        all.into_iter().filter(|tick| *tick >= self.low - slack && *tick <= self.high + slack).map(rounded).collect()
    }
}

/// Which numbers of each decade get a tick, by how far the axis reaches.
fn digits(reach: f64) -> &'static [f64] {
    match reach {
        _ if reach > 1e3 => &[1.0],
        _ if reach > 8.0 => &[1.0, 1.5, 2.0, 3.0, 5.0, 7.0],
        _ => &[1.0, 1.2, 1.5, 2.0, 2.5, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0],
    }
}

/// Without the last bits that a sum or a product leaves.
fn rounded(tick: f64) -> f64 {
    const PLACES: f64 = 1e6;
    (tick * PLACES).round() / PLACES
}

/// A round step that divides the way to `high` into four to eight.
fn step(high: f64) -> f64 {
    let rough = high.max(f64::MIN_POSITIVE) / 5.0;
    let decade = 10f64.powf(rough.log10().floor());
    let digit = [1.0, 2.0, 2.5, 5.0, 10.0].into_iter().find(|digit| digit * decade >= rough).unwrap_or(10.0);
    digit * decade
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ends_of_a_scale_are_its_pixels() {
        let scale = Scale::logarithmic(0.5, 2.0, 100.0, 300.0);
        assert_eq!(scale.pixel(0.5), 100.0);
        assert!((scale.pixel(1.0) - 200.0).abs() < 1e-9);
        assert_eq!(scale.pixel(9.0), 300.0);
        assert!(scale.beyond(9.0) && !scale.beyond(2.0));
    }

    #[test]
    fn ticks_are_round_and_lie_within() {
        assert_eq!(Scale::from_zero(93.0, 0.0, 1.0).ticks(), [0.0, 20.0, 40.0, 60.0, 80.0, 100.0]);
        assert_eq!(Scale::between(40.0, 100.0, 0.0, 1.0).ticks(), [40.0, 60.0, 80.0, 100.0]);
        assert_eq!(Scale::logarithmic(0.5, 2.0, 0.0, 1.0).ticks(), [0.5, 0.6, 0.7, 0.8, 0.9, 1.0, 1.2, 1.5, 2.0]);
    }
}
