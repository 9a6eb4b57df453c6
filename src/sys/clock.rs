//! Time that costs next to nothing to read: the processor's counter, turned into milliseconds when a caller asks for an
//! age. Must not know what is timed.

use super::atomic::{AtomicU64, Ordering};
use super::call;
pub(crate) use super::processor::ticks;

/// A moment at which both clocks were read: set once, before ages are asked for.
pub(crate) struct Epoch {
    ticks: AtomicU64,
    milliseconds: AtomicU64,
}

impl Epoch {
    /// Not begun.
    pub(crate) const fn new() -> Self {
        Self { ticks: AtomicU64::new(0), milliseconds: AtomicU64::new(0) }
    }

    /// Reads both clocks.
    pub(crate) fn begin(&self) {
        // Relaxed: the caller publishes it.
        self.ticks.store(ticks(), Ordering::Relaxed);
        self.milliseconds.store(call::milliseconds(), Ordering::Relaxed);
    }

    /// Milliseconds since the counter was at `then`, which is not before the beginning. The rate is that of the time
    /// since then.
    pub(crate) fn age(&self, then: u64) -> u64 {
        // Relaxed: see `begin`.
        let passed = u128::from(ticks().saturating_sub(self.ticks.load(Ordering::Relaxed)));
        let milliseconds = u128::from(call::milliseconds().saturating_sub(self.milliseconds.load(Ordering::Relaxed)));
        let age = u128::from(ticks().saturating_sub(then));
        (age * milliseconds).checked_div(passed).unwrap_or(0) as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn ages_are_milliseconds() {
        let epoch = Epoch::new();
        epoch.begin();
        let then = ticks();
        std::thread::sleep(Duration::from_millis(50));
        let age = epoch.age(then);
        assert!((40..5000).contains(&age), "{age}");
        assert!(epoch.age(ticks()) < 40);
    }
}
