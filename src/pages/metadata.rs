#![expect(unsafe_code, reason = "links free metadata pieces through their first word")]
//! Storage for the allocator's own structures: heaps, bin arrays, bitmaps, batches.
//!
//! Pieces are powers of two, aligned to their size, cut off a border that moves up; freed pieces wait in a list of
//! their size. A new piece is zeroed, one that was used before has old contents. Nothing of the program's is ever
//! stored here.

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
        Self { free: [const { Cell::new(core::ptr::null_mut()) }; SIZES], border: Cell::new(0), live: Cell::new(0) }
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
        let start = round_up(self.border.get(), size)?;
        if !area.ensure(start + size) {
            return None;
        }
        self.keep_gap(area, start);
        self.border.set(start + size);
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

    /// Puts what alignment leaves out between border and `start` into the free lists.
    fn keep_gap(&self, area: &Area, start: usize) {
        while self.border.get() < start {
            let size = 1 << self.border.get().trailing_zeros();
            let piece = core::ptr::with_exposed_provenance_mut(area.at(self.border.get()));
            self.live.set(self.live.get() + size);
            // SAFETY: no caller has this piece yet; it lies below a committed end and is aligned to its size.
            unsafe { self.release(piece, size) };
            self.border.set(self.border.get() + size);
        }
    }
}
