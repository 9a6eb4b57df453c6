#![expect(unsafe_code, reason = "keeps its memory in metadata")]
//! The mode's part of each heap: its free notes, the blocks that it freed last, and the recent walks of its thread.
//! Must not know when a block is noted.

use core::cell::UnsafeCell;

use super::note::{Act, Block, Free};
use crate::heap::Heap;
use crate::process::state::PROCESS;
use crate::sys::atomic::{AtomicU64, AtomicUsize, Ordering};
use crate::unwind::Recent;

/// Blocks that a heap remembers after their free; a power of two.
const GONE: usize = 64;

/// The mode's part of a heap. Belongs to the thread that is inside the heap, but for `gone`, which any thread reads.
#[repr(C)]
pub(super) struct HeapNotes {
    pub(super) free: Free,
    /// How many blocks were freed.
    freed: AtomicUsize,
    gone: [Gone; GONE],
    /// Null if no stacks are kept, or there was no memory for them.
    recent: UnsafeCell<*mut Recent>,
}

/// A block that was freed, and the act of that. Written by the heap's thread.
#[repr(C)]
struct Gone {
    /// Zero while the rest is written.
    address: AtomicUsize,
    size: AtomicUsize,
    made: AtomicU64,
    freed: AtomicU64,
}

/// As much as is known of a block that was freed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct FreedBlock {
    pub(super) size: usize,
    pub(super) made: Act,
    pub(super) freed: Act,
}

/// Zeroed metadata for a `T`; `None` if there is none. All-zero bytes are a value of both structures that callers keep.
fn acquire<T>() -> Option<*mut T> {
    PROCESS.central.pages.acquire_zeroed(size_of::<T>()).map(<*mut u8>::cast)
}

impl HeapNotes {
    /// Gives `heap` its part, with room for recent walks where `stacks` are kept; without memory it gets none.
    pub(super) fn prepare(heap: &Heap, stacks: bool) {
        if Self::of(heap).is_some() {
            return;
        }
        let Some(piece) = acquire::<Self>() else { return };
        // SAFETY: zeroes are such a part: all of it is integers, and a null pointer.
        let part = unsafe { &*piece };
        if stacks && let Some(recent) = acquire::<Recent>() {
            // SAFETY: no other thread has the part yet.
            unsafe { *part.recent.get() = recent };
        }
        // Release pairs with the Acquire in `of`.
        heap.thread.mode.store(piece.cast(), Ordering::Release);
    }

    /// The part of `heap`.
    #[inline(always)]
    pub(super) fn of(heap: &Heap) -> Option<&Self> {
        // Acquire pairs with the Release in `prepare`.
        let piece = heap.thread.mode.load(Ordering::Acquire).cast::<Self>();
        // SAFETY: `prepare` stored a part, which stays for ever, and no other mode is in force in this process.
        unsafe { piece.as_ref() }
    }

    /// Calls `walk` with the recent walks of the heap's thread, which is the caller and inside the heap.
    #[inline(always)]
    pub(super) fn with_recent(&self, walk: impl FnOnce(&mut Recent) -> u32) -> Option<u32> {
        // SAFETY: the heap's thread reads it, which is the caller.
        let recent = unsafe { *self.recent.get() };
        // SAFETY: it is the heap's alone, and its thread is inside the heap, so no call that interrupts it comes here.
        unsafe { recent.as_mut() }.map(walk)
    }

    /// Remembers that a block was freed.
    #[inline]
    pub(super) fn remember(&self, block: &Block, freed: Act) {
        // Relaxed: only the heap's thread writes.
        let count = self.freed.load(Ordering::Relaxed);
        self.freed.store(count.wrapping_add(1), Ordering::Relaxed);
        let Some(gone) = self.gone.get(count % GONE) else { return };
        // Relaxed: the stores below are Releases.
        gone.address.store(0, Ordering::Relaxed);
        // Release: a reader that sees one of them sees the zero, too.
        gone.size.store(block.size, Ordering::Release);
        gone.made.store(block.by.packed(), Ordering::Release);
        gone.freed.store(freed.packed(), Ordering::Release);
        // Release pairs with the Acquire in `look`.
        gone.address.store(block.address, Ordering::Release);
    }

    /// A block at `address` that was freed, as far as any heap remembers it.
    pub(super) fn find(address: usize) -> Option<FreedBlock> {
        let mut last = None;
        while let Some(heap) = PROCESS.registry.after(last) {
            if let Some(found) = Self::of(heap).and_then(|part| part.look(address)) {
                return Some(found);
            }
            last = Some(heap);
        }
        None
    }

    /// The newest one of this heap.
    fn look(&self, address: usize) -> Option<FreedBlock> {
        // Relaxed: a hint of where the newest is.
        let count = self.freed.load(Ordering::Relaxed);
        (1..=GONE).filter_map(|back| self.gone.get(count.wrapping_sub(back) % GONE)).find_map(|gone| gone.look(address))
    }
}

impl Gone {
    fn look(&self, address: usize) -> Option<FreedBlock> {
        // Acquire pairs with the Release in `remember`.
        if self.address.load(Ordering::Acquire) != address {
            return None;
        }
        // Acquire: the look at the address below comes after.
        let size = self.size.load(Ordering::Acquire);
        let made = Act::unpacked(self.made.load(Ordering::Acquire));
        let freed = Act::unpacked(self.freed.load(Ordering::Acquire));
        // Relaxed: after those loads.
        (self.address.load(Ordering::Relaxed) == address).then_some(FreedBlock { size, made, freed })
    }
}

const _: () = assert!(size_of::<HeapNotes>() <= crate::pages::METADATA_MAX);
const _: () = assert!(size_of::<Recent>() <= crate::pages::METADATA_MAX);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::mapping::Mapped;
    use crate::unwind::StackId;

    fn act(n: u32) -> Act {
        Act { thread: n, stack: StackId(n * 2) }
    }

    #[test]
    fn the_last_blocks_are_remembered_and_the_newest_of_an_address_counts() {
        let zeroes = Mapped::<[u64; size_of::<HeapNotes>() / 8]>::new(1).unwrap();
        // SAFETY: zeroes are a part, and the mapping is aligned to pages.
        let part = unsafe { &*zeroes.as_ptr().cast::<HeapNotes>() };
        let free = |n: u32| {
            let block = Block { address: 16 + n as usize % 80 * 16, size: n as usize, made: 0, by: act(n) };
            part.remember(&block, act(n + 1));
        };
        (0..1000).for_each(free);
        for n in 1000 - GONE as u32..1000 {
            let found = FreedBlock { size: n as usize, made: act(n), freed: act(n + 1) };
            assert_eq!(part.look(16 + n as usize % 80 * 16), Some(found));
        }
        assert_eq!(part.look(16 + 930 % 80 * 16), None);
        assert_eq!(part.look(8), None);
    }
}
