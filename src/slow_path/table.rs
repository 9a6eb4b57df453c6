//! The tables of modes, and the mode in force.
//!
//! [`ModeTable::of`] makes the table of a mode's functions. The default mode has none: the pointer to the table in
//! force is null, which costs a slow call one load and one test. The fast path does not read that pointer; each heap is
//! set up so that calls take the paths of the mode ([`Paths`]).

use core::ffi::CStr;

use super::mode::{Fast, Libc, Mode, Paths, Print};
use super::request::{FreeSize, Request, Resized};
use super::{alloc, free, pending, realloc};
use crate::heap::Heap;
use crate::pages::Unit;
use crate::process::feature::Feature;
use crate::process::state::PROCESS;
use crate::sys::cell::StaticRef;

/// The functions of a mode.
pub(crate) struct ModeTable {
    pub(crate) name: &'static CStr,
    /// Copies [`Mode::PATHS`].
    pub(crate) paths: Paths,
    /// Copies [`Mode::PROFILED`].
    pub(crate) profiled: bool,
    /// Copies [`Mode::NOTES`].
    pub(crate) notes: bool,
    /// Copies [`Mode::SHADOW`].
    pub(crate) shadow: Option<Unit>,
    pub(crate) alloc: fn(Request) -> *mut u8,
    pub(crate) free: fn(*mut u8),
    pub(crate) realloc: fn(*mut u8, usize) -> Resized,
    pub(crate) usable_size: fn(*mut u8) -> usize,
    pub(crate) is_live: fn(*mut u8) -> bool,
    pub(crate) free_sized: fn(*mut u8, FreeSize),
    pub(crate) free_deferred: fn(&Heap, *mut u8),
    pub(crate) good_size: fn(usize, usize) -> usize,
    pub(crate) reclaim: fn(Option<&Heap>),
    pub(crate) report: fn(Print<'_>),
}

impl ModeTable {
    /// The table of `M`.
    pub(crate) const fn of<M: Mode>() -> Self {
        Self {
            name: M::NAME,
            paths: M::PATHS,
            profiled: M::PROFILED,
            notes: M::NOTES,
            shadow: M::SHADOW,
            alloc: alloc::alloc::<M>,
            free: free::free::<M>,
            realloc: realloc::realloc::<M>,
            usable_size: realloc::usable_size::<M>,
            is_live: |block| matches!(M::usable(block), Ok(Some(_))),
            free_sized: realloc::free_sized::<M>,
            free_deferred: pending::free_deferred::<M>,
            good_size: M::good_size,
            reclaim: M::reclaim,
            report: M::report,
        }
    }
}

/// The table of [`Libc`].
pub(crate) static LIBC: ModeTable = ModeTable::of::<Libc>();

/// The reason why a mode is not switched.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum NoSwitch {
    /// There is no such mode.
    Unknown,
    /// There is no room for another provider.
    TooMany,
    /// The mode would not know earlier blocks, or the process is in a mode that it cannot leave.
    Unsafe,
}

/// In force until the process has started. Calls that find it start the process; until that ends, libc serves them.
static UNDECIDED: ModeTable = ModeTable::of::<Fast>();

/// The table of the mode in force; none in the default mode. Written by [`put_into_force`], which the start and a
/// thread that switches the mode call; read by any thread, which may see the old one for a moment.
pub(crate) static IN_FORCE: StaticRef<ModeTable> = StaticRef::to(&UNDECIDED);

/// Whether `mode` is the one in force before the process has started.
pub(crate) fn is_undecided(mode: &'static ModeTable) -> bool {
    core::ptr::eq(mode, &UNDECIDED)
}

/// Puts a mode into force; `None` is the default mode. [`crate::process::thread::follow_mode`] then has threads that
/// run already follow.
pub(crate) fn put_into_force(mode: Option<&'static ModeTable>) {
    let paths = mode.map_or(Paths::Fast, |mode| mode.paths);
    PROCESS.registry.second.set(match paths {
        Paths::Second(second) => Some(second),
        Paths::Fast | Paths::Slow => None,
    });
    PROCESS.set_sees_all(matches!(paths, Paths::Slow));
    IN_FORCE.set(mode);
}

/// Whether the mode in force allows the heap profile to sample requests.
pub(crate) fn can_sample() -> bool {
    IN_FORCE.get().is_none_or(|mode| mode.profiled)
}

/// Has a thread that ends do all deferred frees, because no other thread may make a slow call after it.
static DEFERRED_FREES: Feature = Feature { thread_ends: Some(free_deferred_blocks), ..Feature::NONE };

/// Registers the feature above. Part of the start.
pub(crate) fn register() {
    PROCESS.features.register(&DEFERRED_FREES);
}

/// Does all deferred frees, with this thread's heap, in the mode in force.
pub(crate) fn free_deferred_blocks(heap: &Heap) {
    pending::take_deferred(heap, |block| match IN_FORCE.get() {
        None => pending::free_deferred::<Fast>(heap, block),
        Some(mode) => (mode.free_deferred)(heap, block),
    });
}
