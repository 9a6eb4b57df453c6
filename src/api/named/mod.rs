#![expect(unsafe_code, reason = "moves and resizes blocks that callers vouch for")]
//! Rust's named heaps: an owner, a scope, calls in the shape of `Allocator`, figures.
//!
//! Invariants: safe calls never free memory that a program may still refer to. So an owner that is dropped deletes its
//! heap, which leaves the blocks, and to destroy one is unsafe. A scope borrows its heap, and stays on its thread.

use core::alloc::{GlobalAlloc, Layout};
use core::marker::PhantomData;
use core::num::NonZeroUsize;
use core::ptr::NonNull;
use std::io;

use super::allocator::AllocError;
use super::error;
use super::rust::Spandrel;
use crate::control::heaps::{self, End};
use crate::process::holders;
use crate::slow_path::request::NATURAL_ALIGN;

mod figures;
mod options;
#[cfg(test)]
mod tests;

pub use figures::HeapStats;
pub use options::{HeapOptions, Limit, LimitMet};

/// A heap of a program's own: with a name, a bill of the memory that it takes, and limits on that.
///
/// A block belongs to the heap that it was asked of, by the methods here or by a thread in a [scope](HeapScope) of the
/// heap. It is freed as all others, by any thread. Scopes are about the requests that Spandrel gets: those of the
/// whole program where it is the global allocator.
///
/// A heap that is dropped is *deleted*: its blocks stay, and are those of the default heap. [`NamedHeap::destroy`]
/// frees them all at once, which only the program can know to be safe. With the feature `allocator-api2` a heap, and a
/// reference to one, is an allocator of that crate.
///
/// ```
/// use spandrel::{NamedHeap, Spandrel};
///
/// #[global_allocator]
/// static ALLOCATOR: Spandrel = Spandrel;
///
/// fn main() -> std::io::Result<()> {
///     let tenant = NamedHeap::new("tenant")?;
///     let live_blocks = || tenant.stats().map(|stats| stats.live_blocks);
///     tenant.within(|| {
///         let numbers = vec![7_u8; 100];
///         assert_eq!(live_blocks(), Some(1));
///         drop(numbers);
///         assert_eq!(live_blocks(), Some(0));
///     })
/// }
/// ```
#[derive(PartialEq, Eq, Debug)]
pub struct NamedHeap {
    id: HeapId,
}

/// Names a heap, also one that is gone: no other one gets its name.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct HeapId(NonZeroUsize);

impl HeapId {
    fn of(handle: usize) -> Option<Self> {
        NonZeroUsize::new(handle).map(Self)
    }

    fn handle(self) -> usize {
        self.0.get()
    }
}

impl NamedHeap {
    /// A heap of that name, without limits, for one thread at a time; [`HeapOptions`] has the rest.
    ///
    /// # Errors
    /// As [`HeapOptions::create`].
    pub fn new(name: &str) -> io::Result<Self> {
        HeapOptions::new(name).create()
    }

    /// The heap, to compare with [`Spandrel::heap_of`] and [`Spandrel::current_heap`].
    #[must_use]
    pub fn id(&self) -> HeapId {
        self.id
    }

