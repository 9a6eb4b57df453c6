//! One counter of outstanding blocks and bytes, in parts: a thread adds to the part that its heap's address chooses, so that threads
//! do not fight for a cache line. Must not know when a block is made.

use crate::sys::atomic::{AtomicU64, Ordering};

/// A power of two. More threads than that share parts, which stay right.
const PARTS: usize = 64;
/// Heaps are this far apart.
const HEAP_SHIFT: u32 = 13;

/// A part, alone in its pair of cache lines (processors fetch them in pairs).
#[repr(align(128))]
struct Part {
    blocks: AtomicU64,
    bytes: AtomicU64,
}

/// See the module. Parts may be below zero, for another thread frees than the one that allocates; their sum is not.
pub(crate) struct Counter {
    parts: [Part; PARTS],
}

impl Counter {
    /// Nothing counted.
    pub(crate) const fn new() -> Self {
        Self { parts: [const { Part { blocks: AtomicU64::new(0), bytes: AtomicU64::new(0) } }; PARTS] }
    }

    /// Adds `blocks` and `bytes`, either of which may be negative, on the part of the thread whose heap or other word is `thread`.
    pub(crate) fn add(&self, thread: usize, blocks: i64, bytes: i64) {
        if let Some(part) = self.parts.get((thread >> HEAP_SHIFT) % PARTS) {
            // Relaxed: counters.
            part.blocks.fetch_add(blocks as u64, Ordering::Relaxed);
            part.bytes.fetch_add(bytes as u64, Ordering::Relaxed);
        }
    }

    /// Outstanding blocks and bytes. Exact when nobody allocates meanwhile; below zero where more was freed than made since the last
    /// [`Counter::reset`].
    pub(crate) fn sum(&self) -> (i64, i64) {
        // Relaxed: counters.
        let sum = |count: fn(&Part) -> &AtomicU64| {
            self.parts.iter().fold(0_u64, |sum, part| sum.wrapping_add(count(part).load(Ordering::Relaxed))) as i64
        };
        (sum(|part| &part.blocks), sum(|part| &part.bytes))
    }

    /// Begins anew.
    pub(crate) fn reset(&self) {
        for part in &self.parts {
            // Relaxed: counters.
            part.blocks.store(0, Ordering::Relaxed);
            part.bytes.store(0, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sum_is_right_whoever_frees() {
        let counter = Counter::new();
        for thread in 0..200_usize {
            counter.add(thread << HEAP_SHIFT, 1, thread as i64);
        }
        assert_eq!(counter.sum(), (200, 199 * 100));
        counter.add(0, -200, -199 * 100);
        assert_eq!(counter.sum(), (0, 0));
        counter.add(7, -1, -8);
        assert_eq!(counter.sum(), (-1, -8));
        counter.reset();
        assert_eq!(counter.sum(), (0, 0));
    }
}
