//! Pending work: one word of bits for the process. Whatever wants the attention of a slow call sets its bit; a slow
//! call tests the word once, and out of line does the work behind each bit. Must not know that work.
//!
//! The word lies this low because the lowest layers set bits, too.

use crate::sys::atomic::{AtomicU32, Ordering};

/// A kind of work: one bit of the word.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Work(u32);

impl Work {
    /// Blocks wait to be freed.
    pub(crate) const DEFERRED_FREES: Self = Self(1);
    /// The soft limit was passed.
    pub(crate) const SOFT_LIMIT: Self = Self(1 << 1);
    /// The hard limit refused something.
    pub(crate) const HARD_LIMIT: Self = Self(1 << 2);

    /// The bit of the feature that registered at `place`.
    pub(crate) const fn of_feature(place: u32) -> Self {
        const FIRST: u32 = 8;
        Self(1 << (FIRST + place))
    }
}

/// See the module. Any thread sets and takes bits.
pub(crate) struct Pending(AtomicU32);

impl Pending {
    pub(super) const fn new() -> Self {
        Self(AtomicU32::new(0))
    }

    /// Has the next slow call of any thread do `work`. May be called by a signal handler.
    pub(crate) fn set(&self, work: Work) {
        // Release pairs with the Acquire in `take`: what the work is about was there before its bit.
        self.0.fetch_or(work.0, Ordering::Release);
    }

    /// Whether there is any work.
    #[inline(always)]
    pub(crate) fn any(&self) -> bool {
        // Relaxed: a hint; `take` decides.
        self.0.load(Ordering::Relaxed) != 0
    }

    /// Takes `work` from the word; whether it was there.
    pub(crate) fn take(&self, work: Work) -> bool {
        // Relaxed: a hint. Acquire pairs with the Release in `set`.
        self.0.load(Ordering::Relaxed) & work.0 != 0 && self.0.fetch_and(!work.0, Ordering::Acquire) & work.0 != 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_of_work_is_taken_once() {
        let kinds = [Work::DEFERRED_FREES, Work::SOFT_LIMIT, Work::HARD_LIMIT, Work::of_feature(0), Work::of_feature(23)];
        let pending = Pending::new();
        assert!(!pending.any());
        kinds.iter().for_each(|&work| pending.set(work));
        for work in kinds {
            assert!(pending.any() && pending.take(work) && !pending.take(work));
        }
        assert!(!pending.any());
    }
}