    /// Has the calling thread's requests served by the heap until the scope is dropped. Scopes nest: those of a thread
    /// are dropped in the reverse order, or it goes on in another heap than they say.
    ///
    /// # Errors
    /// [`ResourceBusy`](io::ErrorKind::ResourceBusy) if another thread uses the heap, which is not
    /// [shared](HeapOptions::shared); [`OutOfMemory`](io::ErrorKind::OutOfMemory).
    pub fn scope(&self) -> io::Result<HeapScope<'_>> {
        let before = holders::switch(self.id.handle()).map_err(error::of)?;
        Ok(HeapScope { before, heap: PhantomData, thread: PhantomData })
    }

    /// Calls `work`, whose requests, and those of all that it calls, are the heap's.
    ///
    /// # Errors
    /// As [`NamedHeap::scope`]; `work` was not called then.
    pub fn within<R>(&self, work: impl FnOnce() -> R) -> io::Result<R> {
        let _scope = self.scope()?;
        Ok(work())
    }

    /// Does `work` on the heap, whichever the thread uses.
    #[inline]
    fn visit<R>(&self, work: impl FnOnce() -> Result<R, AllocError>) -> Result<R, AllocError> {
        holders::visit(self.id.handle(), work).unwrap_or(Err(AllocError))
    }

    /// A block of the heap for `layout`, whichever heap the thread uses. The result is that of [`Spandrel::allocate`],
    /// and [`Spandrel::deallocate`] gives it back.
    ///
    /// # Errors
    /// When there is no memory, the hard limit refuses it, or another thread uses the heap, which is not
    /// [shared](HeapOptions::shared).
    #[inline]
    pub fn allocate(&self, layout: Layout) -> Result<NonNull<[u8]>, AllocError> {
        let (size, align) = (layout.size(), layout.align());
        let popped =
            if size == 0 { core::ptr::null_mut() } else { holders::pop_aligned(self.id.handle(), size, align) };
        match NonNull::new(popped) {
            Some(block) => Ok(NonNull::slice_from_raw_parts(block, size)),
            None => self.visit(|| Spandrel.allocate(layout)),
        }
    }

    /// As [`NamedHeap::allocate`], and all bytes are 0.
    ///
    /// # Errors
    /// As [`NamedHeap::allocate`].
    pub fn allocate_zeroed(&self, layout: Layout) -> Result<NonNull<[u8]>, AllocError> {
        self.visit(|| Spandrel.allocate_zeroed(layout))
    }

    /// As [`Spandrel::grow`]; a block that has to move is the heap's.
    ///
    /// # Safety
    /// - As for [`Spandrel::grow`].
    ///
    /// # Errors
    /// As [`NamedHeap::allocate`]; the block is as it was then.
    pub unsafe fn grow(&self, block: NonNull<u8>, old: Layout, new: Layout) -> Result<NonNull<[u8]>, AllocError> {
        // SAFETY: by this function's contract.
        self.visit(|| unsafe { Spandrel.grow(block, old, new) })
    }

    /// As [`Spandrel::grow_zeroed`]; a block that has to move is the heap's.
    ///
    /// # Safety
    /// - As for [`Spandrel::grow`].
    ///
    /// # Errors
    /// As [`NamedHeap::allocate`]; the block is as it was then.
    pub unsafe fn grow_zeroed(
        &self,
        block: NonNull<u8>,
        old: Layout,
        new: Layout,
    ) -> Result<NonNull<[u8]>, AllocError> {
        // SAFETY: by this function's contract.
        self.visit(|| unsafe { Spandrel.grow_zeroed(block, old, new) })
    }

    /// As [`Spandrel::shrink`]; a block that has to move is the heap's.
    ///
    /// # Safety
    /// - As for [`Spandrel::shrink`].
    ///
    /// # Errors
    /// As [`NamedHeap::allocate`]; the block is as it was then.
    pub unsafe fn shrink(&self, block: NonNull<u8>, old: Layout, new: Layout) -> Result<NonNull<[u8]>, AllocError> {
        // SAFETY: by this function's contract.
        self.visit(|| unsafe { Spandrel.shrink(block, old, new) })
    }

    /// Gives a live block to the heap, and returns where it is then: a large one stays where it is, a small one is
    /// copied.
    ///
    /// # Safety
    /// - `block` is a live block of Spandrel's with that layout, which has bytes. Where the result is another, it is
    ///   live no more.
    ///
    /// # Errors
    /// As [`NamedHeap::allocate`]; the block is as it was then.
    pub unsafe fn take(&self, block: NonNull<u8>, layout: Layout) -> Result<NonNull<u8>, AllocError> {
        if layout.align() <= NATURAL_ALIGN {
            let moved = heaps::give(self.id.handle(), block.as_ptr()).map_err(|_| AllocError)?;
            return NonNull::new(moved).ok_or(AllocError);
        }
        let moved = self.allocate(layout)?.cast::<u8>();
        // SAFETY: both have the bytes of the layout, and the new one is no other's.
        unsafe { block.copy_to_nonoverlapping(moved, layout.size()) };
        // SAFETY: by this function's contract.
        unsafe { Spandrel.dealloc(block.as_ptr(), layout) };
        Ok(moved)
    }

    /// Sets both limits, `None` for none. Where more is held already, requests fail until enough is freed.
    ///
    /// # Errors
    /// [`InvalidInput`](io::ErrorKind::InvalidInput) if the soft limit is above the hard one.
    pub fn set_limits(&self, soft: Option<NonZeroUsize>, hard: Option<NonZeroUsize>) -> io::Result<()> {
        let (soft, hard) = options::limits(soft, hard)?;
        heaps::set_limits(self.id.handle(), soft, hard).map_err(error::of)
    }

    /// The figures of this moment; `None` if code in another language ended the heap.
    #[must_use]
    pub fn stats(&self) -> Option<HeapStats> {
        figures::stats_of(self.id)
    }

    /// Frees every block of the heap at once, in time by the memory that it holds and not by the number of its blocks.
    ///
    /// ```
    /// use core::alloc::Layout;
    /// use spandrel::NamedHeap;
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let request = NamedHeap::new("request")?;
    /// for _ in 0..10_000 {
    ///     request.allocate(Layout::new::<[u8; 100]>())?;
    /// }
    /// // SAFETY: nothing refers to a block of the heap.
    /// unsafe { request.destroy() }?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Safety
    /// - No block of the heap is used any more, nor freed: neither one that the methods here returned, nor one that
    ///   any code asked for in a [scope](HeapScope), such as the buffer of a stream, the state of a library, or a
    ///   value that is pinned.
    ///
    /// # Errors
    /// [`ResourceBusy`](io::ErrorKind::ResourceBusy) if a thread uses the heap, in a scope that was forgotten; it
    /// stays as it is to the end of the process.
    pub unsafe fn destroy(self) -> io::Result<()> {
        heaps::end(core::mem::ManuallyDrop::new(self).id.handle(), End::Destroy).map_err(error::of)
    }
}

