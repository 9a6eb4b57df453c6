//! Counts the requests of Rust's own containers: they call the same `malloc` and `free`.
//!
//! Invariants: counts are per thread, so they cost no more than an addition.
#![expect(unsafe_code, reason = "the global allocator")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

/// Calls and bytes of one thread.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Count {
    /// Calls of malloc, realloc and free.
    pub(crate) calls: u64,
    live: i64,
    peak: i64,
}

thread_local! {
    static COUNT: Cell<Count> = const { Cell::new(Count { calls: 0, live: 0, peak: 0 }) };
}

struct Counted;

#[global_allocator]
static GLOBAL: Counted = Counted;

#[inline]
fn add(bytes: i64) {
    COUNT.with(|count| {
        let mut now = count.get();
        now.calls += 1;
        now.live += bytes;
        now.peak = now.peak.max(now.live);
        count.set(now);
    });
}

// SAFETY: everything is passed on to `System`, which is malloc, realloc and free (posix_memalign above 16 bytes of
// alignment).
unsafe impl GlobalAlloc for Counted {
    #[inline]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        add(layout.size() as i64);
        // SAFETY: as the caller vouches.
        unsafe { System.alloc(layout) }
    }

    #[inline]
    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        add(-(layout.size() as i64));
        // SAFETY: as the caller vouches.
        unsafe { System.dealloc(block, layout) };
    }

    #[inline]
    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        add(size as i64 - layout.size() as i64);
        // SAFETY: as the caller vouches.
        unsafe { System.realloc(block, layout, size) }
    }
}

/// Calls of this thread within `work`, and how far its live bytes rose.
pub(crate) fn counted(work: impl FnOnce()) -> (u64, i64) {
    let before = COUNT.with(|count| {
        let now = count.get();
        count.set(Count { peak: now.live, ..now });
        now
    });
    work();
    let after = COUNT.get();
    (after.calls - before.calls, after.peak - before.live)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_and_the_peak_are_counted() {
        let counts = counted(|| {
            let mut bytes = vec![1_u8; 1000];
            bytes.reserve_exact(2000);
            drop(bytes);
        });
        assert_eq!(counts, (3, 3000));
    }
}
