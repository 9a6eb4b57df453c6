//! The age of a free run, by a clock of 32 bits that starts anew every 49 days. Must not know runs.

/// Another thread may have stamped a run after the caller read the clock, but by no more than so many milliseconds.
const AHEAD: u32 = 60_000;
/// The longest that a run can be seen to have waited. What waits for longer, without any call of the process, looks younger by a turn of
/// the clock, which puts its purge off by a delay or [`AHEAD`], and does not prevent it.
pub(super) const AGE_MAX: u32 = u32::MAX - AHEAD;

/// Milliseconds from `stamp` to `now`; none where the stamp is a little ahead.
pub(super) const fn waited(now: u32, stamp: u32) -> u32 {
    let waited = now.wrapping_sub(stamp);
    if waited > AGE_MAX { 0 } else { waited }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: u64 = 86_400_000;
    const TURN: u64 = 1 << 32;
    const DELAY: u32 = 500;

    /// Whether a run that was freed at `freed` is due at `now`, both in milliseconds of a clock that never starts anew.
    fn is_due(freed: u64, now: u64) -> bool {
        waited(now as u32, freed as u32) >= DELAY
    }

    #[test]
    fn a_run_is_old_however_long_nobody_called() {
        for freed in [0, 7, 24 * DAY, TURN - 100, 49 * DAY] {
            assert!(!is_due(freed, freed + u64::from(DELAY) - 1));
            for days in [1, 20, 24, 25, 26, 30, 40, 49, 51, 75, 100] {
                assert!(is_due(freed, freed + days * DAY), "{days} days after {freed}");
            }
        }
    }

    #[test]
    fn a_run_that_was_stamped_after_the_clock_was_read_is_young() {
        assert!(!is_due(100, 90) && !is_due(TURN, TURN - 10));
    }

    #[test]
    fn a_turn_of_the_clock_puts_a_purge_off_and_does_not_prevent_it() {
        assert!(!is_due(1000, 1000 + TURN) && is_due(1000, 1000 + TURN + u64::from(DELAY)));
        assert!(!is_due(1000, 1000 + TURN - 1) && is_due(1000, 1000 + TURN - 1 - u64::from(AHEAD)));
    }
}
