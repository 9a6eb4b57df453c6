#![expect(unsafe_code, reason = "implements an unsafe trait")]
//! Rust's contract: `GlobalAlloc`.

use core::alloc::{GlobalAlloc, Layout};

use crate::control::{dispatch, requests};
use crate::heap::fast_path::{self, FastHeap};
use crate::heap::second_path;
use crate::slow_path::request::{Request, Resized};
use crate::stats::descriptor::{self, Descriptor};

/// The allocator as a Rust global allocator.
///
/// In a library that also exports malloc, it is the same allocator in the same state; by itself it serves Rust's
/// requests alone.
#[derive(Clone, Copy, Debug, Default)]
pub struct Spandrel;

impl Spandrel {
    /// Exchanges freed blocks with other threads, for a program's own points: a safepoint, the border between two
    /// messages, the end of an arena. Sends off the blocks of other threads that the calling thread freed, and receives
    /// blocks of its own that others freed, in whole batches (at most 124 blocks each), until `most` blocks have come;
    /// 0 for 250. True if more waits.
    ///
    /// Cheap if there is nothing to do. Never fails; does nothing in a thread that has not allocated. Not for signal
    /// handlers.
    pub fn safepoint(&self, most: usize) -> bool {
        requests::safepoint(most)
    }

    /// Where the figures of this allocator are in memory, for tools that read them from outside; `None` until it has
    /// served a request.
    pub fn descriptor(&self) -> Option<Descriptor> {
        descriptor::current()
    }
}

/// Blocks of 16 bytes and more are aligned to this without asking.
const NATURAL_ALIGN: usize = 16;

extern "C" fn slow(size: usize) -> *mut u8 {
    dispatch::alloc(Request { size, align: 1, zero: false })
}

#[cold]
#[inline(never)]
fn alloc_slow(size: usize, heap: &FastHeap) -> *mut u8 {
    second_path::malloc(size, heap, slow)
}

#[cold]
#[inline(never)]
fn dealloc_slow(block: *mut u8) {
    second_path::free(block, dispatch::free);
}

fn natural(layout: Layout) -> bool {
    layout.align() <= NATURAL_ALIGN && (layout.align() < NATURAL_ALIGN || layout.size() >= NATURAL_ALIGN)
}

// SAFETY: blocks are valid for their layout until freed, do not overlap, and no function unwinds.
unsafe impl GlobalAlloc for Spandrel {
    #[inline]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if natural(layout) {
            return fast_path::malloc(layout.size(), alloc_slow);
        }
        dispatch::alloc(Request { size: layout.size(), align: layout.align(), zero: false })
    }

    #[inline]
    unsafe fn dealloc(&self, block: *mut u8, _: Layout) {
        fast_path::free(block, dealloc_slow);
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        dispatch::alloc(Request { size: layout.size(), align: layout.align(), zero: true })
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        if layout.align() <= NATURAL_ALIGN {
            // A block of at least `align` bytes is aligned wherever it moves, so nothing remains to be done that could
            // fail once the old block is free.
            return match dispatch::realloc(block, size.max(layout.align())) {
                Resized::At(moved) => moved,
                Resized::OutOfMemory | Resized::Misused => core::ptr::null_mut(),
            };
        }
        relocate(block, layout.size(), layout.align(), size)
    }
}