impl Drop for NamedHeap {
    fn drop(&mut self) {
        // A heap that a thread uses, in a scope that was forgotten, stays.
        let _ = heaps::end(self.id.handle(), End::Delete);
    }
}

/// While it lives, its thread's requests are served by a heap. [`NamedHeap::scope`] makes one.
///
/// It stays on its thread:
///
/// ```compile_fail,E0277
/// let heap = spandrel::NamedHeap::new("tenant").unwrap();
/// let scope = heap.scope().unwrap();
/// std::thread::scope(|threads| { threads.spawn(move || drop(scope)); });
/// ```
///
/// And its heap outlives it:
///
/// ```compile_fail,E0505
/// let heap = spandrel::NamedHeap::new("tenant").unwrap();
/// let scope = heap.scope().unwrap();
/// drop(heap);
/// drop(scope);
/// ```
#[derive(Debug)]
#[must_use = "the thread leaves the heap when the scope is dropped"]
pub struct HeapScope<'heap> {
    /// The heap that the thread used before.
    before: usize,
    heap: PhantomData<&'heap NamedHeap>,
    /// Neither `Send` nor `Sync`.
    thread: PhantomData<*mut ()>,
}

impl Drop for HeapScope<'_> {
    fn drop(&mut self) {
        // It fails only if that heap is gone or another thread's by now, which the thread had left before: then it
        // leaves all.
        if holders::switch(self.before).is_err() {
            let _ = holders::switch(0);
        }
    }
}
