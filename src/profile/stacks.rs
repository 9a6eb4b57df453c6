#![expect(unsafe_code, reason = "keeps stacks in metadata, for ever")]
//! Stacks, each kept once, with what was asked for from it. They are never given back, so whoever meets one may keep it.

use core::mem::offset_of;

use super::{PARTS, Weight};
use crate::pages::{METADATA_MAX, Pages};
use crate::sys::atomic::{AtomicPtr, AtomicU64, Ordering};

/// A power of two.
const BUCKETS: usize = 4096;

/// A stack, and its totals. Totals are written under the profile's lock and read by anyone; objects are in parts.
#[repr(C)]
pub(super) struct Entry {
    /// The one made before this one.
    older: *mut Entry,
    /// The next one with a hash like it.
    next: *mut Entry,
    hash: u64,
    /// Asked for.
    asked_objects: AtomicU64,
    asked_bytes: AtomicU64,
    /// Live.
    live_objects: AtomicU64,
    live_bytes: AtomicU64,
    /// Live at the peak, if `peak_epoch` is that of the peak; else what is live now was live then.
    peak_objects: AtomicU64,
    peak_bytes: AtomicU64,
    peak_epoch: AtomicU64,
    len: usize,
    /// `len` of them.
    frames: [usize; 0],
}

/// What a stack has, in objects and bytes: asked for, live, live at the peak.
pub(super) type Totals = [[u64; 2]; 3];

/// The entry at `place`; `None` for null.
pub(super) fn at(place: *mut Entry) -> Option<&'static Entry> {
    // SAFETY: places come from entries and from the profile's list, and entries stay for ever.
    unsafe { place.as_ref() }
}

impl Entry {
    pub(super) fn older(&self) -> *mut Self {
        self.older
    }

    pub(super) fn frames(&self) -> &[usize] {
        let first = (&raw const *self).cast::<u8>().wrapping_add(offset_of!(Self, frames)).cast();
        // SAFETY: `intern` wrote so many behind the entry, which stays for ever.
        unsafe { core::slice::from_raw_parts(first, self.len) }
    }

    /// Adds to what was asked for. Under the lock.
    pub(super) fn ask(&self, weight: Weight) {
        super::bump(&self.asked_objects, weight.objects);
        super::bump(&self.asked_bytes, weight.bytes);
    }

    /// Changes what is live, after what was live at the peak of `epoch` is put aside. Under the lock.
    pub(super) fn change(&self, epoch: u64, change: impl FnOnce(u64, u64) -> (u64, u64)) {
        // Relaxed: see the type.
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

    /// The totals, if the present peak is that of `epoch`.
    pub(super) fn totals(&self, epoch: u64) -> Totals {
        // Relaxed: see the type.
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
    buckets: [*mut Entry; BUCKETS],
    /// What is left of the piece of metadata that entries are cut from.
    room: *mut u8,
    left: usize,
}

// SAFETY: entries belong to no thread; the lock around this structure guards their making.
unsafe impl Send for Stacks {}

fn hash_of(frames: &[usize]) -> u64 {
    const FACTOR: u64 = 0x9e37_79b9_7f4a_7c15;
    frames.iter().fold(0, |hash: u64, &frame| (hash.rotate_left(5) ^ frame as u64).wrapping_mul(FACTOR))
}

impl Stacks {
    pub(super) const fn new() -> Self {
        Self { buckets: [core::ptr::null_mut(); BUCKETS], room: core::ptr::null_mut(), left: 0 }
    }

    /// The entry of the stack `frames`, which `newest` leads to once it is made; `None` where there is no memory.
    pub(super) fn intern(&mut self, pages: &Pages, frames: &[usize], newest: &AtomicPtr<Entry>) -> Option<&'static Entry> {
        let hash = hash_of(frames);
        let index = (hash >> (u64::BITS - BUCKETS.trailing_zeros())) as usize;
        let mut place = *self.buckets.get(index)?;
        while let Some(entry) = at(place) {
            if entry.hash == hash && entry.frames() == frames {
                return Some(entry);
            }
            place = entry.next;
        }
        let place = self.cut(pages, size_of::<Entry>() + size_of_val(frames))?.cast::<Entry>();
        let bucket = self.buckets.get_mut(index)?;
        let none = || AtomicU64::new(0);
        // Relaxed: written under the lock alone.
        let older = newest.load(Ordering::Relaxed);
        let entry = Entry {
            older,
            next: *bucket,
            hash,
            asked_objects: none(),
            asked_bytes: none(),
            live_objects: none(),
            live_bytes: none(),
            peak_objects: none(),
            peak_bytes: none(),
            peak_epoch: none(),
            len: frames.len(),
            frames: [],
        };
        // SAFETY: the piece is large enough, aligned, and nobody else has it.
        unsafe { place.write(entry) };
        let first = place.cast::<u8>().wrapping_add(offset_of!(Entry, frames)).cast::<usize>();
        // SAFETY: there is room for the frames behind the entry.
        unsafe { first.copy_from_nonoverlapping(frames.as_ptr(), frames.len()) };
        *bucket = place;
        // Release pairs with the Acquire in `Profile::entries`.
        newest.store(place, Ordering::Release);
        at(place)
    }

    /// Memory for ever, aligned to words.
    fn cut(&mut self, pages: &Pages, bytes: usize) -> Option<*mut u8> {
        if bytes > self.left {
            self.room = pages.acquire_metadata(METADATA_MAX)?;
            self.left = METADATA_MAX;
        }
        let piece = self.room;
        self.left = self.left.checked_sub(bytes)?;
        self.room = piece.wrapping_add(bytes);
        Some(piece)
    }
}
