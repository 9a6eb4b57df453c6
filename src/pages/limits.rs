//! Limits on what the pages hold: above the soft one free pages go back at once, above the hard one nothing more is handed out.
//!
//! What counts is what may be resident: runs that are in use or dirty, and mappings of their own. Metadata does not.

use crate::sys::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};

/// See the module. Set at start or by the program; read by any thread, which may see an old value for a moment.
pub(crate) struct Limits {
    soft: AtomicUsize,
    hard: AtomicUsize,
    /// Bytes of mappings of their own: written under the lock of the runs.
    mapped: AtomicUsize,
    /// Whether more than the soft limit is held, and has been said.
    over: AtomicBool,
    /// Which limit was met and not told yet: [`NOTHING`], [`SOFT`] or [`HARD`].
    news: AtomicU32,
}

/// No limit.
pub(crate) const UNLIMITED: usize = usize::MAX;

/// See [`Limits::take_news`].
const NOTHING: u32 = 0;
/// The soft limit was passed.
pub(crate) const SOFT: u32 = 1;
/// The hard limit refused something.
pub(crate) const HARD: u32 = 2;
/// The soft limit is said again only after this share of it was free meanwhile.
const RELIEF_SHARE: usize = 8;

impl Limits {
    pub(super) const fn new() -> Self {
        Self {
            soft: AtomicUsize::new(UNLIMITED),
            hard: AtomicUsize::new(UNLIMITED),
            mapped: AtomicUsize::new(0),
            over: AtomicBool::new(false),
            news: AtomicU32::new(NOTHING),
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

    /// Bytes of mappings of their own.
    pub(super) fn mapped(&self) -> usize {
        self.mapped.load(Ordering::Relaxed)
    }

    /// Counts a mapping that came.
    pub(super) fn add_mapped(&self, bytes: usize) {
        self.mapped.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Counts a mapping that went.
    pub(super) fn drop_mapped(&self, bytes: usize) {
        self.mapped.fetch_sub(bytes, Ordering::Relaxed);
    }

    /// Whether `held` bytes are too many.
    pub(super) fn forbids(&self, held: usize) -> bool {
        held > self.hard.load(Ordering::Relaxed)
    }

    /// Notes that something was refused.
    pub(super) fn note_refusal(&self) {
        self.news.store(HARD, Ordering::Relaxed);
    }

    /// Whether `held` bytes call for a purge: more than the soft limit.
    pub(super) fn presses(&self, held: usize) -> bool {
        let soft = self.soft.load(Ordering::Relaxed);
        if held > soft {
            if !self.over.swap(true, Ordering::Relaxed) {
                self.news.store(SOFT, Ordering::Relaxed);
            }
            return true;
        }
        if held <= soft - soft / RELIEF_SHARE && self.over.load(Ordering::Relaxed) {
            self.over.store(false, Ordering::Relaxed);
        }
        false
    }

    /// Which limit was met since this was last asked, if any.
    #[inline]
    pub(crate) fn take_news(&self) -> Option<u32> {
        if self.news.load(Ordering::Relaxed) == NOTHING {
            return None;
        }
        Some(self.news.swap(NOTHING, Ordering::Relaxed)).filter(|&news| news != NOTHING)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_soft_limit_is_told_once_until_there_was_relief() {
        let limits = Limits::new();
        assert!(!limits.presses(usize::MAX - 1) && !limits.forbids(usize::MAX));
        limits.set(800, 1000);
        assert!(!limits.presses(800) && limits.take_news().is_none());
        assert!(limits.presses(801) && limits.presses(900));
        assert_eq!((limits.take_news(), limits.take_news()), (Some(SOFT), None));
        assert!(!limits.presses(750) && limits.presses(801) && limits.take_news().is_none(), "too little relief");
        assert!(!limits.presses(700) && limits.presses(801));
        assert_eq!(limits.take_news(), Some(SOFT));
        assert!(limits.forbids(1001) && !limits.forbids(1000));
    }
}
