#![expect(unsafe_code, reason = "reads reserved memory as notes")]
//! The notes of live blocks: one array, which becomes usable from its start onwards, and never shrinks. A note is known
//! by its place in it, which the shadow keeps for the block. Free notes are in batches: each heap has some of its own,
//! the pool has the rest. Must not know what a note is for.
//!
//! # Invariants
//! - Notes below `limit` can be read and written for ever.
//! - A thread writes a note that it took and did not give back yet, no other thread does. Any thread reads.

use core::cell::Cell;

use crate::pages::Area;
use crate::sys::atomic::{AtomicPtr, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use crate::sys::lock::{Lock, Patience, Rank};
use crate::sys::memory;
use crate::unwind::StackId;

/// A live block.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Block {
    pub(super) address: usize,
    /// As asked for.
    pub(super) size: usize,
    /// When it was allocated, by the processor's counter.
    pub(super) made: u64,
    pub(super) by: Act,
}

/// A thread, by the kernel's number, and the call stack with which it allocated a block or freed it.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(super) struct Act {
    pub(super) thread: u32,
    pub(super) stack: StackId,
}

impl Act {
    pub(super) fn packed(self) -> u64 {
        u64::from(self.stack.0) << u32::BITS | u64::from(self.thread)
    }

    pub(super) fn unpacked(word: u64) -> Self {
        Self { thread: word as u32, stack: StackId((word >> u32::BITS) as u32) }
    }
}

/// The note of a block.
#[repr(C)]
struct Note {
    /// The turn of the note, which is odd while a block is live, and counts up; below it the address of that block, or
    /// the next free note of the batch.
    head: AtomicU64,
    /// That of the block; in the first note of a batch in the pool, the first note of the next batch there.
    size: AtomicUsize,
    made: AtomicU64,
    by: AtomicU64,
}

const _: () = assert!(size_of::<Note>() == 32);

/// Addresses of programs have 47 bits.
const TURN_SHIFT: u32 = 48;
const BELOW: u64 = (1 << TURN_SHIFT) - 1;

/// In the place of a note: no block.
pub(super) const NO_BLOCK: u32 = 0;
/// A live block for whose note there was no memory.
pub(super) const WITHOUT_NOTE: u32 = 1;
const FIRST: u32 = 2;
/// No note follows.
const END: u32 = 0;

/// Notes of a batch.
const BATCH: u32 = 64;
/// The array may take one byte for so many of the data area: room for the notes of blocks of 128 bytes, if all of that
/// is used.
const SHARE: usize = 4;
/// Less address space than this is not worth the try.
const RESERVE_MIN: usize = 64 << 10;

/// All notes.
pub(super) struct Notes {
    /// Written once, under the lock of the pool, before the limit is raised.
    first: AtomicPtr<Note>,
    /// Raised under the lock of the pool; read by any thread. A thread that knows a place below it was told after it
    /// was raised.
    limit: AtomicU32,
    pool: Lock<Pool>,
}

struct Pool {
    area: Option<Area>,
    /// The first note that was in no batch yet.
    next: u32,
    /// The first note of the first batch that was given back.
    batches: u32,
}

/// The free notes of one heap. Belongs to the thread that is inside the heap.
#[repr(C)]
pub(super) struct Free {
    first: Cell<u32>,
    /// How many there are at least before `first` was refilled; a hint.
    count: Cell<u32>,
    /// A whole batch, or none.
    spare: Cell<u32>,
}

impl Notes {
    pub(super) const fn new() -> Self {
        Self {
            first: AtomicPtr::new(core::ptr::null_mut()),
            limit: AtomicU32::new(0),
            pool: Lock::new(Rank::Ledger, Pool { area: None, next: FIRST, batches: END }),
        }
    }

