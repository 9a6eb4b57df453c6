#![expect(unsafe_code, reason = "implements an unsafe trait")]
//! Rust's contract: `GlobalAlloc`. `allocator.rs` has the calls of the trait `Allocator`, `report.rs` figures and
//! requests of a program.
//!
//! Unlike C's calls, a layout has the size of a block that is freed or resized. Blocks of 16 bytes and more are aligned
//! to 16 anyway, so for smaller alignments a request has the size of the layout or its alignment, whichever is larger.

use core::alloc::{GlobalAlloc, Layout};

use crate::base::class::SMALL_MAX;
use crate::control::dispatch;
use crate::heap::fast_path::{self, FastHeap};
use crate::heap::second_path;
use crate::slow_path::mode;
use crate::slow_path::request::{FreeSize, NATURAL_ALIGN, Request, Resized};

/// The allocator.
///
/// As `#[global_allocator]` it serves all of a Rust program's requests; its own methods take and give back single
/// blocks, and with the feature `allocator-api2` it serves single collections. All values of this type are the same
/// allocator.
///
/// ```
/// #[global_allocator]
/// static ALLOCATOR: spandrel::Spandrel = spandrel::Spandrel;
///
/// fn main() {
///     assert_eq!(vec![7_u8; 100].len(), 100);
///     assert!(spandrel::Spandrel.is_active());
/// }
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Spandrel;

/// The request for a layout whose alignment is at most [`NATURAL_ALIGN`].
#[inline(always)]
fn request(layout: Layout) -> usize {
    layout.size().max(layout.align())
}

/// malloc on the slow path.
extern "C" fn alloc_plain(size: usize) -> *mut u8 {
    dispatch::alloc(Request { size, align: 1, zero: false })
}

#[cold]
#[inline(never)]
fn alloc_slow(size: usize, heap: &FastHeap) -> *mut u8 {
    second_path::malloc(size, heap, alloc_plain)
}

/// calloc on the slow path: lanes and modes know which memory is zero already.
extern "C" fn zeroed_plain(size: usize) -> *mut u8 {
    dispatch::alloc(Request { size, align: 1, zero: true })
}

#[cold]
#[inline(never)]
fn zeroed_slow(size: usize, heap: &FastHeap) -> *mut u8 {
    second_path::zeroed(size, heap, zeroed_plain)
}

#[inline(never)]
fn aligned(align: usize, size: usize) -> *mut u8 {
    fast_path::aligned(align, size, aligned_slow)
}

#[cold]
#[inline(never)]
fn aligned_slow(align: usize, size: usize, heap: &FastHeap) -> *mut u8 {
    second_path::aligned(align, size, heap, aligned_plain)
}

/// An aligned allocation on the slow path.
extern "C" fn aligned_plain(align: usize, size: usize) -> *mut u8 {
    dispatch::alloc(Request { size, align, zero: false })
}

/// A free where the fast path failed. Modes that see every free compare the size.
#[cold]
#[inline(never)]
fn sized_slow(block: *mut u8, layout: Layout) {
    if layout.align() > NATURAL_ALIGN {
        return free_slow(block);
    }
    second_path::free_known(block, request(layout), dispatch::free, free_named);
}

/// A sized free on the slow path. Above the small lane a size says little: it is rounded up to pages.
fn free_named(block: *mut u8, size: usize) {
    if size > SMALL_MAX { dispatch::free(block) } else { dispatch::free_sized(block, FreeSize { size, align: 1 }) }
}

#[cold]
#[inline(never)]
fn free_slow(block: *mut u8) {
    second_path::free(block, dispatch::free);
}

/// Makes `block`, of which the program uses `bytes` bytes, meet `layout`, and leaves it where it is if it lies at a
/// multiple of the alignment, as callers see to, and its room suffices. Null if there is no memory; the block is
/// unchanged then.
#[inline(never)]
pub(super) fn resize(block: *mut u8, bytes: usize, layout: Layout) -> *mut u8 {
    let is_natural = layout.align() <= NATURAL_ALIGN;
    let (size, align) = if is_natural { (request(layout), 1) } else { (layout.size(), layout.align()) };
    if let Some(usable) = fast_path::bytes_of(block) {
        if mode::can_be(usable, FreeSize { size, align }) {
            return block;
        }
        if !second_path::was_freed_lately(block) {
            return relocate(block, bytes, layout);
        }
    }
    let resized =
        if is_natural { dispatch::realloc(block, size) } else { dispatch::realloc_aligned(block, bytes, size, align) };
    match resized {
        Resized::At(moved) => moved,
        Resized::OutOfMemory | Resized::Misused => core::ptr::null_mut(),
    }
}

/// Moves `block`, of which the program uses `bytes` bytes, to one that meets `layout`. Null leaves it as it was.
pub(super) fn relocate(block: *mut u8, bytes: usize, layout: Layout) -> *mut u8 {
    // SAFETY: the caller's layout has bytes.
    let moved = unsafe { Spandrel.alloc(layout) };
    if !moved.is_null() {
        // SAFETY: the old block has `bytes` bytes, and the new one, another block, those of the layout.
        unsafe { block.copy_to_nonoverlapping(moved, bytes.min(layout.size())) };
        fast_path::free(block, free_slow);
    }
    moved
}

