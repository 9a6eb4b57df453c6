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
use crate::sys::libc::has_allocator;
use crate::sys::{call, lock, tls};

const NEW: usize = 0;
const STARTING: usize = 1;
/// The thread has given its heap up, or gets none.
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
        tls::set_hot(self.0.word_at_rest());
        // A child of a fork believes the bins of a lost thread whose heap was not busy.
        settle_stores();
        self.0.set_busy(false);
    }
}

/// What the calling thread may do now; makes the process ready and gives the thread a heap where they are not yet.
pub(super) fn standing() -> Standing {
    if tls::locks() > 0 {
        return Standing::Libc(Reason::Recursion);
    }
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
    tls::locks() == 0 && matches!(tls::home(), NEW | EXITED) || is_at_rest()
}

/// Whether the calling thread has a heap that it is not at work on, so that it holds no lock. For signal handlers.
pub(super) fn is_at_rest() -> bool {
    let home = tls::home();
    // SAFETY: the word holds this thread's heap.
    home > LAST_MARK && tls::locks() == 0 && !unsafe { Heap::at(home) }.is_busy()
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
            tls::set_home(if reason == Reason::Exiting { EXITED } else { NEW });
            Standing::Libc(reason)
        }
    }
}

fn make_heap() -> Result<&'static Heap, Reason> {
    let options = PROCESS.options();
    lock::note_process();
    let id = call::thread_id();
    // Nobody would give back the heap of a thread whose end cannot be seen. The first thread's ends with the process.
    let needs_key = id != call::process_id() && has_allocator() && !PROCESS.has_pool();
    if needs_key && start::exit_key(&PROCESS).is_none() {
        return Err(Reason::Exiting);
    }
    let heap = PROCESS.registry.acquire(&PROCESS.central.pages, options.bin_bytes).ok_or(Reason::Exhausted)?;
    choose_front(heap);
    heap.reopen_fast_path(PROCESS.shared());
    heap.exit_rounds.set(0);
    heap.thread.set(id);
    start::hook_fork(&PROCESS);
    let watched = watch_exit(heap.address());
    if needs_key && !watched {
        PROCESS.registry.release(heap);
        return Err(Reason::Exiting);
    }
    if options.crash_report {
        crash::prepare_thread(heap);
    }
    tls::set_home(heap.address());
    heap.take_part(options.idle_return != IdleReturn::Off && PROCESS.central.pages.delay().is_some() && !PROCESS.has_pool());
    Ok(heap)
}

/// Where every call is to be seen, the fast path never sees the heap.
fn choose_front(heap: &Heap) {
    loop {
        let sees_all = PROCESS.sees_all();
        // Relaxed: see `Busy`.
        heap.hot.store(if sees_all { Front::inert_address() } else { heap.address() }, Ordering::Relaxed);
        // The mode may be switched meanwhile.
        if PROCESS.sees_all() == sees_all {
            return;
        }
    }
}

/// Has all threads stand on the front that the mode in force wants: the calling one at once, others at their next call, whatever it is.
pub(super) fn follow_mode() {
    if let Standing::Own(heap) = standing() {
        choose_front(&heap);
        heap.reopen_fast_path(PROCESS.shared());
    }
    let mut last = None;
    // One heap's spans at a time, and no lock meanwhile: their holders may want it.
    while let Some(heap) = PROCESS.registry.after(last) {
        if heap.address() != tls::home() {
            choose_front(heap);
            heap.announce(PROCESS.shared());
        }
        last = Some(heap);
    }
}

/// Keeps this thread off the locks that it is about to hold through a fork: until [`resume`] its calls count as recursion. False
/// if the allocator was interrupted to fork, and locks may be held already.
pub(super) fn suspend() -> bool {
    if tls::locks() > 0 {
        return false;
    }
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
        }
        _ => return false,
    }
    true
}

/// Ends [`suspend`], which returned true, in parent and child alike.
pub(super) fn resume() {
    match tls::home() {
        FORKING_NEW => tls::set_home(NEW),
        FORKING_EXITED => tls::set_home(EXITED),
        home if home > LAST_MARK => {
            // SAFETY: the word holds this thread's heap.
            let heap = unsafe { Heap::at(home) };
            drop(Busy(heap));
        }
        _ => {}
    }
}

/// In the child of a fork: notes by which number the kernel knows this thread now; its heap, if it has one.
pub(super) fn note_copy() -> Option<&'static Heap> {
    let home = tls::home();
    // SAFETY: the word holds this thread's heap.
    let own = (home > LAST_MARK).then(|| unsafe { Heap::at(home) })?;
    own.thread.set(call::thread_id());
    Some(own)
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
    busy.defer(|| PROCESS.central.late.take(|block| super::manner::free_late(&busy, block)));
    busy.retire(PROCESS.shared());
    // The word `hot` stays on the inert heap.
    core::mem::forget(busy);
    tls::set_home(EXITED);
    heap.close_offers();
    heap.free_spans();
    heap.set_busy(false);
    PROCESS.registry.release(heap);
}
