//! Tables of the harness, in memory of their own that no allocator sees.
//!
//! Invariants: all places are written when the table is made, so its resident memory is the same in every run.
#![expect(unsafe_code, reason = "anonymous mappings")]

use super::fail::fail;
use std::ops::{Deref, DerefMut};
use std::ptr::{self, NonNull};
use std::slice;

/// A slice in a mapping of its own.
#[derive(Debug)]
pub(crate) struct Table<T> {
    start: NonNull<T>,
    len: usize,
}

// SAFETY: a table owns its items.
unsafe impl<T: Send> Send for Table<T> {}
// SAFETY: a shared table gives shared references only.
unsafe impl<T: Sync> Sync for Table<T> {}

impl<T> Table<T> {
    /// A table of `len` items (at least 1); `item` makes the one at each place.
    pub(crate) fn new(len: usize, mut item: impl FnMut(usize) -> T) -> Self {
        let bytes = len * size_of::<T>();
        // SAFETY: a new private mapping touches no other memory.
        let start = unsafe {
            libc::mmap(
                ptr::null_mut(),
                bytes,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
                -1,
                0,
            )
        };
        let Some(start) = NonNull::new(start.cast::<T>()).filter(|_| start != libc::MAP_FAILED) else {
            fail(&format!("no mapping of {bytes} bytes"))
        };
        for place in 0..len {
            // SAFETY: the mapping has room for `len` items and is aligned to a page.
            let to = unsafe { start.add(place) };
            // SAFETY: as above; nothing was there before.
            unsafe { to.write(item(place)) };
        }
        Self { start, len }
    }
}

impl<T> Deref for Table<T> {
    type Target = [T];

    #[inline]
    fn deref(&self) -> &[T] {
        // SAFETY: all items were written by `new`.
        unsafe { slice::from_raw_parts(self.start.as_ptr(), self.len) }
    }
}

impl<T> DerefMut for Table<T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut [T] {
        // SAFETY: all items were written by `new`, and `self` is borrowed alone.
        unsafe { slice::from_raw_parts_mut(self.start.as_ptr(), self.len) }
    }
}

impl<T> Drop for Table<T> {
    fn drop(&mut self) {
        // SAFETY: the items are initialised and not used again.
        unsafe { ptr::drop_in_place(&raw mut **self) };
        // SAFETY: the mapping was made by `new` with this length, and nothing points into it any more.
        unsafe { libc::munmap(self.start.as_ptr().cast(), self.len * size_of::<T>()) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn items_are_made_in_their_places_and_dropped() {
        let shared = std::rc::Rc::new(());
        let mut table = Table::new(5000, |place| (place, shared.clone()));
        assert_eq!(table.len(), 5000);
        assert!(table.iter().enumerate().all(|(place, item)| item.0 == place));
        table[7].0 = 1;
        assert_eq!(table[7].0, 1);
        drop(table);
        assert_eq!(std::rc::Rc::strong_count(&shared), 1);
    }
}
