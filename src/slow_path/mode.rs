//! Modes: ways of serving calls, and which one is in force.
//!
//! A [`Mode`] says how blocks are made, freed, measured and resized once the thread's heap is held; [`ModeTable::of`] makes a table of functions of
//! it. The default mode has no table: the word that names one is null, and a slow call finds that out in two instructions. The fast path
//! never asks: in modes that see every call, the word of a thread names the inert heap.

use core::ffi::CStr;

use super::alloc::{self, Request};
use super::free;
use super::realloc::{self, FreeSize, Resized};
use crate::central::Refused;
use crate::heap::{Freed, Heap};
use crate::process::state::PROCESS;
use crate::sys::cell::StaticRef;

/// Where lines of a report go.
pub(crate) type Print<'a> = &'a mut dyn FnMut(&[u8]);

/// How blocks are served. What a mode does not say is as in the default mode.
pub(crate) trait Mode {
    /// The name of the mode.
    const NAME: &'static CStr;
    /// Whether threads may stand on their own fronts, so that only slow calls are seen.
    const USES_FAST_PATH: bool = false;

    /// Whether requests may be sampled for the heap profile.
    const PROFILED: bool = false;

    /// A block. `heap` is this thread's, and held.
    fn serve(heap: &Heap, request: Request) -> Option<*mut u8> {
        alloc::serve(heap, request)
    }

    /// Frees a block. `heap` is this thread's, and held.
    fn free(heap: &Heap, block: *mut u8) -> Freed {
        free::free_on(heap, block)
    }

    /// As [`Mode::free`], for a block that a signal handler freed: its first eight bytes were written to meanwhile.
    fn free_overwritten(heap: &Heap, block: *mut u8) -> Freed {
        Self::free(heap, block)
    }

    /// Whether the mode has a block there that lies outside the heap's memory.
    fn holds(_: *mut u8) -> bool {
        false
    }

    /// Frees a block on a thread that has no heap any more.
    fn free_alone(block: *mut u8) -> Freed {
        free::free_alone(block)
    }

    /// Usable bytes of a live block; `None` within `Ok` for what is not ours.
    fn usable(block: *mut u8) -> Result<Option<usize>, Refused> {
        realloc::usable(block)
    }

    /// Resizes a block of `old` usable bytes without copying; `None` if it has to be copied.
    fn resize(block: *mut u8, old: usize, size: usize) -> Option<Resized> {
        realloc::resize(block, old, size)
    }

    /// Whether a block of `usable` bytes can have been asked for with the size that is named.
    fn can_be(usable: usize, named: FreeSize) -> bool {
        realloc::can_be(usable, named)
    }

    /// Usable bytes of a block of `size` bytes, of which the default mode makes `usable` usable.
    fn good_size(_: usize, usable: usize) -> usize {
        usable
    }

    /// Frees what the mode itself keeps from being used again.
    fn give_up(_: Option<&Heap>) {}

    /// Hands what is to be said at exit to `print`.
    fn report(_: Print<'_>) {}
}

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
            free_deferred: free::free_deferred::<M>,
            good_size: M::good_size,
            give_up: M::give_up,
            report: M::report,
        }
    }
}

/// The default mode.
pub(crate) struct Fast;

impl Mode for Fast {
    const NAME: &'static CStr = c"fast";
    const USES_FAST_PATH: bool = true;
}

/// libc serves every call. That is decided by the start barrier; this only names it.
pub(crate) struct Libc;

impl Mode for Libc {
    const NAME: &'static CStr = c"libc";
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
static IN_FORCE: StaticRef<ModeTable> = StaticRef::to(&UNDECIDED);

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

/// Frees what was deferred, with this thread's heap.
pub(crate) fn free_deferred_blocks(heap: &Heap) {
    heap.defer(|| {
        PROCESS.central.take_deferred(|block| match in_force() {
            None => free::free_deferred::<Fast>(heap, block),
            Some(mode) => (mode.free_deferred)(heap, block),
        });
    });
}
