#![expect(unsafe_code, reason = "links free metadata pieces through their first word")]
//! Storage for the allocator's own structures: heaps, bin arrays, bitmaps, batches.
//!
//! Pieces are powers of two, aligned to their size, cut off a border that moves up; freed pieces wait in a list of
//! their size. The bytes that alignment leaves out below the border are the gap: small pieces are cut off that first,
//! so the first bin of a new heap shares a page with others. A new piece is zeroed, one that was used before has old
//! contents. Nothing of the program's is ever stored here.

use core::cell::Cell;

use super::area::Area;
use crate::base::units::round_up;

/// Bytes of the smallest piece.
pub(crate) const METADATA_MIN: usize = 32;
/// Bytes of the largest piece.
pub(crate) const METADATA_MAX: usize = METADATA_MIN << (SIZES - 1);

const SIZES: usize = 11;

/// Free pieces by size, and the border, of one bank. Guarded by the lock of its owner.
pub(crate) struct Metadata {
    free: [Cell<*mut u8>; SIZES],
    border: Cell<usize>,
    /// Start and end of the gap, committed and never used.
    gap: [Cell<usize>; 2],
    live: Cell<usize>,
}

// SAFETY: the pieces belong to no thread; the lock around this structure guards them.
unsafe impl Send for Metadata {}

const fn index_of(bytes: usize) -> usize {
    let pieces = bytes.div_ceil(METADATA_MIN);
    pieces.next_power_of_two().trailing_zeros() as usize
}

impl Metadata {
    /// Offset of the bytes in use.
    pub(super) const LIVE_AT: usize = core::mem::offset_of!(Self, live);

    /// Storage with nothing in it.
    pub(crate) const fn new() -> Self {
        Self {
            free: [const { Cell::new(core::ptr::null_mut()) }; SIZES],
            border: Cell::new(0),
            gap: [const { Cell::new(0) }; 2],
            live: Cell::new(0),
        }
    }

    /// Bytes in use.
    pub(crate) fn live(&self) -> usize {
        self.live.get()
    }

    /// A piece of at least `bytes`; `None` if there is none or `bytes` is above [`METADATA_MAX`].
    pub(crate) fn acquire(&self, area: &Area, bytes: usize) -> Option<*mut u8> {
        let index = index_of(bytes);
        let free = self.free.get(index)?;
        let size = METADATA_MIN << index;
        let piece = free.get();
        if !piece.is_null() {
            // SAFETY: a free piece holds the next one's address in its first word.
            free.set(unsafe { piece.cast::<*mut u8>().read() });
            self.live.set(self.live.get() + size);
            return Some(piece);
        }
        let start = self.cut_gap(area, size).or_else(|| self.cut_border(area, size))?;
        self.live.set(self.live.get() + size);
        Some(core::ptr::with_exposed_provenance_mut(area.at(start)))
    }

    /// Takes back a piece.
    ///
    /// # Safety
    /// - `piece` came from `acquire` with the same `bytes`, and nothing uses it.
    pub(crate) unsafe fn release(&self, piece: *mut u8, bytes: usize) {
        let index = index_of(bytes);
        if let Some(free) = self.free.get(index) {
            // SAFETY: the piece is given up, and has room for a word, aligned.
            unsafe { piece.cast::<*mut u8>().write(free.get()) };
            free.set(piece);
            self.live.set(self.live.get() - (METADATA_MIN << index));
        }
    }

    /// A piece off the gap.
    fn cut_gap(&self, area: &Area, size: usize) -> Option<usize> {
        let [gap, end] = &self.gap;
        let start = round_up(gap.get(), size)?;
        if start + size > end.get() {
            return None;
        }
        self.keep(area, gap.get(), start);
        gap.set(start + size);
        Some(start)
    }

    /// A piece off the border. The bytes that alignment leaves out become the gap.
    fn cut_border(&self, area: &Area, size: usize) -> Option<usize> {
        let border = self.border.get();
        let start = round_up(border, size)?;
        if !area.ensure(start + size) {
            return None;
        }
        if start > border {
            let [gap, end] = &self.gap;
            self.keep(area, gap.replace(border), end.replace(start));
        }
        self.border.set(start + size);
        Some(start)
    }

    /// Puts what lies between `from` and `to`, committed and never used, into the free lists.
    fn keep(&self, area: &Area, mut from: usize, to: usize) {
        while from < to {
            let aligned = 1 << from.trailing_zeros();
            let size = if from + aligned <= to { aligned } else { 1 << (to - from).ilog2() };
            let piece = core::ptr::with_exposed_provenance_mut(area.at(from));
            self.live.set(self.live.get() + size);
            // SAFETY: no caller has this piece yet; it lies below a committed end and is aligned to its size.
            unsafe { self.release(piece, size) };
            from += size;
        }
    }
}
