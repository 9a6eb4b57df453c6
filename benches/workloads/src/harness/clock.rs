//! The time-stamp counter, for single calls.
//!
//! Invariants: the counter runs at a constant rate (any x86-64 of the last decade); fences keep the timed call between
//! its two readings.
#![expect(unsafe_code, reason = "the counter's instructions")]

use std::arch::x86_64::{__rdtscp, _mm_lfence, _rdtsc};
use std::thread;
use std::time::{Duration, Instant};

const CALIBRATION: Duration = Duration::from_millis(50);
const EMPTY_READINGS: u32 = 10_000;

/// Ticks before a call.
#[inline]
pub(crate) fn before() -> u64 {
    // SAFETY: every x86-64 has the instruction.
    unsafe { _mm_lfence() };
    // SAFETY: as above.
    let now = unsafe { _rdtsc() };
    // SAFETY: as above.
    unsafe { _mm_lfence() };
    now
}

/// Ticks after a call.
#[inline]
pub(crate) fn after() -> u64 {
    let mut core = 0;
    // SAFETY: every x86-64 of the last decade has the instruction; `core` is a live local.
    let now = unsafe { __rdtscp(&raw mut core) };
    // SAFETY: every x86-64 has the instruction.
    unsafe { _mm_lfence() };
    now
}

/// Ticks to ns, and what an empty measurement takes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rate {
    ns_per_tick: f64,
    empty: u64,
}

impl Rate {
    /// Takes 50 ms.
    pub(crate) fn calibrate() -> Self {
        let (start, first) = (Instant::now(), before());
        thread::sleep(CALIBRATION);
        let (elapsed, ticks) = (start.elapsed(), after() - first);
        let empty = || {
            let first = before();
            after() - first
        };
        let empty = (0..EMPTY_READINGS).map(|_| empty()).min();
        Self { ns_per_tick: elapsed.as_nanos() as f64 / ticks as f64, empty: empty.unwrap_or(0) }
    }

    /// Ticks of the call alone.
    #[inline]
    pub(crate) fn net(&self, ticks: u64) -> u64 {
        ticks.saturating_sub(self.empty)
    }

    /// The step by which the counter counts: on many machines it advances by more than one at a time.
    pub(crate) fn resolution_ns(&self) -> f64 {
        let difference = || {
            let first = before();
            after() - first
        };
        self.ns((0..EMPTY_READINGS).map(|_| difference()).fold(0, greatest_common_divisor))
    }

    /// In ns.
    pub(crate) fn ns(&self, ticks: u64) -> f64 {
        ticks as f64 * self.ns_per_tick
    }
}

fn greatest_common_divisor(first: u64, second: u64) -> u64 {
    if second == 0 { first } else { greatest_common_divisor(second, first % second) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pause_is_measured() {
        let rate = Rate::calibrate();
        let first = before();
        thread::sleep(CALIBRATION);
        let ns = rate.ns(rate.net(after() - first));
        assert!(ns >= CALIBRATION.as_nanos() as f64 * 0.9, "{ns}");
    }

    #[test]
    fn divisors() {
        assert_eq!(greatest_common_divisor(0, 12), 12);
        assert_eq!(greatest_common_divisor(18, 12), 6);
    }
}
