//! Size classes: which block size serves which request, and how a span of that class is cut.
//!
//! Classes are 8 bytes, then every 16 bytes to 1024, then eight per doubling to 32 KiB, so above 128 bytes at most 12.5
//! % of a block is waste. Eight steps per doubling is jemalloc's spacing halved; the 8-byte class is there because half
//! of such a block would be lost otherwise. Must not know bins, heaps or spans.

use super::start::{self, SPAN_START_SHIFT, START_SHIFT};
use super::units::{KIB, REGION_BYTES};

/// How many classes there are.
pub(crate) const COUNT: usize = 1 + LINEAR + DOUBLINGS * STEPS;
/// Largest request served by the table of the fast path, in bytes.
pub(crate) const FAST_MAX: usize = 1024;
/// Largest request served by a class, in bytes.
pub(crate) const SMALL_MAX: usize = FAST_MAX << DOUBLINGS;
/// Bytes of the smallest block.
pub(crate) const TINY: usize = 8;
/// Most regions that one span of a class has.
pub(crate) const SPAN_REGIONS_MAX: u32 = 16;
/// Most blocks that one span can have.
pub(crate) const SPAN_BLOCKS_MAX: usize = REGION_BYTES / TINY;

/// The step between classes up to [`FAST_MAX`], in bytes.
pub(crate) const LINEAR_STEP: usize = 16;
const LINEAR: usize = FAST_MAX / LINEAR_STEP;
const DOUBLINGS: usize = 5;
const STEPS: usize = 8;
/// Coarse classes up to this are powers of two.
const COARSE_POWERS_MAX: usize = 512;
const STEPS_SHIFT: u32 = STEPS.trailing_zeros();
const SPAN_BLOCKS_MIN: usize = 8;
const SPAN_TAIL_PERCENT: usize = 6;
/// Most bytes of blocks that travel together.
const BATCH_BYTES_MAX: usize = 64 * KIB;
/// Most blocks that travel together: what fits one KiB with a head of four words.
pub(crate) const BATCH_BLOCKS_MAX: usize = 124;

/// A size class, always below [`COUNT`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Class(u8);

/// How a class is cut: all a span needs to know of it.
#[repr(C, align(32))]
pub(crate) struct Geometry {
    /// Bytes of a block.
    pub(crate) size: u32,
    /// Regions of a span.
    pub(crate) regions: u32,
    /// Blocks of a span.
    pub(crate) capacity: u32,
    /// Most blocks that travel together.
    pub(crate) batch: u16,
    bitmap_words: u16,
    divisor: Divisor,
    proof: u64,
}

/// A block size to divide by.
#[derive(Clone, Copy)]
pub(crate) struct Divisor {
    reciprocal: u64,
}

impl Divisor {
    /// The block that `offset` lies in, and whether it starts there. `offset` is below the bytes of a span.
    ///
    /// One multiplication by `2^64 / size`, rounded up, tells both: the quotient is above the binary point, and below
    /// it there is less than one reciprocal only if nothing is left over (Lemire, Kaser and Kurz, "Faster remainder by
    /// direct computation").
    #[inline(always)]
    pub(crate) const fn locate(&self, offset: usize) -> (u32, bool) {
        let product = offset as u128 * self.reciprocal as u128;
        ((product >> u64::BITS) as u32, (product as u64) < self.reciprocal)
    }
}

impl Geometry {
    /// Where the factor is.
    pub(crate) const PROOF_AT: usize = core::mem::offset_of!(Self, proof);

    /// The factor by which the fast path proves starts: of places in a span for a spanning class, of places in a region
    /// for all others.
    pub(crate) const fn proof(&self) -> u64 {
        self.proof
    }

    /// Whether blocks start at different places in different regions of a span.
    pub(crate) const fn is_spanning(&self) -> bool {
        is_spanning(self.size as usize, self.regions as usize)
    }

