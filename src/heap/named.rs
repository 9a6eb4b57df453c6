//! Heaps that a program makes: a *named heap* is one or more heaps like those of threads, its parts, which threads use
//! in turn. All that its spans hold is on one bill ([`crate::central::Bill`]). A thread's own heap may have a bill,
//! too.
//!
//! # Invariants
//! - A block of a part is live, in a bin of that part, in its inbox, in another heap's batch for it, or deferred: parts
//!   take no spans and batches that another heap had, so no other bin holds their blocks. Destroying a named heap
//!   removes its blocks from these places, and releases its spans without reading blocks.
//! - One thread at a time uses a part: the one that `user` names.
//! - In the child of a fork a part belongs to the child, unless another thread was inside the part at the fork.

use core::cell::Cell;
use core::mem::offset_of;

use super::generation;
use super::layout::{Heap, bytes_of};
use super::offer::NAME;
use super::user::User;
use crate::base::class::Class;
use crate::central::{Bill, Central};
use crate::sys::atomic::{AtomicUsize, Ordering};
use crate::sys::cell::{Relaxed, StaticRef};
use crate::sys::tls;

/// The properties of a heap beyond that of a thread. All-zero bytes are a thread's heap without a bill.
pub(super) struct Named {
    /// The bill of its spans and large blocks. Written by the heap's thread while it holds the spans, and before any
    /// thread has the heap; read by threads that hold the spans.
    pub(super) bill: StaticRef<Bill>,
    /// The handle of the named heap that this is a part of; 0 for heaps of threads. Written as `bill`; read by any thread.
    pub(super) handle: Relaxed<AtomicUsize>,
    /// The thread that uses this part.
    pub(super) user: User,
    /// The heap that this thread used before. Written and read by the user.
    below: StaticRef<Heap>,
    /// The next part of the same named heap. Written before that can be found.
    next: StaticRef<Heap>,
    /// Of the heap of a thread that is billed by a name: slow events until the name is asked for again, how many there are
    /// between two questions now, and the most. Written and read by the heap's thread.
    until_asked: Cell<u32>,
    between: Cell<u32>,
    between_max: Cell<u32>,
}

impl Named {
    /// Offsets of bill, handle and user.
    pub(super) const OFFSETS: [usize; 3] = [offset_of!(Self, bill), offset_of!(Self, handle), offset_of!(Self, user)];
}

impl Heap {
    /// The next part of the same named heap.
    pub(crate) fn next_part(&self) -> Option<&'static Self> {
        self.named.next.get()
    }

    /// Sets [`Heap::next_part`], before the heap is one of those parts.
    pub(crate) fn set_next_part(&self, next: Option<&'static Self>) {
        self.named.next.set(next);
    }

    /// The heap that the calling thread, which uses this part, used before.
    pub(crate) fn below(&self) -> Option<&'static Self> {
        self.named.below.get()
    }

    /// Sets [`Heap::below`].
    pub(crate) fn set_below(&self, below: Option<&'static Self>) {
        self.named.below.set(below);
    }

    /// The thread that uses this part, by the address of its word; 0 for none. A moment old.
    pub(crate) fn user(&self) -> usize {
        self.named.user.get()
    }

    /// The word of [`Heap::user`].
    #[inline(always)]
    pub(crate) fn user_word(&self) -> &User {
        &self.named.user
    }

    /// Takes this part for the thread with that word; false if a thread uses it.
    #[inline(always)]
    pub(crate) fn take_for(&self, thread: usize) -> bool {
        self.named.user.take(thread)
    }

    /// Ends [`Heap::take_for`] of a thread that used this part, and uses another heap by now.
    pub(crate) fn leave(&self) {
        self.named.below.set(None);
        self.end_pop();
    }

    /// Ends [`Heap::take_for`] of a thread that went on using another heap.
    pub(crate) fn end_pop(&self) {
        self.named.user.leave();
    }

    /// Ends [`Heap::take_for`] of a thread that found another heap's part: that may be one of yet another heap by now, and a
    /// thread's that uses it.
    #[cold]
    pub(crate) fn leave_stale(&self) {
        self.named.user.leave_stale(tls::word_address());
    }

    /// Makes this heap, which no thread has, a part of the named heap with that handle, for the thread with that word.
    pub(super) fn become_part(&self, handle: usize, bill: &'static Bill, thread: usize) {
        self.named.bill.set(Some(bill));
        self.named.handle.set(handle);
        self.named.user.begin(thread);
        // Relaxed: no other thread uses the part yet.
        self.generation.store(generation::ANY, Ordering::Relaxed);
    }

    /// Makes this heap, which is about to have no thread, one like all others.
    pub(super) fn forget_name(&self) {
        if let Some(bill) = self.bill().filter(|_| !self.is_part()) {
            bill.drop_heap(0);
        }
        self.named.bill.set(None);
        self.named.handle.set(0);
        self.named.below.set(None);
        self.named.next.set(None);
        self.named.user.leave();
    }

    /// Has this heap, which is a thread's, be on `bill` from now on, with all that its spans hold. The caller holds the
    /// spans.
    #[cold]
    #[inline(never)]
    pub(crate) fn bill_to(&self, bill: &'static Bill, central: &Central) {
        let space = central.pages.space();
        let spans_of = |class| self.spans(class).partial.iter(space).chain(self.spans(class).full.iter(space)).count();
        let held = Class::all().map(|class| spans_of(class) * bytes_of(class)).sum();
        bill.add_heap(held, &central.pages.pending);
        if let Some(before) = self.bill() {
            before.drop_heap(held);
        }
        self.named.bill.set(Some(bill));
    }

    /// Has the first slow events, and then every `most`th, ask for the name by which this heap is billed. For its thread.
    pub(crate) fn ask_for_name(&self, most: u32) {
        self.named.until_asked.set(1);
        self.named.between.set(1);
        self.named.between_max.set(most);
    }

    /// Counts a slow event of a heap with a bill.
    #[cold]
    #[inline(never)]
    pub(super) fn count_down_to_name(&self) {
        let (left, between) = (self.named.until_asked.get(), self.named.between.get());
        if left > 1 || between == 0 {
            return self.named.until_asked.set(left.saturating_sub(1));
        }
        self.named.until_asked.set(between);
        self.named.between.set(between.saturating_mul(2).min(self.named.between_max.get()));
        self.set_pending(NAME, true);
    }

    /// Whether the name is to be asked for now; not again then.
    pub(crate) fn take_question(&self) -> bool {
        self.take_pending(NAME)
    }

    /// Does `work` with the spans of this heap held, if no thread holds them.
    pub(crate) fn with_spans(&self, work: impl FnOnce()) {
        if self.try_lock_spans() {
            work();
            self.unlock_spans();
        }
    }

    /// In the child of a fork, before its generation begins: has this part, which a thread may have used that the child
    /// does not have, be free for use; false if it may not stay, or the fork caught a thread inside it, so that it is an
    /// orphan from now on.
    pub(crate) fn outlive_user(&self, stays: bool) -> bool {
        if !stays || self.is_torn() {
            self.belong_to_process();
            return false;
        }
        if self.user() != 0 {
            self.outbox.end_join();
            self.leave();
        }
        true
    }

    /// Whether a thread is inside this heap. For the child of a fork, which may not have that thread.
    pub(crate) fn is_torn(&self) -> bool {
        self.is_entered() || self.has_spans_locked()
    }

    /// The heaps that the calling thread uses, this one first: parts, and its own last.
    pub(crate) fn chain(&'static self) -> impl Iterator<Item = &'static Self> {
        core::iter::successors(Some(self), |heap| heap.below())
    }
}
