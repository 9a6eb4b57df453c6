#![expect(unsafe_code, reason = "turns the thread's word into its heap")]
//! Threads and the recursion guard: decides whether the calling thread may work on its heap now, or libc has to serve
//! the call, and for which reason. Gives a thread its heap at its first slow call, and takes it back when the thread
//! ends. Must not know how a call is served.
//!
//! Each thread has a word, `tls::own_heap`. It is 0 in a new thread, `STARTING` while the thread gets its heap, then
//! the address of the heap, and `EXITED` after the thread gave it up. While the thread works on its heap, its fast
//! path sees the inert heap. So a call from inside the allocator fails on the fast path, and finds here that the heap
//! is entered.

use core::ffi::c_void;
use core::ops::Deref;

use super::barrier::Phase;
use super::state::PROCESS;
use super::tally::Reason;
use crate::central::Bill;
use crate::config::IdleReturn;
use crate::diag::{self, Code};
use crate::heap::{FastHeap, Heap};
use crate::sys::atomic::{AtomicU32, Ordering, settle_stores, spin};
use crate::sys::libc::has_allocator;
use crate::sys::{call, lock, tls};

const NEW: usize = 0;
const STARTING: usize = 1;
/// The thread gave its heap up, or gets none.
const EXITED: usize = 2;
/// A new thread while it forks.
const FORKING_NEW: usize = 3;
/// An exited thread while it forks.
const FORKING_EXITED: usize = 4;
/// Values above this one are addresses of heaps.
const LAST_STATE: usize = FORKING_EXITED;
/// Rounds of key destructors that pass before this one gives the heap up. The C library runs rounds as long as a
/// destructor sets a key again, and destructors of other libraries may still free blocks in the first ones.
const EXIT_ROUNDS: u8 = 2;

/// The key whose destructor gives a thread's heap up, or the reason why there is none. Written by the first thread that
/// needs it, read by any.
static EXIT_KEY: AtomicU32 = AtomicU32::new(KEY_NONE);

/// Values of `EXIT_KEY`: no thread has made the key yet, one is making it, the C library refused it. Values
/// from `KEY_FIRST` on are the key plus `KEY_FIRST`.
const KEY_NONE: u32 = 0;
const KEY_MAKING: u32 = 1;
const KEY_REFUSED: u32 = 2;
const KEY_FIRST: u32 = 3;

/// Access of a call to its thread's heap.
pub(crate) enum HeapAccess {
    /// The call may work on this thread's heap.
    Own(HeapGuard),
    /// libc has to serve the call.
    Libc(Reason),
}

/// This thread's heap, entered until the guard is dropped: the fast path sees the inert heap, and the lock of the
/// heap's spans is held.
pub(crate) struct HeapGuard(&'static Heap);

impl HeapGuard {
    fn new(heap: &'static Heap) -> Self {
        heap.set_entered(true);
        settle_stores();
        tls::set_fast_heap(FastHeap::inert_address());
        heap.lock_spans();
        Self(heap)
    }

    /// The heap, for callers that use it after the guard is dropped.
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
        self.0.unlock_spans();
        tls::set_fast_heap(self.0.word_at_rest());
        // A child of a fork trusts the bins of a lost thread if its heap was not entered, so this store is the last
        // one.
        settle_stores();
        self.0.set_entered(false);
    }
}

/// Access to the calling thread's heap. A new thread gets its heap here.
pub(crate) fn access() -> HeapAccess {
    if tls::locks() > 0 {
        return HeapAccess::Libc(Reason::Recursion);
    }
    match tls::own_heap() {
        NEW => begin(),
        STARTING | FORKING_NEW | FORKING_EXITED => HeapAccess::Libc(Reason::Recursion),
        EXITED => HeapAccess::Libc(Reason::Exiting),
        address => {
            // SAFETY: the match left no state, so the word is the address of this thread's heap, which is never
            // unmapped.
            let heap = unsafe { Heap::at(address) };
            if heap.is_entered() { HeapAccess::Libc(Reason::Recursion) } else { HeapAccess::Own(HeapGuard::new(heap)) }
        }
    }
}

/// Whether the calling thread has a heap.
pub(crate) fn has_heap() -> bool {
    tls::own_heap() > LAST_STATE
}

/// Whether the calling thread is outside the allocator. For signal handlers.
pub(crate) fn is_outside() -> bool {
    tls::locks() == 0 && matches!(tls::own_heap(), NEW | EXITED) || is_at_rest()
}

/// Whether the calling thread has a heap and is outside the allocator, so that it holds no lock. For signal handlers.
pub(crate) fn is_at_rest() -> bool {
    at_rest().is_some()
}

