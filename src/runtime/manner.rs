#![expect(unsafe_code, reason = "follows the word that names a table")]
//! The table of modes: one way of serving every call each, behind the gate.
//!
//! A [`Manner`] says how blocks are made, freed, measured and resized where the guard against recursion has let the caller through;
//! [`Mode::of`] makes a table of functions of it. The default mode has no table: the word that names one is null, and a slow call
//! finds that out in two instructions. The hit path never asks: in modes that see every call, threads stand on the inert front.

use core::ffi::CStr;

use super::cold::{self, Request};
use super::process::PROCESS;
use super::profiling;
use super::resize::{self, FreeSize, Resized};
use super::thread::{self, Standing};
use crate::central::Refused;
use crate::heap::{Freed, Heap};
use crate::sys::atomic::{AtomicPtr, Ordering};
use crate::sys::lock::Patience;

/// Where lines of a report go.
pub(super) type Print<'a> = &'a mut dyn FnMut(&[u8]);

/// How blocks are served. What a mode does not say is as in the default mode.
pub(super) trait Manner {
    /// The name of the mode.
    const NAME: &'static CStr;
    /// Whether threads may stand on their own fronts, so that only slow calls are seen.
    const HOT: bool = false;

    /// Whether requests may be sampled for the heap profile.
    const PROFILED: bool = false;

    /// A block. `heap` is this thread's, and held.
    fn serve(heap: &Heap, request: Request) -> Option<*mut u8> {
        profiling::serve(heap, request)
    }

    /// Frees a block. `heap` is this thread's, and held.
    fn free(heap: &Heap, block: *mut u8) -> Freed {
        cold::free_on(heap, block)
    }

    /// As [`Manner::free`], for a block that a signal handler freed: its first eight bytes were written to meanwhile.
    fn free_waited(heap: &Heap, block: *mut u8) -> Freed {
        Self::free(heap, block)
    }

    /// Whether the mode has a block there that lies outside the heap's memory.
    fn holds(_: *mut u8) -> bool {
        false
    }

    /// Frees a block on a thread that has no heap any more.
    fn free_alone(block: *mut u8) -> Freed {
        cold::free_alone(block)
    }

    /// Usable bytes of a live block; `None` within `Ok` for what is not ours.
    fn usable(block: *mut u8) -> Result<Option<usize>, Refused> {
        resize::usable(block)
    }

    /// Resizes a block of `old` usable bytes without copying; `None` if it has to be copied.
    fn resize(block: *mut u8, old: usize, size: usize) -> Option<Resized> {
        resize::resize(block, old, size)
    }

    /// Whether a block of `usable` bytes can have been asked for with the size that is named.
    fn can_be(usable: usize, named: FreeSize) -> bool {
        resize::can_be(usable, named)
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
    ///
    /// # Safety
    /// - This thread, or the one it was copied from, called `lock_for_fork`.
    unsafe fn unlock_after_fork() {}
}

/// A row of the table.
pub(super) struct Mode {
    pub(super) name: &'static CStr,
    /// See [`Manner::HOT`].
    pub(super) hot: bool,
    /// See [`Manner::PROFILED`].
    pub(super) profiled: bool,
    pub(super) alloc: fn(Request) -> *mut u8,
    pub(super) free: fn(*mut u8),
    pub(super) realloc: fn(*mut u8, usize) -> Resized,
    pub(super) usable_size: fn(*mut u8) -> usize,
    pub(super) free_sized: fn(*mut u8, FreeSize),
    pub(super) free_late: fn(&Heap, *mut u8),
    pub(super) good_size: fn(usize, usize) -> usize,
    pub(super) give_up: fn(Option<&Heap>),
    pub(super) report: fn(Print<'_>),
    pub(super) lock_for_fork: fn(&Patience),
    pub(super) unlock_after_fork: unsafe fn(),
}

impl Mode {
    /// The table of `M`.
    pub(super) const fn of<M: Manner>() -> Self {
        Self {
            name: M::NAME,
            hot: M::HOT,
            profiled: M::PROFILED,
            alloc: cold::alloc::<M>,
            free: cold::free::<M>,
            realloc: resize::realloc::<M>,
            usable_size: resize::usable_size::<M>,
            free_sized: resize::free_sized::<M>,
            free_late: cold::free_late::<M>,
            good_size: M::good_size,
            give_up: M::give_up,
            report: M::report,
            lock_for_fork: M::lock_for_fork,
            unlock_after_fork: M::unlock_after_fork,
        }
    }
}

/// The default mode.
pub(super) struct Fast;

impl Manner for Fast {
    const NAME: &'static CStr = c"fast";
    const HOT: bool = true;
}

/// libc serves every call. That is decided by the start barrier; this only names it.
pub(super) struct Libc;

impl Manner for Libc {
    const NAME: &'static CStr = c"libc";
}

/// The table of [`Libc`].
pub(super) static LIBC: Mode = Mode::of::<Libc>();

/// In force until the options are known: the first call makes the process ready and goes on in the mode that was chosen, so no
/// block is made that the mode does not know.
pub(super) static UNDECIDED: Mode = Mode {
    alloc: |request| match thread::standing() {
        Standing::Libc(reason) if is_undecided() => cold::divert(reason, request),
        standing => {
            drop(standing);
            alloc(request)
        }
    },
    free: |block| decide_or(|| cold::free::<Fast>(block), || free(block)),
    realloc: |block, size| decide_or(|| resize::realloc::<Fast>(block, size), || realloc(block, size)),
    usable_size: |block| decide_or(|| resize::usable_size::<Fast>(block), || usable_size(block)),
    free_sized: |block, named| decide_or(|| resize::free_sized::<Fast>(block, named), || free_sized(block, named)),
    good_size: |size, usable| decide_or(|| usable, || good_size(size, usable)),
    ..Mode::of::<Fast>()
};

fn is_undecided() -> bool {
    PROCESS.mode.get().is_some_and(|mode| core::ptr::eq(mode, &UNDECIDED))
}

/// Makes the process ready; what is done if another thread is still at it, and if it is ready.
fn decide_or<T>(undecided: impl FnOnce() -> T, decided: impl FnOnce() -> T) -> T {
    drop(thread::standing());
    if is_undecided() { undecided() } else { decided() }
}

/// The mode in force. Set at start, and when a mode is switched; any thread reads, and may see the old one for a moment.
pub(super) struct ModeWord(AtomicPtr<Mode>);

impl ModeWord {
    /// Undecided.
    pub(super) const fn new() -> Self {
        Self(AtomicPtr::new((&raw const UNDECIDED).cast_mut()))
    }