// SAFETY: blocks are valid for their layout until freed, do not overlap, and no function unwinds.
unsafe impl GlobalAlloc for Spandrel {
    #[inline]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if layout.align() <= NATURAL_ALIGN {
            return fast_path::malloc(request(layout), alloc_slow);
        }
        aligned(layout.align(), layout.size())
    }

    // A function of its own, so that the code which drops a value stays small where the compiler puts it into the
    // program's. Decision 46 says why the size of the layout is no help.
    #[inline(never)]
    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        fast_path::free(block, |block| sized_slow(block, layout));
    }

    #[inline]
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        if layout.align() <= NATURAL_ALIGN {
            return fast_path::zeroed(request(layout), zeroed_slow);
        }
        dispatch::alloc(Request { size: layout.size(), align: layout.align(), zero: true })
    }

    #[inline]
    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: the caller says that the new size with this alignment is a layout.
        resize(block, layout.size(), unsafe { Layout::from_size_align_unchecked(size, layout.align()) })
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::process::Command;

    /// Says that this process is the one that [`at_the_limit`] describes.
    const LIMITED: &str = "SPANDREL_HARD_LIMIT";

    /// Runs the test of that name in `module` in a process with that setting; whether it passed, and what it said.
    pub(in crate::api) fn apart(module: &str, name: &str, setting: [&str; 2]) -> (bool, String) {
        let (_, module) = module.split_once("::").unwrap();
        let name = format!("{module}::{name}");
        let own = std::env::current_exe().unwrap();
        let mut command = Command::new(own);
        // The settings of the surroundings are not about this process.
        for (variable, _) in
            std::env::vars_os().filter(|(variable, _)| variable.as_encoded_bytes().starts_with(b"SPANDREL_"))
        {
            command.env_remove(variable);
        }
        let output = command.args(["--exact", &name]).env(setting[0], setting[1]).output().unwrap();
        let said = [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned()).concat();
        (output.status.success() && said.contains("1 passed"), said)
    }

    /// Runs a test in a process of its own: a sampled block has no room, and other tests sample each request.
    pub(in crate::api) fn alone(module: &str, name: &str, test: impl FnOnce()) {
        const ALONE: &str = "TEST_IS_ALONE";
        if std::env::var_os(ALONE).is_some() {
            return test();
        }
        let (passed, said) = apart(module, name, [ALONE, "1"]);
        assert!(passed, "{said}");
    }

    /// Runs the test of that name in a process with a hard limit.
    fn at_the_limit(name: &str) {
        let (passed, said) = apart(module_path!(), name, [LIMITED, "16M"]);
        assert!(passed, "{said}");
    }

    fn layout(size: usize, align: usize) -> Layout {
        Layout::from_size_align(size, align).unwrap()
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
    fn modes_that_see_every_free_report_a_layout_of_another_size() {
        if std::env::var_os("SPANDREL_MODE").is_none() {
            for mode in ["hardened", "tracked"] {
                let name = "modes_that_see_every_free_report_a_layout_of_another_size";
                let (passed, said) = apart(module_path!(), name, ["SPANDREL_MODE", mode]);
                assert!(!passed && said.contains("ALLOCATOR_SIZE_MISMATCH"), "{mode}: {said}");
            }
            return;
        }
        let block = stamped(layout(100, 8)).unwrap();
        // SAFETY: none: the layout is another, which the process does not survive.
        unsafe { Spandrel.dealloc(block, layout(24, 8)) };
    }

    #[test]
    fn blocks_resized_in_place_are_freed_by_the_layout_that_they_have_now() {
        for (size, align, new) in [(100, 8, 60), (100, 8, 112), (200, 32, 120), (4096, 8, 2100), (30_000, 16, 16_000)] {
            let block = stamped(layout(size, align)).unwrap();
            // SAFETY: the block is live and of that layout.
            let resized = unsafe { Spandrel.realloc(block, layout(size, align), new) };
            assert!(resized == block && is_stamped(block), "{size} at {align}");
            // SAFETY: the block is live and of that layout now.
            unsafe { Spandrel.dealloc(block, layout(new, align)) };
            // The bin has it again.
            assert_eq!(stamped(layout(size, align)), Some(block), "{size} at {align}");
            // SAFETY: the block is live and of that layout.
            unsafe { Spandrel.dealloc(block, layout(size, align)) };
        }
    }

    #[test]
    fn every_mode_serves_layouts() {
        for mode in ["counting", "tracked", "hardened", "guarded", "custom", "libc"] {
            let (passed, said) =
                apart(module_path!(), "blocks_are_aligned_and_keep_their_contents", ["SPANDREL_MODE", mode]);
            assert!(passed && !said.contains("ALLOCATOR_"), "{mode}: {said}");
        }
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
