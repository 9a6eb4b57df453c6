#![expect(unsafe_code, reason = "links free metadata pieces through their first word")]
//! Storage for the allocator's own structures: heaps, bin arrays, bitmaps, batches.
//!
//! Pieces are powers of two, aligned to their size, cut off a border that moves up; freed pieces wait in a list of their size.
//! A piece comes zeroed where it is new and with old contents where it is not. Nothing of the program's is ever stored here.

use super::area::Area;
use crate::base::units::round_up;

/// Bytes of the smallest piece.
pub(crate) const METADATA_MIN: usize = 32;
/// Bytes of the largest piece.
pub(crate) const METADATA_MAX: usize = METADATA_MIN << (SIZES - 1);

const SIZES: usize = 11;

/// Free pieces by size, and the border. Guarded by the lock of its owner.
pub(crate) struct Metadata {
    free: [*mut u8; SIZES],
    border: usize,
    live: usize,
}

// SAFETY: the pieces belong to no thread; the lock around this structure guards them.
unsafe impl Send for Metadata {}

const fn index_of(bytes: usize) -> usize {
    let pieces = bytes.div_ceil(METADATA_MIN);
    pieces.next_power_of_two().trailing_zeros() as usize
}

impl Metadata {
    /// Storage with nothing in it.
    pub(crate) const fn new() -> Self {
        Self { free: [core::ptr::null_mut(); SIZES], border: 0, live: 0 }
    }

    /// Bytes in use.
    pub(crate) const fn live(&self) -> usize {
        self.live
    }

    /// A piece of at least `bytes`; `None` if there is none or `bytes` is above [`METADATA_MAX`].
    pub(crate) fn acquire(&mut self, area: &Area, bytes: usize) -> Option<*mut u8> {
        let index = index_of(bytes);
        let head = self.free.get_mut(index)?;
        let size = METADATA_MIN << index;
        if !head.is_null() {
            let piece = *head;
            // SAFETY: a free piece holds the next one's address in its first word.
            *head = unsafe { piece.cast::<*mut u8>().read() };
            self.live += size;
            return Some(piece);
        }
        let start = round_up(self.border, size)?;
        if !area.ensure(start + size) {
            return None;
        }
        self.keep_gap(area, start);
        self.border = start + size;
        self.live += size;
        Some(core::ptr::with_exposed_provenance_mut(area.base() + start))
    }

    /// Takes back a piece.
    ///
    /// # Safety
    /// - `piece` came from `acquire` with the same `bytes`, and nobody uses it.
    pub(crate) unsafe fn release(&mut self, piece: *mut u8, bytes: usize) {
        let index = index_of(bytes);
        if let Some(head) = self.free.get_mut(index) {
            // SAFETY: the caller gives the piece up, so its first word is ours.
            unsafe { piece.cast::<*mut u8>().write(*head) };
            *head = piece;
            self.live -= METADATA_MIN << index;
        }
    }

    /// Puts what alignment leaves out between border and `start` into the free lists.
    fn keep_gap(&mut self, area: &Area, start: usize) {
        while self.border < start {
            let size = 1 << self.border.trailing_zeros();
            let piece = core::ptr::with_exposed_provenance_mut(area.base() + self.border);
            self.live += size;
            // SAFETY: nobody has this piece yet; it lies below a committed end and is aligned to its size.
            unsafe { self.release(piece, size) };
            self.border += size;
        }
    }
}