    /// Puts `mode` into force; none is the default mode.
    pub(super) fn set(&self, mode: Option<&'static Mode>) {
        // Release pairs with the Acquire in `get`: what the mode needs is there before it is.
        self.0.store(mode.map_or(core::ptr::null_mut(), |mode| core::ptr::from_ref(mode).cast_mut()), Ordering::Release);
    }

    /// The table in force; none in the default mode.
    #[inline(always)]
    pub(super) fn get(&self) -> Option<&'static Mode> {
        // Acquire pairs with the Release in `set`.
        let mode = self.0.load(Ordering::Acquire);
        // SAFETY: null, or one of the tables, which stay.
        unsafe { mode.as_ref() }
    }

    /// Whether `mode` is in force.
    pub(super) fn is(&self, mode: &'static Mode) -> bool {
        self.get().is_some_and(|here| core::ptr::eq(here, mode))
    }
}

/// A block that meets `request`; null where that cannot be.
pub(crate) fn alloc(request: Request) -> *mut u8 {
    match PROCESS.mode.get() {
        None => cold::alloc::<Fast>(request),
        Some(mode) => (mode.alloc)(request),
    }
}

/// Frees `block`, wherever it is from.
pub(crate) fn free(block: *mut u8) {
    match PROCESS.mode.get() {
        None => cold::free::<Fast>(block),
        Some(mode) => (mode.free)(block),
    }
}

/// Makes `block`, which is not null, hold `size` bytes, which is not 0.
pub(crate) fn realloc(block: *mut u8, size: usize) -> Resized {
    match PROCESS.mode.get() {
        None => resize::realloc::<Fast>(block, size),
        Some(mode) => (mode.realloc)(block, size),
    }
}

/// Usable bytes of `block`, which is not null; 0 for a misused pointer.
pub(crate) fn usable_size(block: *mut u8) -> usize {
    match PROCESS.mode.get() {
        None => resize::usable_size::<Fast>(block),
        Some(mode) => (mode.usable_size)(block),
    }
}

/// Frees `block` after a look at whether it can have been asked for with that size.
pub(crate) fn free_sized(block: *mut u8, named: FreeSize) {
    match PROCESS.mode.get() {
        None => resize::free_sized::<Fast>(block, named),
        Some(mode) => (mode.free_sized)(block, named),
    }
}

/// Usable bytes of a block of `size` bytes, of which the default mode makes `usable` usable.
pub(crate) fn good_size(size: usize, usable: usize) -> usize {
    PROCESS.mode.get().map_or(usable, |mode| (mode.good_size)(size, usable))
}

/// Frees a block that waited because nobody could free it when it was freed.
pub(super) fn free_late(heap: &Heap, block: *mut u8) {
    match PROCESS.mode.get() {
        None => cold::free_late::<Fast>(heap, block),
        Some(mode) => (mode.free_late)(heap, block),
    }
}
