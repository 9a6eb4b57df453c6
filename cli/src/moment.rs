//! The time of day, in words for people.

use std::time::{SystemTime, UNIX_EPOCH};

const DAY: u64 = 86_400;
/// Days of four hundred years, after which the calendar repeats itself, and of the years before 1970 in such a period.
const PERIOD: u64 = 146_097;
const BEFORE: u64 = 719_468;

/// Now, as `2026-11-22 03:07 UTC`.
pub(crate) fn now() -> String {
    show(SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs()))
}

/// The moment so many seconds after 1970 began. Years begin in March here, so that the day that some have more is their
/// last one (Howard Hinnant's `civil_from_days`).
fn show(seconds: u64) -> String {
    let days = seconds / DAY + BEFORE;
    let (period, day) = (days / PERIOD, days % PERIOD);
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let of_year = day - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let of_month = of_year - (153 * month + 2) / 5 + 1;
    let (month, later) = if month < 10 { (month + 3, 0) } else { (month - 9, 1) };
    let (hour, minute) = (seconds % DAY / 3600, seconds % 3600 / 60);
    format!("{:04}-{month:02}-{of_month:02} {hour:02}:{minute:02} UTC", period * 400 + year + later)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_those_of_the_calendar() {
        assert_eq!(show(0), "1970-01-01 00:00 UTC");
        assert_eq!(show(951_782_400), "2000-02-29 00:00 UTC");
        assert_eq!(show(1_795_316_820), "2026-11-22 03:07 UTC");
    }
}
