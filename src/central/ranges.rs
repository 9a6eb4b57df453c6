#![expect(unsafe_code, reason = "reads arrays of slots that were published by their address")]
//! A table of ranges of addresses that do not overlap: finds the range that an address lies in, without a lock.
//!
//! A range of at least 2^k bytes and less than 2^(k+1) contains one or two multiples of 2^k. Each of them, with k, is a
//! key of a hash table. So the range around an address is at the multiple of 2^k below or above it, for a k of which
//! there are ranges: two probes for each k. A range lies in one or two slots, whatever its size.
//!
//! One thread writes at a time, under a lock of the caller's. A version is odd meanwhile; a reader that finds it odd or
//! changed begins again, and after some attempts leaves it to the caller to take the lock. Arrays that became too small
//! stay mapped, so a reader never follows an address that is gone; its result then fails the test of the version. Must
//! not know what the ranges are.

use crate::sys::atomic::{AtomicPtr, AtomicU32, AtomicUsize, Ordering, spin};

/// A range, and a number that belongs to it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Range {
    pub(super) start: usize,
    pub(super) bytes: usize,
    pub(super) tag: u32,
}

impl Range {
    pub(super) const fn contains(&self, address: usize) -> bool {
        address.wrapping_sub(self.start) < self.bytes
    }

    /// Its keys: each multiple of the power of two in it, with that power in the bits that are zero.
    fn keys(self) -> impl Iterator<Item = usize> {
        let level = self.bytes.max(SMALLEST).ilog2();
        let first = self.start.checked_next_multiple_of(1 << level);
        let multiples = [first, first.and_then(|first| first.checked_add(1 << level))];
        multiples
            .into_iter()
            .flatten()
            .filter(move |&multiple| self.contains(multiple))
            .map(move |key| key | level as usize)
    }
}

/// No range has fewer bytes, and all start at multiples of it: a page.
const SMALLEST: usize = 4096;
const LEVELS: usize = usize::BITS as usize;
/// Slots of the first array; each later one has twice as many.
const FIRST: usize = if cfg!(loom) { 4 } else { 128 };
/// Enough for every range that fits into the addresses of a process.
const ARRAYS: usize = 32;
/// Ranges taken out last that are remembered.
const RECENT: usize = if cfg!(loom) { 1 } else { 64 };
/// A reader that was disturbed so often takes the lock.
const ATTEMPTS: usize = if cfg!(loom) { 2 } else { 64 };

/// A place for a key and its range. A key of 0 is none.
pub(super) struct Slot([AtomicUsize; 4]);

impl Slot {
    /// An empty slot.
    pub(super) const fn new() -> Self {
        Self([const { AtomicUsize::new(0) }; 4])
    }

    fn key(&self) -> usize {
        // Acquire pairs with the Release in `set`: the version that a reader tests afterwards is not older.
        self.0[0].load(Ordering::Acquire)
    }

    fn range(&self) -> Range {
        // Acquire pairs with the Release in `set`, as for `key`.
        let [_, start, bytes, tag] = self.0.each_ref().map(|word| word.load(Ordering::Acquire));
        Range { start, bytes, tag: tag as u32 }
    }

    fn set(&self, key: usize, range: Range) {
        for (word, value) in self.0.iter().zip([key, range.start, range.bytes, range.tag as usize]) {
            // Release pairs with the Acquire in `key` and `range`: a reader that sees the value finds the version
            // odd or changed.
            word.store(value, Ordering::Release);
        }
    }
}

const NOTHING: Range = Range { start: 0, bytes: 0, tag: 0 };

/// The table. Its writers hold the caller's lock; any thread reads.
pub(super) struct Ranges {
    /// Odd while a writer changes the table.
    version: AtomicUsize,
    /// Arrays by their size; null for those that were not made.
    arrays: [AtomicPtr<Slot>; ARRAYS],
    /// The array in use, counted from 1; 0 for none.
    current: AtomicU32,
    /// A bit for each power of two of which there are ranges. Read without a lock as a hint: a thread that got a range
    /// from the program's own hand-over finds its bit.
    levels: AtomicUsize,
    /// The ranges that were taken out last.
    recent: [Slot; RECENT],
}

/// The writers' part of the table, which the caller keeps under its lock.
pub(super) struct Writer {
    /// Keys in the table.
    keys: usize,
    /// Keys of each power of two.
    of_level: [u32; LEVELS],
    /// The place of `recent` to be used next.
    next: usize,
}

impl Writer {
    pub(super) const fn new() -> Self {
        Self { keys: 0, of_level: [0; LEVELS], next: 0 }
    }
}

