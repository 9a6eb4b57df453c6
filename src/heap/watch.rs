//! The watch: a thread that has just freed much, and then stays on its hit path, is seen again.
//!
//! Nobody rings the only thread of a process, and its bins tell no time. So when flushes follow one another without a refill, the heap
//! has its next request counted, by the way of [`super::sampling`]; after the first of them the thread looks at the clock. If it is in a
//! hurry the next watch is twice as long, and after ten there is no other until memory shrinks again: a burst of frees costs some
//! two thousand counted requests at most. A few refills end the watch, for then memory is wanted. Must not know what is done with the
//! time.

use super::layout::Heap;

/// Flushes without a refill that count as shrinking; each refill halves what there is.
const SHRINKING: u32 = 16;
/// Requests in the first watch, and in the longest.
const SHORTEST: u32 = 1;
const LONGEST: u32 = 1024;

impl Heap {
    /// Notes that a bin gave blocks back.
    pub(super) fn shrinks(&self) {
        self.door.shrinking.set(self.door.shrinking.get().saturating_add(1));
    }

    /// Notes that a bin wants blocks.
    pub(super) fn grows(&self) {
        let shrinking = self.door.shrinking.get() / 2;
        self.door.shrinking.set(shrinking);
        if shrinking < SHRINKING {
            self.end_watch();
        }
    }

    /// Begins a watch, if memory shrinks and requests are not counted anyway.
    pub(super) fn watch(&self) {
        if self.door.shrinking.get() >= SHRINKING && !self.is_sampled() && self.lets_others_in() {
            self.watch_for(SHORTEST);
        }
    }

    fn watch_for(&self, requests: u32) {
        self.door.watched.set(requests);
        self.set_sampled(requests as usize + 1, 0);
    }

    /// Whether requests are counted for a watch, and not to sample them.
    pub(super) fn is_watched(&self) -> bool {
        self.is_sampled() && self.sampling_mean.get() == 0
    }

    /// Whether a watch has come to its end.
    #[inline]
    pub(crate) fn is_watch_over(&self) -> bool {
        self.is_watched() && !self.has_gap()
    }

    /// Ends a watch, if there is one.
    pub(super) fn end_watch(&self) {
        if self.is_watched() {
            self.set_sampled(0, 0);
        }
    }

    /// Begins a longer watch than the last one, or gives up.
    pub(super) fn watch_longer(&self) {
        let requests = self.door.watched.get() * 2;
        if requests > LONGEST {
            self.door.shrinking.set(0);
        } else if !self.is_sampled() {
            self.watch_for(requests);
        }
    }
}
