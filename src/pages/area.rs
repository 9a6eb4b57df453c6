#![expect(unsafe_code, reason = "commits reserved memory")]
//! A part of the reservation that becomes usable from its start onwards.
//!
//! # Invariants
//! - Bytes below `committed` are readable and writable; the rest is address space only.
//! - Bytes below `kept` are part of core dumps, among them all that are committed.
//! - Both borders only move up, and the upper one first. So an area is at most three mappings however much it grows,
//!   and it can grow in a process that has reached the limit on mappings.

use super::huge::HUGE_BYTES;
use crate::base::units::{KIB, MIB, round_up};
use crate::sys::atomic::{AtomicBool, AtomicUsize, Ordering};
use crate::sys::memory::{self, HugeCommit};

/// Commit at least this much at a time, and at least a share of what is committed, but never more than the cap ahead.
const STEP_MIN: usize = 64 * KIB;
const STEP_SHARE: usize = 4;
const STEP_MAX: usize = 64 * MIB;

/// Keep at least so much more than is committed in core dumps, and at least a share of that, but never more than the
/// cap.
const KEPT_MIN: usize = 512 * KIB;
const KEPT_SHARE: usize = 2;
const KEPT_MAX: usize = 256 * MIB;

pub(crate) struct Area {
    base: usize,
    len: usize,
    page: usize,
    /// Where its first `head_len` bytes are, if they are elsewhere.
    head: usize,
    head_len: usize,
    /// A commit beyond need ends at a multiple of this.
    granule: usize,
    /// Huge pages of which it is made, while there are any.
    explicit: Option<Explicit>,
    /// Written under the lock of the area's owner; read by any thread for figures.
    committed: AtomicUsize,
    /// Written as `committed`.
    kept: AtomicUsize,
}

impl Area {
    /// An area of `len` bytes at `base`, both multiples of `page`, in a reservation of ours. Core dumps have all of it.
    pub(crate) const fn new(base: usize, len: usize, page: usize) -> Self {
        let (committed, kept) = (AtomicUsize::new(0), AtomicUsize::new(len));
        Self { base, len, page, head: base, head_len: 0, granule: page, explicit: None, committed, kept }
    }

    /// The area behind `head_len` bytes at `head`, whole pages in the reservation, which become its first ones.
    pub(super) const fn behind(self, head: usize, head_len: usize) -> Self {
        let len = self.len + head_len;
        Self { base: self.base - head_len, len, head, head_len, kept: AtomicUsize::new(len), ..self }
    }

    /// The area without those bytes.
    pub(super) const fn without_head(&self) -> Self {
        self.part(self.head_len, self.len - self.head_len)
    }

    /// The area without at least its first `bytes`, so many that its base stays a multiple of what it was made for;
    /// `None` if nothing would be left.
    pub(super) fn without_first(self, bytes: usize) -> Option<Self> {
        let unit = self.explicit.as_ref().map_or(HUGE_BYTES, Explicit::bytes);
        let bytes = round_up(bytes, unit).filter(|&bytes| bytes < self.len)?;
        let len = self.len - bytes;
        Some(Self { base: self.base + bytes, head: self.base + bytes, len, kept: AtomicUsize::new(len), ..self })
    }

    /// Where its byte `offset` is.
    pub(crate) const fn at(&self, offset: usize) -> usize {
        if offset < self.head_len { self.head + offset } else { self.base + offset }
    }

    /// Bytes of the part that is elsewhere.
    pub(super) const fn head_len(&self) -> usize {
        self.head_len
    }

    /// Notes that its first `end` bytes are usable now. The caller holds the lock of the area's owner, or nothing else
    /// has the area yet.
    pub(super) fn set_committed(&self, end: usize) {
        // Relaxed: see the field.
        self.committed.store(end, Ordering::Relaxed);
    }

    /// Makes the head of this area and the first `len` bytes of `next`, which lies behind the head, usable by one
    /// system call; if the kernel refuses, both are as they were.
    pub(super) fn commit_head_with(&self, next: &Self, len: usize) {
        if self.head + self.head_len != next.base || len > next.len {
            return;
        }
        // SAFETY: both are parts of a reservation of ours.
        if unsafe { memory::commit(self.head, self.head_len + len) }.is_ok() {
            self.set_committed(self.head_len);
            next.set_committed(len);
        }
    }

    /// Makes all from this area to the end of `last`, which belongs to the same reservation, readable; false if the
    /// kernel refuses.
    pub(super) fn make_readable_to(&self, last: &Self) -> bool {
        let end = last.base + last.len;
        // SAFETY: the range lies in a reservation of ours; areas are cut from one, in the order in which they lie
        // there.
        self.base < end && unsafe { memory::make_readable(self.base, end - self.base) }.is_ok()
    }

    /// How much of it is kept in core dumps at first, when the rest is left out.
    pub(super) fn first_kept(&self) -> usize {
        KEPT_MIN.min(self.len)
    }

