#![expect(unsafe_code, reason = "makes values in metadata")]
//! Values that stay for the life of the process, in pieces of metadata. Must not know what the values mean.

use crate::pages::{METADATA_MAX, Pages};

/// All values are aligned to this.
const ALIGN: usize = 8;

/// The piece from which values are cut.
///
/// # Invariants
/// - `room` is the address of `left` bytes of metadata that nothing else uses, aligned to [`ALIGN`].
pub(super) struct Kept {
    room: *mut u8,
    left: usize,
}

// SAFETY: metadata belongs to no thread.
unsafe impl Send for Kept {}

impl Kept {
    /// No piece yet.
    pub(super) const fn new() -> Self {
        Self { room: core::ptr::null_mut(), left: 0 }
    }

    /// `count` values as `make` makes them from their numbers; `None` where there is no memory, or they are larger than
    /// a piece.
    pub(super) fn values<T: 'static>(
        &mut self,
        pages: &Pages,
        count: usize,
        make: impl Fn(usize) -> T,
    ) -> Option<&'static mut [T]> {
        const { assert!(align_of::<T>() <= ALIGN && !core::mem::needs_drop::<T>(), "values are plain words") };
        let bytes = count.checked_mul(size_of::<T>())?.checked_next_multiple_of(ALIGN)?;
        if bytes > self.left {
            self.room = pages.acquire_metadata(METADATA_MAX)?;
            self.left = METADATA_MAX;
        }
        let left = self.left.checked_sub(bytes)?;
        let values = self.room.cast::<T>();
        for index in 0..count {
            // SAFETY: the room is large enough and aligned, and nothing else uses it.
            unsafe { values.wrapping_add(index).write(make(index)) };
        }
        (self.room, self.left) = (self.room.wrapping_add(bytes), left);
        // SAFETY: all values were just written, and the room begins behind them from now on; metadata is never
        // unmapped.
        Some(unsafe { core::slice::from_raw_parts_mut(values, count) })
    }
}
