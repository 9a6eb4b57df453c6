#![expect(unsafe_code, reason = "follows the word that names a table")]
//! The table of modes: one way of serving every call each, behind the gate.
//!
//! A [`Mode`] says how blocks are made, freed, measured and resized where the guard against recursion has let the caller through;
//! [`ModeTable::of`] makes a table of functions of it. The default mode has no table: the word that names one is null, and a slow call
//! finds that out in two instructions. The fast path never asks: in modes that see every call, threads stand on the inert front.

use core::ffi::CStr;

use crate::central::Refused;
use crate::heap::{Freed, Heap};
use crate::process::state::PROCESS;
use crate::process::thread::{self, HeapAccess};
use crate::profile::sampling;
use crate::slow_path::alloc::{self, Request};
use crate::slow_path::realloc::{self, FreeSize, Resized};
use crate::sys::atomic::{AtomicPtr, Ordering};
use crate::sys::lock::Patience;

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
        sampling::serve(heap, request)
    }

    /// Frees a block. `heap` is this thread's, and held.
    fn free(heap: &Heap, block: *mut u8) -> Freed {
        alloc::free_on(heap, block)
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
        alloc::free_alone(block)
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

    /// Takes the mode's locks before a fork.
    fn lock_for_fork(_: &Patience) {}

    /// Gives them back, in parent and child.
    fn unlock_after_fork() {}
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
    pub(crate) lock_for_fork: fn(&Patience),
    pub(crate) unlock_after_fork: fn(),
}

impl ModeTable {
    /// The table of `M`.
    pub(crate) const fn of<M: Mode>() -> Self {
        Self {
            name: M::NAME,
            uses_fast_path: M::USES_FAST_PATH,
            profiled: M::PROFILED,
            alloc: alloc::alloc::<M>,
            free: alloc::free::<M>,
            realloc: realloc::realloc::<M>,
            usable_size: realloc::usable_size::<M>,
            free_sized: realloc::free_sized::<M>,
            free_deferred: alloc::free_deferred::<M>,
            good_size: M::good_size,
            give_up: M::give_up,
            report: M::report,
            lock_for_fork: M::lock_for_fork,
            unlock_after_fork: M::unlock_after_fork,
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

/// In force until the options are known: the first call makes the process ready and goes on in the mode that was chosen, so no
/// block is made that the mode does not know.
pub(crate) static UNDECIDED: ModeTable = ModeTable {
    alloc: |request| match thread::access() {
        HeapAccess::Libc(reason) if is_undecided() => alloc::divert(reason, request),
        access => {
            drop(access);
            alloc(request)
        }
    },
    free: |block| decide_or(|| alloc::free::<Fast>(block), || free(block)),
    realloc: |block, size| decide_or(|| realloc::realloc::<Fast>(block, size), || realloc(block, size)),
    usable_size: |block| decide_or(|| realloc::usable_size::<Fast>(block), || usable_size(block)),
    free_sized: |block, named| decide_or(|| realloc::free_sized::<Fast>(block, named), || free_sized(block, named)),
    good_size: |size, usable| decide_or(|| usable, || good_size(size, usable)),
    ..ModeTable::of::<Fast>()
};

fn is_undecided() -> bool {
    PROCESS.mode.get().is_some_and(|mode| core::ptr::eq(mode, &UNDECIDED))
}

/// Makes the process ready; what is done if another thread is still at it, and if it is ready.
fn decide_or<T>(undecided: impl FnOnce() -> T, decided: impl FnOnce() -> T) -> T {
    drop(thread::access());
    if is_undecided() { undecided() } else { decided() }
}

/// The mode in force. Set at start, and when a mode is switched; any thread reads, and may see the old one for a moment.
pub(crate) struct ModeWord(AtomicPtr<ModeTable>);

impl ModeWord {
    /// Undecided.
    pub(crate) const fn new() -> Self {
        Self(AtomicPtr::new((&raw const UNDECIDED).cast_mut()))
    }

    /// Puts `mode` into force; none is the default mode.
    pub(crate) fn set(&self, mode: Option<&'static ModeTable>) {
        // Release pairs with the Acquire in `get`: what the mode needs is there before it is.
        self.0.store(mode.map_or(core::ptr::null_mut(), |mode| core::ptr::from_ref(mode).cast_mut()), Ordering::Release);
    }

    /// The table in force; none in the default mode.
    #[inline(always)]
    pub(crate) fn get(&self) -> Option<&'static ModeTable> {
        // Acquire pairs with the Release in `set`.
        let mode = self.0.load(Ordering::Acquire);
        // SAFETY: null, or one of the tables, which stay.
        unsafe { mode.as_ref() }
    }

    /// Whether `mode` is in force.
    pub(crate) fn is(&self, mode: &'static ModeTable) -> bool {
        self.get().is_some_and(|here| core::ptr::eq(here, mode))
    }
}

/// A block that meets `request`; null where that cannot be.
pub(crate) fn alloc(request: Request) -> *mut u8 {
    match PROCESS.mode.get() {
        None => alloc::alloc::<Fast>(request),
        Some(mode) => (mode.alloc)(request),
    }
}

/// Frees `block`, wherever it is from.
pub(crate) fn free(block: *mut u8) {
    match PROCESS.mode.get() {
        None => alloc::free::<Fast>(block),
        Some(mode) => (mode.free)(block),
    }
}

/// Makes `block`, which is not null, hold `size` bytes, which is not 0.
pub(crate) fn realloc(block: *mut u8, size: usize) -> Resized {
    match PROCESS.mode.get() {
        None => realloc::realloc::<Fast>(block, size),
        Some(mode) => (mode.realloc)(block, size),
    }
}

/// Usable bytes of `block`, which is not null; 0 for a misused pointer.
pub(crate) fn usable_size(block: *mut u8) -> usize {
    match PROCESS.mode.get() {
        None => realloc::usable_size::<Fast>(block),
        Some(mode) => (mode.usable_size)(block),
    }
}

/// Frees `block` after a look at whether it can have been asked for with that size.
pub(crate) fn free_sized(block: *mut u8, named: FreeSize) {
    match PROCESS.mode.get() {
        None => realloc::free_sized::<Fast>(block, named),
        Some(mode) => (mode.free_sized)(block, named),
    }
}

/// Usable bytes of a block of `size` bytes, of which the default mode makes `usable` usable.
pub(crate) fn good_size(size: usize, usable: usize) -> usize {
    PROCESS.mode.get().map_or(usable, |mode| (mode.good_size)(size, usable))
}

/// Frees a block that waited because nobody could free it when it was freed.
pub(crate) fn free_deferred(heap: &Heap, block: *mut u8) {
    match PROCESS.mode.get() {
        None => alloc::free_deferred::<Fast>(heap, block),
        Some(mode) => (mode.free_deferred)(heap, block),
    }
}
