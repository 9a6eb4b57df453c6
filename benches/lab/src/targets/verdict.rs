//! How a figure stands to what is wanted and to what was published.
//!
//! Knows: figures, their noise. Must not know: where they come from.
//! Invariants: a figure misses only what it exceeds by more than the noise.

use super::Known;

/// A target against a result.
#[derive(Debug, Clone, PartialEq)]
pub struct Judged {
    /// The condition, in words.
    pub text: String,
    /// The figures found, in words.
    pub found: String,
    /// How it ended.
    pub verdict: Verdict,
    /// The page that states it.
    pub page: String,
}

/// How a target stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// The figure is as wanted.
    Reached,
    /// It is not, and no worse than published, as far as the noise lets one say.
    Known,
    /// It exceeds what is wanted by no more than the noise, and no other figure was published.
    WithinNoise,
    /// It exceeds what was published, or else what is wanted, by more than the noise.
    Missed,
    /// Not measured, too few runs to tell the noise, or no figure of such runs was published.
    Open,
}

impl Verdict {
    /// In a word or two.
    #[must_use]
    pub fn words(self) -> &'static str {
        match self {
            Self::Reached => "reached",
            Self::Known => "missed, as published",
            Self::WithinNoise => "within the noise",
            Self::Missed => "MISSED",
            Self::Open => "not judged",
        }
    }
}

/// A figure and its noise, none of too few runs.
#[derive(Debug, Clone, Copy)]
pub(super) struct Found {
    pub(super) value: f64,
    pub(super) noise: Option<f64>,
}

/// How a figure stands to what is wanted and to what was published.
pub(super) fn verdict(found: Found, wanted: f64, published: Option<Known>) -> Verdict {
    let Some(noise) = found.noise else { return Verdict::Open };
    if found.value <= wanted && published.is_none_or(|known| found.value <= known.found) {
        return Verdict::Reached;
    }
    let exceeds = |limit: f64, noise: f64| found.value > limit * (1.0 + noise);
    match published {
        Some(known) if exceeds(known.found, noise.hypot(known.noise)) => Verdict::Missed,
        Some(_) if found.value <= wanted => Verdict::Reached,
        Some(_) => Verdict::Known,
        None if exceeds(wanted, noise) => Verdict::Missed,
        None => Verdict::WithinNoise,
    }
}
