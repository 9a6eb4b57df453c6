//! Features: what is not part of serving a call, but wants to be called at some moments of the process. A feature registers; the core does
//! not name it.

use crate::heap::Heap;
use crate::pages::Work;
use crate::process::state::PROCESS;
use crate::sys::cell::StaticRef;
use crate::sys::lock::Patience;

/// What a feature wants to be called for. What it does not say is nothing.
pub(crate) struct Feature {
    /// Does the work for which [`Feature::want_attention`] asked: in a slow call, with the thread's heap free and no lock held.
    pub(crate) attend: fn(),
    /// Takes the feature's locks for a fork, and gives them back, in parent and child, on a thread that took them or is a copy of one
    /// that did. `Order` says whether they come before the locks of the central store.
    pub(crate) locks: Option<Locks>,
    /// In the child of a fork: forgets what other threads were about to do. True if the thread that forked was inside the allocator, and may
    /// still be about something itself.
    pub(crate) in_child: fn(bool),
    /// A thread has got a heap, or is about to give it up.
    pub(crate) thread_begins: fn(&Heap),
    pub(crate) thread_ends: fn(&Heap),
}

/// When a feature's locks are taken for a fork, how, and how they are given back.
type Locks = (Order, fn(&Patience), fn());

/// Whether a feature's locks may be held while the central store is asked for memory, or are taken under locks of the central store.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Order {
    BeforeCentral,
    AfterCentral,
}

/// Most features that can register.
const FEATURES_MAX: usize = 16;

/// The features that registered, in that order. Places fill from the first on, by any thread; none is ever emptied.
pub(crate) struct Features([StaticRef<Feature>; FEATURES_MAX]);

impl Feature {
    /// Wants nothing.
    pub(crate) const NONE: Self =
        Self { attend: || {}, locks: None, in_child: |_| {}, thread_begins: |_| {}, thread_ends: |_| {} };

    /// Has `attend` called by the next slow call of any thread. May be called by a signal handler; nothing for a feature that did not
    /// register.
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

    /// Does the work behind the bits of features.
    pub(crate) fn attend(&self) {
        let pending = &PROCESS.central.pages.pending;
        for (place, feature) in self.iter().enumerate() {
            if pending.take(Work::of_feature(place as u32)) {
                (feature.attend)();
            }
        }
    }

    fn place_of(&self, feature: &'static Feature) -> Option<u32> {
        self.iter().position(|other| core::ptr::eq(other, feature)).map(|place| place as u32)
    }
}
