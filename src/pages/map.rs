#![expect(unsafe_code, reason = "reads and writes the map's words")]
//! The page map: the owner of each region of the data area, and the class of its blocks.
//!
//! An entry is the address of a bin: the owner's heap address plus the class's place in it. So "mine and small" is one
//! exclusive or and one compare, and the result is the bin itself. Two owners are not heaps: the central list (spans
//! that no heap owns) and the large lane. Must not know what a heap looks like beyond its alignment.
//!
//! Where blocks start at different places in the regions of a span, the word of each of its regions also says where the
//! span begins, in bits that are 0 in every entry.

use crate::base::class::{self, Class, Geometry};
use crate::base::units::{REGION_SHIFT, Region};
use crate::sys::atomic::{AtomicUsize, Ordering};
use crate::sys::processor;

/// Bytes of a bin, and so the distance between the entries of neighbouring classes.
pub(crate) const BIN_BYTES: usize = 32;
/// Heaps start at multiples of this.
pub(crate) const HEAP_ALIGN: usize = 8192;
/// Bytes of all bins of a heap: entries of one owner are closer to it than this.
pub(crate) const BINS_BYTES: usize = class::COUNT * BIN_BYTES;
pub(crate) const ENTRY_BYTES: usize = size_of::<usize>();

/// In the words of spans whose blocks start at different places in their regions.
const SPANNING: usize = HEAP_ALIGN / 2;
/// In the same words: the number of the region at which the span begins, as far as it fits, counted from address 0.
const SPAN_START: usize = class::SPAN_REGIONS_MAX as usize - 1;

const _: () = assert!(BINS_BYTES <= SPANNING && SPAN_START < BIN_BYTES && (SPAN_START + 1).is_power_of_two());

/// The page map's entry for a region.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Entry(usize);

impl Entry {
    /// Nothing that can be freed starts here.
    pub(crate) const NONE: Self = Self(0);
    /// No region has this entry: the entries of several regions differ.
    pub(crate) const MIXED: Self = Self(1);
    /// A large block starts here.
    pub(crate) const LARGE: Self = Self(2 * HEAP_ALIGN);

    /// The lowest entry of spans of the central list.
    pub(super) const LOWEST: Self = Self(Self::CENTRAL);

    const CENTRAL: usize = HEAP_ALIGN;

    /// The entry of the spans of `class` of the heap at `heap`.
    pub(crate) const fn small(heap: usize, class: Class) -> Self {
        Self(heap + class.index() * BIN_BYTES)
    }

    /// The entry of the spans of `class` that no heap owns.
    pub(crate) const fn central(class: Class) -> Self {
        Self::small(Self::CENTRAL, class)
    }

    /// The entry with that number.
    pub(crate) const fn from_bits(bits: usize) -> Self {
        Self(bits)
    }

    /// The entry as a number.
    pub(crate) const fn bits(self) -> usize {
        self.0
    }

    /// The owner: a heap's address, or one of the two that are none.
    pub(crate) const fn owner(self) -> usize {
        self.0 & !(HEAP_ALIGN - 1)
    }

    /// Whether the central list owns it.
    pub(crate) const fn is_central(self) -> bool {
        self.owner() == Self::CENTRAL
    }

    /// The class, for entries of spans.
    pub(crate) const fn class(self) -> Option<Class> {
        if self.owner() == 0 || self.owner() == Self::LARGE.0 {
            return None;
        }
        Class::from_index(self.class_index())
    }

    /// How spans with this entry, which has a class, are cut.
    #[inline(always)]
    pub(crate) fn geometry(self) -> &'static Geometry {
        Class::geometry_at(self.class_index())
    }

    const fn class_index(self) -> usize {
        (self.0 & (HEAP_ALIGN - 1)) / BIN_BYTES
    }
}

/// A word of the map as the fast path reads it: an entry, and where the span begins if its class is a spanning one.
#[derive(Clone, Copy)]
pub(crate) struct Word(usize);

