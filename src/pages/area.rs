#![expect(unsafe_code, reason = "commits reserved memory")]
//! A part of the reservation that becomes usable from its start onwards.
//!
//! # Invariants
//! - Bytes below `committed` are readable and writable, and part of core dumps; the rest is address space only.
//! - The border only moves up, so an area is at most two mappings however much it grows.

use super::explicit::Explicit;
use crate::base::units::{KIB, MIB, round_up};
use crate::sys::atomic::{AtomicUsize, Ordering};
use crate::sys::memory;

/// Commit at least this much at a time, and at least a share of what is committed, but never more than the cap ahead.
const STEP_MIN: usize = 64 * KIB;
const STEP_SHARE: usize = 4;
const STEP_MAX: usize = 64 * MIB;

/// See the module.
pub(crate) struct Area {
    base: usize,
    len: usize,
    page: usize,
    /// What is committed beyond need ends at a multiple of this.
    granule: usize,
    /// Huge pages of which it is made, while there are any.
    explicit: Option<Explicit>,
    /// Written by whoever holds the lock of the area's owner; read by anyone for statistics.
    committed: AtomicUsize,
}

impl Area {
    /// An area of `len` bytes at `base`, both multiples of `page`, in a reservation of ours.
    pub(crate) const fn new(base: usize, len: usize, page: usize) -> Self {
        Self { base, len, page, granule: page, explicit: None, committed: AtomicUsize::new(0) }
    }

    /// The area with commits that end at multiples of `granule`, itself a multiple of a page.
    pub(crate) fn in_granules(self, granule: usize) -> Self {
        Self { granule, ..self }
    }

    /// The area made of explicit huge pages of `bytes`, as far as there are any.
    pub(crate) fn of_huge_pages(self, bytes: usize) -> Self {
        Self { explicit: Some(Explicit::new(bytes)), ..self }
    }

    /// The `len` bytes from `start` on, both multiples of a page, as an area of its own. Nothing is committed yet.
    pub(super) const fn part(&self, start: usize, len: usize) -> Self {
        Self { granule: self.granule, ..Self::new(self.base + start, len, self.page) }
    }

    /// The huge pages of which the area is made.
    pub(super) const fn explicit(&self) -> Option<&Explicit> {
        self.explicit.as_ref()
    }

    /// Where it starts.
    pub(crate) const fn base(&self) -> usize {
        self.base
    }

    /// Its bytes of address space.
    pub(crate) const fn len(&self) -> usize {
        self.len
    }

    /// Where its usable bytes are counted.
    pub(super) fn committed_address(&self) -> usize {
        core::ptr::from_ref(&self.committed).addr()
    }

    /// Its usable bytes.
    pub(crate) fn committed(&self) -> usize {
        // Relaxed: the owner's lock orders writers; other readers only count.
        self.committed.load(Ordering::Relaxed)
    }

    /// Makes the first `end` bytes usable. The caller holds the lock of the area's owner. False if the kernel refuses.
    pub(crate) fn ensure(&self, end: usize) -> bool {
        let committed = self.committed();
        end <= committed || self.grow(committed, end)
    }

    /// Makes all of it usable. False if the kernel refuses.
    pub(crate) fn ensure_all(&self) -> bool {
        self.ensure(self.len)
    }

    #[cold]
    fn grow(&self, committed: usize, end: usize) -> bool {
        let Some(end) = round_up(end, self.page).filter(|&end| end <= self.len) else {
            return false;
        };
        let ahead = (committed / STEP_SHARE).clamp(STEP_MIN, STEP_MAX);
        let generous = round_up(end.max(committed + ahead), self.granule).unwrap_or(end).min(self.len);
        if let Some(explicit) = &self.explicit {
            if let Some(end) = explicit.extend(self.base, committed, [generous, end], self.len) {
                // Relaxed: see `committed`.
                self.committed.store(end, Ordering::Relaxed);
                return true;
            }
            if explicit.is_closed() {
                return false;
            }
        }
        if self.commit(committed, generous) || self.commit(committed, end) {
            return true;
        }
        // The kernel refuses, too, if it would need one mapping more than are allowed: as long as its rest is left out of dumps, the area is
        // cut in three for a moment.
        let (rest, bytes) = (self.base + committed, self.len - committed);
        // SAFETY: the range lies in this area, which is part of a reservation of ours.
        if unsafe { memory::keep_in_dumps(rest, bytes) }.is_ok() && self.commit(committed, end) {
            return true;
        }
        // SAFETY: as above. Refused, dumps are larger than they need be.
        let _ = unsafe { memory::leave_out_of_dumps(rest, bytes) };
        false
    }

    /// Makes the bytes from `committed` to `end` usable. False if the kernel refuses.
    fn commit(&self, committed: usize, end: usize) -> bool {
        let (start, bytes) = (self.base + committed, end - committed);
        // SAFETY: the range lies in this area, which is part of a reservation of ours.
        let done = unsafe { memory::commit(start, bytes) }.is_ok();
        if done {
            // SAFETY: as above. Refused, the bytes are missing in dumps, and nowhere else.
            let _ = unsafe { memory::keep_in_dumps(start, bytes) };
            // Relaxed: see `committed`.
            self.committed.store(end, Ordering::Relaxed);
        }
        done
    }
}
