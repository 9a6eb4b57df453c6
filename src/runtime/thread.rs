#![expect(unsafe_code, reason = "turns the thread's word into its heap")]
//! What a thread is allowed to do now: work on its heap, or go to libc and for what reason. The recursion guard.
//!
//! The word `home` is 0 in a new thread, a mark while its heap is being made and after it was given up, and the heap's address in
//! between. While a heap is worked on, the hit path sees the inert heap, so whatever comes from inside arrives here and finds the
//! heap busy.

use core::ffi::c_void;
use core::ops::Deref;

use super::barrier::Phase;
use super::process::PROCESS;
use super::{crash, start};
use crate::config::IdleReturn;
use crate::heap::{Front, Heap};
use crate::modes::tally::Reason;
use crate::sys::atomic::{Ordering, settle_stores};
use crate::sys::{call, tls};

const NEW: usize = 0;
const STARTING: usize = 1;
const EXITED: usize = 2;
/// New and exited threads while they fork.
const FORKING_NEW: usize = 3;
const FORKING_EXITED: usize = 4;
/// Words above this are addresses of heaps.
pub(super) const LAST_MARK: usize = FORKING_EXITED;
/// The C library calls key destructors in rounds as long as keys are set; others may still free in the first ones.
const EXIT_ROUNDS: u8 = 2;

/// What a call may do.
pub(super) enum Standing {
    /// Work on this thread's heap.
    Own(Busy),
    /// Go to libc.
    Libc(Reason),
}

/// This thread's heap, marked busy until it is dropped.
pub(super) struct Busy(&'static Heap);

impl Busy {
    fn new(heap: &'static Heap) -> Self {
        heap.set_busy(true);
        settle_stores();
        tls::set_hot(Front::inert_address());
        heap.hold_spans();
        // Whoever had the spans may have set the word back.
        tls::set_hot(Front::inert_address());
        Self(heap)
    }
}

impl Busy {
    /// The heap, for what outlives the mark.
    pub(super) fn heap(&self) -> &'static Heap {
        self.0
    }
}

impl Deref for Busy {
    type Target = Heap;
    fn deref(&self) -> &Heap {
        self.0
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        #[cfg(debug_assertions)]
        if let Err(what) = self.0.check(PROCESS.shared()) {
            crate::diag::fatal(crate::diag::Code::Corruption, what);
        }
        self.0.free_spans();
        // Who visits the heap must find it busy until its thread has written the word for the last time.
        tls::set_hot(self.0.word_at_rest());
        // A child of a fork believes the bins of a lost thread whose heap was not busy.
        settle_stores();
        self.0.set_busy(false);
    }
}

/// What the calling thread may do now; makes the process ready and gives the thread a heap where they are not yet.
pub(super) fn standing() -> Standing {
    match tls::home() {
        NEW => begin(),
        STARTING | FORKING_NEW | FORKING_EXITED => Standing::Libc(Reason::Recursion),
        EXITED => Standing::Libc(Reason::Exiting),
        address => {
            // SAFETY: the word holds this thread's heap.
            let heap = unsafe { Heap::at(address) };
            if heap.is_busy() { Standing::Libc(Reason::Recursion) } else { Standing::Own(Busy::new(heap)) }
        }
    }
}

/// Whether the calling thread has a heap.
pub(super) fn has_heap() -> bool {
    tls::home() > LAST_MARK
}

/// Whether the calling thread is not inside the allocator. For signal handlers.
pub(super) fn is_outside() -> bool {
    matches!(tls::home(), NEW | EXITED) || is_at_rest()
}

/// Whether the calling thread has a heap that it is not at work on, so that it holds no lock. For signal handlers.
pub(super) fn is_at_rest() -> bool {
    let home = tls::home();
    // SAFETY: the word holds this thread's heap.
    home > LAST_MARK && !unsafe { Heap::at(home) }.is_busy()
}

#[cold]
fn begin() -> Standing {
    tls::set_home(STARTING);
    let ready = match PROCESS.barrier.enter() {
        Phase::Ready => true,
        Phase::Yours => {
            let ready = start::start(&PROCESS);
            PROCESS.barrier.finish(ready);
            ready
        }
        Phase::Starting => {
            tls::set_home(NEW);
            return Standing::Libc(Reason::InitWait);
        }
        Phase::Libc => false,
    };
    let standing = if ready { make_heap() } else { Err(Reason::ForceLibc) };
    match standing {
        Ok(heap) => Standing::Own(Busy::new(heap)),
        Err(reason) => {
            tls::set_home(NEW);
            Standing::Libc(reason)
        }
    }
}