    /// Reserves room for the notes of blocks in `data` bytes; without address space there are no notes. Called
    /// before a thread's first note.
    pub(super) fn begin(&self, data: usize, page: usize) {
        // Relaxed: a thread that sees an old value finds the area below.
        if !self.first.load(Ordering::Relaxed).is_null() {
            return;
        }
        let mut pool = self.pool.lock();
        if pool.area.is_some() {
            return;
        }
        let most = (u32::MAX as usize + 1) * size_of::<Note>();
        let mut len = (data / SHARE).min(most).next_multiple_of(page);
        while len >= RESERVE_MIN {
            if let Ok(base) = memory::reserve(len) {
                // Relaxed: the limit publishes it.
                self.first.store(core::ptr::with_exposed_provenance_mut(base), Ordering::Relaxed);
                pool.area = Some(Area::new(base, len, page));
                return;
            }
            len = (len / 2).next_multiple_of(page);
        }
    }

    /// One past the last note that was ever used.
    pub(super) fn limit(&self) -> u32 {
        // Acquire pairs with the Release in `Pool::fresh`.
        self.limit.load(Ordering::Acquire)
    }

    fn get(&self, place: u32) -> Option<&'static Note> {
        if place < FIRST || place >= self.limit() {
            return None;
        }
        // Relaxed: see the field.
        let first = self.first.load(Ordering::Relaxed);
        // SAFETY: notes below the limit are usable and stay; zeroes are a note, and all of it is atomic.
        Some(unsafe { &*first.wrapping_add(place as usize) })
    }

    /// Writes down `block` in a note that the calling thread took from `free`; its place, or [`WITHOUT_NOTE`].
    #[inline]
    pub(super) fn add(&self, free: Option<&Free>, block: &Block) -> u32 {
        let Some(free) = free else { return WITHOUT_NOTE };
        if free.first.get() == END && !free.refill(self) {
            return WITHOUT_NOTE;
        }
        let place = free.first.get();
        let Some(note) = self.get(place) else { return WITHOUT_NOTE };
        // Relaxed: this thread has the note.
        let head = note.head.load(Ordering::Relaxed);
        free.first.set((head & BELOW) as u32);
        free.count.set(free.count.get().saturating_sub(1));
        note.write(head, block);
        place
    }

    /// Writes down that the block with this note was resized.
    pub(super) fn change(&self, place: u32, block: &Block) {
        if let Some(note) = self.get(place) {
            // Relaxed: this thread has the note.
            let free = note.turn_over(note.head.load(Ordering::Relaxed), END);
            note.write(free, block);
        }
    }

    /// Takes the note of a block that the calling thread frees; gives it to `free`, or to the pool.
    #[inline]
    pub(super) fn remove(&self, free: Option<&Free>, place: u32) -> Option<Block> {
        let note = self.get(place)?;
        let block = note.read();
        // Relaxed: this thread has the note.
        let head = note.head.load(Ordering::Relaxed);
        match free {
            Some(free) => {
                // Before this note is added: it stays for the next block, so no batch moves to and fro.
                if free.count.get() >= BATCH {
                    free.give_back(self);
                }
                note.turn_over(head, free.first.get());
                free.first.set(place);
                free.count.set(free.count.get() + 1);
            }
            None => {
                note.turn_over(head, END);
                self.pool.lock().give_back(self, place);
            }
        }
        Some(block)
    }

    /// A copy of a note; `None` unless it is that of a live block. A block that is freed meanwhile may be there or not.
    pub(super) fn copy(&self, place: u32) -> Option<Block> {
        let note = self.get(place)?;
        // Acquire pairs with the Release in `write`: what follows was written for this turn or a later one.
        let head = note.head.load(Ordering::Acquire);
        if head >> TURN_SHIFT & 1 == 0 {
            return None;
        }
        let block = note.read();
        // Relaxed: `read` loads with Acquire, so this load is the last. A value of a later turn was written after the
        // head of this one was.
        (note.head.load(Ordering::Relaxed) == head).then_some(block)
    }

    /// Takes the lock for a fork.
    pub(super) fn lock_for_fork(&self, patience: &Patience) {
        self.pool.lock_for_fork(patience);
    }

    /// Ends `lock_for_fork`.
    pub(super) fn unlock_after_fork(&self) {
        self.pool.unlock_after_fork();
    }
}

