#![expect(unsafe_code, reason = "implements lock_api's unsafe trait")]
//! Locks: a futex word under `lock_api`, each with a rank.
//!
//! parking_lot's own raw mutex allocates while it parks and keeps queues of dead threads after fork; a futex word has
//! neither fault. A thread may only take a lock of higher rank than those it holds; debug builds check it. Must not
//! know what is locked.
//!
//! Each thread counts the locks that it holds, so that a handler of a signal knows whether it interrupted their holder.
//!
//! A fork takes all locks and marks each as its own, so that it releases those and no others. If a fork could not be
//! prepared, its child may have a lock whose holder does not exist there. A thread that has waited for long checks for
//! that, and does not wait for ever.

use core::cell::Cell;
use core::mem::ManuallyDrop;
use core::ops::{Deref, DerefMut};

use lock_api::{GuardSend, RawMutex, RawMutexTimed};

use super::atomic::{AtomicBool, AtomicU32, Ordering, spin};
use super::cell::SetOnce;
use super::{call, tls};

/// The order in which locks may be taken, lowest first. Fork takes all of them in this order.
///
/// The holder of a lock makes no system call but those that are named here; it may also take locks of higher rank,
/// and make the system calls that those allow.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
#[repr(u32)]
pub(crate) enum Rank {
    /// The registry of heaps. The adoption of orphans works on all that heaps share, and so may purge and read the
    /// clock.
    Registry,
    /// The heap profile. None.
    Profile,
    /// The table of the holders of bills. None.
    Holders,
    /// One class's central list. None.
    CentralList,
    /// Changes of the table of direct mappings. `mremap` of a block: between the move and its note the old address may
    /// become another block's.
    Direct,
    /// Which large blocks are on which bills. As for page runs: a block that grows takes what lies behind it.
    Bills,
    /// Page runs. Those that make an area larger: a commit, and advice on huge pages and core dumps.
    Runs,
    /// The pool of empty batches. None.
    Batches,
    /// Metadata storage. As for page runs.
    Metadata,
    /// The functions of mode `custom`. None.
    Providers,
    /// The quarantine of large blocks of mode `hardened`: its entries are mapped. The pool of mode `guarded`: pages are
    /// committed, protected and purged.
    Reserve,
    /// A mode's notes about blocks. A table that grows is mapped anew.
    Ledger,
}

const FREE: u32 = 0;
const HELD: u32 = 1;
const AWAITED: u32 = 2;
const SPINS: u32 = 64;
/// A thread that has waited for so many nanoseconds asks whether the holder can exist.
const LONG: u64 = 100_000_000;

/// The process whose threads hold locks, by the kernel's number; 0 before the first is noted. Written by a process's
/// first thread, and by threads that start, before they take a lock.
static PROCESS: AtomicU32 = AtomicU32::new(0);
/// Called when the holder of a lock is gone and nothing can release it. Set once, before `PROCESS`.
static WHEN_LOST: SetOnce<fn() -> !> = SetOnce::new();

/// Sets the function that a thread calls when it waits for a lock whose holder a fork left behind.
///
/// # Safety
/// - Called once, before [`note_process`].
pub(crate) unsafe fn when_lost(act: fn() -> !) {
    // SAFETY: called once, and nothing reads it before a process is noted.
    unsafe { WHEN_LOST.set(act) };
}

/// Notes that threads of this process hold locks from here on. The caller holds none.
pub(crate) fn note_process() {
    let process = call::process_id();
    // Relaxed: a thread of the same process finds the same number; Release for `WHEN_LOST`, pairs with the Acquire in
    // `ask_for_holder`.
    if PROCESS.load(Ordering::Relaxed) != process {
        PROCESS.store(process, Ordering::Release);
    }
}

/// Comes back if the holder of a lock may exist. In a child that no fork handler saw, the only thread is the one that
/// waits.
#[cold]
pub(crate) fn ask_for_holder() {
    // Acquire pairs with the Release in `note_process`.
    let noted = PROCESS.load(Ordering::Acquire);
    if noted != 0 && noted != call::process_id() {
        // SAFETY: it was set before a process was noted.
        let act = unsafe { WHEN_LOST.get() };
        act();
    }
}

/// A futex word: free, held, or held with sleepers. Written by any thread; Drepper's second mutex ("Futexes are
/// tricky").
pub(crate) struct Futex(AtomicU32);