fn make_heap() -> Result<&'static Heap, Reason> {
    let options = PROCESS.options();
    let heap = PROCESS.registry.acquire(&PROCESS.central.pages, options.bin_bytes).ok_or(Reason::Exhausted)?;
    choose_front(heap);
    heap.exit_rounds.set(0);
    heap.blocked.set(call::blocked_signals());
    heap.thread.set(call::thread_id());
    if options.crash_report {
        crash::prepare_thread(heap);
    }
    start::hook_fork(&PROCESS);
    let watched = watch_exit(heap.address());
    tls::set_home(heap.address());
    let returns = options.idle_return != IdleReturn::Off && PROCESS.central.pages.delay().is_some() && !PROCESS.has_pool();
    if watched && returns {
        heap.let_others_in();
    }
    Ok(heap)
}

/// Where every call is to be seen, the hit path never sees the heap. A thread that stands on it has its frees seen at once, and all
/// calls after the next slow one.
fn choose_front(heap: &Heap) {
    loop {
        let sees_all = PROCESS.sees_all();
        if sees_all {
            heap.recall();
        } else {
            heap.reinstate(PROCESS.central.pages.space());
        }
        // Relaxed: see `Busy`.
        heap.hot.store(if sees_all { Front::inert_address() } else { heap.address() }, Ordering::Relaxed);
        // The mode may be switched meanwhile.
        if PROCESS.sees_all() == sees_all {
            return;
        }
    }
}

/// Has all threads stand on the front that the mode in force wants: the calling one at once, others at their next call. One that is
/// just leaving the slow path may not hear of it before its next slow call; what it frees is seen all the same.
pub(super) fn follow_mode() {
    let _held = standing();
    PROCESS.registry.each(|heap| {
        choose_front(heap);
        if heap.address() != tls::home() {
            heap.ring();
        }
    });
}

/// Keeps this thread off the locks that it is about to hold through a fork: until [`resume`] its calls count as recursion. False
/// if the allocator was interrupted to fork, and locks may be held already.
pub(super) fn suspend() -> bool {
    match tls::home() {
        NEW => tls::set_home(FORKING_NEW),
        EXITED => tls::set_home(FORKING_EXITED),
        home if home > LAST_MARK => {
            // SAFETY: the word holds this thread's heap.
            let heap = unsafe { Heap::at(home) };
            if heap.is_busy() {
                return false;
            }
            core::mem::forget(Busy::new(heap));
            heap.forking.set(true);
        }
        _ => return false,
    }
    true
}

/// Whether this thread is between [`suspend`] and [`resume`].
pub(super) fn is_suspended() -> bool {
    match tls::home() {
        FORKING_NEW | FORKING_EXITED => true,
        // SAFETY: the word holds this thread's heap.
        home if home > LAST_MARK => unsafe { Heap::at(home) }.forking.get(),
        _ => false,
    }
}

/// Ends [`suspend`], in parent and child alike; this thread's heap, if it has one.
pub(super) fn resume() -> Option<&'static Heap> {
    match tls::home() {
        FORKING_NEW => tls::set_home(NEW),
        FORKING_EXITED => tls::set_home(EXITED),
        home if home > LAST_MARK => {
            // SAFETY: the word holds this thread's heap.
            let heap = unsafe { Heap::at(home) };
            heap.forking.set(false);
            drop(Busy(heap));
            return Some(heap);
        }
        _ => {}
    }
    None
}

/// Has the C library call [`on_exit`] when this thread ends; false if it will not.
fn watch_exit(heap: usize) -> bool {
    start::exit_key(&PROCESS).is_some_and(|key| {
        // SAFETY: the key exists. The call may allocate, which the recursion guard serves.
        unsafe { libc::pthread_setspecific(key, core::ptr::with_exposed_provenance(heap)) == 0 }
    })
}

/// The key's destructor: gives the heap up, in the last round but one.
pub(super) unsafe extern "C" fn on_exit(value: *mut c_void) {
    if tls::home() != value.addr() {
        return;
    }
    // SAFETY: the key's value is this thread's heap.
    let heap = unsafe { Heap::at(value.addr()) };
    let round = heap.exit_rounds.get();
    if round < EXIT_ROUNDS {
        heap.exit_rounds.set(round + 1);
        watch_exit(value.addr());
        return;
    }
    let busy = Busy::new(heap);
    crash::leave_thread(heap);
    PROCESS.central.late.take(|block| super::manner::free_late(&busy, block));
    busy.retire(PROCESS.shared());
    // The word `hot` stays on the inert heap.
    core::mem::forget(busy);
    tls::set_home(EXITED);
    heap.keep_others_out();
    heap.free_spans();
    heap.set_busy(false);
    PROCESS.registry.release(heap);
}
