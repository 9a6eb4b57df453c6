#![expect(unsafe_code, reason = "writes the words of other threads")]
//! The door of a heap: how others reach one whose thread does not call.
//!
//! Bins belong to the hit path of their heap's thread, which takes no lock. But a thread that sleeps in a system call is not on its
//! hit path, unless a signal interrupted it there, and that shows on its stack. So another thread may *close* the door (from then on
//! the hit path finds the inert heap, and the slow path waits for the spans), see that the thread sleeps, work on the bins as if they
//! were its own, and open the door again. Less than that is to *ring*: the thread's next call, whatever it is, takes the slow path once.
//! Must not know why.
//!
//! # Invariants
//! - The door is used only by who holds the heap's spans.
//! - The word is that of a thread that has not given up its heap: it is forgotten while the spans are held, before the thread ends.

use core::cell::Cell;

use super::front::Front;
use super::layout::Heap;
use crate::sys::atomic::{AtomicBool, AtomicUsize, Ordering, settle_stores};
use crate::sys::task::{Doing, Task};
use crate::sys::{call, tls};

/// See the module. All-zero bytes are a door that nobody comes through.
pub(super) struct Door {
    /// Where the thread keeps its word `hot`; 0 for a thread that others must leave alone. Written by the heap's thread, read by any.
    word: AtomicUsize,
    /// Where the thread's stack ends. Written with the word.
    stack_end: AtomicUsize,
    /// Whether someone who is not the heap's thread is at work on the bins.
    used: Cell<bool>,
    /// Whether somebody rang and nobody answered yet. Written by any thread.
    rung: AtomicBool,
    /// Whether the thread's next call is to take the slow path.
    open_late: Cell<bool>,
    /// When the thread last answered, in milliseconds.
    pub(super) answered: Cell<u32>,
    /// Answers since then that followed one another without a pause.
    pub(super) in_row: Cell<u32>,
    /// Flushes of late, as far as no refill came between; requests in the last watch.
    pub(super) shrinking: Cell<u32>,
    pub(super) watched: Cell<u32>,
    /// What the heap's figures came to when it was last looked at, and when it was last emptied. For whoever makes the rounds.
    pub(super) seen: Cell<u32>,
    pub(super) left: Cell<u32>,
}

impl Door {
    /// Nobody comes through any more.
    pub(super) fn forget(&self) {
        // Relaxed: the spans' lock orders it.
        self.word.store(0, Ordering::Relaxed);
        // Relaxed: a hint.
        self.rung.store(false, Ordering::Relaxed);
        self.used.set(false);
        self.open_late.set(false);
    }

    /// Whether someone else was at work on the bins, for the child of a fork.
    pub(super) fn is_used(&self) -> bool {
        self.used.get()
    }

    /// Whether the thread's last answer asked for another ring at once.
    pub(super) fn is_open_late(&self) -> bool {
        self.open_late.get()
    }

    /// The thread's word; `None` if there is none, or not the word of a thread that works on `heap`: one that ended without a trace may
    /// have left its memory to somebody else.
    fn word(&self, heap: &Heap) -> Option<&AtomicUsize> {
        // Acquire pairs with the Release in `Heap::let_others_in`.
        let address = self.word.load(Ordering::Acquire);
        if address == 0 || !call::is_readable(address) {
            return None;
        }
        // SAFETY: readable and aligned, and as long as it is a thread's word, all write it whole.
        let word = unsafe { AtomicUsize::from_ptr(core::ptr::with_exposed_provenance_mut(address)) };
        // Relaxed: see `close`.
        let value = word.load(Ordering::Relaxed);
        (value == heap.address() || value == Front::inert_address()).then_some(word)
    }
}

impl Heap {
    /// Lets other threads come to this heap of the calling thread's while it sleeps.
    pub(crate) fn let_others_in(&self) {
        let word = tls::hot_address();
        let stack_end = Task::current(self.thread.get(), word).stack_end;
        // Relaxed: the word, which is written last, publishes it.
        self.door.stack_end.store(stack_end, Ordering::Relaxed);
        // Release pairs with the Acquire in `Door::word`.
        self.door.word.store(word, Ordering::Release);
    }

    /// The thread that has this heap and lets others in.
    fn task(&self) -> Task {
        // Relaxed: the spans' lock orders both with the thread's end; with its start, the word, which is written last.
        Task { id: self.thread.get(), stack_end: self.door.stack_end.load(Ordering::Relaxed) }
    }

    /// Ends [`Heap::let_others_in`]. The caller holds the spans.
    pub(crate) fn keep_others_out(&self) {
        self.end_watch();
        self.door.forget();
    }

    /// Whether others may come at all.
    pub(crate) fn lets_others_in(&self) -> bool {
        // Relaxed: asked by the thread itself.
        self.door.word.load(Ordering::Relaxed) != 0
    }

    /// What the thread's word is while the heap is not busy.
    #[inline]
    pub(crate) fn word_at_rest(&self) -> usize {
        if self.door.open_late.get() {
            Front::inert_address()
        } else {
            // Relaxed: an address of what never goes away.
            self.hot.load(Ordering::Relaxed)
        }
    }

    /// Whether this thread's call is to do something for the whole process.
    #[inline]
    pub(crate) fn is_rung(&self) -> bool {
        // Relaxed: a hint.
        self.door.rung.load(Ordering::Relaxed)
    }

    /// Has the next call of another heap's thread take the slow path.
    pub(crate) fn ring(&self) {
        if !self.try_hold_spans() {
            return;
        }
        if let Some(word) = self.door.word(self) {
            // Relaxed: a hint.
            self.door.rung.store(true, Ordering::Relaxed);
            // Relaxed: whenever the thread sees it is soon enough. If it is just leaving the slow path, the ring is lost.
            word.store(Front::inert_address(), Ordering::Relaxed);
        }
        self.free_spans();
    }

    /// Notes that this thread answers a ring; with `again`, as if it was rung once more at once.
    pub(super) fn answer(&self, again: bool) {
        self.door.open_late.set(again);
        // Relaxed: a hint.
        self.door.rung.store(again, Ordering::Relaxed);
    }

    /// Calls `work` with the heap of another thread, bins included, if that thread sleeps; otherwise says what it does.
    pub(super) fn visit(&self, work: impl FnOnce(&Self)) -> Doing {
        if !self.try_hold_spans() {
            return Doing::Other;
        }
        let doing = self.visit_held(work);
        self.free_spans();
        doing
    }

    fn visit_held(&self, work: impl FnOnce(&Self)) -> Doing {
        let Some(word) = self.door.word(self) else { return Doing::Other };
        // Relaxed: that the thread sleeps after this is seen with the kernel's help; see `Task::doing`.
        let before = word.swap(Front::inert_address(), Ordering::Relaxed);
        let mut doing = self.task().doing();
        // Busy, it waits for us on the slow path, or was leaving that when the spans were taken. In the latter case it may also have set
        // its word since, and gone to sleep with it.
        // Relaxed: the Acquire in `is_busy` comes before.
        if doing == Doing::Sleeps && (self.is_busy() || word.load(Ordering::Relaxed) != Front::inert_address()) {
            doing = Doing::Other;
        }
        if doing == Doing::Sleeps {
            self.door.used.set(true);
            settle_stores();
            work(self);
            settle_stores();
            self.door.used.set(false);
        }
        // Release: what was done to the bins comes before. The thread's hit path reads the word without more; on x86-64 that is enough.
        word.store(before, Ordering::Release);
        doing
    }
}
