//! Call stacks, each kept once: the id of a stack fits into four bytes of a record. No lock: a thread finds a stack
//! that is kept, or adds it, by a chain of stacks with the same part of their hash.
//!
//! Stacks lie one after the other in chunks that stay for ever, so an id stays good and its frames can be read at any
//! time.

use crate::sys::atomic::{AtomicU32, AtomicUsize, Ordering};
use crate::sys::cell::StaticRef;
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
/// Chains; a power of two.
const CHAINS: usize = 1 << 14;
/// Bits of the first word of a stack: the next one of its chain, the number of its frames, and a part of its hash.
const NEXT_BITS: u32 = u32::BITS;
const LEN_BITS: u32 = 8;
/// Frames of a stack that are kept; more are left out.
const FRAMES_MAX: usize = (1 << LEN_BITS) - 1;

/// For each stack the word described above, then its frames. Written once, before the id is known to another thread.
type Chunk = [AtomicUsize; CHUNK_WORDS];

/// All stacks that were kept.
pub(crate) struct Stacks {
    /// Filled and read by any thread.
    chunks: [StaticRef<Chunk>; CHUNKS],
    /// The next free word, counted through all chunks; 0 before the first. Raised by any thread.
    next: AtomicUsize,
    /// The newest stack of each chain. Written by any thread that adds one, read by any thread.
    chains: [AtomicU32; CHAINS],
}

/// Word 0 stays unused, so that id 0 is no stack.
const FIRST: usize = 1;

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
            next: AtomicUsize::new(0),
            chains: [const { AtomicU32::new(0) }; CHAINS],
        }
    }

    /// The id of the stack with these frames, the innermost first; none if it is empty or there is no room for it.
    pub(crate) fn intern(&self, frames: &[usize]) -> StackId {
        let frames = frames.get(..FRAMES_MAX).unwrap_or(frames);
        let hash = hash(frames);
        let Some(chain) = self.chains.get(hash % CHAINS).filter(|_| !frames.is_empty()) else {
            return StackId::default();
        };
        let mark = hash >> (NEXT_BITS + LEN_BITS) << LEN_BITS | frames.len();
        // Acquire pairs with the Release below: the words of the stacks in the chain are there.
        let mut newest = chain.load(Ordering::Acquire);
        if let Some(known) = self.search(newest, 0, mark, frames) {
            return known;
        }
        let Some((id, words)) = self.add(mark, frames) else { return StackId::default() };
        loop {
            // Relaxed: the exchange publishes it.
            words.store(mark << NEXT_BITS | newest as usize, Ordering::Relaxed);
            // Release pairs with the Acquire above; Acquire, with the Release of the thread that was first.
            match chain.compare_exchange(newest, id.0, Ordering::Release, Ordering::Acquire) {
                Ok(_) => return id,
                Err(now) => {
                    // The words of the copy that was just made stay unused.
                    if let Some(known) = self.search(now, newest, mark, frames) {
                        return known;
                    }
                    newest = now;
                }
            }
        }
    }

    /// The stack with this mark and these frames among those from `first` up to, but without, `last` of a chain.
    fn search(&self, first: u32, last: u32, mark: usize, frames: &[usize]) -> Option<StackId> {
        let mut id = first;
        while id != last {
            let [head, words @ ..] = self.words_from(id)? else { return None };
            // Relaxed: the caller's Acquire of the chain.
            let head = head.load(Ordering::Relaxed);
            let mut kept = words.iter().map(|word| word.load(Ordering::Relaxed));
            if head >> NEXT_BITS == mark && frames.iter().all(|&frame| kept.next() == Some(frame)) {
                return Some(StackId(id));
            }
            id = head as u32;
        }
        None
    }

    /// Copies the frames to words of their own; their id and the word before them.
    #[cold]
    fn add(&self, mark: usize, frames: &[usize]) -> Option<(StackId, &'static AtomicUsize)> {
        let words = frames.len() + 1;
        let start_after = |next: usize| {
            let next = next.max(FIRST);
            let rest = CHUNK_WORDS - next % CHUNK_WORDS;
            if words > rest { next + rest } else { next }
        };
        // Relaxed: of several threads each gets other words.
        let raise = |next| Some(start_after(next) + words).filter(|&end| end <= CHUNKS * CHUNK_WORDS);
        let before = self.next.fetch_update(Ordering::Relaxed, Ordering::Relaxed, raise).ok()?;
        let start = start_after(before);
        let place = self.chunks.get(start / CHUNK_WORDS)?;
        if place.get().is_none() {
            // If another thread is faster, its chunk counts; this one, which nothing touched, costs addresses alone.
            place.fill(Mapped::new(CHUNK_WORDS)?.leak().try_into().ok()?);
        }
        let id = u32::try_from(start).ok()?;
        let [head, room @ ..] = self.words_from(id)? else { return None };
        // Relaxed: the caller's Release publishes them.
        room.iter().zip(frames).for_each(|(word, &frame)| word.store(frame, Ordering::Relaxed));
        head.store(mark << NEXT_BITS, Ordering::Relaxed);
        Some((StackId(id), head))
    }

    /// The words of a chunk from the first of a stack on.
    fn words_from(&self, id: u32) -> Option<&'static [AtomicUsize]> {
        let word = id as usize;
        self.chunks.get(word / CHUNK_WORDS)?.get()?.get(word % CHUNK_WORDS..)
    }

    /// The frames of a stack.
    pub(crate) fn frames(&self, id: StackId) -> Frames {
        Frames(self.find(id).unwrap_or_default())
    }

    fn find(&self, id: StackId) -> Option<&'static [AtomicUsize]> {
        let [head, frames @ ..] = self.words_from(Some(id.0).filter(|&id| id != 0)?)? else { return None };
        // Relaxed: written before the id was handed out.
        let len = head.load(Ordering::Relaxed) >> NEXT_BITS & ((1 << LEN_BITS) - 1);
        frames.get(..len)
    }
}

