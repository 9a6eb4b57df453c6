//! Features: parts of the allocator that serve no call themselves, but have work at certain moments of the process: in
//! a slow call, at a fork, when a thread begins or ends. A feature registers functions for these; the core calls them
//! and must not name any feature.

use crate::heap::Heap;
use crate::pages::Work;
use crate::process::state::PROCESS;
use crate::sys::cell::{Flag, StaticRef};
use crate::sys::lock::Patience;

/// The functions of a feature that the core calls, where it has them: a table of functions that do nothing would cost
/// the loader a write each.
pub(crate) struct Feature {
    /// Does the work for which [`Feature::want_attention`] asked: in a slow call, after it has released the thread's
    /// heap, with no lock held.
    pub(crate) attend: Option<fn()>,
    /// Takes the feature's locks before a fork, and releases them after it: in the parent on the same thread, in the
    /// child on the copy of that thread.
    pub(crate) locks: Option<Locks>,
    /// Runs in the child of a fork, and drops the work that other threads had begun. The argument is true if the thread
    /// that forked was inside the allocator, so it may be in the middle of work of its own.
    pub(crate) in_child: Option<fn(bool)>,
    /// A thread has got its heap.
    pub(crate) thread_begins: Option<fn(&Heap)>,
    /// A thread is about to give its heap up, and still holds it.
    pub(crate) thread_ends: Option<fn(&Heap)>,
    /// The name by which the heap of the calling thread is billed may be another one by now. The thread holds the heap.
    pub(crate) name_may_differ: Option<fn(&Heap)>,
    /// Statistics are about to be taken, so names of all threads matter. The calling thread holds nothing.
    pub(crate) names_matter: Option<fn()>,
}

/// When a fork takes a feature's locks, the function that takes them, and the one that releases them.
type Locks = (Order, fn(&Patience), fn());

/// Where a feature's locks stand in the order of ranks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Order {
    /// Their holder may ask the central store for memory, so a fork takes them before its locks.
    BeforeCentral,
    /// Their rank is above those of the central store's locks, so a fork takes them after these.
    AfterCentral,
}

/// The most features that can register; each has a bit of the word of pending work.
const FEATURES_MAX: usize = 16;

/// The features that registered, in that order. Written by any thread that registers one, read by any thread. Places
/// fill from the first on, and none is ever emptied.
pub(crate) struct Features([StaticRef<Feature>; FEATURES_MAX]);

impl Feature {
    /// A feature without work, for the fields that a feature leaves out.
    pub(crate) const NONE: Self = Self {
        attend: None,
        locks: None,
        in_child: None,
        thread_begins: None,
        thread_ends: None,
        name_may_differ: None,
        names_matter: None,
    };

    /// Where a tool outside the process writes a byte, and which one, to have the next slow call of any thread call
    /// `attend`; zeroes for a feature that did not register, or stands too far back.
    pub(crate) fn outside(&'static self) -> [usize; 2] {
        let word = core::ptr::from_ref(&PROCESS.central.pages.pending).addr();
        let work = PROCESS.features.place_of(self).and_then(Work::asked_outside);
        work.map_or([0; 2], |work| [word + size_of::<u32>() - 1, (work.bit() >> (u32::BITS - u8::BITS)) as usize])
    }

    /// Has the next slow call of any thread call `attend`. A signal handler may call this. Does nothing for a feature
    /// that did not register.
    pub(crate) fn want_attention(&'static self) {
        if let Some(place) = PROCESS.features.place_of(self) {
            PROCESS.central.pages.pending.set(Work::of_feature(place));
        }
    }
}

impl Features {
    pub(super) const fn new() -> Self {
        Self([const { StaticRef::none() }; FEATURES_MAX])
    }

    /// Adds `feature`, once.
    pub(crate) fn register(&self, feature: &'static Feature) {
        let found = self.0.iter().any(|place| place.fill(feature));
        debug_assert!(found, "more features than places");
    }

    /// The features, in the order in which they registered.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &'static Feature> {
        self.0.iter().map_while(StaticRef::get)
    }

    /// Calls `attend` of each feature whose bit is set in the word of pending work.
    pub(crate) fn attend(&self) {
        let pending = &PROCESS.central.pages.pending;
        for (place, feature) in self.iter().enumerate() {
            let asked = Work::asked_outside(place as u32).is_some_and(|work| pending.take(work));
            if (pending.take(Work::of_feature(place as u32)) || asked)
                && let Some(attend) = feature.attend
            {
                attend();
            }
        }
    }

    /// Says that the calling thread has got `heap`.
    pub(super) fn thread_begins(&self, heap: &Heap) {
        self.iter().filter_map(|feature| feature.thread_begins).for_each(|begin| begin(heap));
    }

    /// Says that the calling thread, which holds `heap`, is about to give it up.
    pub(crate) fn thread_ends(&self, heap: &Heap) {
        self.iter().filter_map(|feature| feature.thread_ends).for_each(|end| end(heap));
    }

    /// Has the features drop what other threads had begun, in the child of a fork.
    pub(super) fn in_child(&self, inside: bool) {
        self.iter().filter_map(|feature| feature.in_child).for_each(|drop_work| drop_work(inside));
    }

    /// Has the name be asked for by which `heap` is billed, which the calling thread holds.
    #[cold]
    #[inline(never)]
    pub(crate) fn name_may_differ(&self, heap: &Heap) {
        self.iter().filter_map(|feature| feature.name_may_differ).for_each(|ask| ask(heap));
    }

    /// Has the names of all threads be seen, by which their heaps are billed.
    #[cold]
    #[inline(never)]
    pub(crate) fn names_matter(&self) {
        self.iter().filter_map(|feature| feature.names_matter).for_each(|see| see());
    }

    fn place_of(&self, feature: &'static Feature) -> Option<u32> {
        self.iter().position(|other| core::ptr::eq(other, feature)).map(|place| place as u32)
    }
}
