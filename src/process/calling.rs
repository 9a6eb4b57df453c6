//! The right to call a function of the program's for limits, and to end the heap that has the function: one thread at a
//! time has it. Must not know the function.
//!
//! # Invariants
//! - A heap's limit that is met while a thread has the right is reported later: a thread that would report it, and does
//!   not get the right, leaves a mark in the word that the right is, and the thread that gives the right back finds the
//!   mark.

use crate::pages::{Pending, Work};
use crate::sys::atomic::{AtomicUsize, Ordering};

/// The thread that has the right, by the address of its word; 0 for none. All-zero bytes are a right that no thread has.
#[repr(transparent)]
pub(crate) struct Calling(AtomicUsize);

/// The mark: a thread did not get the right. Addresses of words are multiples of eight.
const MISSED: usize = 1;

impl Calling {
    /// A right that no thread has.
    pub(crate) const fn new() -> Self {
        Self(AtomicUsize::new(0))
    }

    /// Takes the right for the thread with that word; false if a thread has it.
    pub(crate) fn begin(&self, thread: usize) -> bool {
        // Acquire pairs with the Release in `end`: the function stays that of this heap.
        self.0.compare_exchange(0, thread, Ordering::Acquire, Ordering::Relaxed).is_ok()
    }

    /// Ends [`Calling::begin`]. Where a thread missed the right, a slow call checks the limits of bills once more.
    pub(crate) fn end(&self, pending: &Pending) {
        // Release pairs with the Acquire in `begin` and `call`, Acquire with the Release in `call`: the slow call that
        // checks the limits sees the one that was met.
        if self.0.swap(0, Ordering::AcqRel) & MISSED != 0 {
            pending.set(Work::BILL_LIMIT);
        }
    }

    /// Does `work` with the right, for the thread with that word. Where another thread has the right, or this one
    /// already, leaves the mark.
    pub(crate) fn call(&self, thread: usize, pending: &Pending, work: impl FnOnce()) {
        let mut now = 0;
        loop {
            let next = if now == 0 { thread } else { now | MISSED };
            // Both pair with `end`: Acquire as in `begin`; Release shows the limit to the thread that finds the mark.
            match self.0.compare_exchange_weak(now, next, Ordering::AcqRel, Ordering::Relaxed) {
                Ok(0) => break,
                Ok(_) => return,
                Err(other) => now = other,
            }
        }
        work();
        self.end(pending);
    }

    /// Ends what another thread than that with the word began. For the child of a fork, which does not have it.
    pub(crate) fn forget_other(&self, thread: usize, pending: &Pending) {
        // Relaxed: the child has one thread.
        let word = self.0.load(Ordering::Relaxed) & !MISSED;
        if word != 0 && word != thread {
            self.end(pending);
        }
    }
}

#[cfg(all(test, loom))]
mod models {
    use super::*;
    use crate::central::Bill;
    use loom::sync::Arc;
    use loom::thread;

    const THREADS: [usize; 2] = [8, 16];
    const SOFT: usize = 3;

    struct Shared {
        calling: Calling,
        bill: Bill,
        pending: Pending,
        reports: AtomicUsize,
    }

    impl Calling {
        pub(crate) fn of_model() -> Self {
            let calling = Self::new();
            calling.forget_other(0, &Pending::new());
            calling
        }
    }

    impl Shared {
        fn new() -> Arc<Self> {
            let shared = Self {
                calling: Calling::of_model(),
                bill: Bill::of_model(SOFT, usize::MAX),
                pending: Pending::new(),
                reports: AtomicUsize::new(0),
            };
            // Every atomic that both threads use is there before the second one.
            assert!(!shared.pending.any() && shared.reports() == 0);
            Arc::new(shared)
        }

        fn reports(&self) -> usize {
            self.reports.load(Ordering::Relaxed)
        }

        /// As `report_limits` and `Holder::tell`, for the soft limit.
        fn slow_call(&self, thread: usize) {
            if self.pending.take(Work::BILL_LIMIT) && self.bill.has_met_soft() {
                self.calling.call(thread, &self.pending, || {
                    if self.bill.take_met_soft() {
                        self.reports.fetch_add(1, Ordering::Relaxed);
                    }
                });
            }
        }

        fn meet_limit(&self) {
            assert!(self.bill.admit(SOFT + 1, &self.pending));
        }
    }

    /// The reports of a limit that one thread meets, while another one does `work`, and of a slow call after both.
    fn reports_beside(work: fn(&Shared)) -> usize {
        let shared = Shared::new();
        let other = {
            let shared = shared.clone();
            thread::spawn(move || work(&shared))
        };
        shared.meet_limit();
        shared.slow_call(THREADS[0]);
        other.join().expect("no panic");
        shared.slow_call(THREADS[0]);
        shared.reports()
    }

    #[test]
    fn loom_a_limit_that_is_met_during_a_call_is_reported_after_it() {
        loom::model(|| {
            let beside = |shared: &Shared| shared.calling.call(THREADS[1], &shared.pending, || {});
            assert_eq!(reports_beside(beside), 1);
        });
    }

    #[test]
    fn loom_a_limit_that_is_met_while_a_heap_does_not_end_is_reported() {
        loom::model(|| {
            let beside = |shared: &Shared| {
                if shared.calling.begin(THREADS[1]) {
                    shared.calling.end(&shared.pending);
                }
            };
            assert_eq!(reports_beside(beside), 1);
        });
    }

    #[test]
    fn loom_two_threads_report_a_limit_once() {
        loom::model(|| assert_eq!(reports_beside(|shared| shared.slow_call(THREADS[1])), 1));
    }
}
