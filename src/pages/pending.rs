//! Pending work: one word of bits for the process. Each kind of work that a slow call has to do sets its bit; a slow
//! call tests the word once, and does the work of each bit out of line. Must not know that work.
//!
//! The word is in this layer because the lowest layers set bits, too.

use crate::sys::cell::{Flag, Flags};

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
    /// A limit of a bill was met.
    pub(crate) const BILL_LIMIT: Self = Self(1 << 3);

    /// The bit of the feature that registered at `place`.
    pub(crate) const fn of_feature(place: u32) -> Self {
        const FIRST: u32 = 8;
        Self(1 << (FIRST + place))
    }

    /// The bit by which a tool outside the process asks for the attention of that feature. These bits fill the word's
    /// last byte, and nothing else sets them: a tool writes that byte, and needs no atomic operation on the word.
    /// `None` for features behind the first eight.
    pub(crate) const fn asked_outside(place: u32) -> Option<Self> {
        const FIRST: u32 = 24;
        if FIRST + place < u32::BITS { Some(Self(1 << (FIRST + place))) } else { None }
    }
}

impl Flag for Work {
    fn bit(self) -> u32 {
        self.0
    }
}

/// See the module. Any thread sets and takes bits.
pub(crate) type Pending = Flags<Work>;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_of_work_is_taken_once() {
        let kinds =
            [Work::DEFERRED_FREES, Work::SOFT_LIMIT, Work::HARD_LIMIT, Work::of_feature(0), Work::of_feature(23)];
        let pending = Pending::new();
        assert!(!pending.any());
        kinds.iter().for_each(|&work| pending.set(work));
        for work in kinds {
            assert!(pending.any() && pending.take(work) && !pending.take(work));
        }
        assert!(!pending.any());
    }
}