impl Note {
    #[inline(always)]
    fn write(&self, head: u64, block: &Block) {
        // Release: a thread that reads one of these, by an Acquire of `read`, also sees that the turn before is over.
        self.size.store(block.size, Ordering::Release);
        self.made.store(block.made, Ordering::Release);
        self.by.store(block.by.packed(), Ordering::Release);
        let turn = (head >> TURN_SHIFT).wrapping_add(1) << TURN_SHIFT;
        // Release pairs with the Acquire in `copy`.
        self.head.store(turn | block.address as u64 & BELOW, Ordering::Release);
    }

    /// Ends the turn; the new head.
    #[inline(always)]
    fn turn_over(&self, head: u64, next: u32) -> u64 {
        let free = (head >> TURN_SHIFT).wrapping_add(1) << TURN_SHIFT | u64::from(next);
        // Relaxed: the Releases of `write` come after it.
        self.head.store(free, Ordering::Relaxed);
        free
    }

    #[inline(always)]
    fn read(&self) -> Block {
        // Relaxed: the caller has the note, or looks at the head before and after.
        let address = (self.head.load(Ordering::Relaxed) & BELOW) as usize;
        // Acquire pairs with the Release in `write`.
        let size = self.size.load(Ordering::Acquire);
        let made = self.made.load(Ordering::Acquire);
        Block { address, size, made, by: Act::unpacked(self.by.load(Ordering::Acquire)) }
    }

    /// Makes the note point to the next one of its batch.
    fn link(&self, next: u32) {
        // Relaxed: the lock of the pool orders it.
        let turn = self.head.load(Ordering::Relaxed) & !BELOW;
        self.head.store(turn | u64::from(next), Ordering::Relaxed);
    }
}

impl Free {
    /// Gets a batch; false if there is no memory for one.
    #[cold]
    #[inline(never)]
    fn refill(&self, notes: &Notes) -> bool {
        let batch = match self.spare.replace(END) {
            END => notes.pool.lock().take(notes),
            spare => Some(spare),
        };
        self.first.set(batch.unwrap_or(END));
        self.count.set(BATCH);
        batch.is_some()
    }

    /// Puts a whole batch aside, and the one before it back into the pool.
    #[cold]
    #[inline(never)]
    fn give_back(&self, notes: &Notes) {
        let batch = self.spare.replace(self.first.replace(END));
        self.count.set(0);
        if batch != END {
            notes.pool.lock().give_back(notes, batch);
        }
    }
}

impl Pool {
    fn take(&mut self, notes: &Notes) -> Option<u32> {
        let Some(first) = notes.get(self.batches) else { return self.fresh(notes) };
        // Relaxed: the lock orders it.
        let next = first.size.load(Ordering::Relaxed) as u32;
        Some(core::mem::replace(&mut self.batches, next))
    }

    /// A batch of notes that were never used.
    fn fresh(&mut self, notes: &Notes) -> Option<u32> {
        let area = self.area.as_ref()?;
        let (first, end) = (self.next, self.next.checked_add(BATCH)?);
        if !area.ensure(end as usize * size_of::<Note>()) {
            return None;
        }
        self.next = end;
        // Release pairs with the Acquire in `limit`: these notes can be read.
        notes.limit.store(end, Ordering::Release);
        for place in first..end {
            if let Some(note) = notes.get(place) {
                note.link(if place + 1 < end { place + 1 } else { END });
            }
        }
        Some(first)
    }

    fn give_back(&mut self, notes: &Notes, batch: u32) {
        if let Some(first) = notes.get(batch) {
            // Relaxed: the lock orders it.
            first.size.store(self.batches as usize, Ordering::Relaxed);
            self.batches = batch;
        }
    }
}

#[cfg(test)]
impl Free {
    pub(super) const fn new() -> Self {
        Self { first: Cell::new(END), count: Cell::new(0), spare: Cell::new(END) }
    }
}

#[cfg(test)]
mod tests;
