//! Call stacks, each kept once: the id of a stack fits into four bytes of a record.
//!
//! Frames lie one after the other in chunks that stay for ever, so an id stays good and needs no lock to be read. Two
//! stacks with the same hash of 64 bits count as one: of a million stacks, that befalls two in one of ten million
//! processes.

use super::table::{Record, Table};
use crate::sys::atomic::{AtomicUsize, Ordering};
use crate::sys::cell::StaticRef;
use crate::sys::lock::{Lock, Patience, Rank};
use crate::sys::mapping::{Mapped, zeroed};

/// The stack that was kept under this number; 0 for one that was not.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
#[repr(transparent)]
pub(crate) struct StackId(pub(crate) u32);

zeroed!(StackId { 0 });

/// Words of a chunk, a power of two.
const CHUNK_WORDS: usize = 128 << 10;
/// At most so many chunks, of a mebibyte each.
const CHUNKS: usize = 1024;

/// For each stack the number of its frames, then the frames. Written once, before the id is known to anyone.
type Chunk = [AtomicUsize; CHUNK_WORDS];

/// All stacks that were kept.
pub(crate) struct Stacks {
    /// Set under the lock, read by any thread that has an id.
    chunks: [StaticRef<Chunk>; CHUNKS],
    index: Lock<Index>,
}

/// Finds stacks by their frames.
struct Index {
    known: Table<Known>,
    /// The next free word, counted through all chunks. Word 0 stays unused, so that id 0 is no stack.
    next: usize,
}

#[derive(Clone, Copy)]
struct Known {
    hash: usize,
    id: StackId,
}

zeroed!(Known { hash, id });

impl Record for Known {
    fn key(&self) -> usize {
        self.hash
    }
}

/// The return addresses of a stack, the innermost first. They stay for ever.
#[derive(Clone, Copy)]
pub(crate) struct Frames(&'static [AtomicUsize]);

impl Frames {
    /// How many there are.
    pub(crate) fn len(self) -> usize {
        self.0.len()
    }

    /// Each of them.
    pub(crate) fn iter(self) -> impl Iterator<Item = usize> {
        // Relaxed: written before the id was handed out.
        self.0.iter().map(|frame| frame.load(Ordering::Relaxed))
    }

    /// Where they lie, one word after the other.
    pub(crate) fn as_ptr(self) -> *const usize {
        self.0.as_ptr().cast()
    }
}

impl Stacks {
    /// No stacks.
    pub(crate) const fn new() -> Self {
        Self {
            chunks: [const { StaticRef::none() }; CHUNKS],
            index: Lock::new(Rank::Stacks, Index { known: Table::new(), next: 1 }),
        }
    }

    /// The id of the stack with these frames, the innermost first; none if it is empty or there is no room for it.
    pub(crate) fn intern(&self, frames: &[usize]) -> StackId {
        if frames.is_empty() {
            return StackId::default();
        }
        let hash = hash(frames);
        let mut index = self.index.lock();
        if let Some(known) = index.known.get(hash) {
            return known.id;
        }
        let Some(id) = self.keep(&mut index, frames) else { return StackId::default() };
        // Without memory for the record, the next call with these frames keeps them once more.
        let _ = index.known.insert(Known { hash, id });
        id
    }

    fn keep(&self, index: &mut Index, frames: &[usize]) -> Option<StackId> {
        let words = frames.len() + 1;
        let rest = CHUNK_WORDS - index.next % CHUNK_WORDS;
        let start = if words > rest { index.next + rest } else { index.next };
        let place = self.chunks.get(start / CHUNK_WORDS)?;
        if place.get().is_none() {
            place.set(Some(Mapped::new(CHUNK_WORDS)?.leak().try_into().ok()?));
        }
        let first = start % CHUNK_WORDS;
        let [len, room @ ..] = place.get()?.get(first..first + words)? else { return None };
        // Relaxed: the lock or note with which the id travels to other threads publishes the words.
        len.store(frames.len(), Ordering::Relaxed);
        room.iter().zip(frames).for_each(|(word, &frame)| word.store(frame, Ordering::Relaxed));
        index.next = start + words;
        Some(StackId(u32::try_from(start).ok()?))
    }

    /// The frames of a stack.
    pub(crate) fn frames(&self, id: StackId) -> Frames {
        Frames(self.find(id).unwrap_or_default())
    }

    fn find(&self, id: StackId) -> Option<&'static [AtomicUsize]> {
        let word = Some(id.0 as usize).filter(|&word| word != 0)?;
        let chunk = self.chunks.get(word / CHUNK_WORDS)?.get()?;
        let [len, frames @ ..] = chunk.get(word % CHUNK_WORDS..)? else { return None };
        // Relaxed: written before the id was handed out.
        frames.get(..len.load(Ordering::Relaxed))
    }

    /// Takes the lock for a fork.
    pub(crate) fn lock_for_fork(&self, patience: &Patience) {
        self.index.lock_for_fork(patience);
    }

    /// Ends `lock_for_fork`.
    pub(crate) fn unlock_after_fork(&self) {
        self.index.unlock_after_fork();
    }
}

/// A hash of all frames, never 0. Each step is one that can be undone, with the upper half mixed into the lower.
fn hash(frames: &[usize]) -> usize {
    const FACTOR: usize = 0xff51_afd7_ed55_8ccd;
    let mixed = frames.iter().fold(frames.len(), |hash, &frame| {
        let hash = (hash ^ frame).wrapping_mul(FACTOR);
        hash ^ (hash >> (usize::BITS / 2))
    });
    mixed.max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stack_has_one_id_and_keeps_its_frames() {
        let stacks = Box::leak(Box::new(Stacks::new()));
        let frames_of = |n: usize| (0..n % 40 + 1).map(|depth| n * 977 + depth).collect();
        let all: Vec<Vec<usize>> = (1..40_000).map(frames_of).collect();
        let ids: Vec<StackId> = all.iter().map(|frames| stacks.intern(frames)).collect();
        for (frames, &id) in all.iter().zip(&ids) {
            assert!(stacks.frames(id).iter().eq(frames.iter().copied()));
            assert_eq!(stacks.intern(frames), id);
        }
        assert_eq!(stacks.intern(&[]), StackId(0));
        assert_eq!(stacks.frames(StackId(0)).len(), 0);
    }
}