    /// Whether a block starts at `address`, in a span of this class that begins at region `first`, as
    /// [`start::place_in_span`] counts it where the class is a spanning one.
    pub(crate) const fn is_start(&self, address: usize, first: usize) -> bool {
        let place =
            if self.is_spanning() { start::place_in_span(address, first) } else { start::place_in_region(address) };
        start::is_proven(self.proof, place)
    }

    /// The size of its blocks, to divide by.
    #[inline(always)]
    pub(crate) const fn divisor(&self) -> Divisor {
        self.divisor
    }

    /// As [`Divisor::locate`].
    #[inline(always)]
    pub(crate) const fn locate(&self, offset: usize) -> (u32, bool) {
        self.divisor.locate(offset)
    }

    /// Words of a bitmap with a bit for every block that could start in a span, behind the last one too.
    pub(crate) const fn bitmap_words(&self) -> usize {
        self.bitmap_words as usize
    }
}

impl Class {
    /// The class of requests of `size` bytes; `None` above [`SMALL_MAX`].
    #[inline]
    pub(crate) const fn of_size(size: usize) -> Option<Self> {
        if size <= TINY {
            Some(Self(0))
        } else if size <= FAST_MAX {
            Some(Self(size.div_ceil(LINEAR_STEP) as u8))
        } else if size <= SMALL_MAX {
            Some(Self::of_medium(size))
        } else {
            None
        }
    }

    /// The class of a request above [`FAST_MAX`] and not above [`SMALL_MAX`].
    #[inline]
    pub(crate) const fn of_medium(size: usize) -> Self {
        let last = size - 1;
        let doubling = last.ilog2();
        let step = (last >> (doubling - STEPS_SHIFT)) & (STEPS - 1);
        let first = (doubling - FAST_MAX.ilog2()) as usize * STEPS;
        Self((1 + LINEAR + first + step) as u8)
    }

    /// The class of number `index`; `None` from [`COUNT`] on.
    pub(crate) const fn from_index(index: usize) -> Option<Self> {
        if index < COUNT { Some(Self(index as u8)) } else { None }
    }

    /// The smallest class for `size` bytes whose blocks all start at multiples of `align`, a power of two not above a
    /// region.
    pub(crate) fn aligned(size: usize, align: usize) -> Option<Self> {
        Self::of_size(Self::rounded(size, align)?)
    }

    /// The request whose class serves `size` bytes at multiples of `align`, a power of two; `None` where no class does.
    ///
    /// That is `size` rounded up to a multiple of `align`. Its class is that size itself, or a multiple of a step that
    /// `align` divides; and spans start at multiples of a region.
    #[inline(always)]
    pub(crate) const fn rounded(size: usize, align: usize) -> Option<usize> {
        if size > SMALL_MAX || align > REGION_BYTES {
            return None;
        }
        let least = if size == 0 { 1 } else { size };
        let rounded = (least + align - 1) & !(align - 1);
        if rounded > SMALL_MAX { None } else { Some(rounded) }
    }

    /// The number of this class, below [`COUNT`].
    #[inline]
    pub(crate) const fn index(self) -> usize {
        self.0 as usize
    }

    /// Bytes of a block of this class.
    #[inline]
    pub(crate) fn size(self) -> usize {
        self.geometry().size as usize
    }

    /// The class that serves the requests of this one in a heap that uses little of it: a power of two, or 768 bytes,
    /// where half of a block is many bytes. Itself where it is such a class, tiny or above [`FAST_MAX`]. Blocks of the
    /// coarse class have whatever alignment this one's have, and less than twice the bytes of any request but a tiny
    /// one.
    #[inline]
    pub(crate) const fn coarse(self) -> Self {
        if self.0 == 0 || self.0 as usize >= LINEAR {
            return self;
        }
        let power = self.0.next_power_of_two();
        let between = power / 4 * 3;
        Self(if between as usize * LINEAR_STEP > COARSE_POWERS_MAX && self.0 <= between { between } else { power })
    }

