//! The heap profile: for each call stack that asked for memory, how much, how much of it is live, and how much was live
//! at the peak of all.
//!
//! ```text
//! a sampled request -> stack, kept once -> added to its totals; a record of the live block -> ticket
//! its free          -> ticket -> taken off the totals
//! dump              -> pprof's format, from the list of stacks, without the lock
//! ```
//! Each sample stands for all requests that could have been sampled instead of it, so totals are unbiased estimates.
//! The peak costs no copy of all totals: a stack copies its own when they first change afterwards. Must not know how
//! requests are sampled.

mod gzip;
mod kept;
mod live;
mod maps;
mod message;
mod objects;
mod outside;
mod pprof;
pub(crate) mod sampling;
mod scratch;
mod stacks;

use self::live::Records;
use self::stacks::{Entry, HeapName, Newest, Stacks};
use crate::base::random::probability;
use crate::pages::Pages;
use crate::process::state::PROCESS;
use crate::sys::atomic::{AtomicU64, Ordering};
use crate::sys::cell::StaticRef;
use crate::sys::lock::{Lock, Patience, Rank};

pub(crate) use self::pprof::{About, write};

/// Most frames of a stack that are kept.
pub(crate) const DEPTH: usize = 128;
/// Parts into which an estimated number of objects is divided, so that sums stay exact.
const PARTS: u64 = 256;

/// All samples so far. Written under the lock; any thread reads the atomic fields, and may see old values.
pub(crate) struct Profile {
    state: Lock<State>,
    newest: Newest,
    /// Changes with each new peak.
    peak_epoch: AtomicU64,
    /// Estimated bytes asked for so far, live now, and live at the peak.
    pub(crate) asked: AtomicU64,
    pub(crate) live: AtomicU64,
    pub(crate) peak: AtomicU64,
}

struct State {
    stacks: Stacks,
    records: Records,
}

/// Objects, in parts, and bytes that a sample stands for.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Weight {
    objects: u64,
    bytes: u64,
}

impl Weight {
    /// Of a request of `size` bytes, where a request is sampled every `mean` bytes on average.
    fn of(size: usize, mean: usize) -> Self {
        Self::of_part(size, size, mean)
    }

    /// Of `part` bytes of a block of `size` bytes, which was sampled as that.
    fn of_part(part: usize, size: usize, mean: usize) -> Self {
        // A call counts as one byte more than it asks for.
        let seen = probability((size as f64 + 1.0) / mean.max(1) as f64);
        Self { objects: (PARTS as f64 / seen) as u64, bytes: (part as f64 / seen) as u64 }
    }
}

impl Profile {
    /// An empty profile.
    pub(crate) const fn new() -> Self {
        Self {
            state: Lock::new(Rank::Profile, State { stacks: Stacks::new(), records: Records::new() }),
            newest: Newest { entry: StaticRef::none(), name: StaticRef::none() },
            peak_epoch: AtomicU64::new(0),
            asked: AtomicU64::new(0),
            live: AtomicU64::new(0),
            peak: AtomicU64::new(0),
        }
    }

    /// Adds a sampled request of `asked` bytes, which allocated a block of `size` bytes or grew one to that: the ticket
    /// with which the block is removed, 0 where there is no memory for it. `stack` is the name of the heap that it is
    /// of, empty for the default heap, and the frames.
    pub(crate) fn add(
        &self,
        pages: &Pages,
        stack: (&[u8], &[usize]),
        (asked, size): (usize, usize),
        mean: usize,
    ) -> u32 {
        let (asked, weight) = (Weight::of_part(asked, size, mean), Weight::of(size, mean));
        let mut state = self.state.lock();
        let State { stacks, records } = &mut *state;
        let Some(entry) = stacks.intern(pages, stack, &self.newest) else { return 0 };
        let Some(ticket) = records.add(pages, entry, weight) else { return 0 };
        self.ask(entry, asked);
        self.grow(entry, weight);
        ticket
    }

    /// Takes the block of `ticket`, which was freed, off the totals.
    pub(crate) fn remove(&self, ticket: u32) {
        let mut state = self.state.lock();
        let Some((entry, weight)) = state.records.remove(ticket) else { return };
        self.shrink(entry, weight);
    }

    /// Notes that the block of `ticket` has `size` bytes now, of which `asked` are new.
    pub(crate) fn resize(&self, ticket: u32, (asked, size): (usize, usize), mean: usize) {
        let weight = Weight::of(size, mean);
        let mut state = self.state.lock();
        let Some((entry, old)) = state.records.replace(ticket, weight) else { return };
        if asked > 0 {
            self.ask(entry, Weight::of_part(asked, size, mean));
        }
        self.shrink(entry, old);
        self.grow(entry, weight);
    }

    /// Takes the lock for a fork.
    pub(crate) fn lock_for_fork(&self, patience: &Patience) {
        self.state.lock_for_fork(patience);
    }

    /// Ends `lock_for_fork`.
    pub(crate) fn unlock_after_fork(&self) {
        self.state.unlock_after_fork();
    }

    /// Under the lock.
    fn ask(&self, entry: &Entry, weight: Weight) {
        entry.ask(weight);
        bump(&self.asked, weight.bytes);
    }

    /// Under the lock.
    fn grow(&self, entry: &Entry, weight: Weight) {
        // Relaxed: written under the lock; a dump, which reads without it, takes what it finds.
        let epoch = self.peak_epoch.load(Ordering::Relaxed);
        entry.change(epoch, |objects, bytes| (objects + weight.objects, bytes + weight.bytes));
        if let Some(bill) = entry.bill {
            bill.add(weight.bytes as usize, &PROCESS.central.pages.pending);
        }
        let live = bump(&self.live, weight.bytes);
        if live > self.peak.load(Ordering::Relaxed) {
            self.peak.store(live, Ordering::Relaxed);
            self.peak_epoch.store(epoch + 1, Ordering::Relaxed);
        }
    }

    /// Under the lock.
    fn shrink(&self, entry: &Entry, weight: Weight) {
        // Relaxed: as in `grow`.
        let epoch = self.peak_epoch.load(Ordering::Relaxed);
        entry.change(epoch, |objects, bytes| (objects - weight.objects, bytes - weight.bytes));
        if let Some(bill) = entry.bill {
            bill.give_back(weight.bytes as usize);
        }
        let live = self.live.load(Ordering::Relaxed);
        self.live.store(live - weight.bytes, Ordering::Relaxed);
    }

    /// The stacks so far, the newest first.
    fn entries(&self) -> impl Iterator<Item = &'static Entry> + use<> {
        let mut next = self.newest.entry.get();
        core::iter::from_fn(move || {
            let entry = next?;
            next = entry.older;
            Some(entry)
        })
    }

    /// The names of heaps so far, the newest first.
    fn names(&self) -> impl Iterator<Item = &'static HeapName> + use<> {
        let mut next = self.newest.name.get();
        core::iter::from_fn(move || {
            let name = next?;
            next = name.older;
            Some(name)
        })
    }
}

/// Adds to a word that only the holder of the lock writes; the sum.
fn bump(word: &AtomicU64, more: u64) -> u64 {
    // Relaxed: as in `Profile::grow`.
    let sum = word.load(Ordering::Relaxed) + more;
    word.store(sum, Ordering::Relaxed);
    sum
}

#[cfg(test)]
mod tests;