impl Ranges {
    pub(super) const fn new() -> Self {
        Self {
            version: AtomicUsize::new(0),
            arrays: [const { AtomicPtr::new(core::ptr::null_mut()) }; ARRAYS],
            current: AtomicU32::new(0),
            levels: AtomicUsize::new(0),
            recent: [const { Slot::new() }; RECENT],
        }
    }
}

/// Reading, without a lock.
impl Ranges {
    /// Whether the table is empty. A hint, as `levels`.
    pub(super) fn is_empty(&self) -> bool {
        // Relaxed: see `levels`.
        self.levels.load(Ordering::Relaxed) == 0
    }

    /// The range that `address` lies in. An error if writers disturbed each attempt: the caller then takes the lock,
    /// under which this is never wrong.
    pub(super) fn find(&self, address: usize) -> Result<Option<Range>, Disturbed> {
        if self.is_empty() {
            return Ok(None);
        }
        self.undisturbed(|| self.probe(address))
    }

    /// Whether a range that began at `address` was taken out not long ago, and none was added there since.
    pub(super) fn was_there(&self, address: usize) -> Result<bool, Disturbed> {
        self.undisturbed(|| self.recent.iter().any(|slot| slot.key() != 0 && slot.range().start == address))
    }

    fn undisturbed<R>(&self, read: impl Fn() -> R) -> Result<R, Disturbed> {
        for _ in 0..ATTEMPTS {
            // Acquire pairs with the Release at the end of `write`.
            let version = self.version.load(Ordering::Acquire);
            if version.is_multiple_of(2) {
                let result = read();
                // Relaxed: the Acquire loads of `read` come before it.
                if self.version.load(Ordering::Relaxed) == version {
                    return Ok(result);
                }
            }
            spin();
        }
        Err(Disturbed)
    }

    fn probe(&self, address: usize) -> Option<Range> {
        let slots = self.slots();
        // Acquire pairs with the Release in `count`, as for `Slot::key`.
        let mut levels = self.levels.load(Ordering::Acquire);
        while levels != 0 {
            let level = levels.trailing_zeros() as usize;
            levels &= levels - 1;
            let below = address & !((1 << level) - 1);
            for multiple in [Some(below), below.checked_add(1 << level)].into_iter().flatten() {
                let found = place_of(slots, multiple | level).and_then(|place| slots.get(place)).map(Slot::range);
                if found.is_some_and(|range| range.contains(address)) {
                    return found;
                }
            }
        }
        None
    }

    /// The array in use.
    fn slots(&self) -> &'static [Slot] {
        // Acquire pairs with the Release in `install`.
        let Some(index) = self.current.load(Ordering::Acquire).checked_sub(1) else { return &[] };
        // Relaxed: `install` wrote it before `current`.
        let start = self.arrays.get(index as usize).map(|array| array.load(Ordering::Relaxed));
        // SAFETY: `install` put an array of so many slots there, which stays for ever.
        start.map_or(&[], |start| unsafe { core::slice::from_raw_parts(start, FIRST << index) })
    }
}

/// Writers disturbed each attempt to read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Disturbed;

/// The slot of `key`.
fn place_of(slots: &[Slot], key: usize) -> Option<usize> {
    each_place(slots, key).take_while(|place| key_at(slots, *place) != 0).find(|place| key_at(slots, *place) == key)
}

/// The slots where `key` may lie, in the order in which they are tried.
fn each_place(slots: &[Slot], key: usize) -> impl Iterator<Item = usize> {
    let (home, mask) = (home(slots, key), slots.len().wrapping_sub(1));
    (0..slots.len()).map(move |step| home.wrapping_add(step) & mask)
}

/// The first slot that is tried for `key`.
fn home(slots: &[Slot], key: usize) -> usize {
    const FACTOR: usize = 0x9e37_79b9_7f4a_7c15;
    // The upper bits of the product depend on all bits of the key.
    key.wrapping_mul(FACTOR).checked_shr(usize::BITS - slots.len().max(1).trailing_zeros()).unwrap_or(0)
}

fn key_at(slots: &[Slot], place: usize) -> usize {
    slots.get(place).map_or(0, Slot::key)
}

/// Writing, by the thread that holds the caller's lock.
impl Ranges {
    /// How many slots the next array has, if there is no room for another range.
    pub(super) fn wants(&self, writer: &Writer) -> Option<usize> {
        let len = self.slots().len();
        // A range has two keys at most, and half of the slots stay empty.
        ((writer.keys + 2) * 2 > len).then_some(if len == 0 { FIRST } else { len * 2 })
    }

