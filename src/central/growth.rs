#![expect(unsafe_code, reason = "moves pages")]
//! Growth of a large block to a direct one: the kernel moves its pages to a mapping of its own, which then grows.
//! Nothing is copied, and the former run reads as zero.
//!
//! # Invariants
//! - During the move the block is neither in the page map nor in the table of direct blocks; only its owner has its
//!   address.

use super::direct::{self, DirectBlock};
use super::span::State;
use super::store::Central;
use crate::base::units::{REGION_BYTES, Region, round_up};
use crate::pages::Entry;
use crate::sys::{call, memory, tool};

impl Central {
    /// Has the large block at `region` become a direct one of `bytes` bytes, more than its run has; where that is.
    /// `None` leaves it as it was, for the caller to copy: the kernel cannot move pages (before Linux 5.7), a mode
    /// keeps something of the block beside it, or its memory is locked, since what stays behind would not be.
    pub(crate) fn move_large(&self, region: Region, bytes: usize) -> Option<usize> {
        let space = self.pages.space();
        let span = self.span(region);
        let page = space.page_bytes();
        let (run, wanted, ticket) =
            (span.large_regions() as usize * REGION_BYTES, round_up(bytes, page)?, span.ticket());
        let from = space.address(region);
        let is_plain =
            !span.guarded.get() && !span.is_billed() && space.shadow().reach() == 0 && self.direct.guard() == 0;
        if wanted < run
            || !is_plain
            || space.is_self_contained()
            || memory::is_locked(from, page)
            || tool::is_emulated()
        {
            return None;
        }
        if !self.pages.admit_mapping(wanted) {
            return None;
        }
        if space.clear_entry(region, Entry::LARGE) {
            span.unmake_large(State::FreedLarge);
            // SAFETY: whole regions of the reservation; the block in the run is the calling thread's, which resizes it.
            if let Some(address) = unsafe { self.move_run(from, run, wanted) } {
                let block = DirectBlock { address, bytes: wanted, ticket };
                if self.direct.add(&self.pages, block) {
                    let _ = space.placement().apply(address, wanted);
                    space.huge().advise_mapping(address, wanted);
                    self.pages.release_zeroed(region, (run / REGION_BYTES) as u32);
                    return Some(address);
                }
                // SAFETY: the old range is writable again, and as long; the new one has the block's bytes.
                unsafe {
                    memory::copy(
                        core::ptr::with_exposed_provenance(address),
                        core::ptr::with_exposed_provenance_mut(from),
                        run,
                    )
                };
                direct::unmap(block, 0);
            }
            span.state.set(State::Large as u8);
            space.set_entries(region, 1, Entry::LARGE);
        }
        self.pages.dismiss_mapping(wanted);
        None
    }

    /// Moves the pages of the run at `from` to a mapping of `wanted` bytes; where that is. `None`, and they are where
    /// they were, if the kernel refuses.
    ///
    /// # Safety
    /// - `[from, from + run)` is a run of ours, whose contents the calling thread alone uses.
    unsafe fn move_run(&self, from: usize, run: usize, wanted: usize) -> Option<usize> {
        // SAFETY: the run is private anonymous memory, and only the caller uses its contents.
        let moved = unsafe { memory::move_pages(from, run) }.ok()?;
        if !call::is_readable(from) {
            // An emulator that knows the call by name only: what it took away comes back as zeroes.
            // SAFETY: the range is the caller's, and nothing is there.
            let _ = unsafe { memory::map_again(from, run) };
        }
        // SAFETY: the new mapping is the caller's.
        if let Ok(grown) = unsafe { memory::remap(moved, run, wanted) } {
            return Some(grown);
        }
        // SAFETY: both have as many bytes, and are the caller's.
        unsafe {
            memory::copy(core::ptr::with_exposed_provenance(moved), core::ptr::with_exposed_provenance_mut(from), run)
        };
        // SAFETY: nothing needs the copy.
        let _ = unsafe { memory::unmap(moved, run) };
        None
    }
}
