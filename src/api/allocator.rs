#![expect(unsafe_code, reason = "frees and resizes blocks that callers vouch for")]
//! Rust's second contract: the trait `Allocator`, as methods, and as the trait of the crate `allocator-api2`.
//!
//! It adds two things to `GlobalAlloc`: a request of no bytes gets no block, and the alignment may change when a block
//! is resized.

use core::alloc::{GlobalAlloc, Layout};
use core::fmt;
use core::ptr::NonNull;

use super::rust::{Spandrel, relocate, resize};

/// There is no memory for a request: the machine's is used up, or a limit is reached.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct AllocError;

impl fmt::Display for AllocError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("no memory for the request")
    }
}

impl core::error::Error for AllocError {}

/// The bytes of `layout` at `block`; an error if that is null.
#[inline]
fn of_layout(block: *mut u8, layout: Layout) -> Result<NonNull<[u8]>, AllocError> {
    let block = NonNull::new(block).ok_or(AllocError)?;
    Ok(NonNull::slice_from_raw_parts(block, layout.size()))
}

/// No bytes, at a multiple of the alignment of `layout`.
#[inline]
fn nothing(layout: Layout) -> Result<NonNull<[u8]>, AllocError> {
    of_layout(core::ptr::without_provenance_mut(layout.align()), Layout::new::<()>())
}

/// The calls of the trait `Allocator`, which is not stable yet, without the trait.
impl Spandrel {
    /// A block for `layout`, whose bytes may be anything. The result has as many bytes as the layout; without bytes it
    /// is no block, and need not be given back.
    ///
    /// ```
    /// use core::alloc::Layout;
    /// use spandrel::{AllocError, Spandrel};
    ///
    /// # fn main() -> Result<(), AllocError> {
    /// let layout = Layout::new::<[u64; 8]>();
    /// let block = Spandrel.allocate(layout)?;
    /// assert_eq!(block.len(), 64);
    /// // SAFETY: the block came from this allocator with this layout.
    /// unsafe { Spandrel.deallocate(block.cast(), layout) };
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// When there is no memory.
    #[inline]
    pub fn allocate(&self, layout: Layout) -> Result<NonNull<[u8]>, AllocError> {
        if layout.size() == 0 {
            return nothing(layout);
        }
        // SAFETY: the layout has bytes.
        of_layout(unsafe { self.alloc(layout) }, layout)
    }

    /// As [`Spandrel::allocate`], and all bytes are 0. Memory that is fresh from the kernel is not filled again.
    ///
    /// # Errors
    /// When there is no memory.
    #[inline]
    pub fn allocate_zeroed(&self, layout: Layout) -> Result<NonNull<[u8]>, AllocError> {
        if layout.size() == 0 {
            return nothing(layout);
        }
        // SAFETY: the layout has bytes.
        of_layout(unsafe { self.alloc_zeroed(layout) }, layout)
    }

    /// Gives a block back.
    ///
    /// # Safety
    /// - `block` came from this allocator with `layout`, or was resized to it, and was not given back since.
    #[inline]
    pub unsafe fn deallocate(&self, block: NonNull<u8>, layout: Layout) {
        if layout.size() != 0 {
            // SAFETY: by this function's contract; the block has bytes, so it is one.
            unsafe { self.dealloc(block.as_ptr(), layout) };
        }
    }

    /// Makes a block larger, in place if it has room, and keeps its bytes. The alignment may be another.
    ///
    /// # Safety
    /// - `block` and `old` are as for [`Spandrel::deallocate`].
    /// - `new` has at least as many bytes as `old`.
    ///
    /// # Errors
    /// When there is no memory; the block is as it was then.
    #[inline]
    pub unsafe fn grow(&self, block: NonNull<u8>, old: Layout, new: Layout) -> Result<NonNull<[u8]>, AllocError> {
        debug_assert!(new.size() >= old.size());
        // SAFETY: by this function's contract.
        unsafe { self.change(block, old, new) }
    }

    /// As [`Spandrel::grow`], and the bytes behind those of `old` are 0.
    ///
    /// # Safety
    /// - As for [`Spandrel::grow`].
    ///
    /// # Errors
    /// When there is no memory; the block is as it was then.
    #[inline]
    pub unsafe fn grow_zeroed(
        &self,
        block: NonNull<u8>,
        old: Layout,
        new: Layout,
    ) -> Result<NonNull<[u8]>, AllocError> {
        if old.size() == 0 {
            return self.allocate_zeroed(new);
        }
        // SAFETY: by this function's contract.
        let grown = unsafe { self.grow(block, old, new) }?;
        let behind = grown.cast::<u8>().as_ptr().wrapping_add(old.size());
        // SAFETY: the block has the bytes of `new` now, of which those of `old` come first.
        unsafe { behind.write_bytes(0, new.size() - old.size()) };
        Ok(grown)
    }