    /// Whether this class serves requests of others, too, in a heap that uses little of them.
    pub(crate) const fn is_coarse(self) -> bool {
        self.0 != 0 && self.0 as usize <= LINEAR && self.coarse().0 == self.0
    }

    /// How spans of this class are cut.
    #[inline]
    pub(crate) const fn geometry(self) -> &'static Geometry {
        Self::geometry_at(self.0 as usize)
    }

    /// As [`Class::geometry`], of the class with that index.
    #[inline]
    pub(crate) const fn geometry_at(index: usize) -> &'static Geometry {
        // The mask keeps the index below the padded length of the table, so that no panic is reachable.
        &GEOMETRY[index & (PADDED - 1)]
    }

    /// All classes, smallest first.
    pub(crate) fn all() -> impl Iterator<Item = Self> {
        (0..COUNT as u8).map(Self)
    }
}

/// Bytes of a row of the table of classes.
pub(crate) const GEOMETRY_BYTES: usize = core::mem::size_of::<Geometry>();

impl Class {
    /// The address of the table of classes, for a reader in another process: block bytes, regions, blocks, four bytes
    /// each.
    pub(crate) fn geometry_address() -> usize {
        const { assert!(core::mem::offset_of!(Geometry, regions) == 4) };
        const { assert!(core::mem::offset_of!(Geometry, capacity) == 8) };
        core::ptr::from_ref(&GEOMETRY).addr()
    }
}

const PADDED: usize = COUNT.next_power_of_two();

static GEOMETRY: [Geometry; PADDED] = {
    let mut table = [const { geometry(COUNT - 1) }; PADDED];
    let mut index = 0;
    while index < COUNT {
        table[index] = geometry(index);
        index += 1;
    }
    table
};

/// For each request of 0 to [`FAST_MAX`] bytes its class number: the source of the heaps' premultiplied tables.
pub(crate) const FAST_CLASSES: [u8; FAST_MAX + 1] = {
    let mut table = [0; FAST_MAX + 1];
    let mut size = 0;
    while size <= FAST_MAX {
        if let Some(class) = Class::of_size(size) {
            table[size] = class.0;
        }
        size += 1;
    }
    table
};

/// How many multiples of a medium step there are up to [`SMALL_MAX`].
pub(crate) const MEDIUM_STEPS: usize = step_of(SMALL_MAX) + 1;

/// The number of the medium step that ends at or above `size`, which is not 0: all sizes between two steps are of one
/// class.
#[inline(always)]
pub(crate) const fn step_of(size: usize) -> usize {
    (size - 1) / (FAST_MAX / STEPS)
}

/// For each medium step the number of its class.
pub(crate) const MEDIUM_CLASSES: [u8; MEDIUM_STEPS] = {
    let mut table = [0; MEDIUM_STEPS];
    let mut step = step_of(FAST_MAX) + 1;
    while step < MEDIUM_STEPS {
        table[step] = Class::of_medium((step + 1) * (FAST_MAX / STEPS)).0;
        step += 1;
    }
    table
};

const fn size_of(index: usize) -> usize {
    if index == 0 {
        return TINY;
    }
    if index <= LINEAR {
        return index * LINEAR_STEP;
    }
    let medium = index - LINEAR - 1;
    let base = FAST_MAX << (medium / STEPS);
    base + (medium % STEPS + 1) * (base / STEPS)
}

/// The smallest span with enough blocks and a small enough tail.
const fn geometry(index: usize) -> Geometry {
    let size = size_of(index);
    let mut regions = 1;
    loop {
        let bytes = regions * REGION_BYTES;
        let enough = bytes / size >= SPAN_BLOCKS_MIN;
        if enough && bytes % size * 100 <= bytes * SPAN_TAIL_PERCENT {
            break;
        }
        regions += 1;
    }
    Geometry {
        size: size as u32,
        regions: regions as u32,
        capacity: (regions * REGION_BYTES / size) as u32,
        batch: batch_of(size) as u16,
        bitmap_words: ((regions * REGION_BYTES - 1) / size / u64::BITS as usize + 1) as u16,
        divisor: Divisor { reciprocal: (1u128 << u64::BITS).div_ceil(size as u128) as u64 },
        proof: if is_spanning(size, regions) {
            start::factor(size, regions * REGION_BYTES / size, SPAN_START_SHIFT)
        } else {
            start::factor(size, REGION_BYTES / size, START_SHIFT)
        },
    }
}

