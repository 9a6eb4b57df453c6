//! The parts of a named heap: how threads take one each, add one, or take all to end the heap. Must not know what a part
//! is, nor how a thread works with it.
//!
//! # Invariants
//! - The thread whose word is a part's user has that part, if the part's handle is the heap's.
//! - A part stays in the list until one thread has taken all of them, and the right to add one: that thread ends the heap.
//! - A thread may have found the record, or a part, of a heap that ends meanwhile. Both stay for ever, and may be another
//!   heap's by then: so a thread looks at the handle after it took a part, or all of them.

use crate::heap::User;
use crate::pages::Pending;
use crate::process::calling::Calling;
use crate::sys::atomic::{AtomicBool, AtomicUsize, Ordering};
use crate::sys::cell::StaticRef;

/// Why a thread does not get a heap.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Unavailable {
    /// There is no such heap any more.
    Gone,
    /// Another thread uses it.
    InUse,
    /// There is no memory.
    Memory,
    /// The thread cannot use it now: it is inside the allocator, or ends, or has taken a part of the heap for a
    /// [`super::pop`], which a signal handler interrupted.
    Inside,
}

/// A part of a heap.
pub(super) trait Part: Sync + 'static {
    /// The word of the thread that has the part.
    fn user_word(&self) -> &User;
    /// The handle of the heap of which it is a part; 0 for none.
    fn handle(&self) -> usize;
    /// The next part of that heap.
    fn next(&self) -> Option<&'static Self>;
    /// Sets [`Part::next`], before another thread can find the part.
    fn set_next(&self, next: Option<&'static Self>);
}

/// The parts of the heap that has a record. All-zero bytes are those of a record without a heap.
pub(super) struct Parts<P: Part> {
    /// The handle of the heap, or of an account, which has no parts; 0 for none. Written by the thread that makes the
    /// holder, or takes it out of the table; read by any.
    handle: AtomicUsize,
    /// The newest part. Written by the thread that has `making`; read by any.
    first: StaticRef<P>,
    /// Whether a thread adds a part, or has taken all of them.
    making: AtomicBool,
    /// The thread that is in the heap's function, or ends the heap.
    pub(super) calling: Calling,
}

impl<P: Part> Parts<P> {
    /// Where `handle` is, for tools that read the process from outside.
    pub(super) const HANDLE: usize = core::mem::offset_of!(Self, handle);

    /// The handle; 0 for none.
    #[inline]
    pub(super) fn handle(&self) -> usize {
        // Acquire pairs with the Release in `begin`.
        self.handle.load(Ordering::Acquire)
    }

    /// Whether these are the parts of the heap with that handle.
    #[inline]
    pub(super) fn is(&self, handle: usize) -> bool {
        handle != 0 && self.handle() == handle
    }

    /// The newest part.
    #[inline(always)]
    pub(super) fn first(&self) -> Option<&'static P> {
        self.first.get()
    }

    /// All parts, the newest first.
    #[inline]
    pub(super) fn iter(&self) -> impl Iterator<Item = &'static P> + use<P> {
        core::iter::successors(self.first(), |part| part.next())
    }

    /// The heap with that handle begins, without parts. The rest of the record is written.
    pub(super) fn begin(&self, handle: usize) {
        // Release pairs with the Acquire in `handle`.
        self.handle.store(handle, Ordering::Release);
    }

    /// Takes a part for the thread with that word; `None` if threads have them all.
    #[inline]
    pub(super) fn take(&self, handle: usize, thread: usize) -> Option<Result<&'static P, Unavailable>> {
        self.iter().find(|part| part.user_word().take(thread)).map(|part| {
            if self.is(handle) && part.handle() == handle {
                return Ok(part);
            }
            part.user_word().leave_stale(thread);
            Err(Unavailable::Gone)
        })
    }

    /// Adds a part, which `make` makes for the calling thread. `None` if another thread adds one or ends the heap, and
    /// where the heap has a part and is not shared.
    pub(super) fn add(
        &self,
        handle: usize,
        is_shared: bool,
        make: impl FnOnce() -> Option<&'static P>,
    ) -> Option<Result<&'static P, Unavailable>> {
        let may_add = || is_shared || self.first().is_none();
        if !may_add() || !self.begin_making() {
            return None;
        }
        let added = may_add().then(|| {
            let part = if self.is(handle) { make() } else { return Err(Unavailable::Gone) };
            let part = part.ok_or(Unavailable::Memory)?;
            part.set_next(self.first());
            self.first.set(Some(part));
            Ok(part)
        });
        self.end_making();
        added
    }

    /// Takes the right to add a part; false if a thread has it.
    fn begin_making(&self) -> bool {
        // Acquire pairs with the Release in `end_making`.
        self.making.compare_exchange(false, true, Ordering::Acquire, Ordering::Relaxed).is_ok()
    }

    fn end_making(&self) {
        // Release pairs with the Acquire in `begin_making`.
        self.making.store(false, Ordering::Release);
    }

    /// Takes all parts for the thread with that word, the right to add one, and the right to call the heap's function, so
    /// that nothing else uses the heap. Nothing is taken if a thread uses it, is in its function, or ended it. Followed by
    /// [`Parts::remove`] and [`Parts::end`].
    pub(super) fn take_all(&self, handle: usize, thread: usize, pending: &Pending) -> Result<(), Unavailable> {
        if !self.begin_making() {
            return Err(Unavailable::InUse);
        }
        let is_called = !self.calling.begin(thread);
        let taken = if is_called { 0 } else { self.iter().take_while(|part| part.user_word().take(thread)).count() };
        // The record may be another heap's by now.
        let is_it = self.is(handle);
        if is_it && !is_called && taken == self.iter().count() {
            return Ok(());
        }
        self.iter().take(taken).for_each(|part| part.user_word().leave());
        if !is_called {
            self.calling.end(pending);
        }
        self.end_making();
        Err(if is_it { Unavailable::InUse } else { Unavailable::Gone })
    }

    /// Takes the handle off: it is of no use from now on. False if another thread did.
    pub(super) fn remove(&self, handle: usize) -> bool {
        // AcqRel: what this thread wrote to the heap comes before, and what it does to it after.
        self.handle.compare_exchange(handle, 0, Ordering::AcqRel, Ordering::Relaxed).is_ok()
    }

    /// Ends a heap whose parts the calling thread took, and which are another heap's, or none's, by now.
    pub(super) fn end(&self, pending: &Pending) {
        self.first.set(None);
        self.end_making();
        self.calling.end(pending);
    }

    /// Keeps the parts of which `stays` is true. For the only thread of a fork's child.
    pub(super) fn keep(&self, stays: impl Fn(&'static P) -> bool) {
        let (mut next, mut last) = (self.first(), None::<&'static P>);
        self.first.set(None);
        while let Some(part) = next {
            next = part.next();
            if stays(part) {
                match last {
                    None => self.first.set(Some(part)),
                    Some(last) => last.set_next(Some(part)),
                }
                last = Some(part);
            }
        }
        if let Some(last) = last {
            last.set_next(None);
        }
    }

    /// Ends what threads were doing that the child of a fork, which has the thread with that word, does not have.
    pub(super) fn forget_others(&self, thread: usize, pending: &Pending) {
        // Relaxed, both: the child has one thread.
        if self.making.load(Ordering::Relaxed) && self.handle.load(Ordering::Relaxed) != 0 {
            self.end_making();
        }
        self.calling.forget_other(thread, pending);
    }
}

#[cfg(all(test, loom))]
mod models;