// SAFETY: `lock` returns only after a Free -> Held transition of this thread, so at most one thread holds it.
unsafe impl RawMutex for Futex {
    const INIT: Self = Self(AtomicU32::new(FREE));
    type Guard = GuardSend;

    #[inline]
    fn lock(&self) -> GuardSend {
        self.try_lock().unwrap_or_else(|| self.lock_slow())
    }

    #[inline]
    fn try_lock(&self) -> Option<GuardSend> {
        // Acquire pairs with the Release in `unlock`.
        self.0.compare_exchange(FREE, HELD, Ordering::Acquire, Ordering::Relaxed).is_ok().then(GuardSend::new)
    }

    #[inline]
    unsafe fn unlock(&self, _: GuardSend) {
        // Release pairs with the Acquire in `try_lock` and `lock_slow`.
        if self.0.swap(FREE, Ordering::Release) == AWAITED {
            wake(&self.0);
        }
    }

    fn is_locked(&self) -> bool {
        // Relaxed: a hint.
        self.0.load(Ordering::Relaxed) != FREE
    }
}

impl Futex {
    #[cold]
    #[inline(never)]
    fn lock_slow(&self) -> GuardSend {
        for _ in 0..SPINS {
            spin();
            if let Some(guard) = self.try_lock() {
                return guard;
            }
        }
        // Acquire pairs with the Release in `unlock`.
        let mut begun = 0;
        while self.0.swap(AWAITED, Ordering::Acquire) != FREE {
            begun = wait_again(&self.0, begun);
        }
        GuardSend::new()
    }
}

// SAFETY: as for `RawMutex`: true is returned only after a Free -> Held transition of this thread.
unsafe impl RawMutexTimed for Futex {
    /// Nanoseconds.
    type Duration = u64;
    /// Nanoseconds of `call::nanoseconds`.
    type Instant = u64;

    fn try_lock_for(&self, nanoseconds: u64) -> Option<GuardSend> {
        self.try_lock().or_else(|| self.try_lock_until(call::nanoseconds().saturating_add(nanoseconds)))
    }

    #[cold]
    fn try_lock_until(&self, end: u64) -> Option<GuardSend> {
        // Acquire pairs with the Release in `unlock`. A waiter that gives up leaves the word awaited, which costs one
        // wake in vain.
        while self.0.swap(AWAITED, Ordering::Acquire) != FREE {
            let now = call::nanoseconds();
            if now >= end {
                return None;
            }
            wait_for(&self.0, end - now);
        }
        Some(GuardSend::new())
    }
}

/// Waits for a while; when the waiting began, in nanoseconds.
#[cfg(not(loom))]
fn wait_again(word: &AtomicU32, begun: u64) -> u64 {
    wait_for(word, LONG);
    let now = call::nanoseconds();
    if begun != 0 && now - begun >= LONG {
        ask_for_holder();
    }
    if begun == 0 { now } else { begun }
}

#[cfg(not(loom))]
fn wait_for(word: &AtomicU32, nanoseconds: u64) {
    call::futex_wait_for(word.as_ptr(), AWAITED, nanoseconds);
}

#[cfg(not(loom))]
fn wake(word: &AtomicU32) {
    call::futex_wake(word.as_ptr());
}

#[cfg(loom)]
fn wait_again(_: &AtomicU32, begun: u64) -> u64 {
    loom::thread::yield_now();
    begun
}

#[cfg(loom)]
fn wait_for(_: &AtomicU32, _: u64) {
    loom::thread::yield_now();
}

#[cfg(loom)]
fn wake(_: &AtomicU32) {
    let _ = (call::futex_wake, call::futex_wait, call::futex_wait_for, ask_for_holder, LONG);
}

/// A value behind a ranked lock. All-zero bytes are a free one, so that locks need no place in the file of the library.
pub(crate) struct Lock<T> {
    inner: lock_api::Mutex<Futex, T>,
    /// Whether a fork holds it. For the thread that forks, and its copy.
    forking: AtomicBool,
    place: Place,
}

/// Access to the value of a [`Lock`] while it is held.
pub(crate) struct Guard<'a, T> {
    inner: ManuallyDrop<lock_api::MutexGuard<'a, Futex, T>>,
    place: Place,
}

impl<T> Lock<T> {
    /// A free lock.
    pub(crate) const fn new(rank: Rank, value: T) -> Self {
        let inner = lock_api::Mutex::from_raw(<Futex as RawMutex>::INIT, value);
        Self { inner, forking: AtomicBool::new(false), place: Place::of(rank) }
    }