const fn is_spanning(size: usize, regions: usize) -> bool {
    regions > 1 && !REGION_BYTES.is_multiple_of(size)
}

const fn batch_of(size: usize) -> usize {
    let blocks = BATCH_BYTES_MAX / size;
    if blocks > BATCH_BLOCKS_MAX { BATCH_BLOCKS_MAX } else { blocks }
}

const _: () = {
    assert!(COUNT <= 128 && SPAN_BLOCKS_MAX <= u16::MAX as usize);
    assert!(size_of(COUNT - 1) == SMALL_MAX && size_of(LINEAR) == FAST_MAX);
    let mut index = 1;
    while index < COUNT {
        assert!(size_of(index) > size_of(index - 1), "classes grow");
        assert!(size_of(index).is_multiple_of(16), "16-byte alignment from 16 bytes on");
        assert!(geometry(index).regions <= SPAN_REGIONS_MAX);
        let coarse = Class(index as u8).coarse();
        assert!(coarse.0 as usize >= index && coarse.coarse().0 == coarse.0, "coarse classes serve themselves");
        assert!(size_of(coarse.index()) < 2 * (size_of(index - 1) + 1), "a request fills half of a coarse block");
        assert!(coarse.0.trailing_zeros() >= (index as u8).trailing_zeros(), "a coarse block is as aligned");
        index += 1;
    }
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_size_has_the_smallest_class_that_holds_it() {
        for size in 0..=SMALL_MAX {
            let class = Class::of_size(size).expect("small sizes have a class");
            assert!(class.size() >= size);
            if class.index() > 0 {
                assert!(size_of(class.index() - 1) < size, "{size} fits a smaller class");
            }
        }
        assert_eq!(Class::of_size(SMALL_MAX + 1), None);
    }

    #[test]
    fn the_fast_table_agrees_with_the_classes() {
        for (size, &index) in FAST_CLASSES.iter().enumerate() {
            assert_eq!(Class::of_size(size).map(Class::index), Some(usize::from(index)));
        }
        for size in FAST_MAX + 1..=SMALL_MAX {
            let index = MEDIUM_CLASSES[step_of(size)];
            assert_eq!(Class::of_size(size).map(Class::index), Some(usize::from(index)), "{size}");
        }
    }

    #[test]
    fn waste_is_at_most_an_eighth_above_128_bytes() {
        for size in 129..=SMALL_MAX {
            let block = Class::of_size(size).expect("small").size();
            assert!((block - size) * 8 <= block, "{size} in {block}");
        }
    }

    #[test]
    fn offsets_divide_exactly_over_whole_spans() {
        for class in Class::all() {
            let geometry = class.geometry();
            let size = class.size();
            for offset in 0..geometry.regions as usize * REGION_BYTES {
                assert_eq!(geometry.locate(offset), ((offset / size) as u32, offset % size == 0), "{size} at {offset}");
            }
        }
    }

    #[test]
    fn aligned_classes_hold_size_and_alignment() {
        for shift in 0..=15 {
            let align = 1 << shift;
            for size in (0..=SMALL_MAX).step_by(37) {
                if let Some(class) = Class::aligned(size, align) {
                    assert!(class.size() >= size && class.size() % align == 0);
                }
            }
        }
        assert_eq!(Class::aligned(100, 64).map(Class::size), Some(128));
        assert_eq!(Class::aligned(1, 4096).map(Class::size), Some(4096));
    }
}
