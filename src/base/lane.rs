//! Lanes: which part of the allocator serves a request of which size. Every size has exactly one.

use super::class::SMALL_MAX;
use super::units::{LARGE_MAX, REQUEST_MAX};

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(i32)]
pub(crate) enum Lane {
    /// A block of a class.
    Small = 0,
    /// A run of regions.
    Large = 1,
    /// A mapping of its own.
    Direct = 2,
    /// libc's allocator.
    Libc = 3,
    /// No lane: no object may be that large.
    Refused = 4,
}

impl Lane {
    /// How many lanes serve requests.
    pub(crate) const SERVING: usize = 4;

    /// The lane for requests of `size` bytes while the process is in its usual state.
    pub(crate) const fn of_size(size: usize) -> Self {
        if size <= SMALL_MAX {
            Self::Small
        } else if size <= LARGE_MAX {
            Self::Large
        } else if size <= REQUEST_MAX {
            Self::Direct
        } else {
            Self::Refused
        }
    }

    /// The name in reports.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Small => "small",
            Self::Large => "large",
            Self::Direct => "direct",
            Self::Libc => "libc",
            Self::Refused => "refused",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::class::Class;

    #[test]
    fn lanes_meet_without_gap_or_overlap() {
        let borders = [SMALL_MAX, LARGE_MAX, REQUEST_MAX];
        let lanes = [Lane::Small, Lane::Large, Lane::Direct, Lane::Refused];
        for (border, pair) in borders.into_iter().zip(lanes.windows(2)) {
            assert_eq!([Lane::of_size(border), Lane::of_size(border + 1)], pair);
        }
        assert_eq!((Lane::of_size(0), Lane::of_size(usize::MAX)), (Lane::Small, Lane::Refused));
    }

    #[test]
    fn the_small_lane_is_what_classes_hold() {
        for class in Class::all() {
            for size in class.size() - 1..=class.size() + 1 {
                assert_eq!(Lane::of_size(size) == Lane::Small, Class::of_size(size).is_some());
            }
        }
    }
}
