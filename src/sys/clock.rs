//! Time that costs next to nothing to read: the processor's counter, turned into milliseconds when a caller asks for an
//! age. Must not know what is timed.

use super::atomic::{AtomicU32, AtomicU64, Ordering};
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

/// The kernel's clock, asked only after the processor's counter has moved on by [`TICKS_MIN`]: a system call costs more
/// than what it would time. Any thread reads and writes both words.
pub(crate) struct Clock {
    ticks: AtomicU64,
    milliseconds: AtomicU32,
}

/// About a millisecond, or less, on processors that count a billion times or more in a second.
const TICKS_MIN: u64 = 1 << 20;

impl Clock {
    /// A clock that was never read.
    pub(crate) const fn new() -> Self {
        Self { ticks: AtomicU64::new(0), milliseconds: AtomicU32::new(0) }
    }

    /// The time in milliseconds modulo 2^32, up to [`TICKS_MIN`] old.
    #[inline]
    pub(crate) fn now(&self) -> u32 {
        let ticks = ticks();
        // Acquire pairs with the Release below: the time is at least as young as the ticks. A counter that seems to go
        // back, on another processor, has the kernel asked.
        if ticks.wrapping_sub(self.ticks.load(Ordering::Acquire)) < TICKS_MIN {
            // Relaxed: ordered by the load above.
            return self.milliseconds.load(Ordering::Relaxed);
        }
        self.read(ticks)
    }

    #[cold]
    #[inline(never)]
    fn read(&self, ticks: u64) -> u32 {
        let now = call::milliseconds() as u32;
        // Relaxed: the store below publishes it.
        self.milliseconds.store(now, Ordering::Relaxed);
        // Release pairs with the Acquire above.
        self.ticks.store(ticks, Ordering::Release);
        now
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn the_clock_is_a_millisecond_or_so_behind() {
        let clock = Clock::new();
        for _ in 0..20 {
            let (before, now, after) = (call::milliseconds(), clock.now(), call::milliseconds());
            // The counters of few processors are slower than a fifth of a billion in a second.
            assert!((before.saturating_sub(10)..=after).contains(&u64::from(now)), "{before} {now} {after}");
            std::thread::sleep(Duration::from_millis(11));
        }
    }

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