    /// Puts `array`, of empty slots, into use in place of the present one, which stays mapped. False if it has not the
    /// size that is wanted, because another thread was first.
    pub(super) fn install(&self, writer: &Writer, array: &'static [Slot]) -> bool {
        if self.wants(writer) != Some(array.len()) {
            return false;
        }
        let index = (array.len() / FIRST).ilog2();
        let Some(place) = self.arrays.get(index as usize) else { return false };
        for slot in self.slots().iter().filter(|slot| slot.key() != 0) {
            put(array, slot.key(), slot.range());
        }
        self.write(|| {
            // Relaxed: `current` publishes it.
            place.store(array.as_ptr().cast_mut(), Ordering::Relaxed);
            // Release pairs with the Acquire in `slots`.
            self.current.store(index + 1, Ordering::Release);
        });
        true
    }

    /// Adds `range`, for which there is room. It overlaps no other.
    pub(super) fn add(&self, writer: &mut Writer, range: Range) {
        let (slots, end) = (self.slots(), range.start.saturating_add(range.bytes));
        self.write(|| {
            for slot in self.recent.iter().filter(|slot| slot.key() != 0) {
                let old = slot.range();
                if old.start < end && range.start < old.start.saturating_add(old.bytes) {
                    slot.set(0, NOTHING);
                }
            }
            for key in range.keys() {
                put(slots, key, range);
                self.count(writer, key, 1);
            }
        });
    }

    /// Takes out the range that starts at `start`.
    pub(super) fn remove(&self, writer: &mut Writer, start: usize) -> Option<Range> {
        let range = self.probe(start).filter(|range| range.start == start)?;
        self.write(|| {
            self.take_out(writer, range);
            self.remember(writer, range);
        });
        Some(range)
    }

    /// Replaces the range that starts at `start` by `new`; there is room.
    pub(super) fn replace(&self, writer: &mut Writer, start: usize, new: Range) {
        let Some(range) = self.probe(start).filter(|range| range.start == start) else { return };
        self.write(|| {
            self.take_out(writer, range);
            if new.start != start {
                self.remember(writer, range);
            }
        });
        self.add(writer, new);
    }

    fn remember(&self, writer: &mut Writer, range: Range) {
        if let Some(slot) = self.recent.get(writer.next) {
            slot.set(1, range);
        }
        writer.next = (writer.next + 1) % RECENT;
    }

    fn take_out(&self, writer: &mut Writer, range: Range) {
        let slots = self.slots();
        for key in range.keys() {
            if let Some(place) = place_of(slots, key) {
                close_gap(slots, place);
                self.count(writer, key, -1);
            }
        }
    }

    fn count(&self, writer: &mut Writer, key: usize, by: i32) {
        let level = key % SMALLEST;
        writer.keys = writer.keys.wrapping_add_signed(by as isize);
        let Some(count) = writer.of_level.get_mut(level) else { return };
        *count = count.wrapping_add_signed(by);
        let (bit, levels) = (1 << level, self.levels.load(Ordering::Relaxed));
        // Release pairs with the Acquire in `probe`.
        self.levels.store(if *count == 0 { levels & !bit } else { levels | bit }, Ordering::Release);
    }

    fn write<R>(&self, change: impl FnOnce() -> R) -> R {
        // Relaxed: the lock orders writers. The Release stores of `change` come after this one.
        let version = self.version.load(Ordering::Relaxed);
        self.version.store(version.wrapping_add(1), Ordering::Relaxed);
        let result = change();
        // Release pairs with the Acquire in `undisturbed`.
        self.version.store(version.wrapping_add(2), Ordering::Release);
        result
    }
}

/// Puts `range` into a free slot for `key`.
fn put(slots: &[Slot], key: usize, range: Range) {
    let free = each_place(slots, key).find(|place| key_at(slots, *place) == 0);
    if let Some(slot) = free.and_then(|place| slots.get(place)) {
        slot.set(key, range);
    }
}

/// Empties the slot `gap`, and moves those behind it up that a search would not find any more.
fn close_gap(slots: &[Slot], mut gap: usize) {
    let mask = slots.len() - 1;
    let mut place = gap;
    loop {
        place = (place + 1) & mask;
        let Some(slot) = slots.get(place) else { return };
        let key = slot.key();
        if key == 0 {
            break;
        }
        // It may move up to the gap if that is not before its first slot.
        let home = home(slots, key);
        if place.wrapping_sub(home) & mask >= place.wrapping_sub(gap) & mask {
            if let Some(free) = slots.get(gap) {
                free.set(key, slot.range());
            }
            gap = place;
        }
    }
    if let Some(free) = slots.get(gap) {
        free.set(0, NOTHING);
    }
}

#[cfg(all(test, not(loom)))]
mod tests;

#[cfg(all(test, loom))]
mod models;
