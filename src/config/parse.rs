//! Values from text: flags, numbers, sizes, ranges, choices. Each parser takes the bytes of a value and nothing else.

use crate::base::units::{GIB, KIB, MIB};

const TIB: usize = GIB << 10;

/// `0` or `1`.
pub(super) fn flag(value: &[u8]) -> Option<bool> {
    match value {
        b"1" => Some(true),
        b"0" => Some(false),
        _ => None,
    }
}

/// A decimal number.
pub(crate) fn number(value: &[u8]) -> Option<usize> {
    if value.is_empty() {
        return None;
    }
    value.iter().try_fold(0_usize, |sum, &byte| {
        let digit = byte.is_ascii_digit().then(|| usize::from(byte - b'0'))?;
        sum.checked_mul(10)?.checked_add(digit)
    })
}

/// A decimal number of bytes, with an optional unit behind it: `K`, `M`, `G` or `T`, which may be written `KB` or `KiB`
/// as well. All are powers of 1024.
pub(super) fn size(value: &[u8]) -> Option<usize> {
    let digits = value.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let (count, unit) = value.split_at_checked(digits)?;
    let mut unit = unit.iter().map(u8::to_ascii_uppercase);
    let factor = match unit.next() {
        None => 1,
        Some(b'K') => KIB,
        Some(b'M') => MIB,
        Some(b'G') => GIB,
        Some(b'T') => TIB,
        Some(_) => return None,
    };
    match [unit.next(), unit.next(), unit.next()] {
        [None, ..] | [Some(b'B'), None, _] | [Some(b'I'), Some(b'B'), None] => number(count)?.checked_mul(factor),
        _ => None,
    }
}

/// Two sizes with a dash between them, the first not above the second.
pub(super) fn range(value: &[u8]) -> Option<(usize, usize)> {
    let dash = value.iter().position(|&byte| byte == b'-')?;
    let (low, rest) = value.split_at_checked(dash)?;
    let (low, high) = (size(low)?, size(rest.get(1..)?)?);
    (low <= high).then_some((low, high))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn sizes_take_units_and_refuse_the_rest() {
        assert_eq!(size(b"64K"), Some(65536));
        assert_eq!(size(b"1t"), Some(TIB));
        assert_eq!(size(b"12"), Some(12));
        for million in [&b"1M"[..], b"1m", b"1MB", b"1Mb", b"1MiB", b"1mib"] {
            assert_eq!(size(million), Some(MIB), "{million:?}");
        }
        for bad in [
            &b""[..],
            b"K",
            b"-1",
            b"1KK",
            b"1B",
            b"1Mi",
            b"1MBB",
            b"1MiBB",
            b"1BM",
            b"1iB",
            b"1M ",
            b"1.5M",
            b"99999999999999999999",
            b"99999999999T",
            b" 1",
        ] {
            assert_eq!(size(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn ranges_are_ordered() {
        assert_eq!(range(b"256-1040"), Some((256, 1040)));
        assert_eq!(range(b"0-32K"), Some((0, 32768)));
        for bad in [&b"5"[..], b"5-4", b"-4", b"4-", b"a-b", b"1-2-3"] {
            assert_eq!(range(bad), None, "{bad:?}");
        }
    }

    proptest! {
        #[test]
        fn no_input_panics(value: Vec<u8>) {
            let _ = (flag(&value), number(&value), size(&value), range(&value));
        }

        #[test]
        fn numbers_read_back(value: usize) {
            prop_assert_eq!(number(value.to_string().as_bytes()), Some(value));
        }
    }
}
