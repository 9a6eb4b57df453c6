//! Huge pages: from where on the data area asks for them, while the kernel gives them quickly, and which part of a free
//! run may be purged without splitting one.
//!
//! # Invariants
//! - In each bank huge pages are requested for `[from, advised)`. Both are multiples of a huge page, except at the end
//!   of the bank. The part only grows, so it is one mapping more.
//! - A purge never gives back a part of a huge page, because the kernel would fill that part again although it is not
//!   used.

use core::ops::Range;

use crate::base::units::{MIB, REGION_BYTES};
use crate::sys::atomic::{AtomicUsize, Ordering};
use crate::sys::{call, memory};

/// Bytes of a huge page.
pub(crate) const HUGE_BYTES: usize = 2 * MIB;
const HUGE_REGIONS: u32 = (HUGE_BYTES / REGION_BYTES) as u32;

/// How much of the data area asks for huge pages.
pub(crate) struct Huge {
    /// Where huge pages begin, in bytes from the start of a bank; `None` for nowhere.
    from: Option<usize>,
    /// Nanoseconds that the kernel may take for a huge page; `None` for any time.
    within: Option<u64>,
}

impl Huge {
    /// No huge pages.
    pub(crate) const fn off() -> Self {
        Self { from: None, within: None }
    }

    /// Huge pages for whatever lies `bytes` or more behind the start of a bank.
    pub(crate) const fn from(bytes: usize) -> Self {
        Self { from: Some(bytes & !(HUGE_BYTES - 1)), within: None }
    }

    /// The same, with ordinary pages where the kernel takes longer than `microseconds` for a huge one.
    pub(crate) const fn within(self, microseconds: usize) -> Self {
        Self { within: Some((microseconds as u64).saturating_mul(1000)), ..self }
    }

    /// Whether there are any.
    pub(crate) const fn is_on(&self) -> bool {
        self.from.is_some()
    }

    /// Where in a bank the part begins that may be advised of huge pages, if any.
    pub(super) const fn start(&self) -> Option<usize> {
        self.from
    }

    /// Of a bank that asked for huge pages up to `advised`: bytes of the part that did.
    pub(super) fn bytes(&self, advised: &AtomicUsize) -> usize {
        // Relaxed: a figure.
        self.from.map_or(0, |from| advised.load(Ordering::Relaxed).saturating_sub(from))
    }

    /// Asks for huge pages in a bank's data at `base`: in the part between `advised`, where the last call ended, and
    /// `committed`. Nobody uses the memory behind `fresh` yet. The caller holds the lock of the runs. Commits grow with
    /// the heap, and so do these steps.
    ///
    /// In a virtual machine some huge pages take ten times the usual time. They lie side by side, so the first page of
    /// a step speaks for the rest (decision 42).
    pub(super) fn advise(&self, advised: &AtomicUsize, base: usize, fresh: usize, committed: usize) {
        let Some(from) = self.from else { return };
        // Relaxed: only the holder of the lock writes.
        let (start, first) = (advised.load(Ordering::Relaxed).max(from), fresh.max(from).next_multiple_of(HUGE_BYTES));
        if committed <= start || committed == fresh {
            return;
        }
        let probed = first + HUGE_BYTES;
        if let Some(within) = self.within
            && probed <= committed
        {
            if Self::extend(advised, base, start, probed) && Self::time_of_page(base + first) > within {
                return;
            }
            Self::extend(advised, base, probed, committed);
        } else {
            Self::extend(advised, base, start, committed);
        }
    }

    /// Asks for huge pages in `[start, end)` of a bank's data at `base`, where it asked up to `start`; false if the
    /// kernel refuses. The caller holds the lock of the runs.
    fn extend(advised: &AtomicUsize, base: usize, start: usize, end: usize) -> bool {
        let done = start >= end || memory::advise_huge(base + start, end - start).is_ok();
        if done {
            // Relaxed: only the holder of the lock writes.
            advised.store(end, Ordering::Relaxed);
        }
        done
    }

    /// Nanoseconds of this thread's that the kernel takes for the page at `address`, which the next run will use.
    fn time_of_page(address: usize) -> u64 {
        let begun = call::nanoseconds_of_thread();
        // Refused (before Linux 5.14), it takes no time, and huge pages are asked for as ever.
        let _ = memory::populate(address, HUGE_BYTES);
        call::nanoseconds_of_thread().saturating_sub(begun)
    }

    /// Asks for huge pages in a mapping that is not part of the data area. Refused, it has ordinary pages.
    pub(crate) fn advise_mapping(&self, address: usize, bytes: usize) {
        if self.is_on() {
            let _ = memory::advise_huge(address, bytes);
        }
    }

    /// The part of `regions`, in a bank that starts with region `first`, whose purge splits no huge page; empty if
    /// there is none.
    pub(super) fn purgeable(&self, regions: Range<u32>, first: u32) -> Range<u32> {
        let Some(from) = self.from.map(|from| first + (from / REGION_BYTES) as u32) else { return regions };
        let (mut start, mut end) = (regions.start, regions.end);
        if start > from {
            start = start.next_multiple_of(HUGE_REGIONS);
        }
        if end > from {
            end -= end % HUGE_REGIONS;
        }
        start..end
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn purgeable(huge: &Huge, start: u32, count: u32) -> Option<(u32, u32)> {
        Some(huge.purgeable(start..start + count, 0))
            .filter(|part| !part.is_empty())
            .map(|part| (part.start, part.end - part.start))
    }

    #[test]
    fn without_huge_pages_everything_can_be_purged() {
        assert_eq!(purgeable(&Huge::off(), 33, 5), Some((33, 5)));
    }

    #[test]
    fn with_them_whole_ones_are_and_what_lies_below() {
        let huge = Huge::from(4 * MIB + 1);
        let whole = (HUGE_BYTES / REGION_BYTES) as u32;
        assert_eq!(purgeable(&huge, 1, 5), Some((1, 5)), "below");
        assert_eq!(purgeable(&huge, 2 * whole - 4, 10), Some((2 * whole - 4, 4)), "across the start");
        assert_eq!(
            purgeable(&huge, 2 * whole - 4, whole + 8),
            Some((2 * whole - 4, whole + 4)),
            "across the start and a whole one"
        );
        assert_eq!(purgeable(&huge, 2 * whole, whole), Some((2 * whole, whole)), "a whole one");
        assert_eq!(purgeable(&huge, 2 * whole + 1, 3 * whole - 2), Some((3 * whole, whole)), "one whole within");
        assert_eq!(purgeable(&huge, 2 * whole + 1, 2 * whole - 2), None, "parts of two");
        assert_eq!(purgeable(&huge, 2 * whole + 6, 3), None, "part of one");
    }
}
