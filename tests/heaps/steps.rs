//! Steps of random programs with named heaps.
//!
//! Knows: which calls there are, and how often each is made. Must not know: what they do.

use proptest::prelude::*;

use crate::calls::Way;

/// Heaps at a time.
pub(crate) const SLOTS: usize = 4;
/// Threads at a time.
pub(crate) const THREADS: usize = 3;
/// A hard limit is as many times this.
const LIMIT_UNIT: usize = 192 << 10;

/// Which heap a call is about.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Place {
    /// The one that the thread uses: the plain function is called.
    Plain,
    /// The default heap, by name.
    Default,
    /// The heap of that slot; without one, the handle of the last one that was there.
    Slot(usize),
}

#[derive(Clone, Debug)]
pub(crate) enum Step {
    Create {
        slot: usize,
        shared: bool,
        hard: usize,
    },
    Destroy {
        slot: usize,
    },
    Delete {
        slot: usize,
    },
    Limit {
        slot: usize,
        hard: usize,
    },
    Use {
        thread: usize,
        slot: Option<usize>,
    },
    Alloc {
        thread: usize,
        place: Place,
        way: Way,
        size: usize,
    },
    /// Several blocks of one size.
    AllocMany {
        thread: usize,
        place: Place,
        size: usize,
        count: usize,
    },
    Free {
        thread: usize,
        victim: usize,
    },
    FreeMany {
        thread: usize,
        victim: usize,
        count: usize,
    },
    Realloc {
        thread: usize,
        place: Place,
        victim: usize,
        size: usize,
    },
    Move {
        thread: usize,
        place: Place,
        victim: usize,
    },
    Safepoint {
        thread: usize,
    },
    Collect {
        thread: usize,
    },
    End {
        thread: usize,
    },
}

fn place() -> impl Strategy<Value = Place> {
    prop_oneof![4 => Just(Place::Plain), 1 => Just(Place::Default), 4 => (0..SLOTS).prop_map(Place::Slot)]
}

fn size() -> impl Strategy<Value = usize> {
    prop_oneof![6 => 1_usize..1200, 2 => 1_usize..33_000, 1 => 32_769_usize..400_000, 1 => Just(33 << 20)]
}

fn way() -> impl Strategy<Value = Way> {
    prop_oneof![
        4 => Just(Way::Malloc),
        1 => Just(Way::Calloc),
        1 => (3_u32..16).prop_map(|shift| Way::Aligned(1 << shift)),
    ]
}

pub(crate) fn step() -> impl Strategy<Value = Step> {
    let (thread, slot, victim) = (0..THREADS, 0..SLOTS, any::<usize>());
    // More than half of all heaps have no limit.
    let hard = prop_oneof![3 => Just(0_usize), 2 => 1_usize..24];
    prop_oneof![
        4 => (slot.clone(), any::<bool>(), hard.clone())
            .prop_map(|(slot, shared, hard)| Step::Create { slot, shared, hard: hard * LIMIT_UNIT }),
        1 => slot.clone().prop_map(|slot| Step::Destroy { slot }),
        1 => slot.clone().prop_map(|slot| Step::Delete { slot }),
        1 => (slot.clone(), hard).prop_map(|(slot, hard)| Step::Limit { slot, hard: hard * LIMIT_UNIT }),
        8 => (thread.clone(), prop::option::of(slot)).prop_map(|(thread, slot)| Step::Use { thread, slot }),
        16 => (thread.clone(), place(), way(), size())
            .prop_map(|(thread, place, way, size)| Step::Alloc { thread, place, way, size }),
        6 => (thread.clone(), place(), 1_usize..5000, 1_usize..300)
            .prop_map(|(thread, place, size, count)| Step::AllocMany { thread, place, size, count }),
        10 => (thread.clone(), victim).prop_map(|(thread, victim)| Step::Free { thread, victim }),
        4 => (thread.clone(), victim, 1_usize..300)
            .prop_map(|(thread, victim, count)| Step::FreeMany { thread, victim, count }),
        6 => (thread.clone(), place(), victim, size())
            .prop_map(|(thread, place, victim, size)| Step::Realloc { thread, place, victim, size }),
        4 => (thread.clone(), place(), victim).prop_map(|(thread, place, victim)| Step::Move { thread, place, victim }),
        1 => thread.clone().prop_map(|thread| Step::Safepoint { thread }),
        1 => thread.clone().prop_map(|thread| Step::Collect { thread }),
        1 => thread.prop_map(|thread| Step::End { thread }),
    ]
}
