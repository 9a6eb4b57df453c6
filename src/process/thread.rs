#![expect(unsafe_code, reason = "turns the thread's word into its heap")]
//! What a thread is allowed to do now: work on its heap, or go to libc and for what reason. The recursion guard.
//!
//! The word `home` is 0 in a new thread, a mark while its heap is being made and after it was given up, and the heap's address in
//! between. While a heap is worked on, the fast path sees the inert heap, so whatever comes from inside arrives here and finds the
//! heap busy.

use core::ffi::c_void;
use core::ops::Deref;

use super::barrier::Phase;
use super::fork;
use super::state::{PROCESS, Process};
use super::tally::Reason;
use crate::config::IdleReturn;
use crate::diag::{self, Code};
use crate::heap::{FastHeap, Heap};
use crate::sys::atomic::{Ordering, settle_stores, spin};
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
pub(crate) const LAST_MARK: usize = FORKING_EXITED;
/// The C library calls key destructors in rounds as long as keys are set; others may still free in the first ones.
const EXIT_ROUNDS: u8 = 2;

/// States of the word for the key of thread exit; from `KEY_FIRST` on it is the key plus that.
const KEY_NONE: u32 = 0;
const KEY_MAKING: u32 = 1;
const KEY_REFUSED: u32 = 2;
const KEY_FIRST: u32 = 3;

/// What a call may do.
pub(crate) enum HeapAccess {
    /// Work on this thread's heap.
    Own(HeapGuard),
    /// Go to libc.
    Libc(Reason),
}

/// This thread's heap, marked busy until it is dropped.
pub(crate) struct HeapGuard(&'static Heap);

impl HeapGuard {
    fn new(heap: &'static Heap) -> Self {
        heap.set_entered(true);
        settle_stores();
        tls::set_fast_heap(FastHeap::inert_address());
        heap.hold_spans();
        Self(heap)
    }
}

impl HeapGuard {
    /// Whether work waits for a slow call that has the heap: its own, or the process's.
    #[inline(always)]
    pub(crate) fn has_pending_work(&self) -> bool {
        self.0.has_pending() || PROCESS.central.pages.pending.any()
    }

    /// The heap, for what outlives the mark.
    pub(crate) fn heap(&self) -> &'static Heap {
        self.0
    }
}

impl Deref for HeapGuard {
    type Target = Heap;
    fn deref(&self) -> &Heap {
        self.0
    }
}

impl Drop for HeapGuard {
    fn drop(&mut self) {
        #[cfg(debug_assertions)]
        if let Err(what) = self.0.check(PROCESS.shared()) {
            crate::diag::fatal(crate::diag::Code::Corruption, what);
        }
        self.0.free_spans();
        tls::set_fast_heap(self.0.word_at_rest());
        // A child of a fork believes the bins of a lost thread whose heap was not busy.
        settle_stores();
        self.0.set_entered(false);
    }
}

/// What the calling thread may do now; makes the process ready and gives the thread a heap where they are not yet.
pub(crate) fn access() -> HeapAccess {
    if tls::locks() > 0 {
        return HeapAccess::Libc(Reason::Recursion);
    }
    match tls::own_heap() {
        NEW => begin(),
        STARTING | FORKING_NEW | FORKING_EXITED => HeapAccess::Libc(Reason::Recursion),
        EXITED => HeapAccess::Libc(Reason::Exiting),
        address => {
            // SAFETY: the word holds this thread's heap.
            let heap = unsafe { Heap::at(address) };
            if heap.is_entered() { HeapAccess::Libc(Reason::Recursion) } else { HeapAccess::Own(HeapGuard::new(heap)) }
        }
    }
}

/// Whether the calling thread has a heap.
pub(crate) fn has_heap() -> bool {
    tls::own_heap() > LAST_MARK
}

/// Whether the calling thread is not inside the allocator. For signal handlers.
pub(crate) fn is_outside() -> bool {
    tls::locks() == 0 && matches!(tls::own_heap(), NEW | EXITED) || is_at_rest()
}

/// Whether the calling thread has a heap that it is not at work on, so that it holds no lock. For signal handlers.
pub(crate) fn is_at_rest() -> bool {
    let home = tls::own_heap();
    // SAFETY: the word holds this thread's heap.
    home > LAST_MARK && tls::locks() == 0 && !unsafe { Heap::at(home) }.is_entered()
}

/// Gives a new thread its heap, once the process is ready.
#[cold]
fn begin() -> HeapAccess {
    match PROCESS.barrier.phase() {
        Phase::Ready => {}
        Phase::Yours | Phase::Starting => return HeapAccess::Libc(Reason::InitWait),
        Phase::Libc => return HeapAccess::Libc(Reason::ForceLibc),
    }
    tls::set_own_heap(STARTING);
    match make_heap() {
        Ok(heap) => HeapAccess::Own(HeapGuard::new(heap)),
        Err(reason) => {
            tls::set_own_heap(if reason == Reason::Exiting { EXITED } else { NEW });
            HeapAccess::Libc(reason)
        }
    }
}

/// Has calls of this thread count as recursion while it does `work`, the start of the process; not for a thread that has a heap, or is inside
/// the allocator.
pub(crate) fn while_starting(work: impl FnOnce()) {
    if tls::locks() == 0 && tls::own_heap() == NEW {
        tls::set_own_heap(STARTING);
        work();
        tls::set_own_heap(NEW);
    }
}

