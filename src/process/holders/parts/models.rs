#![expect(unsafe_code, reason = "models access loom cells")]
//! Models of the parts of a heap: its use beside its end, in every interleaving.

use super::*;
use crate::sys::cell::Relaxed;
use loom::cell::UnsafeCell;
use loom::sync::{Arc, Mutex};
use loom::thread;
use std::boxed::Box;
use std::vec::Vec;

/// The words of two threads, and the handles of two heaps that are made one after the other.
const THREADS: [usize; 2] = [8, 16];
const HEAP: usize = 1;
const LATER: usize = 2;

struct ModelPart {
    user: User,
    handle: Relaxed<AtomicUsize>,
    next: StaticRef<Self>,
    /// Only the thread that has the part may use it.
    blocks: UnsafeCell<u32>,
}

// SAFETY: loom checks that threads use the cell one after the other.
unsafe impl Sync for ModelPart {}

impl Part for ModelPart {
    fn user_word(&self) -> &User {
        &self.user
    }

    fn handle(&self) -> usize {
        self.handle.get()
    }

    fn next(&self) -> Option<&'static Self> {
        self.next.get()
    }

    fn set_next(&self, next: Option<&'static Self>) {
        self.next.set(next);
    }
}

impl ModelPart {
    fn new() -> &'static Self {
        let handle = Relaxed::<AtomicUsize>::new(0);
        let part = Self { user: User::none(), handle, next: StaticRef::none(), blocks: UnsafeCell::new(0) };
        // Every atomic that both threads use is there before the second one, here and below.
        assert!(part.user.get() == 0 && part.handle() == 0 && part.next().is_none());
        Box::leak(Box::new(part))
    }

    /// Works with the part, which the calling thread took as one of that heap.
    fn work(&self, handle: usize) {
        assert_eq!(self.handle(), handle, "the part is another heap's");
        // SAFETY: the thread has the part; loom checks that no other uses it.
        self.blocks.with_mut(|blocks| unsafe { *blocks += 1 });
    }
}

/// Two records, of which the first has a heap, and the parts that no heap has.
struct Model {
    records: [Parts<ModelPart>; 2],
    free: Mutex<Vec<&'static ModelPart>>,
    pending: Pending,
    is_shared: bool,
    /// Used by the heap's function, and by the thread that ends the heap.
    context: UnsafeCell<u32>,
}

// SAFETY: as of a part.
unsafe impl Sync for Model {}
// SAFETY: as above.
unsafe impl Send for Model {}

impl Model {
    fn new(is_shared: bool, parts: usize) -> Arc<Self> {
        let record = || {
            let calling = Calling::of_model();
            let making = AtomicBool::new(false);
            let parts = Parts { handle: AtomicUsize::new(0), first: StaticRef::none(), making, calling };
            assert!(parts.first().is_none() && !parts.making.load(Ordering::Relaxed) && parts.handle() == 0);
            parts
        };
        let free = Mutex::new((0..parts).map(|_| ModelPart::new()).collect());
        let context = UnsafeCell::new(0);
        let model = Self { records: [record(), record()], free, pending: Pending::new(), is_shared, context };
        assert!(!model.pending.any());
        model.records[0].begin(HEAP);
        Arc::new(model)
    }

    /// With a part already, which no thread uses.
    fn used(is_shared: bool, parts: usize) -> Arc<Self> {
        let model = Self::new(is_shared, parts);
        assert_eq!(model.use_from(0, HEAP, THREADS[0]), Ok(()));
        model
    }

    fn make(&self, handle: usize, thread: usize) -> Option<&'static ModelPart> {
        // As `Registry::acquire_part`.
        let part = self.free.lock().expect("no panic").pop()?;
        part.handle.set(handle);
        part.user.begin(thread);
        Some(part)
    }

    fn release(&self, part: &'static ModelPart) {
        let mut free = self.free.lock().expect("no panic");
        // As `Heap::forget_name`.
        part.handle.set(0);
        part.next.set(None);
        part.user.leave();
        free.push(part);
    }

    /// The thread uses the heap, as one that asks once for it.
    fn use_from(&self, record: usize, handle: usize, thread: usize) -> Result<(), Unavailable> {
        let parts = &self.records[record];
        let taken = parts.take(handle, thread);
        let taken = taken.or_else(|| parts.add(handle, self.is_shared, || self.make(handle, thread)));
        let part = taken.unwrap_or(Err(Unavailable::InUse))?;
        part.work(handle);
        part.user.leave();
        Ok(())
    }

    /// As `usage::pop`.
    fn pop(&self, handle: usize, thread: usize) -> Result<(), Unavailable> {
        let Some(part) = self.records[0].first() else { return Err(Unavailable::InUse) };
        if !part.user.take(thread) {
            return Err(Unavailable::InUse);
        }
        if part.handle() != handle {
            part.user.leave_stale(thread);
            return Err(Unavailable::Gone);
        }
        part.work(handle);
        part.user.leave();
        Ok(())
    }

    fn use_context(&self) {
        // SAFETY: the thread has the right to call the function; loom checks that no other uses the cell.
        self.context.with_mut(|context| unsafe { *context += 1 });
    }

    /// As `control::heaps::end`.
    fn end(&self, record: usize, handle: usize, thread: usize) -> Result<(), Unavailable> {
        let parts = &self.records[record];
        parts.take_all(handle, thread, &self.pending)?;
        assert!(parts.remove(handle), "one thread at a time ends a heap");
        self.use_context();
        let mut next = parts.first();
        while let Some(part) = next {
            next = part.next();
            part.work(handle);
            self.release(part);
        }
        parts.end(&self.pending);
        Ok(())
    }

    /// Whether all is as if no thread had ever used the heap or ended it, when both have done their work: it can be used
    /// and ended if it is there.
    fn is_usable(&self, record: usize, handle: usize) -> bool {
        let used = self.use_from(record, handle, THREADS[0]);
        used == self.end(record, handle, THREADS[0]) && used == Ok(())
    }
}

