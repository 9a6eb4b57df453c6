#![expect(unsafe_code, reason = "reads options set at start")]
//! The state of the core, in one static. Modes, the heap profile and statistics keep theirs beside their own code.

use super::barrier::{Barrier, Phase};
use super::feature::Features;
use super::tally::Tally;
use crate::central::Central;
use crate::config::Options;
use crate::heap::{Registry, Shared};
use crate::sys::atomic::{AtomicBool, Ordering};
use crate::sys::cell::SetOnce;
use crate::sys::stream::Stream;

/// The state of the core. Each part says in its own module which threads write and read it.
pub(crate) struct Process {
    pub(crate) barrier: Barrier,
    pub(crate) central: Central,
    pub(crate) registry: Registry,
    pub(crate) tally: Tally,
    pub(crate) features: Features,
    /// Written once, by the thread that starts the process; read by any thread that found the barrier open.
    options: SetOnce<Options>,
    /// Receives the reports for which no option names a file. Opened by the start, written by any thread.
    pub(crate) reports: Stream,
    /// Whether all memory is a pool. Written by the start, read by any thread.
    pool: AtomicBool,
    /// Whether libc must not serve requests when memory is used up: with a pool, or a hard limit. Written by the start
    /// and by `spandrel_set_limits`, read by any thread.
    bounded: AtomicBool,
    /// Whether the slow path must see every call, because the mode in force or an option needs that. Written by the
    /// start and by the thread that switches the mode, read by any thread, which may see the old value for a moment.
    sees_all: AtomicBool,
    /// Whether each block is counted or filled when it is handed out and freed. Written by the start, read by any
    /// thread.
    inspects: AtomicBool,
}

/// Written and read by any thread, as the fields say.
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
};

impl Process {
    /// The parts that heaps share.
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
        // Relaxed: the barrier publishes the value of the start. A thread that calls earlier is served by libc.
        self.pool.load(Ordering::Relaxed)
    }

    /// Whether libc must not serve requests when memory is used up.
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
        // Relaxed: `thread::follow_mode` has each thread read it again at its next call.
        self.sees_all.load(Ordering::Relaxed)
    }

    /// Says whether the mode in force must see every call. An option may need that as well.
    pub(crate) fn set_sees_all(&self, mode: bool) {
        // Relaxed: as above.
        self.sees_all.store(mode || self.inspects(), Ordering::Relaxed);
    }

    /// Whether each block is counted or filled when it is handed out and freed.
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
        // SAFETY: one thread, once, as `# Safety` demands; readers wait for the barrier, which opens later.
        unsafe { self.options.set(options) };
    }

    /// The options, for a caller that found the barrier open.
    #[inline(always)]
    pub(crate) fn options(&self) -> &Options {
        // SAFETY: the start sets the options before it opens the barrier, which every caller found open.
        unsafe { self.options.get() }
    }
}
