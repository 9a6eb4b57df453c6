#![expect(unsafe_code, reason = "implements an unsafe trait")]
//! The trait of `allocator-api2`, by which collections of that crate, of hashbrown and of bumpalo take an allocator.

use core::alloc::Layout;
use core::ptr::NonNull;

use allocator_api2::alloc::{AllocError, Allocator};

use super::named::NamedHeap;
use super::rust::Spandrel;

fn known(block: Result<NonNull<[u8]>, super::allocator::AllocError>) -> Result<NonNull<[u8]>, AllocError> {
    block.map_err(|_| AllocError)
}

macro_rules! allocator {
    ($name:ident) => {
        // SAFETY: blocks are valid for their layout until they are given back, do not overlap, and belong to the
        // process: every value of these types gives back the blocks of every other, copied, moved or dropped
        // meanwhile or not.
        unsafe impl Allocator for $name {
            #[inline]
            fn allocate(&self, layout: Layout) -> Result<NonNull<[u8]>, AllocError> {
                known($name::allocate(self, layout))
            }

            #[inline]
            fn allocate_zeroed(&self, layout: Layout) -> Result<NonNull<[u8]>, AllocError> {
                known($name::allocate_zeroed(self, layout))
            }

            #[inline]
            unsafe fn deallocate(&self, block: NonNull<u8>, layout: Layout) {
                // SAFETY: the trait has the same contract.
                unsafe { Spandrel.deallocate(block, layout) }
            }

            #[inline]
            unsafe fn grow(&self, block: NonNull<u8>, old: Layout, new: Layout) -> Result<NonNull<[u8]>, AllocError> {
                // SAFETY: the trait has the same contract.
                known(unsafe { $name::grow(self, block, old, new) })
            }

            #[inline]
            unsafe fn grow_zeroed(
                &self,
                block: NonNull<u8>,
                old: Layout,
                new: Layout,
            ) -> Result<NonNull<[u8]>, AllocError> {
                // SAFETY: the trait has the same contract.
                known(unsafe { $name::grow_zeroed(self, block, old, new) })
            }

            #[inline]
            unsafe fn shrink(&self, block: NonNull<u8>, old: Layout, new: Layout) -> Result<NonNull<[u8]>, AllocError> {
                // SAFETY: the trait has the same contract.
                known(unsafe { $name::shrink(self, block, old, new) })
            }
        }
    };
}

allocator!(Spandrel);
allocator!(NamedHeap);
