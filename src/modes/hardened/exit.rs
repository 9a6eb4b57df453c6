#![expect(unsafe_code, reason = "reads canaries")]
//! The check when the process ends: all blocks that are live, or wait in the quarantine of the thread that ends it.

use super::blocks::{self, keys};
use super::large;
use super::state::is_live;
use super::waiting::{self, Kept};
use crate::central::State;
use crate::process::state::PROCESS;
use crate::process::thread::{self, HeapAccess};
use crate::sys::atomic::Ordering;

/// Checks the canaries of all live blocks, and the bytes of those that wait in this thread's quarantine, when the
/// process ends.
pub(super) fn check_all() {
    let HeapAccess::Own(heap) = thread::access() else { return };
    PROCESS.central.each_span(|span, entry, region| {
        let start = PROCESS.central.pages.space().address(region);
        match entry.class() {
            Some(class) if span.first() == region => {
                let blocks = 0..class.geometry().capacity as usize;
                blocks.for_each(|index| check_live(start + index * class.size(), class.size()));
            }
            None if span.state() == State::Large => check_live(start, span.large_bytes()),
            _ => {}
        }
    });
    if let Some(kept) = Kept::of(&heap) {
        large::test_all();
        kept.each(|block, class| {
            if !waiting::is_untouched(block, class.size()) {
                blocks::report_written(block, class.size());
            }
        });
    }
}

/// Checks the canaries of a block, if it is live.
fn check_live(address: usize, whole: usize) {
    let Some(unit) = blocks::unit(address) else { return };
    // Acquire, so that the canaries are read after the state.
    let state = unit.load(Ordering::Acquire);
    // SAFETY: a block of so many bytes starts there.
    let is_whole = !is_live(state) || unsafe { keys().check(address, whole, state) }.is_ok();
    // Another thread may be freeing the block, or making another one there.
    // Relaxed: the last look decides.
    if !is_whole && unit.load(Ordering::Relaxed) == state {
        blocks::check("exit", address, whole, state);
    }
}
