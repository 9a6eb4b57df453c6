#![expect(unsafe_code, reason = "reads options set at start")]
//! The only static state.

use core::ffi::c_void;

use crate::central::Central;
use crate::config::Options;
use crate::heap::{Registry, Shared};
use crate::process::barrier::{Barrier, Phase};
use crate::process::fork::Fork;
use crate::process::tally::Tally;
use crate::profile::sampling::Profiling;
use crate::slow_path::mode::ModeWord;
use crate::stats::crash::Crash;
use crate::stats::report::Reporter;
use crate::sys::atomic::{AtomicBool, AtomicPtr, AtomicU32, Ordering};
use crate::sys::cell::SetOnce;
use crate::sys::stream::Stream;

/// Everything that outlives a call.
pub(crate) struct Process {
    pub(crate) barrier: Barrier,
    pub(crate) mode: ModeWord,
    pub(crate) central: Central,
    pub(crate) registry: Registry,
    pub(crate) tally: Tally,
    pub(crate) profiling: Profiling,
    pub(crate) options: SetOnce<Options>,
    /// Where reports go that have no file.
    pub(crate) reports: Stream,
    pub(crate) reporter: Reporter,
    pub(crate) crash: Crash,
    /// Whether all memory is a pool: set by start, read by any thread.
    pub(crate) pool: AtomicBool,
    /// Whether libc must not help out when memory is used up: with a pool, or a hard limit. As above.
    pub(crate) bounded: AtomicBool,
    /// What the program wants called when a limit is met; null for nothing. Written and read by any thread.
    pub(crate) limit_callback: AtomicPtr<c_void>,
    /// Whether that is being called.
    pub(crate) calling_back: AtomicBool,
    /// The status with which the process ends, where it is watched.
    pub(crate) exit_status: AtomicU32,
    /// Requests that found no memory; any thread adds.
    pub(crate) refusals: AtomicU32,
    /// Whether the thread that gives memory back was started. Set by who starts it, cleared in the child of a fork.
    pub(crate) background: AtomicBool,
    pub(crate) fork: Fork,
    /// Whether the fork handlers are registered.
    pub(crate) fork_hooked: AtomicBool,
    /// The key whose destructor ends a thread's heap, or why there is none; see `start`.
    pub(crate) exit_key: AtomicU32,
}

/// See [`Process`].
pub(crate) static PROCESS: Process = Process {
    barrier: Barrier::new(),
    mode: ModeWord::new(),
    central: Central::new(),
    registry: Registry::new(),
    tally: Tally::new(),
    profiling: Profiling::new(),
    options: SetOnce::new(),
    reports: Stream::new(),
    reporter: Reporter::new(),
    crash: Crash::new(),
    pool: AtomicBool::new(false),
    bounded: AtomicBool::new(false),
    limit_callback: AtomicPtr::new(core::ptr::null_mut()),
    calling_back: AtomicBool::new(false),
    exit_status: AtomicU32::new(0),
    refusals: AtomicU32::new(0),
    background: AtomicBool::new(false),
    fork: Fork::new(),
    fork_hooked: AtomicBool::new(false),
    exit_key: AtomicU32::new(0),
};

impl Process {
    /// What heaps need of it.
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

    /// Whether every call is to be seen, so that the fast path must serve none.
    pub(crate) fn sees_all(&self) -> bool {
        let options = self.options();
        options.diag > 0 || options.junk || self.mode.get().is_some_and(|mode| !mode.uses_fast_path)
    }

    /// Whether the mode in force lets requests be sampled for the heap profile.
    pub(crate) fn can_sample(&self) -> bool {
        self.mode.get().is_none_or(|mode| mode.profiled)
    }

    /// The options, once the barrier has let the caller through.
    pub(crate) fn options(&self) -> &Options {
        // SAFETY: callers come from behind the barrier, and the options are set before it opens.
        unsafe { self.options.get() }
    }
}
