//! The table of modes, and the mode in force.
//!
//! [`ModeTable::of`] makes a table of functions of a mode. The default mode has no table: the word that names one is null, and a slow call
//! finds that out in two instructions. The fast path never asks: in modes that see every call, the word of a thread names the inert heap.

use core::ffi::CStr;

use super::mode::{Fast, Libc, Mode, Print};
use super::request::{FreeSize, Request, Resized};
use super::{alloc, free, pending, realloc};
use crate::heap::Heap;
use crate::process::feature::Feature;
use crate::process::state::PROCESS;
use crate::sys::cell::StaticRef;

/// A row of the table.
pub(crate) struct ModeTable {
    pub(crate) name: &'static CStr,
    /// See [`Mode::USES_FAST_PATH`].
    pub(crate) uses_fast_path: bool,
    /// See [`Mode::PROFILED`].
    pub(crate) profiled: bool,
    pub(crate) alloc: fn(Request) -> *mut u8,
    pub(crate) free: fn(*mut u8),
    pub(crate) realloc: fn(*mut u8, usize) -> Resized,
    pub(crate) usable_size: fn(*mut u8) -> usize,
    pub(crate) free_sized: fn(*mut u8, FreeSize),
    pub(crate) free_deferred: fn(&Heap, *mut u8),
    pub(crate) good_size: fn(usize, usize) -> usize,
    pub(crate) give_up: fn(Option<&Heap>),
    pub(crate) report: fn(Print<'_>),
}

impl ModeTable {
    /// The table of `M`.
    pub(crate) const fn of<M: Mode>() -> Self {
        Self {
            name: M::NAME,
            uses_fast_path: M::USES_FAST_PATH,
            profiled: M::PROFILED,
            alloc: alloc::alloc::<M>,
            free: free::free::<M>,
            realloc: realloc::realloc::<M>,
            usable_size: realloc::usable_size::<M>,
            free_sized: realloc::free_sized::<M>,
            free_deferred: pending::free_deferred::<M>,
            good_size: M::good_size,
            give_up: M::give_up,
            report: M::report,
        }
    }
}

/// The table of [`Libc`].
pub(crate) static LIBC: ModeTable = ModeTable::of::<Libc>();

/// Why a mode is not switched.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Refusal {
    /// There is no such mode.
    Unknown,
    /// There is no room for more functions.
    TooMany,
    /// Blocks made before would not be known to it, or the process is in a mode that cannot be left.
    Unsafe,
}

/// In force until the process has started: libc serves.
static UNDECIDED: ModeTable = ModeTable::of::<Fast>();

/// The mode in force. Set at start, and when a mode is switched; any thread reads, and may see the old one for a moment.
pub(crate) static IN_FORCE: StaticRef<ModeTable> = StaticRef::to(&UNDECIDED);

/// The table of the mode in force; none in the default mode.
#[inline(always)]
pub(crate) fn in_force() -> Option<&'static ModeTable> {
    IN_FORCE.get()
}

/// Whether the process has not started, so that no mode is in force yet.
pub(crate) fn is_undecided(mode: &'static ModeTable) -> bool {
    core::ptr::eq(mode, &UNDECIDED)
}

/// Whether the mode of that table is in force.
pub(crate) fn is_in_force(mode: &'static ModeTable) -> bool {
    IN_FORCE.is(mode)
}

/// Puts a mode into force; none is the default mode. Heaps follow with [`crate::process::thread::follow_mode`].
pub(crate) fn put_into_force(mode: Option<&'static ModeTable>) {
    PROCESS.set_sees_all(mode.is_some_and(|mode| !mode.uses_fast_path));
    IN_FORCE.set(mode);
}

/// Whether the mode in force lets requests be sampled for the heap profile.
pub(crate) fn can_sample() -> bool {
    in_force().is_none_or(|mode| mode.profiled)
}

/// A thread that ends frees what was deferred, as no other thread may come.
static DEFERRED_FREES: Feature = Feature { thread_ends: free_deferred_blocks, ..Feature::NONE };

/// Has threads that end free what was deferred. Part of the start.
pub(crate) fn register() {
    PROCESS.features.register(&DEFERRED_FREES);
}

/// Frees what was deferred, with this thread's heap.
pub(crate) fn free_deferred_blocks(heap: &Heap) {
    heap.defer(|| {
        PROCESS.central.take_deferred(|block| match in_force() {
            None => pending::free_deferred::<Fast>(heap, block),
            Some(mode) => (mode.free_deferred)(heap, block),
        });
    });
}