    /// Makes a block smaller, in place if the rest would not be worth a move, and keeps the bytes that stay. The
    /// alignment may be another.
    ///
    /// # Safety
    /// - `block` and `old` are as for [`Spandrel::deallocate`].
    /// - `new` has at most as many bytes as `old`.
    ///
    /// # Errors
    /// When there is no memory for a block that has to move; it is as it was then.
    #[inline]
    pub unsafe fn shrink(&self, block: NonNull<u8>, old: Layout, new: Layout) -> Result<NonNull<[u8]>, AllocError> {
        debug_assert!(new.size() <= old.size());
        // SAFETY: by this function's contract.
        unsafe { self.change(block, old, new) }
    }

    /// # Safety
    /// - `block` and `old` are as for [`Spandrel::deallocate`].
    unsafe fn change(&self, block: NonNull<u8>, old: Layout, new: Layout) -> Result<NonNull<[u8]>, AllocError> {
        if old.size() == 0 {
            return self.allocate(new);
        }
        if new.size() == 0 {
            // SAFETY: by this function's contract.
            unsafe { self.deallocate(block, old) };
            return nothing(new);
        }
        let stays_aligned = block.addr().get().is_multiple_of(new.align());
        let change = if stays_aligned { resize } else { relocate };
        of_layout(change(block.as_ptr(), old.size(), new), new)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::rust::tests::alone;
    use crate::process::state::PROCESS;
    use crate::process::thread;
    use proptest::prelude::*;

    fn layout(size: usize, align: usize) -> Layout {
        Layout::from_size_align(size, align).unwrap()
    }

    /// The bytes of a live block.
    fn bytes<'a>(block: NonNull<[u8]>) -> &'a mut [u8] {
        // SAFETY: callers pass a live block of their own, and use its bytes before they change it.
        unsafe { &mut *block.as_ptr() }
    }

    #[test]
    fn a_request_of_no_bytes_gets_no_block() {
        let none = layout(0, 64);
        for block in [Spandrel.allocate(none).unwrap(), Spandrel.allocate_zeroed(none).unwrap()] {
            assert_eq!((block.len(), block.cast::<u8>().addr().get()), (0, 64));
            // SAFETY: the block came with that layout.
            unsafe { Spandrel.deallocate(block.cast(), none) };
        }
        let some = layout(40, 8);
        // SAFETY: the block came with that layout.
        let grown = unsafe { Spandrel.grow_zeroed(Spandrel.allocate(none).unwrap().cast(), none, some) }.unwrap();
        assert_eq!(bytes(grown), [0; 40]);
        // SAFETY: the block has that layout.
        let nothing = unsafe { Spandrel.shrink(grown.cast(), some, none) }.unwrap();
        assert_eq!((nothing.len(), nothing.cast::<u8>().addr().get()), (0, 64));
    }

    #[test]
    fn requests_that_no_memory_serves_are_errors_and_leave_the_block() {
        const HUGE: usize = 1 << 62;
        let huge = layout(HUGE, 8);
        assert_eq!(Spandrel.allocate(huge), Err(AllocError));
        assert_eq!(Spandrel.allocate_zeroed(huge), Err(AllocError));
        for align in [8, 128] {
            let small = layout(100, align);
            let block = Spandrel.allocate(small).unwrap();
            bytes(block).fill(7);
            // SAFETY: the block came with that layout.
            assert_eq!(unsafe { Spandrel.grow(block.cast(), small, layout(HUGE, align)) }, Err(AllocError));
            assert_eq!(bytes(block), [7; 100]);
            // SAFETY: as above.
            unsafe { Spandrel.deallocate(block.cast(), small) };
        }
    }

    /// Whether a block is where it was, and as large as asked for, after its size became what `new` makes of its room.
    /// `closed`: its thread has an offer by then, so the fast path serves nothing.
    fn stays(size: usize, align: usize, closed: bool, new: impl Fn(usize) -> usize) -> bool {
        let old = layout(size, align);
        let block = Spandrel.allocate(old).unwrap();
        bytes(block).fill(7);
        // SAFETY: the block is live.
        let new = layout(new(unsafe { Spandrel.usable_size(block.cast()) }), align);
        if closed {
            thread::at_rest().unwrap().announce(PROCESS.shared());
        }
        // SAFETY: the block came with that layout, and grows or shrinks to the other.
        let resized = unsafe { Spandrel.change(block.cast(), old, new) }.unwrap();
        let stays = (resized.cast::<u8>(), resized.len()) == (block.cast(), new.size());
        // SAFETY: the block has that layout now.
        unsafe { Spandrel.deallocate(resized.cast(), new) };
        stays
    }

    #[test]
    fn aligned_blocks_stay_where_they_are_while_they_have_room() {
        alone(module_path!(), "aligned_blocks_stay_where_they_are_while_they_have_room", || {
            for closed in [false, true] {
                for (size, align, new) in [
                    (100, 64, 128),
                    (100, 128, 120),
                    (200, 32, 130),
                    (1, 64, 20),
                    (5000, 4096, 8192),
                    (40_000, 64, 65_536),
                ] {
                    assert!(stays(size, align, closed, |_| new), "{size} at {align}, closed: {closed}");
                }
            }
        });
    }

    /// Coarse classes serve the requests of these threads: blocks have more room.
    #[test]
    fn aligned_blocks_stay_beside_many_threads() {
        const THREADS: usize = 20;
        let moved = || {
            let mut requests = (1..=1024).step_by(3).flat_map(|size| [(size, 32), (size, 64), (size, 256)]);
            requests.find(|&(size, align)| !stays(size, align, size % 5 == 0, |room| room))
        };
        alone(module_path!(), "aligned_blocks_stay_beside_many_threads", || {
            // Starts the allocator: until it has, libc serves the other threads.
            assert!(stays(1, 32, false, |room| room));
            let all = std::sync::Barrier::new(THREADS);
            // A thread that finds a block which moved still waits for the others.
            let work = || (all.wait(), moved(), all.wait()).1;
            std::thread::scope(|scope| {
                let threads = (0..THREADS).map(|_| scope.spawn(work)).collect::<std::vec::Vec<_>>();
                for thread in threads {
                    assert_eq!(thread.join().unwrap(), None);
                }
            });
        });
    }

    #[test]
    fn direct_blocks_keep_an_alignment_above_a_page() {
        let align = 1 << 16;
        let mut live = std::vec::Vec::new();
        for round in 0..4 {
            let old = layout((33 << 20) + (round << 12), align);
            let block = Spandrel.allocate(old).unwrap();
            bytes(block)[0] = round as u8;
            let new = layout(old.size() + (1 << 20), align);
            // SAFETY: the block came with that layout.
            let grown = unsafe { Spandrel.grow(block.cast(), old, new) }.unwrap();
            assert!(grown.cast::<u8>().addr().get().is_multiple_of(align) && bytes(grown)[0] == round as u8);
            live.push((grown, new));
        }
        for (block, layout) in live {
            // SAFETY: the block has that layout.
            unsafe { Spandrel.deallocate(block.cast(), layout) };
        }
    }

    proptest! {
        #[test]
        fn blocks_change_size_and_alignment_and_keep_their_bytes(
            first in (0_usize..5000, 0_u32..13),
            steps in prop::collection::vec((0_usize..70_000, 0_u32..13), 1..12),
        ) {
            let mut now = layout(first.0, 1 << first.1);
            let mut block = Spandrel.allocate(now).unwrap();
            bytes(block).fill(1);
            for (index, (size, shift)) in steps.into_iter().enumerate() {
                let new = layout(size, 1 << shift);
                let kept = now.size().min(size);
                let mark = index as u8 + 1;
                let changed = if size < now.size() {
                    // SAFETY: the block has the layout `now`.
                    unsafe { Spandrel.shrink(block.cast(), now, new) }
                } else {
                    // SAFETY: as above.
                    unsafe { Spandrel.grow_zeroed(block.cast(), now, new) }
                };
                (block, now) = (changed.unwrap(), new);
                prop_assert!(block.len() == size && block.cast::<u8>().addr().get().is_multiple_of(new.align()));
                prop_assert!(bytes(block)[..kept].iter().all(|&byte| byte == mark));
                prop_assert!(bytes(block)[kept..].iter().all(|&byte| byte == 0));
                bytes(block).fill(mark + 1);
            }
            // SAFETY: the block has the layout `now`.
            unsafe { Spandrel.deallocate(block.cast(), now) };
        }
    }

    #[cfg(feature = "allocator-api2")]
    #[test]
    fn collections_of_other_crates_take_it() {
        use crate::base::lane::Lane;
        use crate::control::requests;
        use allocator_api2::{boxed::Box, vec::Vec};
        let is_ours = |address: usize| requests::lane_of_pointer(address) != Lane::Libc;
        let mut numbers = Vec::new_in(Spandrel);
        numbers.extend(0..1000_u64);
        let boxed = Box::new_in([7_u64; 1000], Spandrel);
        let mut squares = hashbrown::HashMap::with_hasher_in(std::hash::RandomState::new(), Spandrel);
        squares.extend(numbers.iter().take(100).map(|&number| (number, number * number)));
        assert_eq!(squares.values().sum::<u64>(), 328_350);
        assert_eq!(boxed.iter().sum::<u64>(), 7000);
        assert!(is_ours(numbers.as_ptr().addr()) && is_ours(core::ptr::from_ref(&*boxed).addr()));
        assert!(is_ours(core::ptr::from_ref(&squares[&0]).addr()));
        numbers.truncate(10);
        numbers.shrink_to_fit();
        assert_eq!(numbers, [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
    }
}
