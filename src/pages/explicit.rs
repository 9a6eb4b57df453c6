#![expect(unsafe_code, reason = "maps over reserved memory")]
//! Explicit huge pages (hugetlb): commits of the data area that are mappings of reserved huge pages, as long as the kernel has any.
//!
//! # Invariants
//! - The part made of them begins at the start of the area and ends once: after the first refusal come ordinary pages.
//! - They are never purged. They are reserved for this process either way, so nobody else would gain.

use crate::base::units::round_up;
use crate::sys::atomic::{AtomicBool, AtomicUsize, Ordering};
use crate::sys::memory::{self, HugeCommit};

/// See the module. Written under the lock of the runs.
pub(super) struct Explicit {
    /// Bytes of a huge page.
    bytes: usize,
    /// Where the part made of them ends, in bytes from the start of the area; `LASTING` before the kernel has refused. Read by
    /// anyone: for a run that one holds it does not change.
    end: AtomicUsize,
    /// Whether the reservation behind the border was lost in an attempt.
    closed: AtomicBool,
    /// Whether there is a refusal that nobody has told yet.
    untold: AtomicBool,
}

const LASTING: usize = usize::MAX;

impl Explicit {
    pub(super) const fn new(bytes: usize) -> Self {
        Self { bytes, end: AtomicUsize::new(LASTING), closed: AtomicBool::new(false), untold: AtomicBool::new(false) }
    }

    /// Bytes of a huge page.
    pub(super) const fn bytes(&self) -> usize {
        self.bytes
    }

    /// Commits from `committed` to one of `targets`, tried in turn; where it ends then. All count from `base`, the start of an area of
    /// `len` bytes.
    pub(super) fn extend(&self, base: usize, committed: usize, targets: [usize; 2], len: usize) -> Option<usize> {
        // Relaxed: only the holder of the lock writes.
        if self.end.load(Ordering::Relaxed) != LASTING {
            return None;
        }
        for target in targets {
            let Some(target) = round_up(target, self.bytes).filter(|&target| target <= len) else { continue };
            // SAFETY: the range lies in the area, behind what is committed, so nobody uses it.
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
        self.untold.store(true, Ordering::Relaxed);
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

    /// Whether there is a refusal to tell; true once.
    pub(super) fn take_refusal(&self) -> bool {
        // Relaxed: only who comes first matters.
        self.untold.load(Ordering::Relaxed) && self.untold.swap(false, Ordering::Relaxed)
    }
}
