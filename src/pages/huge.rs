#![expect(unsafe_code, reason = "advises the kernel")]
//! Huge pages: from where on the data area asks for them, and what of a free run may be purged without splitting one.
//!
//! # Invariants
//! - In each bank the part that asks is `[from, advised)`, both multiples of a huge page but for the end of the bank; it only grows, so it is one
//!   mapping more.
//! - A purge never leaves a huge page half there: the kernel would fill it up again, unasked, with memory that nobody uses.

use super::bank::Part;
use super::runs::Run;
use crate::base::units::{MIB, REGION_BYTES, Region};
use crate::sys::atomic::Ordering;
use crate::sys::memory;

/// Bytes of a huge page.
pub(crate) const HUGE_BYTES: usize = 2 * MIB;
const HUGE_REGIONS: u32 = (HUGE_BYTES / REGION_BYTES) as u32;

/// See the module.
pub(crate) struct Huge {
    /// Where huge pages begin, in bytes from the start of a bank; `None` for nowhere.
    from: Option<usize>,
}

impl Huge {
    /// No huge pages.
    pub(crate) const fn off() -> Self {
        Self { from: None }
    }

    /// Huge pages for whatever lies `bytes` or more behind the start of a bank.
    pub(crate) const fn from(bytes: usize) -> Self {
        Self { from: Some(bytes & !(HUGE_BYTES - 1)) }
    }

    /// Whether there are any.
    pub(crate) const fn is_on(&self) -> bool {
        self.from.is_some()
    }

    /// Where in a bank the part begins that may be advised of huge pages, if any.
    pub(super) const fn start(&self) -> Option<usize> {
        self.from
    }

    /// Bytes of the bank `part` for which huge pages were asked.
    pub(super) fn advised(&self, part: &Part) -> usize {
        // Relaxed: a figure.
        self.from.map_or(0, |from| part.advised.load(Ordering::Relaxed).saturating_sub(from))
    }

    /// Advises what of the bank `part` was committed since the last time. The caller holds the lock of the runs. Commits grow with the
    /// heap, and so do these steps.
    pub(super) fn follow(&self, part: &Part) {
        let Some(from) = self.from else { return };
        // Relaxed: see the field.
        let (start, end) = (part.advised.load(Ordering::Relaxed).max(from), part.data.committed());
        if end <= start {
            return;
        }
        // SAFETY: the range is committed.
        let advised = unsafe { memory::advise_huge(part.data.base() + start, end - start) };
        if advised.is_ok() {
            // Relaxed: see the field.
            part.advised.store(end, Ordering::Relaxed);
        }
    }

    /// Asks for huge pages in a mapping that is not part of the data area.
    pub(crate) fn advise_mapping(&self, address: usize, bytes: usize) {
        if self.is_on() {
            // SAFETY: callers pass a mapping of ours. Refused, it has ordinary pages.
            let _ = unsafe { memory::advise_huge(address, bytes) };
        }
    }

    /// The part of `run`, in a bank that starts with region `first`, whose purge splits no huge page; `None` if there is none.
    pub(super) fn purgeable(&self, run: Run, first: Region) -> Option<Run> {
        let Some(from) = self.from.map(|from| first.0 + (from / REGION_BYTES) as u32) else { return Some(run) };
        let (mut start, mut end) = (run.region.0, run.region.0 + run.count);
        if start > from {
            start = start.next_multiple_of(HUGE_REGIONS);
        }
        if end > from {
            end -= end % HUGE_REGIONS;
        }
        (start < end).then(|| Run { region: Region(start), count: end - start, ..run })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn purgeable(huge: &Huge, start: u32, count: u32) -> Option<(u32, u32)> {
        huge.purgeable(Run { region: Region(start), count, dirty: true }, Region(0)).map(|run| (run.region.0, run.count))
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