/// The calling thread's heap, if it has one and is outside the allocator. It is not entered, so only words that no slow
/// call writes may be used.
#[inline]
pub(crate) fn at_rest() -> Option<&'static Heap> {
    current().filter(|heap| tls::locks() == 0 && !heap.is_entered())
}

/// The calling thread's heap, if it has one: as [`at_rest`], also from inside the allocator.
#[inline]
pub(crate) fn current() -> Option<&'static Heap> {
    let word = tls::own_heap();
    // SAFETY: a word above `LAST_STATE` is the address of this thread's heap, which is never unmapped.
    (word > LAST_STATE).then(|| unsafe { Heap::at(word) })
}

/// Gives a new thread its heap, if the process is ready.
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

/// Does `work`, the start of the process. Calls of this thread count as recursion meanwhile. Does nothing on a thread
/// that has a heap or is inside the allocator.
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
    // Without the key no destructor would give the heap back when the thread ends. The first thread ends with the
    // process.
    let needs_key = id != call::process_id() && has_allocator() && !PROCESS.has_pool();
    if needs_key && exit_key().is_none() {
        return Err(Reason::Exiting);
    }
    let heap = PROCESS.registry.acquire(&PROCESS.central.pages, options.bin_bytes).ok_or(Reason::Exhausted)?;
    choose_fast_heap(heap);
    heap.reopen_fast_path(PROCESS.shared());
    heap.thread.exit_rounds.set(0);
    heap.thread.id.set(id);
    let watched = watch_exit(heap.address());
    if needs_key && !watched {
        PROCESS.registry.release(heap);
        return Err(Reason::Exiting);
    }
    PROCESS.features.thread_begins(heap);
    tls::set_own_heap(heap.address());
    join_idle_return(heap);
    Ok(heap)
}

fn join_idle_return(heap: &Heap) {
    let purges = PROCESS.central.pages.delay().is_some() && !PROCESS.has_pool();
    heap.set_idle_return(PROCESS.options().idle_return != IdleReturn::Off && purges);
}

