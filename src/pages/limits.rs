//! Limits on what the pages hold: above the soft one free pages go back at once, above the hard one nothing more is
//! handed out.
//!
//! Memory that may be resident counts: runs that are in use or dirty, and direct mappings. Metadata does not.

use super::pending::{Pending, Work};
use crate::sys::atomic::{AtomicBool, AtomicUsize, Ordering};

/// Both limits. Set at start or by the program; read by any thread, which may see an old value for a moment.
pub(crate) struct Limits {
    soft: AtomicUsize,
    hard: AtomicUsize,
    /// Bytes of direct mappings: written under the lock of the runs.
    mapped: AtomicUsize,
    /// Whether more than the soft limit is held, and was reported. Any thread reads and writes it.
    over: AtomicBool,
}

/// No limit.
pub(crate) const UNLIMITED: usize = usize::MAX;

/// The soft limit is reported again only after this share of it was free meanwhile.
const FREED_SHARE: usize = 8;

impl Limits {
    pub(super) const fn new() -> Self {
        Self {
            soft: AtomicUsize::new(UNLIMITED),
            hard: AtomicUsize::new(UNLIMITED),
            mapped: AtomicUsize::new(0),
            over: AtomicBool::new(false),
        }
    }

    // Relaxed throughout: each word is valid by itself at any time.

    /// Sets both, in bytes; [`UNLIMITED`] for none.
    pub(crate) fn set(&self, soft: usize, hard: usize) {
        self.soft.store(soft, Ordering::Relaxed);
        self.hard.store(hard, Ordering::Relaxed);
    }

    /// Both limits, in bytes.
    pub(crate) fn get(&self) -> (usize, usize) {
        (self.soft.load(Ordering::Relaxed), self.hard.load(Ordering::Relaxed))
    }

    /// Bytes of direct mappings.
    pub(super) fn mapped(&self) -> usize {
        self.mapped.load(Ordering::Relaxed)
    }

    /// Counts a new mapping.
    pub(super) fn add_mapped(&self, bytes: usize) {
        self.mapped.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Counts a mapping that went.
    pub(super) fn drop_mapped(&self, bytes: usize) {
        self.mapped.fetch_sub(bytes, Ordering::Relaxed);
    }

    /// Whether more than the soft limit was held when that was asked last, and not much less since.
    #[inline]
    pub(super) fn is_over(&self) -> bool {
        self.over.load(Ordering::Relaxed)
    }

    /// Whether `held` bytes are too many.
    pub(super) fn forbids(&self, held: usize) -> bool {
        held > self.hard.load(Ordering::Relaxed)
    }

    /// Whether `held` bytes call for a purge: more than the soft limit, which is `pending` work the first time.
    pub(super) fn presses(&self, held: usize, pending: &Pending) -> bool {
        let soft = self.soft.load(Ordering::Relaxed);
        if held > soft {
            if !self.over.swap(true, Ordering::Relaxed) {
                pending.set(Work::SOFT_LIMIT);
            }
            return true;
        }
        if held <= soft - soft / FREED_SHARE && self.over.load(Ordering::Relaxed) {
            self.over.store(false, Ordering::Relaxed);
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_soft_limit_is_reported_once_until_enough_was_free() {
        let (limits, pending) = (Limits::new(), Pending::new());
        let presses = |held| limits.presses(held, &pending);
        let is_told = || pending.take(Work::SOFT_LIMIT);
        assert!(!presses(usize::MAX - 1) && !limits.forbids(usize::MAX));
        limits.set(800, 1000);
        assert!(!presses(800) && !is_told());
        assert!(presses(801) && presses(900));
        assert_eq!((is_told(), is_told()), (true, false));
        assert!(!presses(750) && presses(801) && !is_told(), "too little was free");
        assert!(!presses(700) && presses(801));
        assert!(is_told());
        assert!(limits.forbids(1001) && !limits.forbids(1000));
    }
}
