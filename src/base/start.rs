//! The proof that a block starts at an address: one multiplication with a factor of the class.
//!
//! An address, shifted so that in 32 bits only its place in the region or the span is left, is divided by the block's
//! bytes, shifted alike: what the multiplication leaves behind the binary point says whether the place is a multiple
//! (Lemire, Kaser and Kurz, "Faster remainder by direct computation"). The factor is a little larger than the
//! reciprocal, by so much that the multiple behind the last block already exceeds it. Must not know where factors are
//! kept.

use super::class::SPAN_REGIONS_MAX;
use super::units::REGION_SHIFT;

/// Bits by which the place in a region is shifted.
pub(crate) const START_SHIFT: u32 = u32::BITS - REGION_SHIFT;
/// Bits by which the place in a span of several regions is shifted.
pub(crate) const SPAN_START_SHIFT: u32 = START_SHIFT - SPAN_REGIONS_MAX.ilog2();
/// Bits by which the number of the region at which a span begins is shifted alike.
pub(crate) const FIRST_SHIFT: u32 = SPAN_START_SHIFT + REGION_SHIFT;

const _: () = assert!(SPAN_REGIONS_MAX.is_power_of_two());

/// The place of `address` in its region.
#[inline(always)]
pub(crate) const fn place_in_region(address: usize) -> u32 {
    (address as u32) << START_SHIFT
}

/// The place of `address` in the span that begins at the region with number `first`, counted from address 0; only so
/// many low bits of that count as make [`SPAN_REGIONS_MAX`].
#[inline(always)]
pub(crate) const fn place_in_span(address: usize, first: usize) -> u32 {
    ((address as u32) << SPAN_START_SHIFT).wrapping_sub((first as u32) << FIRST_SHIFT)
}

/// Whether a block starts at `place` in a region or span of the class with that factor.
#[inline(always)]
pub(crate) const fn is_proven(factor: u64, place: u32) -> bool {
    (place as u64).wrapping_mul(factor) < factor
}

/// The factor for `count` blocks of `size` bytes that start at multiples of `size`, for places shifted by `shift`.
///
/// Let `q` be the quotient and `r` the remainder of the shifted place by the shifted size. Behind the binary point the
/// product is then `q` times the excess plus `r` times the factor. It has to be below the factor for `r == 0` and `q <
/// count` alone. A remainder is a multiple of `1 << shift`, so any but 0 lies far above. The factor is the least for
/// which `count` times the excess is not below it.
pub(super) const fn factor(size: usize, count: usize, shift: u32) -> u64 {
    let (count, shifted) = (count as u128, (size as u128) << shift);
    let factor = (count << u64::BITS).div_ceil(count * shifted - 1);
    let excess = factor * shifted - (1 << u64::BITS);
    assert!((count - 1) * excess < factor && count * excess >= factor);
    factor as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::class::Class;
    use crate::base::units::REGION_BYTES;

    #[test]
    fn the_proof_of_a_start_holds_for_every_address_of_a_region_and_no_other() {
        // Everything above a region's bits is to be ignored.
        let regions = [0, 1, 2, 0x7fff, 1 << 16, (1 << 32) - 1].map(|region| region << REGION_SHIFT);
        for class in Class::all().filter(|class| !class.geometry().is_spanning()) {
            let (geometry, size) = (class.geometry(), class.size());
            for offset in 0..REGION_BYTES {
                let starts = offset % size == 0 && offset + size <= REGION_BYTES;
                for region in regions {
                    assert_eq!(
                        is_proven(geometry.proof(), place_in_region(region + offset)),
                        starts,
                        "{size} at {offset}"
                    );
                }
            }
        }
    }

    #[test]
    fn the_proof_of_a_start_holds_for_every_address_of_a_span_and_no_other() {
        let mut seen = 0;
        for class in Class::all().filter(|class| class.geometry().is_spanning()) {
            let (geometry, size) = (class.geometry(), class.size());
            let bytes = geometry.regions as usize * REGION_BYTES;
            // Wherever the span begins, and whatever the higher bits of its first region's number are.
            for first in (0..16).chain([0x7fff_ffff, (1 << 32) - 3]) {
                for offset in 0..bytes {
                    let starts = offset % size == 0 && offset + size <= bytes;
                    let address = (first << REGION_SHIFT) + offset;
                    let proven = is_proven(geometry.proof(), place_in_span(address, first));
                    assert_eq!(proven, starts, "{size} at {offset} of a span from region {first}");
                }
            }
            seen += 1;
        }
        assert_eq!(seen, 25, "classes with such spans");
    }
}