    /// Notes that core dumps have no more than its first `end` bytes. As for [`Area::set_committed`].
    pub(super) fn set_kept(&self, end: usize) {
        // Relaxed: see the field.
        self.kept.store(end, Ordering::Relaxed);
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
    fn grow(&self, mut committed: usize, end: usize) -> bool {
        let Some(end) = round_up(end, self.page).filter(|&end| end <= self.len) else {
            return false;
        };
        if committed < self.head_len {
            // SAFETY: those bytes are part of this area, and so of a reservation of ours.
            if unsafe { memory::commit(self.head, self.head_len) }.is_err() {
                return false;
            }
            committed = self.head_len;
            self.set_committed(committed);
            if end <= committed {
                return true;
            }
        }
        let ahead = (committed / STEP_SHARE).clamp(STEP_MIN, STEP_MAX);
        let generous = round_up(end.max(committed + ahead), self.granule).unwrap_or(end).min(self.len);
        self.keep(generous);
        if let Some(explicit) = &self.explicit {
            if let Some(end) = explicit.extend(self.base, committed, [generous, end], self.len) {
                self.set_committed(end);
                return true;
            }
            if explicit.is_closed() {
                return false;
            }
        }
        for target in [generous, end] {
            // SAFETY: the range lies in this area, which is part of a reservation of ours.
            if unsafe { memory::commit(self.base + committed, target - committed) }.is_ok() {
                self.set_committed(target);
                return true;
            }
        }
        false
    }

    /// Keeps more than the first `end` bytes in core dumps.
    fn keep(&self, end: usize) {
        // Relaxed: see the field.
        let kept = self.kept.load(Ordering::Relaxed);
        if end < kept || kept == self.len {
            return;
        }
        let more = (end / KEPT_SHARE).clamp(KEPT_MIN, KEPT_MAX);
        let Some(more) = round_up(end + more, self.page).map(|more| more.min(self.len)) else { return };
        if memory::keep_in_dumps(self.base + kept, more - kept).is_ok() {
            self.set_kept(more);
        }
    }
}

/// Explicit huge pages (hugetlb): commits of the data area that are mappings of reserved huge pages, as long as the
/// kernel has any. Written under the lock of the runs.
///
/// # Invariants
/// - The part made of them begins at the start of the area and ends once: after the first refusal come ordinary pages.
/// - They are never purged. They are reserved for this process either way, so no other process would gain.
pub(super) struct Explicit {
    /// Bytes of a huge page.
    bytes: usize,
    /// Where the part made of them ends, in bytes from the start of the area; `LASTING` before the kernel has refused.
    /// Read by any thread: for a run that it holds it does not change.
    end: AtomicUsize,
    /// Whether the reservation behind the border was lost in an attempt.
    closed: AtomicBool,
    /// Whether there is a refusal that was not reported yet.
    unreported: AtomicBool,
}

const LASTING: usize = usize::MAX;

impl Explicit {
    pub(super) const fn new(bytes: usize) -> Self {
        Self {
            bytes,
            end: AtomicUsize::new(LASTING),
            closed: AtomicBool::new(false),
            unreported: AtomicBool::new(false),
        }
    }

    /// Bytes of a huge page.
    pub(super) const fn bytes(&self) -> usize {
        self.bytes
    }

    /// Commits from `committed` to one of `targets`, tried in turn; where it ends then. All count from `base`, the
    /// start of an area of `len` bytes.
    pub(super) fn extend(&self, base: usize, committed: usize, targets: [usize; 2], len: usize) -> Option<usize> {
        // Relaxed: only the holder of the lock writes.
        if self.end.load(Ordering::Relaxed) != LASTING {
            return None;
        }
        for target in targets {
            let Some(target) = round_up(target, self.bytes).filter(|&target| target <= len) else { continue };
            // SAFETY: the range lies in the area, behind what is committed, so nothing uses it.
            match unsafe { memory::commit_huge(base + committed, target - committed, self.bytes) } {
                HugeCommit::Done => return Some(target),
                HugeCommit::Refused => {}
                HugeCommit::Lost => {
                    self.closed.store(true, Ordering::Relaxed);
                    break;
                }
            }
        }
        self.end.store(committed, Ordering::Relaxed);
        self.unreported.store(true, Ordering::Relaxed);
        None
    }

    /// Whether nothing more can be committed behind the border.
    pub(super) fn is_closed(&self) -> bool {
        // Relaxed: see `extend`.
        self.closed.load(Ordering::Relaxed)
    }

    /// Where that end is written.
    pub(super) fn end_address(&self) -> usize {
        core::ptr::from_ref(&self.end).addr()
    }

    /// Where the part made of huge pages ends.
    pub(super) fn end(&self) -> usize {
        // Relaxed: see the field.
        self.end.load(Ordering::Relaxed)
    }

    /// Whether there is a refusal to report; true once.
    pub(super) fn take_refusal(&self) -> bool {
        // Relaxed: of several threads one gets true.
        self.unreported.load(Ordering::Relaxed) && self.unreported.swap(false, Ordering::Relaxed)
    }
}
