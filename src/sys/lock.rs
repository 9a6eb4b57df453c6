#![expect(unsafe_code, reason = "implements lock_api's unsafe trait")]
//! Locks: a futex word under `lock_api`, each with a rank.
//!
//! parking_lot's own raw mutex allocates while it parks and keeps queues of dead threads after fork; a futex word has neither
//! fault. A thread may only take a lock of higher rank than those it holds; debug builds check it. Must not know what is locked.

use core::ops::{Deref, DerefMut};

use lock_api::{GuardSend, RawMutex};

use super::atomic::{AtomicU32, Ordering, spin};
use super::call;

/// The order in which locks may be taken, lowest first. Fork takes all of them in this order.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
#[repr(u32)]
pub(crate) enum Rank {
    /// The registry of heaps.
    Registry,
    /// The heap profile.
    Profile,
    /// One class's depot and transfer cache.
    Shelf,
    /// The list of direct mappings.
    Direct,
    /// Page runs.
    Runs,
    /// The pool of empty batches.
    Batches,
    /// Metadata storage.
    Metadata,
    /// The functions of mode `custom`.
    Makers,
    /// What a hardened heap keeps back.
    Reserve,
    /// A mode's notes about blocks.
    Ledger,
    /// Call stacks.
    Stacks,
}

const FREE: u32 = 0;
const HELD: u32 = 1;
const AWAITED: u32 = 2;
const SPINS: u32 = 64;

/// A futex word: free, held, or held with sleepers. Written by any thread; Drepper's second mutex ("Futexes are tricky").
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
        while self.0.swap(AWAITED, Ordering::Acquire) != FREE {
            wait(&self.0);
        }
        GuardSend::new()
    }
}

#[cfg(not(loom))]
fn wait(word: &AtomicU32) {
    call::futex_wait(word.as_ptr(), AWAITED);
}

#[cfg(not(loom))]
fn wake(word: &AtomicU32) {
    call::futex_wake(word.as_ptr());
}

#[cfg(loom)]
fn wait(_: &AtomicU32) {
    loom::thread::yield_now();
}

#[cfg(loom)]
fn wake(_: &AtomicU32) {
    let _ = call::futex_wake;
    let _ = call::futex_wait;
}

/// A value behind a ranked lock. All-zero bytes are a free one, so that locks need no place in the file of the library.
pub(crate) struct Lock<T> {
    inner: lock_api::Mutex<Futex, T>,
    place: Place,
}

/// Access to the value of a [`Lock`] while it is held.
pub(crate) struct Guard<'a, T> {
    inner: lock_api::MutexGuard<'a, Futex, T>,
    place: Place,
}

impl<T> Lock<T> {
    /// A free lock.
    pub(crate) const fn new(rank: Rank, value: T) -> Self {
        Self { inner: lock_api::Mutex::from_raw(<Futex as RawMutex>::INIT, value), place: Place::of(rank) }
    }

    /// Takes the lock.
    #[inline]
    pub(crate) fn lock(&self) -> Guard<'_, T> {
        self.place.take_in_order();
        Guard { inner: self.inner.lock(), place: self.place }
    }

    /// Where the value lies, for those who read it from outside.
    pub(crate) fn value_address(&self) -> usize {
        self.inner.data_ptr().expose_provenance()
    }

    /// Takes the lock if nobody holds it. The order does not matter to who does not wait.
    pub(crate) fn try_lock(&self) -> Option<Guard<'_, T>> {
        let inner = self.inner.try_lock()?;
        self.place.take();
        Some(Guard { inner, place: self.place })
    }

    /// Takes the lock for the time of a fork; [`Lock::unlock_after_fork`] gives it back, in parent and child alike.
    pub(crate) fn lock_for_fork(&self) {
        core::mem::forget(self.inner.lock());
    }

    /// Ends [`Lock::lock_for_fork`].
    ///
    /// # Safety
    /// - The calling thread, or the thread it was copied from, took the lock with `lock_for_fork`.
    pub(crate) unsafe fn unlock_after_fork(&self) {
        // SAFETY: the caller vouches that the lock is held on its behalf.
        unsafe { self.inner.force_unlock(GuardSend::new()) };
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
        let held = super::tls::held_ranks();
        assert!(held >> (self.rank as u32) == 0, "lock order: {:?} while holding {held:#b}", self.rank);
        self.take();
    }

    fn take(self) {
        super::tls::set_held_ranks(super::tls::held_ranks() | 1 << (self.rank as u32));
    }

    fn give_back(self) {
        super::tls::set_held_ranks(super::tls::held_ranks() & !(1 << (self.rank as u32)));
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

#[cfg(all(test, loom))]
mod models {
    use super::*;
    use loom::sync::Arc;
    use loom::thread;
    use std::vec::Vec;

    #[test]
    fn loom_one_thread_at_a_time_holds_a_lock() {
        loom::model(|| {
            let shared = Arc::new((Lock::new(Rank::Runs, 0_u32), loom::cell::UnsafeCell::new(0_u32)));
            drop(shared.0.lock());
            let adders: Vec<_> = (0..2)
                .map(|_| {
                    let shared = shared.clone();
                    thread::spawn(move || {
                        let mut value = shared.0.lock();
                        // SAFETY: loom checks that nobody else has access.
                        shared.1.with_mut(|inner| unsafe { *inner += 1 });
                        *value += 1;
                    })
                })
                .collect();
            for adder in adders {
                adder.join().expect("no panic");
            }
            assert_eq!(*shared.0.lock(), 2);
        });
    }
}