/// Makes a part of the named heap with that handle, which the calling thread uses at once; `None` without memory.
pub(super) fn make_part(named: (usize, &'static Bill)) -> Option<&'static Heap> {
    let (options, pages) = (PROCESS.options(), &PROCESS.central.pages);
    let part = PROCESS.registry.acquire_part(pages, options.bin_bytes, named, tls::word_address())?;
    choose_fast_heap(part);
    part.reopen_fast_path(PROCESS.shared());
    part.thread.id.set(call::thread_id());
    PROCESS.features.thread_begins(part);
    join_idle_return(part);
    Some(part)
}

/// Has the calling thread, which is outside the allocator, use `heap` from now on: its own, or a part that it took.
#[inline]
pub(crate) fn use_heap(heap: &'static Heap) {
    tls::set_own_heap(heap.address());
    settle_stores();
    tls::set_fast_heap(heap.word_at_rest());
}

/// Gives up the heap of `guard`, and has the calling thread's word be `word`; its fast path sees the inert heap.
pub(crate) fn give_up(guard: HeapGuard, word: usize) {
    let heap = guard.heap();
    PROCESS.features.thread_ends(heap);
    guard.retire(PROCESS.shared());
    // The guard is not dropped, so the fast path of this thread sees the inert heap from here on.
    core::mem::forget(guard);
    tls::set_own_heap(word);
    heap.close_offers();
    heap.unlock_spans();
    heap.set_entered(false);
    PROCESS.registry.release(heap);
}

/// Sets the fast heap that the thread of `heap` uses between calls: its own, or the inert heap if the slow path must
/// see every call.
fn choose_fast_heap(heap: &Heap) {
    loop {
        let sees_all = PROCESS.sees_all();
        // Relaxed: an address of a heap, which is never unmapped. The thread itself reads it as it drops its guard; a
        // thread that switches the mode writes it before it closes the fast path (`Heap::announce`).
        heap.visible.store(if sees_all { FastHeap::inert_address() } else { heap.address() }, Ordering::Relaxed);
        // Another thread may have switched the mode meanwhile.
        if PROCESS.sees_all() == sees_all {
            return;
        }
    }
}

/// Has all threads use the fast heap that the mode in force needs: the calling thread at once, each other one from its
/// next call on.
pub(crate) fn follow_mode() {
    if let HeapAccess::Own(heap) = access() {
        choose_fast_heap(&heap);
        heap.reopen_fast_path(PROCESS.shared());
    }
    let mut last = None;
    // Waits for the spans of one heap at a time, and holds no lock meanwhile, which their holders may need.
    while let Some(heap) = PROCESS.registry.after(last) {
        if heap.address() != tls::own_heap() {
            choose_fast_heap(heap);
            heap.announce(PROCESS.shared());
        }
        last = Some(heap);
    }
}

/// Has the calls of this thread count as recursion until [`resume`], because it is about to hold all locks through a
/// fork. False if the thread is inside the allocator, so that it may hold locks already.
pub(crate) fn suspend() -> bool {
    if tls::locks() > 0 {
        return false;
    }
    match tls::own_heap() {
        NEW => tls::set_own_heap(FORKING_NEW),
        EXITED => tls::set_own_heap(FORKING_EXITED),
        _ => {
            let Some(heap) = current().filter(|heap| !heap.is_entered()) else { return false };
            core::mem::forget(HeapGuard::new(heap));
            // Another thread may drain those below, and the child must not have their locks from it.
            heap.chain().skip(1).for_each(Heap::lock_spans);
        }
    }
    true
}

/// Ends a [`suspend`] that returned true, in parent and child alike.
pub(crate) fn resume() {
    match tls::own_heap() {
        FORKING_NEW => tls::set_own_heap(NEW),
        FORKING_EXITED => tls::set_own_heap(EXITED),
        _ => {
            if let Some(heap) = current() {
                heap.chain().skip(1).for_each(Heap::unlock_spans);
                drop(HeapGuard(heap));
            }
        }
    }
}

/// In the child of a fork: notes the number by which the kernel knows this thread now. Returns its heap, if it has one.
pub(crate) fn note_copy() -> Option<&'static Heap> {
    let own = current()?;
    let id = call::thread_id();
    own.chain().for_each(|heap| heap.thread.id.set(id));
    Some(own)
}

/// The key whose destructor gives a thread's heap up. The first call makes it: the constructor's, or that of the first
/// heap. `None` if the C library had no key left then.
pub(crate) fn exit_key() -> Option<libc::pthread_key_t> {
    // Acquire pairs with the Release of the thread that made the key, below.
    match EXIT_KEY.compare_exchange(KEY_NONE, KEY_MAKING, Ordering::Acquire, Ordering::Acquire) {
        Ok(_) => {
            let mut key = 0;
            // SAFETY: `key` is a local variable; the destructor is a function of this object, which is never unloaded.
            let made = unsafe { libc::pthread_key_create(&raw mut key, Some(on_exit)) } == 0;
            // Release pairs with the Acquires of threads that use the key.
            EXIT_KEY.store(if made { key + KEY_FIRST } else { KEY_REFUSED }, Ordering::Release);
            if !made {
                diag::once(Code::NoExitKey, "pthread_key_create fails; libc serves all threads but the first");
            }
        }
        Err(KEY_MAKING) => {
            // Another thread is making it, which takes some nanoseconds. Acquire pairs with the Release above.
            while EXIT_KEY.load(Ordering::Acquire) == KEY_MAKING {
                spin();
            }
        }
        Err(_) => {}
    }
    // Acquire pairs with the Release above.
    EXIT_KEY.load(Ordering::Acquire).checked_sub(KEY_FIRST)
}

/// Has the C library call [`on_exit`] when this thread ends. False if there is no key, or no memory for its value.
fn watch_exit(heap: usize) -> bool {
    exit_key().is_some_and(|key| {
        // SAFETY: `exit_key` returned a key that exists. If the call allocates, the recursion guard has libc serve it.
        unsafe { libc::pthread_setspecific(key, core::ptr::with_exposed_provenance(heap)) == 0 }
    })
}

/// The key's destructor: gives the heap up, `EXIT_ROUNDS` rounds after its first call.
unsafe extern "C" fn on_exit(value: *mut c_void) {
    leave_parts();
    if tls::own_heap() != value.addr() {
        return;
    }
    if at_rest().is_none() {
        // A signal handler jumped out of a call, or ended the thread there. The call holds the heap's spans for ever,
        // and perhaps locks, so all that it left half done stays as it is.
        return tls::set_own_heap(EXITED);
    }
    // SAFETY: the value equals the thread's word, and `watch_exit` set it to the address of the heap.
    let heap = unsafe { Heap::at(value.addr()) };
    let round = heap.thread.exit_rounds.get();
    if round < EXIT_ROUNDS {
        heap.thread.exit_rounds.set(round + 1);
        watch_exit(value.addr());
        return;
    }
    give_up(HeapGuard::new(heap), EXITED);
}

/// Leaves all parts of named heaps that the calling thread uses, if it is outside the allocator.
pub(super) fn leave_parts() {
    while let Some(part) = at_rest().filter(|heap| heap.is_part())
        && let Some(below) = part.below()
    {
        use_heap(below);
        part.leave();
    }
}
