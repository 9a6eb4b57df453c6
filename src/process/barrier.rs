#![cfg_attr(all(test, loom), expect(unsafe_code, reason = "models access loom cells"))]
//! The start barrier: one thread starts the allocator; calls of other threads do not wait for it, libc serves them
//! meanwhile. Must not know what the start does.

use crate::sys::atomic::{AtomicU32, Ordering};

const COLD: u32 = 0;
const STARTING: u32 = 1;
const READY: u32 = 2;
const LIBC: u32 = 3;

/// One word: cold -> starting (by one thread) -> ready or libc. Written by the thread that starts the allocator, read
/// by any thread.
pub(crate) struct Barrier(AtomicU32);

/// How far the start has come, as a call sees it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[must_use]
pub(crate) enum Phase {
    /// No thread has begun the start. From [`Barrier::enter`]: the calling thread does, and calls [`Barrier::finish`].
    Yours,
    /// A thread is starting the allocator: this one or another.
    Starting,
    /// The allocator is ready, and all that the starting thread wrote can be read.
    Ready,
    /// libc serves everything, for good.
    Libc,
}

impl Barrier {
    /// A barrier before the start.
    pub(crate) const fn new() -> Self {
        Self(AtomicU32::new(COLD))
    }

    /// The phase; the first caller gets `Yours`, and all others find a start under way or done.
    pub(crate) fn enter(&self) -> Phase {
        match self.phase() {
            // Relaxed: the exchange publishes nothing, `finish` does; a thread that loses loads the phase again.
            Phase::Yours => match self.0.compare_exchange(COLD, STARTING, Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => Phase::Yours,
                Err(_) => self.phase(),
            },
            phase => phase,
        }
    }

    /// The phase. `Yours` means that no thread has begun the start; the caller does not begin it either.
    pub(crate) fn phase(&self) -> Phase {
        // Acquire pairs with the Release in `finish`.
        match self.0.load(Ordering::Acquire) {
            READY => Phase::Ready,
            LIBC => Phase::Libc,
            COLD => Phase::Yours,
            _ => Phase::Starting,
        }
    }

    /// Ends the start: ready, or libc for good.
    pub(crate) fn finish(&self, ready: bool) {
        // Release pairs with the Acquire in `phase`.
        self.0.store(if ready { READY } else { LIBC }, Ordering::Release);
    }
}

#[cfg(all(test, loom))]
mod models {
    use super::*;
    use loom::cell::UnsafeCell;
    use loom::sync::Arc;
    use loom::thread;
    use std::vec::Vec;

    struct Shared {
        barrier: Barrier,
        value: UnsafeCell<u32>,
    }

    fn call(shared: &Shared) -> u32 {
        match shared.barrier.enter() {
            Phase::Yours => {
                // SAFETY: `enter` returned `Yours`, to one thread alone; loom checks that no other has access.
                shared.value.with_mut(|value| unsafe { *value = 7 });
                shared.barrier.finish(true);
                1
            }
            Phase::Ready => {
                // SAFETY: the phase is `Ready`, so the write is over; loom checks that no thread writes.
                assert_eq!(shared.value.with(|value| unsafe { *value }), 7);
                0
            }
            Phase::Starting | Phase::Libc => 0,
        }
    }

    #[test]
    fn loom_one_thread_starts_and_the_others_see_all_or_nothing() {
        loom::model(|| {
            let shared = Arc::new(Shared { barrier: Barrier::new(), value: UnsafeCell::new(0) });
            assert_eq!(shared.barrier.phase(), Phase::Yours);
            let callers: Vec<_> = (0..2)
                .map(|_| {
                    let shared = shared.clone();
                    thread::spawn(move || call(&shared))
                })
                .collect();
            let mut started = call(&shared);
            for caller in callers {
                started += caller.join().expect("no panic");
            }
            assert_eq!(started, 1);
        });
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use std::sync::Barrier as Meeting;
    use std::thread;

    #[test]
    fn no_thread_finds_it_ready_before_the_end_of_the_start() {
        for (ready, after) in [(true, Phase::Ready), (false, Phase::Libc)] {
            let barrier = Barrier::new();
            assert_eq!((barrier.phase(), barrier.enter()), (Phase::Yours, Phase::Yours));
            assert_eq!((barrier.enter(), barrier.phase()), (Phase::Starting, Phase::Starting));
            assert_eq!(barrier.enter(), Phase::Starting);
            barrier.finish(ready);
            assert_eq!((barrier.enter(), barrier.phase()), (after, after));
        }
    }

    #[test]
    fn of_threads_that_enter_at_once_one_starts() {
        const THREADS: usize = 4;
        for _ in 0..500 {
            let (barrier, meeting) = (Barrier::new(), Meeting::new(THREADS));
            let call = || {
                meeting.wait();
                barrier.enter()
            };
            let phases: std::vec::Vec<_> = thread::scope(|scope| {
                let callers: std::vec::Vec<_> = (0..THREADS).map(|_| scope.spawn(call)).collect();
                callers.into_iter().map(|caller| caller.join().expect("no panic")).collect()
            });
            let count = |wanted| phases.iter().filter(|&&phase| phase == wanted).count();
            assert_eq!((count(Phase::Yours), count(Phase::Starting)), (1, THREADS - 1), "{phases:?}");
        }
    }
}
