//! Units of address space and the newtypes that keep them apart.
//!
//! Knows how large a region is and how to round; must not know where memory comes from.

/// log2 of the bytes of a region.
pub(crate) const REGION_SHIFT: u32 = 15;
/// Bytes of a region, the unit in which spans and the page map think.
pub(crate) const REGION_BYTES: usize = 1 << REGION_SHIFT;
/// Largest request that the large lane serves, in bytes; above it a block is a mapping of its own.
pub(crate) const LARGE_MAX: usize = 32 << 20;
/// Largest request at all: a C object may not be larger than `PTRDIFF_MAX`.
pub(crate) const REQUEST_MAX: usize = isize::MAX as usize;
/// The bytes of one kibibyte, one mebibyte and one gibibyte.
pub(crate) const KIB: usize = 1 << 10;
/// See [`KIB`].
pub(crate) const MIB: usize = 1 << 20;
/// See [`KIB`].
pub(crate) const GIB: usize = 1 << 30;

/// The index of a region, counted from the start of the data area. Region 0 is never handed out, so 0 means "none".
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
#[repr(transparent)]
pub(crate) struct Region(pub(crate) u32);

impl Region {
    /// No region.
    pub(crate) const NONE: Self = Self(0);

    /// The region `count` regions further on.
    pub(crate) const fn plus(self, count: u32) -> Self {
        Self(self.0 + count)
    }
}

/// `value` rounded up to a multiple of `unit`, a power of two; `None` on overflow.
pub(crate) const fn round_up(value: usize, unit: usize) -> Option<usize> {
    match value.checked_add(unit - 1) {
        Some(sum) => Some(sum & !(unit - 1)),
        None => None,
    }
}

/// Regions needed for `bytes`. `bytes` is at most `REQUEST_MAX`, so this cannot overflow a `usize`.
pub(crate) const fn regions_for(bytes: usize) -> usize {
    bytes.div_ceil(REGION_BYTES)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rounding_stops_at_overflow() {
        assert_eq!(round_up(1, 4096), Some(4096));
        assert_eq!(round_up(4096, 4096), Some(4096));
        assert_eq!(round_up(0, 4096), Some(0));
        assert_eq!(round_up(usize::MAX, 4096), None);
        assert_eq!(regions_for(1), 1);
        assert_eq!(regions_for(REGION_BYTES + 1), 2);
    }
}
