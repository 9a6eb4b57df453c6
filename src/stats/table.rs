//! The table of classes and lanes, for tools outside of the library: which class or lane serves a request.
//!
//! A view of `base::class` and `base::lane`; decides nothing by itself.

use crate::base::class::{self, Class};
use crate::base::lane::Lane;
use crate::base::units::{self, LARGE_MAX, REQUEST_MAX};

/// Bytes of a region.
pub const REGION_BYTES: usize = units::REGION_BYTES;
/// How many classes there are.
pub const CLASSES: usize = class::COUNT;
/// The alignment of every block of `malloc` of that size or more.
pub const NATURAL_ALIGN: usize = 16;

/// A class and how its spans are cut.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ClassInfo {
    /// Its number, from 0.
    pub index: usize,
    /// Bytes of a block.
    pub block_bytes: usize,
    /// Regions of a span.
    pub regions: usize,
    /// Blocks of a span.
    pub blocks: usize,
    /// Most blocks of a batch.
    pub batch: usize,
}

impl ClassInfo {
    /// Bytes of a span.
    #[must_use]
    pub const fn span_bytes(&self) -> usize {
        self.regions * REGION_BYTES
    }

    /// Bytes of a span that are in no block.
    #[must_use]
    pub const fn tail_bytes(&self) -> usize {
        self.span_bytes() - self.blocks * self.block_bytes
    }

    fn of(class: Class) -> Self {
        let geometry = class.geometry();
        Self {
            index: class.index(),
            block_bytes: geometry.size as usize,
            regions: geometry.regions as usize,
            blocks: geometry.capacity as usize,
            batch: usize::from(geometry.batch),
        }
    }
}

/// The class or lane that serves a request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Served {
    /// A block of a class.
    Small(ClassInfo),
    /// A run of so many regions.
    Large {
        /// Regions of the run.
        regions: usize,
    },
    /// A mapping of its own.
    Direct,
    /// Nothing: no object may be that large.
    Refused,
}

impl Served {
    /// The name of the lane, as reports and `spandrel_lane_of_size` have it.
    #[must_use]
    pub const fn lane(&self) -> &'static str {
        match self {
            Self::Small(_) => Lane::Small,
            Self::Large { .. } => Lane::Large,
            Self::Direct => Lane::Direct,
            Self::Refused => Lane::Refused,
        }
        .name()
    }
}

/// The class or lane that serves a request of `size` bytes at a multiple of `align`, a power of two, where a page of
/// the kernel has `page` bytes.
#[must_use]
pub fn served(size: usize, align: usize, page: usize) -> Served {
    let class = if align <= NATURAL_ALIGN { Class::of_size(size) } else { Class::aligned(size, align) };
    if let Some(class) = class {
        return Served::Small(ClassInfo::of(class));
    }
    match units::round_up(size.max(1), page).filter(|_| size <= REQUEST_MAX) {
        None => Served::Refused,
        Some(bytes) if bytes <= LARGE_MAX && align <= LARGE_MAX => Served::Large { regions: units::regions_for(bytes) },
        Some(_) => Served::Direct,
    }
}

/// All classes, smallest first.
pub fn classes() -> impl Iterator<Item = ClassInfo> {
    Class::all().map(ClassInfo::of)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_size_has_one_lane_and_the_borders_are_where_the_lanes_are() {
        let lane = |size, align| served(size, align, 4096).lane();
        assert_eq!([lane(0, 16), lane(32 << 10, 16), lane((32 << 10) + 1, 16)], ["small", "small", "large"]);
        assert_eq!(
            [lane(LARGE_MAX, 16), lane(LARGE_MAX + 1, 16), lane(REQUEST_MAX, 16)],
            ["large", "direct", "direct"]
        );
        assert_eq!([lane(REQUEST_MAX + 1, 16), lane(usize::MAX, 16)], ["refused", "refused"]);
        assert_eq!([lane(100, 32 << 10), lane(100, 64 << 10), lane(1, LARGE_MAX << 1)], ["small", "large", "direct"]);
    }

    #[test]
    fn an_aligned_request_gets_blocks_at_multiples() {
        let Served::Small(class) = served(100, 64, 4096) else { panic!("a class has it") };
        assert_eq!(class.block_bytes % 64, 0);
        assert_eq!(class.tail_bytes(), class.span_bytes() - class.blocks * class.block_bytes);
        assert_eq!(classes().count(), CLASSES);
    }
}
