//! Stacks, each kept once, with their totals. A stack stays for the life of the process, so a reference to one stays
//! good.

use core::mem::offset_of;

use super::kept::Kept;
use super::{PARTS, Weight, objects};
use crate::central::Bill;
use crate::pages::Pages;
use crate::sys::atomic::{AtomicU64, Ordering};
use crate::sys::cell::StaticRef;

/// A power of two.
const BUCKETS: usize = 4096;

/// A stack, and its totals. Totals are written under the profile's lock; any thread reads them, and may see old ones.
/// Objects are in parts. Tools read it from outside: the totals lie one behind the other.
#[repr(C)]
pub(super) struct Entry {
    /// The stack that was kept before this one.
    pub(super) older: Option<&'static Self>,
    /// The next stack of the same bucket.
    next: Option<&'static Self>,
    hash: u64,
    /// Asked for.
    asked_objects: AtomicU64,
    asked_bytes: AtomicU64,
    /// Live.
    live_objects: AtomicU64,
    live_bytes: AtomicU64,
    /// Live at the peak, if `peak_epoch` is that of the peak; else the same as live.
    peak_objects: AtomicU64,
    peak_bytes: AtomicU64,
    peak_epoch: AtomicU64,
    /// The innermost first.
    pub(super) frames: &'static [usize],
    /// The bill of the object whose code asks, if objects have bills.
    pub(super) bill: Option<&'static Bill>,
}

/// Where a tool finds the parts of an entry: the one before it, the first of its totals, its frames.
pub(super) const LAYOUT: [usize; 3] =
    [offset_of!(Entry, older), offset_of!(Entry, asked_objects), offset_of!(Entry, frames)];

/// Objects and bytes of a stack: asked for, live, live at the peak.
pub(super) type Totals = [[u64; 2]; 3];

impl Entry {
    /// Adds to the totals of requests. Under the lock.
    pub(super) fn ask(&self, weight: Weight) {
        super::bump(&self.asked_objects, weight.objects);
        super::bump(&self.asked_bytes, weight.bytes);
    }

    /// Changes the live totals, after those at the peak of `epoch` were copied. Under the lock.
    pub(super) fn change(&self, epoch: u64, change: impl FnOnce(u64, u64) -> (u64, u64)) {
        // Relaxed: the lock orders writers; readers take what they find.
        let live = (self.live_objects.load(Ordering::Relaxed), self.live_bytes.load(Ordering::Relaxed));
        if self.peak_epoch.load(Ordering::Relaxed) != epoch {
            self.peak_objects.store(live.0, Ordering::Relaxed);
            self.peak_bytes.store(live.1, Ordering::Relaxed);
            self.peak_epoch.store(epoch, Ordering::Relaxed);
        }
        let (objects, bytes) = change(live.0, live.1);
        self.live_objects.store(objects, Ordering::Relaxed);
        self.live_bytes.store(bytes, Ordering::Relaxed);
    }

    /// The totals, where `epoch` is that of the present peak.
    pub(super) fn totals(&self, epoch: u64) -> Totals {
        // Relaxed: the lock orders writers; readers take what they find.
        let read = |objects: &AtomicU64, bytes: &AtomicU64| {
            [objects.load(Ordering::Relaxed).div_ceil(PARTS), bytes.load(Ordering::Relaxed)]
        };
        let live = read(&self.live_objects, &self.live_bytes);
        let kept = self.peak_epoch.load(Ordering::Relaxed) == epoch;
        let peak = if kept { read(&self.peak_objects, &self.peak_bytes) } else { live };
        [read(&self.asked_objects, &self.asked_bytes), live, peak]
    }
}

/// Finds stacks by their frames. Guarded by the profile's lock.
pub(super) struct Stacks {
    buckets: [Option<&'static Entry>; BUCKETS],
    kept: Kept,
}

fn hash_of(frames: &[usize]) -> u64 {
    const FACTOR: u64 = 0x9e37_79b9_7f4a_7c15;
    frames.iter().fold(0, |hash: u64, &frame| (hash.rotate_left(5) ^ frame as u64).wrapping_mul(FACTOR))
}

impl Stacks {
    pub(super) const fn new() -> Self {
        Self { buckets: [const { None }; BUCKETS], kept: Kept::new() }
    }

    /// The entry of the stack `frames`, which `newest` leads to once it is made; `None` where there is no memory.
    pub(super) fn intern(
        &mut self,
        pages: &Pages,
        frames: &[usize],
        newest: &StaticRef<Entry>,
    ) -> Option<&'static Entry> {
        let hash = hash_of(frames);
        let bucket = self.buckets.get_mut((hash >> (u64::BITS - BUCKETS.trailing_zeros())) as usize)?;
        let mut found = *bucket;
        while let Some(entry) = found {
            if entry.hash == hash && entry.frames == frames {
                return Some(entry);
            }
            found = entry.next;
        }
        let frame = |index: usize| frames.get(index).copied().unwrap_or_default();
        let frames: &[usize] = self.kept.values(pages, frames.len(), frame)?;
        let none = || AtomicU64::new(0);
        let (older, next, bill) = (newest.get(), *bucket, objects::bill_of(frames));
        let entry = |_| Entry {
            older,
            next,
            hash,
            asked_objects: none(),
            asked_bytes: none(),
            live_objects: none(),
            live_bytes: none(),
            peak_objects: none(),
            peak_bytes: none(),
            peak_epoch: none(),
            frames,
            bill,
        };
        let entry: &Entry = self.kept.values(pages, 1, entry)?.first()?;
        *bucket = Some(entry);
        newest.set(Some(entry));
        Some(entry)
    }
}
