//! Generations: a process is one generation older than the one it was forked from. A heap belongs to the generation in
//! which a thread got it; heaps of earlier ones are orphans.

use crate::sys::atomic::{AtomicU32, Ordering};

/// A heap of this generation belongs to every process: a part of a named heap.
pub(super) const ANY: u32 = u32::MAX;

/// Written by the only thread of the child of a fork; read by any thread.
#[cfg(not(test))]
static GENERATION: AtomicU32 = AtomicU32::new(0);

// Each test is a process of its own.
#[cfg(test)]
std::thread_local! {
    static GENERATION: AtomicU32 = const { AtomicU32::new(0) };
}

#[cfg(not(test))]
fn with<R>(see: impl FnOnce(&AtomicU32) -> R) -> R {
    see(&GENERATION)
}

#[cfg(test)]
fn with<R>(see: impl FnOnce(&AtomicU32) -> R) -> R {
    GENERATION.with(see)
}

/// The generation of this process.
pub(super) fn current() -> u32 {
    // Relaxed: a process has one thread when it changes.
    with(|generation| generation.load(Ordering::Relaxed))
}

/// Begins the next generation, in the child of a fork.
pub(super) fn begin() {
    // Relaxed: as above.
    with(|generation| generation.store(generation.load(Ordering::Relaxed) + 1, Ordering::Relaxed));
}
