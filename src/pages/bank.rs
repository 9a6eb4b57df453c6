#![expect(unsafe_code, reason = "shares the free runs of a bank under a lock that lies elsewhere")]
//! Banks: the parts of the data area, one for each NUMA node where memory is kept by node, else one for all.
//!
//! Region numbers go through all banks; each bank has as many of them as any other. The first region of a bank is never
//! handed out, so that runs of different banks do not meet. Must not know which node a bank is of, nor what its runs
//! are used for.
//!
//! # Invariants
//! - Of a bank the regions below `usable` are committed, with entry and record, and stay so.

use core::cell::Cell;

use super::area::Area;
use super::metadata::Metadata;
use super::tree::Tree;
use crate::base::units::Region;
use crate::sys::atomic::{AtomicU32, AtomicUsize, Ordering};

/// The number of a bank.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Bank(pub(super) u32);

impl Bank {
    /// The bank that there always is.
    pub(crate) const FIRST: Self = Self(0);

    /// The number.
    pub(crate) const fn index(self) -> usize {
        self.0 as usize
    }
}

/// Areas of a bank.
pub(super) const PARTS: usize = 5;

/// The memory of a bank: data, what describes it, and a share of the metadata.
pub(super) struct Part {
    pub(super) data: Area,
    pub(super) records: Area,
    /// The words of the map.
    pub(super) words: Area,
    /// Storage for the allocator's own structures.
    pub(super) metadata: Area,
    /// Units of the shadow, if there is one.
    pub(super) shadow: Area,
    /// The end of the regions that can be used. Written under the lock of the runs; read by any thread: one that has a
    /// block's address got it after its region was committed.
    usable: AtomicU32,
    /// Where the part of `data` ends that was advised of huge pages. Written under the lock of the runs; read by
    /// statistics, too.
    pub(super) advised: AtomicUsize,
}

impl Part {
    /// A bank of which nothing is committed yet, without a shadow.
    pub(super) const fn new(data: Area, records: Area, words: Area, metadata: Area) -> Self {
        let shadow = Area::new(data.base(), 0, 1);
        Self { data, records, words, metadata, shadow, usable: AtomicU32::new(0), advised: AtomicUsize::new(0) }
    }

    /// The bank with its data changed.
    pub(super) fn with_data(self, change: impl FnOnce(Area) -> Area) -> Self {
        Self { data: change(self.data), ..self }
    }

    /// The bank with a shadow.
    pub(super) fn with_shadow(self, shadow: Area) -> Self {
        Self { shadow, ..self }
    }

    /// All of it.
    pub(super) fn areas(&self) -> [&Area; PARTS] {
        [&self.words, &self.records, &self.metadata, &self.shadow, &self.data]
    }

    /// The end of its regions that can be used.
    #[inline]
    pub(super) fn usable(&self) -> u32 {
        // Relaxed: see the field.
        self.usable.load(Ordering::Relaxed)
    }

    /// Notes that the regions below `end` can be used.
    pub(super) fn set_usable(&self, end: u32) {
        // Relaxed: see the field. Of a pool all is usable from the start.
        if end > self.usable() {
            self.usable.store(end, Ordering::Relaxed);
        }
    }
}

/// The free runs of a bank. Guarded by the lock of the runs.
pub(super) struct Trees {
    /// Runs whose pages may hold something.
    pub(super) dirty: Tree,
    /// Runs that read as zero.
    pub(super) clean: Tree,
    /// The first region that was never part of any run.
    pub(super) border: Cell<Region>,
}

impl Trees {
    /// Those of a bank that starts with region `first`, which stays unused.
    pub(super) const fn new(first: Region) -> Self {
        Self { dirty: Tree::new(), clean: Tree::new(), border: Cell::new(first.plus(1)) }
    }
}

/// A bank other than the first.
pub(super) struct Further {
    pub(super) part: Part,
    pub(super) trees: Trees,
    pub(super) metadata: Metadata,
}

impl Further {
    /// A bank in `part`, which starts with region `first`.
    pub(super) const fn new(part: Part, first: Region) -> Self {
        Self { part, trees: Trees::new(first), metadata: Metadata::new() }
    }
}

// SAFETY: the trees are touched under the lock of the runs alone, the free metadata under that of the metadata; the
// rest is shared as it is.
unsafe impl Sync for Further {}