impl Word {
    /// The word with that number.
    #[inline(always)]
    pub(crate) const fn from_bits(bits: usize) -> Self {
        Self(bits)
    }

    /// The word of the regions of a span that begins at `address`, whose entry is `entry`.
    pub(super) const fn of_span(entry: Entry, address: usize) -> Self {
        match entry.class() {
            Some(class) if class.geometry().is_spanning() => {
                Self(entry.0 | SPANNING | (address >> REGION_SHIFT) & SPAN_START)
            }
            _ => Self(entry.0),
        }
    }

    /// The word as a number: that of the entry unless the class is a spanning one.
    #[inline(always)]
    pub(crate) const fn bits(self) -> usize {
        self.0
    }

    /// The entry, of a class that is not a spanning one.
    #[inline(always)]
    pub(crate) const fn plain(self) -> Entry {
        Entry(self.0)
    }

    /// The entry.
    #[inline(always)]
    pub(crate) const fn entry(self) -> Entry {
        Entry(self.0 & !Self::MARKS)
    }

    /// The place of `block` in its span, as [`crate::base::start`] counts it, and the entry: of a spanning class.
    #[inline(always)]
    pub(crate) fn split(self, block: *mut u8) -> (usize, Entry) {
        let [place, entry] = processor::place_in_span::<{ Self::MARKS }>(block.addr(), self.0);
        (place, Entry(entry))
    }

    /// The bits that are 0 in every entry.
    pub(super) const MARKS: usize = SPANNING | SPAN_START;
}

/// The words of the map: entry `i` is that of region `i`.
#[derive(Clone, Copy)]
pub(crate) struct Window {
    first: *const AtomicUsize,
}

// SAFETY: the words are atomics that stay for the life of the process.
unsafe impl Send for Window {}
// SAFETY: as above.
unsafe impl Sync for Window {}

impl Window {
    /// The window whose first word is at `address`.
    pub(crate) const fn new(address: usize) -> Self {
        Self { first: core::ptr::with_exposed_provenance(address) }
    }

    /// Where the first word is.
    pub(crate) fn address(self) -> usize {
        self.first.addr()
    }

    /// The word of `region`.
    ///
    /// # Safety
    /// - The word of `region` is committed.
    pub(crate) unsafe fn get(self, region: Region) -> Word {
        // Relaxed: a block's entry was written before the block was handed out; a change of owner is checked again
        // under the lock that makes it.
        // SAFETY: the word is committed.
        Word(unsafe { self.word(region) }.load(Ordering::Relaxed))
    }

    /// Sets the words of `count` regions from `region`.
    ///
    /// # Safety
    /// - Those words are committed, and the regions are the caller's to hand to an owner.
    pub(crate) unsafe fn set(self, region: Region, count: u32, value: Word) {
        for step in 0..count {
            // SAFETY: the words are committed.
            let word = unsafe { self.word(region.plus(step)) };
            // Relaxed: see `get`.
            word.store(value.0, Ordering::Relaxed);
        }
    }

    /// Replaces `expected` by [`Entry::NONE`]; false if the entry is another. Of several callers one gets true.
    ///
    /// # Safety
    /// - As for `set`, with a count of one.
    pub(crate) unsafe fn clear(self, region: Region, expected: Entry) -> bool {
        // SAFETY: the word is committed.
        let word = unsafe { self.word(region) };
        // Relaxed: the exchange itself decides; what follows happens under locks.
        word.compare_exchange(expected.0, 0, Ordering::Relaxed, Ordering::Relaxed).is_ok()
    }

    unsafe fn word(self, region: Region) -> &'static AtomicUsize {
        // SAFETY: the word is committed.
        let place = unsafe { self.first.add(region.0 as usize) };
        // SAFETY: as above; committed words stay for the life of the process.
        unsafe { &*place }
    }
}
