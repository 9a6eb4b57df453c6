//! The word that says which thread uses a part of a named heap. Must not know what a part is.
//!
//! A thread may hold on to a part of a heap that ends meanwhile, so it may take the word when the part is another heap's
//! by now. It asks which heap's it is afterwards, and gives the word back as one that may have a new user
//! ([`User::leave_stale`]).

use crate::sys::atomic::{AtomicUsize, Ordering};

/// The thread, by the address of its thread-local word; 0 for none. Any thread may take it.
#[repr(transparent)]
pub(crate) struct User(AtomicUsize);

impl User {
    /// No thread.
    #[cfg(loom)]
    pub(crate) const fn none() -> Self {
        Self(AtomicUsize::new(0))
    }

    /// The thread; 0 for none. A moment old.
    pub(crate) fn get(&self) -> usize {
        // Relaxed: for figures, and for a thread that asks whether it is that one.
        self.0.load(Ordering::Relaxed)
    }

    /// Takes the part for the thread with that word; false if a thread uses it.
    #[inline(always)]
    pub(crate) fn take(&self, thread: usize) -> bool {
        // Acquire pairs with the Release in `leave` and `leave_stale`.
        self.0.compare_exchange(0, thread, Ordering::Acquire, Ordering::Relaxed).is_ok()
    }

    /// Ends [`User::take`].
    #[inline(always)]
    pub(crate) fn leave(&self) {
        // Release pairs with the Acquire in `take`: the next thread sees what this one wrote.
        self.0.store(0, Ordering::Release);
    }

    /// Ends [`User::take`] of a thread that found another heap's part: another thread may have it already
    /// ([`User::begin`]).
    pub(crate) fn leave_stale(&self, thread: usize) {
        // Release: as in `leave`.
        let _ = self.0.compare_exchange(thread, 0, Ordering::Release, Ordering::Relaxed);
    }

    /// The part begins anew, and that thread has it.
    pub(crate) fn begin(&self, thread: usize) {
        // Relaxed: a thread that still holds on to the part sees that it has no user, and finds another handle, or it
        // sees this one.
        self.0.store(thread, Ordering::Relaxed);
    }
}