/// A hash of all frames. Each step is one that can be undone, with the upper half mixed into the lower.
fn hash(frames: &[usize]) -> usize {
    const FACTOR: usize = 0xff51_afd7_ed55_8ccd;
    frames.iter().fold(frames.len(), |hash, &frame| {
        let hash = (hash ^ frame).wrapping_mul(FACTOR);
        hash ^ (hash >> (usize::BITS / 2))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Barrier;

    fn all() -> Vec<Vec<usize>> {
        let frames_of = |n: usize| (0..n % 40 + 1).map(|depth| n * 977 + depth).collect();
        (1..40_000).map(frames_of).collect()
    }

    #[test]
    fn a_stack_has_one_id_and_keeps_its_frames() {
        let stacks = Box::leak(Box::new(Stacks::new()));
        let all = all();
        let ids: Vec<StackId> = all.iter().map(|frames| stacks.intern(frames)).collect();
        for (frames, &id) in all.iter().zip(&ids) {
            assert!(stacks.frames(id).iter().eq(frames.iter().copied()));
            assert_eq!(stacks.intern(frames), id);
        }
        assert_eq!(stacks.intern(&[]), StackId(0));
        assert_eq!(stacks.frames(StackId(0)).len(), 0);
    }

    #[test]
    fn threads_that_keep_the_same_stacks_at_once_get_the_same_ids() {
        let stacks: &Stacks = Box::leak(Box::new(Stacks::new()));
        let (all, start) = (all(), Barrier::new(4));
        let ids = |_| {
            start.wait();
            all.iter().map(|frames| stacks.intern(frames)).collect::<Vec<_>>()
        };
        let of_threads: Vec<Vec<StackId>> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..4).map(|n| scope.spawn(move || ids(n))).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        assert!(of_threads.windows(2).all(|pair| pair[0] == pair[1]));
        let mut distinct = of_threads[0].clone();
        distinct.sort_by_key(|id| id.0);
        distinct.dedup();
        assert_eq!(distinct.len(), all.len());
    }

    #[test]
    fn a_stack_is_no_prefix_of_another() {
        let stacks = Box::leak(Box::new(Stacks::new()));
        let frames: Vec<usize> = (1..=FRAMES_MAX).collect();
        let ids: Vec<u32> = (1..=FRAMES_MAX).map(|len| stacks.intern(&frames[..len]).0).collect();
        let lens = ids.iter().map(|&id| stacks.frames(StackId(id)).len());
        assert!(lens.eq(1..=FRAMES_MAX));
    }
}
