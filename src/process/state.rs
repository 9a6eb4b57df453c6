#![expect(unsafe_code, reason = "reads options set at start")]
//! The state of the process that the core needs. Features keep their own beside their code.

use super::barrier::{Barrier, Phase};
use super::feature::Features;
use super::tally::Tally;
use crate::central::Central;
use crate::config::Options;
use crate::heap::{Registry, Shared};
use crate::sys::atomic::{AtomicBool, AtomicU32, Ordering};
use crate::sys::cell::SetOnce;
use crate::sys::stream::Stream;

/// Everything that outlives a call.
pub(crate) struct Process {
    pub(crate) barrier: Barrier,
    pub(crate) central: Central,
    pub(crate) registry: Registry,
    pub(crate) tally: Tally,
    pub(crate) features: Features,
    options: SetOnce<Options>,
    /// Where reports go that have no file.
    pub(crate) reports: Stream,
    /// Whether all memory is a pool. Set by start, read by any thread.
    pool: AtomicBool,
    /// Whether libc must not help out when memory is used up: with a pool, or a hard limit. Set by start or by the program.
    bounded: AtomicBool,
    /// Whether the slow path must see every call, because the mode in force or an option wants it. Set by start, and where modes are switched.
    sees_all: AtomicBool,
    /// Whether each block is counted or filled when it is handed out and taken back. Set by start.
    inspects: AtomicBool,
    /// Whether the fork handlers are registered.
    pub(super) fork_hooked: AtomicBool,
    /// The key whose destructor ends a thread's heap, or why there is none; see [`super::thread`].
    pub(super) exit_key: AtomicU32,
}

/// See [`Process`].
pub(crate) static PROCESS: Process = Process {
    barrier: Barrier::new(),
    central: Central::new(),
    registry: Registry::new(),
    tally: Tally::new(),
    features: Features::new(),
    options: SetOnce::new(),
    reports: Stream::new(),
    pool: AtomicBool::new(false),
    bounded: AtomicBool::new(false),
    sees_all: AtomicBool::new(false),
    inspects: AtomicBool::new(false),
    fork_hooked: AtomicBool::new(false),
    exit_key: AtomicU32::new(0),
};

impl Process {
    /// The part of it that heaps share.
    #[inline(always)]
    pub(crate) fn shared(&self) -> Shared<'_> {
        Shared { central: &self.central, registry: &self.registry }
    }

    /// Whether the allocator serves calls.
    pub(crate) fn is_ready(&self) -> bool {
        self.barrier.phase() == Phase::Ready
    }

    /// Whether all memory is a pool.
    pub(crate) fn has_pool(&self) -> bool {
        // Relaxed: a thread that comes before the end of the start is served by libc as ever.
        self.pool.load(Ordering::Relaxed)
    }

    /// Whether libc must not help out when memory is used up.
    pub(crate) fn is_bounded(&self) -> bool {
        // Relaxed: as for `has_pool`.
        self.bounded.load(Ordering::Relaxed)
    }

    /// Puts bounds into force: that of a pool, or that of a hard limit.
    pub(crate) fn set_bounds(&self, pool: bool, hard_limit: bool) {
        // Relaxed: as for `has_pool`.
        self.pool.store(pool, Ordering::Relaxed);
        // Relaxed: as above.
        self.bounded.store(pool || hard_limit, Ordering::Relaxed);
    }

    /// Whether the slow path must see every call.
    pub(crate) fn sees_all(&self) -> bool {
        // Relaxed: each thread follows at its next slow call; see `thread::follow_mode`.
        self.sees_all.load(Ordering::Relaxed)
    }

    /// Has the slow path see every call, or only those that it must: `mode` is whether the mode in force wants every call.
    pub(crate) fn set_sees_all(&self, mode: bool) {
        // Relaxed: as above.
        self.sees_all.store(mode || self.inspects(), Ordering::Relaxed);
    }

    /// Whether each block is counted or filled when it is handed out and taken back.
    #[inline(always)]
    pub(crate) fn inspects(&self) -> bool {
        // Relaxed: published by the start barrier.
        self.inspects.load(Ordering::Relaxed)
    }

    /// Sets the options.
    ///
    /// # Safety
    /// - Called once, by the thread that the barrier lets start the process.
    pub(crate) unsafe fn set_options(&self, options: Options) {
        // Relaxed: published by the start barrier.
        self.inspects.store(options.diag > 0 || options.junk, Ordering::Relaxed);
        // SAFETY: the caller's promise: one thread, once, before any reader.
        unsafe { self.options.set(options) };
    }

    /// The options, once the barrier has let the caller through.
    #[inline(always)]
    pub(crate) fn options(&self) -> &Options {
        // SAFETY: callers come from behind the barrier, and the options are set before it opens.
        unsafe { self.options.get() }
    }
}
