//! Stacks, each kept once for each named heap that its thread used, with their totals. A stack stays for the life of
//! the process, so a reference to one stays good; so does the name of a heap, also when that heap is gone.

use core::mem::offset_of;

use super::kept::Kept;
use super::{PARTS, Weight, objects};
use crate::base::text;
use crate::central::Bill;
use crate::pages::Pages;
use crate::sys::atomic::{AtomicU64, Ordering};
use crate::sys::cell::StaticRef;

/// A power of two.
const BUCKETS: usize = 4096;
/// Names of heaps that are kept. Samples of heaps with further names have that of [`FURTHER`]: programs make heaps
/// without end.
const NAMES: usize = 1000;
const FURTHER: &[u8] = b"(further heaps)";
/// Bytes of a name, zeroes behind it.
const NAME_BYTES: usize = 64;
const NO_NAME: [u8; NAME_BYTES] = [0; NAME_BYTES];

/// The name of a heap, kept once. Tools read it from outside: the bytes come first.
#[repr(C)]
pub(super) struct HeapName {
    bytes: [u8; NAME_BYTES],
    /// The name that was kept before this one.
    pub(super) older: Option<&'static Self>,
    /// How many were kept before.
    pub(super) number: usize,
}

impl HeapName {
    /// The name, without the zeroes.
    pub(super) fn text(&self) -> &[u8] {
        until_zero(&self.bytes)
    }
}

fn until_zero(bytes: &[u8]) -> &[u8] {
    bytes.split(|&byte| byte == 0).next().unwrap_or_default()
}

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
    /// The named heap that the thread used; `None` for the default heap.
    pub(super) heap: Option<&'static HeapName>,
    /// The bill of the object whose code asks, if objects have bills.
    pub(super) bill: Option<&'static Bill>,
}

/// Where a tool finds the parts of an entry: the one before it, the first of its totals, its frames, its heap's name.
pub(super) const LAYOUT: [usize; 4] =
    [offset_of!(Entry, older), offset_of!(Entry, asked_objects), offset_of!(Entry, frames), offset_of!(Entry, heap)];
const _: () = assert!(offset_of!(HeapName, bytes) == 0);

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

/// The newest stack and the newest name, each of which leads to those before it. Written under the profile's lock, read
/// without. The name of a stack is there before the stack is.
pub(super) struct Newest {
    pub(super) entry: StaticRef<Entry>,
    pub(super) name: StaticRef<HeapName>,
}

/// Finds stacks by their frames and heaps. Guarded by the profile's lock.
pub(super) struct Stacks {
    buckets: [Option<&'static Entry>; BUCKETS],
    kept: Kept,
}

fn hash_of(heap: &[u8], frames: &[usize]) -> u64 {
    const FACTOR: u64 = 0x9e37_79b9_7f4a_7c15;
    let words = heap.iter().map(|&byte| u64::from(byte)).chain(frames.iter().map(|&frame| frame as u64));
    words.fold(0, |hash: u64, word| (hash.rotate_left(5) ^ word).wrapping_mul(FACTOR))
}

impl Stacks {
    pub(super) const fn new() -> Self {
        Self { buckets: [const { None }; BUCKETS], kept: Kept::new() }
    }

    /// The entry of the stack `frames` in the heap of that name, which is empty for the default heap; `newest` leads to
    /// it once it is made. `None` where there is no memory.
    pub(super) fn intern(
        &mut self,
        pages: &Pages,
        (heap, frames): (&[u8], &[usize]),
        newest: &Newest,
    ) -> Option<&'static Entry> {
        let heap = self.name(pages, heap, &newest.name);
        let hash = hash_of(heap.map_or(&[], HeapName::text), frames);
        let bucket = self.buckets.get_mut((hash >> (u64::BITS - BUCKETS.trailing_zeros())) as usize)?;
        let mut found = *bucket;
        while let Some(entry) = found {
            let is_same_heap = entry.heap.map(core::ptr::from_ref) == heap.map(core::ptr::from_ref);
            if entry.hash == hash && is_same_heap && entry.frames == frames {
                return Some(entry);
            }
            found = entry.next;
        }
        let frame = |index: usize| frames.get(index).copied().unwrap_or_default();
        let frames: &[usize] = self.kept.values(pages, frames.len(), frame)?;
        let none = || AtomicU64::new(0);
        let (older, next, bill) = (newest.entry.get(), *bucket, objects::bill_of(frames));
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
            heap,
            bill,
        };
        let entry: &Entry = self.kept.values(pages, 1, entry)?.first()?;
        *bucket = Some(entry);
        newest.entry.set(Some(entry));
        Some(entry)
    }

    /// The name of a heap, kept; none for the default heap, and where there is no memory.
    fn name(&mut self, pages: &Pages, name: &[u8], newest: &StaticRef<HeapName>) -> Option<&'static HeapName> {
        let mut bytes = named(name);
        if bytes == NO_NAME {
            return None;
        }
        if let Some(found) = find(newest, &bytes) {
            return Some(found);
        }
        let older = newest.get();
        let number = older.map_or(0, |name| name.number + 1);
        if number >= NAMES {
            bytes = named(FURTHER);
            if let Some(found) = find(newest, &bytes) {
                return Some(found);
            }
        }
        let made: &HeapName = self.kept.values(pages, 1, |_| HeapName { bytes, older, number })?.first()?;
        newest.set(Some(made));
        Some(made)
    }
}

/// A name with zeroes behind it, as text that can be shown.
fn named(name: &[u8]) -> [u8; NAME_BYTES] {
    let mut bytes = NO_NAME;
    let name = until_zero(name);
    bytes.iter_mut().zip(name).for_each(|(byte, from)| *byte = *from);
    if let Some(used) = bytes.get_mut(..name.len().min(NAME_BYTES)) {
        text::make_plain(used);
    }
    bytes
}

fn find(newest: &StaticRef<HeapName>, bytes: &[u8; NAME_BYTES]) -> Option<&'static HeapName> {
    let mut next = newest.get();
    while let Some(name) = next.filter(|name| name.bytes != *bytes) {
        next = name.older;
    }
    next
}