type Outcome = Result<(), Unavailable>;

/// Does `one` and `other` in a thread each, at the same time.
fn both(model: &Arc<Model>, one: fn(&Model) -> Outcome, other: fn(&Model) -> Outcome) -> (Outcome, Outcome) {
    let second = {
        let model = model.clone();
        thread::spawn(move || other(&model))
    };
    (one(model), second.join().expect("no panic"))
}

/// A heap of which one thread uses a part, by `using`, and which another one ends.
fn use_beside_end(model: fn() -> Arc<Model>, using: fn(&Model) -> Outcome) {
    loom::model(move || {
        let model = model();
        let (used, ended) = both(&model, using, |model| model.end(0, HEAP, THREADS[1]));
        match ended {
            Ok(()) => assert_ne!(used, Err(Unavailable::Memory)),
            Err(why) => assert_eq!((why, used), (Unavailable::InUse, Ok(()))),
        }
        assert_eq!(model.is_usable(0, HEAP), ended.is_err());
    });
}

#[test]
fn loom_a_heap_is_used_or_it_ends() {
    use_beside_end(|| Model::used(false, 1), |model| model.use_from(0, HEAP, THREADS[0]));
}

#[test]
fn loom_a_heap_gets_its_first_part_or_it_ends() {
    use_beside_end(|| Model::new(false, 1), |model| model.use_from(0, HEAP, THREADS[0]));
}

#[test]
fn loom_a_call_that_names_a_heap_uses_it_or_it_ends() {
    use_beside_end(|| Model::used(false, 1), |model| model.pop(HEAP, THREADS[0]));
}

#[test]
fn loom_a_heap_has_its_function_called_or_it_ends() {
    use_beside_end(
        || Model::used(false, 1),
        |model| {
            let mut called = Err(Unavailable::Gone);
            model.records[0].calling.call(THREADS[0], &model.pending, || {
                model.use_context();
                called = Ok(());
            });
            called
        },
    );
}

#[test]
fn loom_one_of_two_threads_ends_a_heap() {
    loom::model(|| {
        let model = Model::used(false, 1);
        let (one, other) = both(&model, |model| model.end(0, HEAP, THREADS[0]), |model| model.end(0, HEAP, THREADS[1]));
        assert!(one.is_ok() != other.is_ok(), "{one:?}, {other:?}");
        assert!(!model.is_usable(0, HEAP), "the heap is gone");
    });
}

#[test]
fn loom_two_threads_share_a_heap() {
    loom::model(|| {
        let model = Model::used(true, 2);
        let (one, other) =
            both(&model, |model| model.use_from(0, HEAP, THREADS[0]), |model| model.use_from(0, HEAP, THREADS[1]));
        assert_eq!((one, other), (Ok(()), Ok(())), "each finds a part or adds one");
        assert!(model.is_usable(0, HEAP) && model.free.lock().expect("no panic").len() == 2, "a part is lost");
    });
}

/// Ends the heap, makes a later one in that record, and uses it, beside a thread that does `stale` with the first one.
fn stale_beside_later(record: usize, stale: fn(&Model) -> Outcome) {
    loom::model(move || {
        let model = Model::used(false, 1);
        let renew: fn(&Model) -> Outcome = if record == 0 { renew::<0> } else { renew::<1> };
        let (renewed, used) = both(&model, renew, stale);
        if renewed == Err(Unavailable::Gone) {
            // The first heap was in use when it was to end.
            assert_eq!(used, Ok(()));
            return assert!(model.is_usable(0, HEAP));
        }
        assert!(model.is_usable(record, LATER), "the later heap cannot be used, or does not end");
        assert!(!model.is_usable(0, HEAP));
    });
}

/// `Gone` if the first heap does not end.
fn renew<const RECORD: usize>(model: &Model) -> Outcome {
    model.end(0, HEAP, THREADS[0]).map_err(|_| Unavailable::Gone)?;
    model.records[RECORD].begin(LATER);
    // A thread with a stale handle may have the part, or the right to add one, for a moment.
    let _ = model.use_from(RECORD, LATER, THREADS[0]);
    Ok(())
}

#[test]
fn loom_a_thread_does_not_use_the_next_heap_with_that_record() {
    stale_beside_later(0, |model| model.use_from(0, HEAP, THREADS[1]));
}

#[test]
fn loom_a_thread_does_not_use_another_heap_with_that_part() {
    stale_beside_later(1, |model| model.use_from(0, HEAP, THREADS[1]));
}

#[test]
fn loom_a_call_does_not_use_another_heap_with_that_part() {
    stale_beside_later(1, |model| model.pop(HEAP, THREADS[1]));
}

#[test]
fn loom_a_thread_does_not_end_the_next_heap_with_that_record() {
    loom::model(|| {
        let model = Model::used(false, 1);
        let (renewed, ended) = both(&model, renew::<0>, |model| model.end(0, HEAP, THREADS[1]));
        assert!(renewed.is_ok() != ended.is_ok(), "one of both ends the first heap");
        assert_eq!(model.is_usable(0, LATER), renewed.is_ok(), "the later heap cannot be used, or does not end");
        assert!(!model.is_usable(0, HEAP));
    });
}