/// Moves `block`, of `bytes` bytes, to one of `size` bytes at a multiple of `align`; null leaves it as it was.
fn relocate(block: *mut u8, bytes: usize, align: usize, size: usize) -> *mut u8 {
    let moved = dispatch::alloc(Request { size, align, zero: false });
    if !moved.is_null() {
        // SAFETY: the old block has `bytes` bytes, and the new one, another block, `size`.
        unsafe { block.copy_to_nonoverlapping(moved, bytes.min(size)) };
        dispatch::free(block);
    }
    moved
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::process::Command;

    /// Says that this process is the one that [`at_the_limit`] describes.
    const LIMITED: &str = "SPANDREL_HARD_LIMIT";

    /// Runs the test of that name, in this module, in a process with a hard limit.
    fn at_the_limit(name: &str) {
        let (_, module) = module_path!().split_once("::").unwrap();
        let name = format!("{module}::{name}");
        let own = std::env::current_exe().unwrap();
        let output = Command::new(own).args(["--exact", &name]).env(LIMITED, "16M").output().unwrap();
        let said = [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned()).concat();
        assert!(output.status.success() && said.contains("1 passed"), "{said}");
    }

    /// A block of the layout that holds its own address.
    fn stamped(layout: Layout) -> Option<*mut u8> {
        // SAFETY: the layout has bytes.
        let block = unsafe { Spandrel.alloc(layout) };
        if block.is_null() {
            return None;
        }
        // SAFETY: the block has at least eight bytes.
        unsafe { block.cast::<usize>().write_unaligned(block.addr()) };
        Some(block)
    }

    fn is_stamped(block: *mut u8) -> bool {
        // SAFETY: blocks that were stamped are live.
        unsafe { block.cast::<usize>().read_unaligned() == block.addr() }
    }

    #[test]
    fn a_failed_realloc_leaves_the_old_block() {
        if std::env::var_os(LIMITED).is_none() {
            return at_the_limit("a_failed_realloc_leaves_the_old_block");
        }
        let layout = |size, align| Layout::from_size_align(size, align).unwrap();
        // Blocks of 16 bytes are used up, and no span is left; some of 8 are free, at multiples of 16 and between.
        let eights: Vec<_> = (0..400).map_while(|_| stamped(layout(8, 8))).collect();
        let old = layout(4000, 16);
        let blocks: Vec<_> = core::iter::from_fn(|| stamped(old)).collect();
        let small: Vec<_> = core::iter::from_fn(|| stamped(layout(16, 16))).collect();
        assert!(eights.len() == 400 && blocks.len() > 1000);
        for (_, &block) in eights.iter().enumerate().filter(|(index, _)| index % 4 < 2) {
            // SAFETY: the block is live and of that layout.
            unsafe { Spandrel.dealloc(block, layout(8, 8)) };
        }
        for (&block, size) in blocks.iter().zip([8, 8, 8, 8, 8, 8, 9, 15, 100_000]) {
            // SAFETY: the block is live and of that layout.
            let moved = unsafe { Spandrel.realloc(block, old, size) };
            assert!(moved.is_null() && is_stamped(block), "{size}");
        }
        assert!(small.into_iter().all(is_stamped));
        for block in blocks {
            // SAFETY: the block is live and of that layout.
            unsafe { Spandrel.dealloc(block, old) };
        }
    }

    #[test]
    fn the_layout_of_the_descriptor_is_known_and_no_other() {
        assert!(stamped(Layout::new::<usize>()).is_some());
        let words = Spandrel.descriptor().unwrap().words();
        assert!(Descriptor::from_words(words).is_of_this_build());
        // A word is part of the layout, or an address or a size of this process's: nothing else.
        let is_layout = |word: &usize| {
            let mut changed = words;
            changed[*word] ^= 1 << 40;
            !Descriptor::from_words(changed).is_of_this_build()
        };
        assert!((40..70).contains(&(0..words.len()).filter(is_layout).count()));
    }

    proptest! {
        #[test]
        fn blocks_are_aligned_and_keep_their_contents(
            steps in prop::collection::vec((0_usize..70_000, 0_u32..14, 0_usize..70_000), 1..60)
        ) {
            let mut live = Vec::new();
            for (index, (size, shift, new)) in steps.into_iter().enumerate() {
                let layout = Layout::from_size_align(size.max(1), 1 << shift).expect("valid");
                // SAFETY: the layout has bytes.
                let block = unsafe { Spandrel.alloc_zeroed(layout) };
                prop_assert!(!block.is_null() && block.addr() % layout.align() == 0);
                // SAFETY: the block has that many bytes.
                let zeroed = unsafe { core::slice::from_raw_parts(block, layout.size()) };
                prop_assert!(zeroed.iter().all(|&byte| byte == 0));
                // SAFETY: the block has that many bytes.
                unsafe { block.write_bytes(index as u8, layout.size()) };
                let new = new.max(1);
                // SAFETY: the block is live and of that layout.
                let moved = unsafe { Spandrel.realloc(block, layout, new) };
                prop_assert!(!moved.is_null() && moved.addr() % layout.align() == 0);
                let resized = Layout::from_size_align(new, layout.align()).expect("valid");
                live.push((moved, resized, layout.size().min(new), index as u8));
            }
            for (block, layout, filled, byte) in live {
                // SAFETY: the block has that many bytes.
                let kept = unsafe { core::slice::from_raw_parts(block, filled) };
                prop_assert!(kept.iter().all(|&found| found == byte));
                // SAFETY: the block is live and of that layout.
                unsafe { Spandrel.dealloc(block, layout) };
            }
        }
    }
}
