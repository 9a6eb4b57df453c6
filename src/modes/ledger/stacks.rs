#![expect(unsafe_code, reason = "keeps words in mappings")]
//! Call stacks, each kept once: a stack's id fits into four bytes of a record.
//!
//! Frames lie one after the other in chunks that are never given back, so an id stays good for ever and is read without a lock. A stack is
//! known again by a hash of 64 bits, which is believed: of a million stacks, two are taken for one in one of ten million processes.

use super::table::{Record, Table};
use crate::sys::atomic::{AtomicUsize, Ordering};
use crate::sys::lock::{Lock, Patience, Rank};
use crate::sys::memory;

/// A stack that was kept; 0 for one that could not be.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
#[repr(transparent)]
pub(crate) struct StackId(pub(crate) u32);

const WORD: usize = size_of::<usize>();
/// Words of a chunk, a power of two.
const CHUNK_WORDS: usize = 128 << 10;
/// At most so many chunks, of a mebibyte each.
const CHUNKS: usize = 1024;

/// See the module.
pub(crate) struct Stacks {
    /// Where the chunks are. Written under the lock, read by whoever has an id.
    chunks: [AtomicUsize; CHUNKS],
    index: Lock<Index>,
}

struct Index {
    known: Table<Known>,
    /// The next free word, counted through all chunks. Word 0 is nobody's, so that id 0 is no stack.
    next: usize,
}

#[derive(Clone, Copy)]
struct Known {
    hash: usize,
    id: StackId,
}

// SAFETY: all-zero bytes are a stack of hash 0.
unsafe impl Record for Known {
    fn key(&self) -> usize {
        self.hash
    }
}

impl Stacks {
    /// No stacks.
    pub(crate) const fn new() -> Self {
        Self {
            chunks: [const { AtomicUsize::new(0) }; CHUNKS],
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
        // Without memory it is kept again next time.
        let _ = index.known.insert(Known { hash, id });
        id
    }

    fn keep(&self, index: &mut Index, frames: &[usize]) -> Option<StackId> {
        let words = frames.len() + 1;
        let rest = CHUNK_WORDS - index.next % CHUNK_WORDS;
        let start = if words > rest { index.next + rest } else { index.next };
        let chunk = self.chunks.get(start / CHUNK_WORDS)?;
        // Relaxed: written under the lock that is held.
        if chunk.load(Ordering::Relaxed) == 0 {
            // Release pairs with the Acquire in `frames`.
            chunk.store(memory::map(CHUNK_WORDS * WORD).ok()?, Ordering::Release);
        }
        let id = StackId(u32::try_from(start).ok()?);
        let [len, rest @ ..] = self.words_mut(id, words)? else { return None };
        *len = frames.len();
        rest.copy_from_slice(frames);
        index.next = start + words;
        Some(id)
    }

    fn first(&self, id: StackId) -> Option<*mut usize> {
        let word = id.0 as usize;
        // Acquire pairs with the Release in `keep`.
        let base = self.chunks.get(word / CHUNK_WORDS)?.load(Ordering::Acquire);
        (base != 0 && word != 0).then(|| core::ptr::with_exposed_provenance_mut(base + word % CHUNK_WORDS * WORD))
    }

    #[expect(clippy::mut_from_ref, reason = "the lock guards words without an id")]
    fn words_mut(&self, id: StackId, count: usize) -> Option<&mut [usize]> {
        let first = self.first(id)?;
        // SAFETY: the caller holds the lock, has found the words to lie in one chunk, and nobody has their id yet.
        Some(unsafe { core::slice::from_raw_parts_mut(first, count) })
    }

    /// The frames of a stack, the innermost first.
    pub(crate) fn frames(&self, id: StackId) -> &[usize] {
        let Some(first) = self.first(id) else { return &[] };
        // SAFETY: ids are those of stacks that were written before the id was handed out, and stay.
        let len = unsafe { first.read() };
        // SAFETY: the frames follow their number.
        unsafe { core::slice::from_raw_parts(first.wrapping_add(1), len) }
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
        let all: Vec<Vec<usize>> = (1..40_000_usize).map(|n| (0..n % 40 + 1).map(|depth| n * 977 + depth).collect()).collect();
        let ids: Vec<StackId> = all.iter().map(|frames| stacks.intern(frames)).collect();
        for (frames, &id) in all.iter().zip(&ids) {
            assert_eq!(stacks.frames(id), frames);
            assert_eq!(stacks.intern(frames), id);
        }
        assert_eq!(stacks.intern(&[]), StackId(0));
        assert!(stacks.frames(StackId(0)).is_empty());
    }
}