    /// Takes the lock.
    #[inline]
    pub(crate) fn lock(&self) -> Guard<'_, T> {
        self.place.take_in_order();
        tls::count_lock();
        Guard { inner: ManuallyDrop::new(self.inner.lock()), place: self.place }
    }

    /// The address of the value, for a reader in another process.
    pub(crate) fn value_address(&self) -> usize {
        self.inner.data_ptr().expose_provenance()
    }

    /// Takes the lock if it is free. The order does not matter, because this does not wait.
    pub(crate) fn try_lock(&self) -> Option<Guard<'_, T>> {
        tls::count_lock();
        let Some(inner) = self.inner.try_lock() else {
            tls::count_unlock();
            return None;
        };
        self.place.take();
        Some(Guard { inner: ManuallyDrop::new(inner), place: self.place })
    }

    /// Takes the lock for the time of a fork, if it can be had in time; [`Lock::unlock_after_fork`] gives it back, in
    /// parent and child alike.
    pub(crate) fn lock_for_fork(&self, patience: &Patience) {
        let guard = self.inner.try_lock().or_else(|| self.inner.try_lock_until(patience.end));
        match guard {
            Some(guard) => {
                core::mem::forget(guard);
                // Relaxed: only the thread that forks asks.
                self.forking.store(true, Ordering::Relaxed);
            }
            None => patience.missed.set(true),
        }
    }

    /// Ends [`Lock::lock_for_fork`]; does nothing if that did not get the lock.
    pub(crate) fn unlock_after_fork(&self) {
        // Relaxed: as above.
        if self.forking.swap(false, Ordering::Relaxed) {
            // SAFETY: `lock_for_fork` took the lock and forgot the guard, so nothing refers to the value; of all calls
            // one finds `forking`.
            unsafe { self.inner.force_unlock(GuardSend::new()) };
        }
    }
}

/// How long a fork waits for locks, all in all.
pub(crate) struct Patience {
    end: u64,
    missed: Cell<bool>,
}

impl Patience {
    /// Until so many nanoseconds from now.
    pub(crate) fn of(nanoseconds: u64) -> Self {
        Self { end: call::nanoseconds() + nanoseconds, missed: Cell::new(false) }
    }

    /// Takes a lock by itself; false if it cannot be had in time.
    pub(crate) fn lock(&self, lock: &Futex) -> bool {
        lock.try_lock().or_else(|| lock.try_lock_until(self.end)).is_some()
    }

    /// Whether a lock could not be had.
    pub(crate) fn missed(&self) -> bool {
        self.missed.get()
    }
}

impl<T> Deref for Guard<'_, T> {
    type Target = T;
    fn deref(&self) -> &T {
        &self.inner
    }
}

impl<T> DerefMut for Guard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.inner
    }
}

impl<T> Drop for Guard<'_, T> {
    fn drop(&mut self) {
        self.place.give_back();
        // SAFETY: the guard is dropped here alone, and not used any more.
        unsafe { ManuallyDrop::drop(&mut self.inner) };
        tls::count_unlock();
    }
}

/// A lock's place in the order. Debug builds check it; others, and models, know nothing of it.
#[derive(Clone, Copy)]
struct Place {
    #[cfg(all(debug_assertions, not(loom)))]
    rank: Rank,
}

#[cfg(all(debug_assertions, not(loom)))]
impl Place {
    const fn of(rank: Rank) -> Self {
        Self { rank }
    }

    fn take_in_order(self) {
        let held = tls::held_ranks();
        assert!(held >> (self.rank as u32) == 0, "lock order: {:?} while holding {held:#b}", self.rank);
        self.take();
    }

    fn take(self) {
        tls::set_held_ranks(tls::held_ranks() | 1 << (self.rank as u32));
    }

    fn give_back(self) {
        tls::set_held_ranks(tls::held_ranks() & !(1 << (self.rank as u32)));
    }
}

#[cfg(any(not(debug_assertions), loom))]
impl Place {
    const fn of(_: Rank) -> Self {
        Self {}
    }

    fn take_in_order(self) {}

    fn take(self) {}

    fn give_back(self) {}
}

#[cfg(all(test, not(loom)))]
mod tests;

#[cfg(all(test, loom))]
mod models;