fn make_heap() -> Result<&'static Heap, Reason> {
    let options = PROCESS.options();
    lock::note_process();
    let id = call::thread_id();
    // Nothing would give back the heap of a thread whose end cannot be seen. The first thread's ends with the process.
    let needs_key = id != call::process_id() && has_allocator() && !PROCESS.has_pool();
    if needs_key && exit_key(&PROCESS).is_none() {
        return Err(Reason::Exiting);
    }
    let heap = PROCESS.registry.acquire(&PROCESS.central.pages, options.bin_bytes).ok_or(Reason::Exhausted)?;
    choose_fast_heap(heap);
    heap.reopen_fast_path(PROCESS.shared());
    heap.exit_rounds.set(0);
    heap.thread.set(id);
    fork::hook(&PROCESS);
    let watched = watch_exit(heap.address());
    if needs_key && !watched {
        PROCESS.registry.release(heap);
        return Err(Reason::Exiting);
    }
    PROCESS.features.iter().for_each(|feature| (feature.thread_begins)(heap));
    tls::set_own_heap(heap.address());
    heap.take_part(options.idle_return != IdleReturn::Off && PROCESS.central.pages.delay().is_some() && !PROCESS.has_pool());
    Ok(heap)
}

/// Where every call is to be seen, the fast path never sees the heap.
fn choose_fast_heap(heap: &Heap) {
    loop {
        let sees_all = PROCESS.sees_all();
        // Relaxed: see `HeapGuard`.
        heap.visible.store(if sees_all { FastHeap::inert_address() } else { heap.address() }, Ordering::Relaxed);
        // The mode may be switched meanwhile.
        if PROCESS.sees_all() == sees_all {
            return;
        }
    }
}

/// Has all threads stand on the front that the mode in force wants: the calling one at once, others at their next call, whatever it is.
pub(crate) fn follow_mode() {
    if let HeapAccess::Own(heap) = access() {
        choose_fast_heap(&heap);
        heap.reopen_fast_path(PROCESS.shared());
    }
    let mut last = None;
    // One heap's spans at a time, and no lock meanwhile: their holders may want it.
    while let Some(heap) = PROCESS.registry.after(last) {
        if heap.address() != tls::own_heap() {
            choose_fast_heap(heap);
            heap.announce(PROCESS.shared());
        }
        last = Some(heap);
    }
}

/// Keeps this thread off the locks that it is about to hold through a fork: until [`resume`] its calls count as recursion. False
/// if the allocator was interrupted to fork, and locks may be held already.
pub(crate) fn suspend() -> bool {
    if tls::locks() > 0 {
        return false;
    }
    match tls::own_heap() {
        NEW => tls::set_own_heap(FORKING_NEW),
        EXITED => tls::set_own_heap(FORKING_EXITED),
        home if home > LAST_MARK => {
            // SAFETY: the word holds this thread's heap.
            let heap = unsafe { Heap::at(home) };
            if heap.is_entered() {
                return false;
            }
            core::mem::forget(HeapGuard::new(heap));
        }
        _ => return false,
    }
    true
}

/// Ends [`suspend`], which returned true, in parent and child alike.
pub(crate) fn resume() {
    match tls::own_heap() {
        FORKING_NEW => tls::set_own_heap(NEW),
        FORKING_EXITED => tls::set_own_heap(EXITED),
        home if home > LAST_MARK => {
            // SAFETY: the word holds this thread's heap.
            let heap = unsafe { Heap::at(home) };
            drop(HeapGuard(heap));
        }
        _ => {}
    }
}

/// In the child of a fork: notes by which number the kernel knows this thread now; its heap, if it has one.
pub(crate) fn note_copy() -> Option<&'static Heap> {
    let home = tls::own_heap();
    // SAFETY: the word holds this thread's heap.
    let own = (home > LAST_MARK).then(|| unsafe { Heap::at(home) })?;
    own.thread.set(call::thread_id());
    Some(own)
}

/// The key whose destructor ends a thread's heap; `None` if the C library had no key left when the library was loaded, or the first heap
/// made.
pub(crate) fn exit_key(process: &Process) -> Option<libc::pthread_key_t> {
    // Acquire pairs with the Release below, for threads other than the one that made the key.
    match process.exit_key.compare_exchange(KEY_NONE, KEY_MAKING, Ordering::Acquire, Ordering::Acquire) {
        Ok(_) => {
            let mut key = 0;
            // SAFETY: `key` is writable; the destructor is a function that stays.
            let made = unsafe { libc::pthread_key_create(&raw mut key, Some(on_exit)) } == 0;
            process.exit_key.store(if made { key + KEY_FIRST } else { KEY_REFUSED }, Ordering::Release);
            if !made {
                diag::once(Code::NoExitKey, "pthread_key_create fails; libc serves all threads but the first");
            }
        }
        Err(KEY_MAKING) => {
            // Another thread is at it, which takes some nanoseconds.
            while process.exit_key.load(Ordering::Acquire) == KEY_MAKING {
                spin();
            }
        }
        Err(_) => {}
    }
    process.exit_key.load(Ordering::Acquire).checked_sub(KEY_FIRST)
}

/// Has the C library call [`on_exit`] when this thread ends; false if it will not.
fn watch_exit(heap: usize) -> bool {
    exit_key(&PROCESS).is_some_and(|key| {
        // SAFETY: the key exists. The call may allocate, which the recursion guard serves.
        unsafe { libc::pthread_setspecific(key, core::ptr::with_exposed_provenance(heap)) == 0 }
    })
}

/// The key's destructor: gives the heap up, in the last round but one.
unsafe extern "C" fn on_exit(value: *mut c_void) {
    if tls::own_heap() != value.addr() {
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
    let guard = HeapGuard::new(heap);
    PROCESS.features.iter().for_each(|feature| (feature.thread_ends)(heap));
    guard.retire(PROCESS.shared());
    // The word `hot` stays on the inert heap.
    core::mem::forget(guard);
    tls::set_own_heap(EXITED);
    heap.close_offers();
    heap.free_spans();
    heap.set_entered(false);
    PROCESS.registry.release(heap);
}
