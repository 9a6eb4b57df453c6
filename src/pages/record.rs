//! The record of a region: 128 bytes out of line, half a node of the page runs, half whatever the region's user keeps there.

use core::cell::Cell;

/// Bytes of a record.
pub(crate) const RECORD_BYTES: usize = 128;
/// Bytes of a record that belong to the user of the region.
pub(crate) const SPAN_BYTES: usize = RECORD_BYTES - size_of::<Node>();

/// A run's place among the free runs. Only fields of the first region of a run count, but for `back`. Guarded by the lock of the
/// runs.
#[repr(C)]
pub(crate) struct Node {
    /// Left child in the tree of free runs.
    pub(crate) left: Cell<u32>,
    /// Right child.
    pub(crate) right: Cell<u32>,
    /// Regions of the free run that starts here; 0 if none does.
    pub(crate) len: Cell<u32>,
    /// On the last region of a free run: where it starts; else 0.
    pub(crate) back: Cell<u32>,
    /// When the run was freed, in milliseconds modulo 2^32.
    pub(crate) stamp: Cell<u32>,
    /// The next dirty run, freed later.
    pub(crate) newer: Cell<u32>,
    /// The dirty run before this one.
    pub(crate) older: Cell<u32>,
    /// Whether pages of the run may hold something.
    pub(crate) dirty: Cell<bool>,
}

const _: () = assert!(size_of::<Node>() == 32);
