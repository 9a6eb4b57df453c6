//! Sizes as people write and read them. Must not know what they are sizes of.

/// Units by their letters; each is 1024 times the one before.
const UNITS: [&str; 5] = ["", "K", "M", "G", "T"];
const STEP: usize = 1024;

/// A number of bytes: decimal or `0x…`, with K, M, G or T behind it.
///
/// # Errors
/// When it is not of that form or too large; the text is for the user.
pub(crate) fn parse(text: &str) -> Result<usize, String> {
    let complaint = || format!("`{text}` is not a number of bytes (such as 100, 64K or 2M)");
    if let Some(digits) = text.strip_prefix("0x") {
        return usize::from_str_radix(digits, 16).map_err(|_| complaint());
    }
    let digits = text.trim_end_matches(|letter: char| letter.is_ascii_alphabetic());
    let unit = text.get(digits.len()..).unwrap_or_default().to_ascii_uppercase();
    let power = UNITS.iter().position(|&name| name == unit).ok_or_else(complaint)?;
    let factor = STEP.pow(power as u32);
    let number: usize = digits.parse().map_err(|_| complaint())?;
    number.checked_mul(factor).ok_or_else(complaint)
}

/// A number of bytes with three digits and a unit.
pub(crate) fn show(bytes: u64) -> String {
    let mut value = bytes as f64;
    let mut unit = 0;
    while value >= 1000.0 && unit + 1 < UNITS.len() {
        value /= STEP as f64;
        unit += 1;
    }
    match (unit, value) {
        (0, _) => format!("{bytes} B"),
        (_, value) if value < 10.0 => format!("{value:.2} {}iB", UNITS[unit]),
        (_, value) if value < 100.0 => format!("{value:.1} {}iB", UNITS[unit]),
        (_, value) => format!("{value:.0} {}iB", UNITS[unit]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_with_their_units_and_nonsense_is_named() {
        assert_eq!(["0", "100", "64K", "2m", "0x10"].map(|text| parse(text).unwrap()), [0, 100, 65536, 2 << 20, 16]);
        for bad in ["", "K", "1.5M", "-1", "1KB", "99999999999999999999", "99999999999T", "0xg"] {
            assert!(parse(bad).unwrap_err().contains(bad), "{bad}");
        }
    }

    #[test]
    fn sizes_are_shown_with_three_digits() {
        let shown = [0, 999, 1000, 1024, 10 << 10, 1 << 20, 123 << 20, u64::MAX].map(show);
        assert_eq!(shown, ["0 B", "999 B", "0.98 KiB", "1.00 KiB", "10.0 KiB", "1.00 MiB", "123 MiB", "16777216 TiB"]);
    }
}
