#![expect(unsafe_code, reason = "reads the words of a stack that were read before")]
//! The recent walks of one thread. A walk follows from the registers at its start and the words that it reads. So if a
//! thread stands where it stood before, and those words are what they were, the stack is the same, and nothing has to
//! be walked. Must not know what a stack is for.
//!
//! Each walk has a value: what the caller made of the stack, such as the number under which it is kept.

use super::FRAMES_MAX;
use super::stack::{Registers, Stack};
use super::trace;
use super::walk::{Log, Walk};
use crate::sys::mapping::zeroed;

/// Walks that start with the same stack pointer, of which so many are remembered.
const WAYS: usize = 4;
/// A power of two.
const SETS: usize = 16;
/// A walk that reads more words is not remembered.
const WORDS: usize = 28;

/// The recent walks of a thread, which alone uses them. All-zero bytes are none.
#[repr(C)]
pub(crate) struct Recent {
    sets: [Set; SETS],
}

#[repr(C)]
struct Set {
    walks: [Remembered; WAYS],
    /// The place of the walk that is forgotten next.
    next: u64,
}

/// A walk: where it began, and each word that it read.
#[derive(Clone, Copy)]
#[repr(C)]
struct Remembered {
    rsp: usize,
    /// The frame pointer, if the walk depends on it.
    rbp: usize,
    depends_on_rbp: u32,
    /// How many words there are; 0 if no walk is here.
    count: u32,
    /// Bytes from `rsp` to the end of the last of them.
    reach: u32,
    value: u32,
    /// How far above `rsp` each word lies, in bytes.
    places: [u32; WORDS],
    words: [usize; WORDS],
}

zeroed!(Recent { sets });
zeroed!(Set { walks, next });
zeroed!(Remembered { rsp, rbp, depends_on_rbp, count, reach, value, places, words });

const NONE: Remembered = Remembered {
    rsp: 0,
    rbp: 0,
    depends_on_rbp: 0,
    count: 0,
    reach: 0,
    value: 0,
    places: [0; WORDS],
    words: [0; WORDS],
};

impl Remembered {
    /// Whether a walk from `at` would read the same.
    #[inline(always)]
    fn holds(&self, at: &Registers, stack: &Stack) -> bool {
        if self.rsp != at.rsp || (self.depends_on_rbp != 0 && self.rbp != at.rbp) || self.count == 0 {
            return false;
        }
        if !stack.holds(at.rsp, self.reach as usize) {
            return false;
        }
        let count = (self.count as usize).min(WORDS);
        let (places, words) =
            (self.places.get(..count).unwrap_or_default(), self.words.get(..count).unwrap_or_default());
        for (&place, &word) in places.iter().zip(words) {
            // SAFETY: `Recorder::keep` kept places that are multiples of a word from `rsp`, which is one, and the stack
            // holds all of them, as just found.
            if unsafe { stack.word_unchecked(at.rsp + place as usize) } != word {
                return false;
            }
        }
        true
    }
}

/// Writes down what a walk reads.
struct Recorder {
    walk: Remembered,
    /// The word from which the frame pointer was read last; no walk depends on it before a frame is found by it.
    pending: Option<(usize, usize)>,
    /// Whether the frame pointer is still that of the start.
    first_rbp: bool,
    /// Whether the walk can be remembered.
    fits: bool,
}

impl Recorder {
    fn keep(&mut self, address: usize, word: usize) {
        let (at, distance) = (self.walk.count as usize, address.wrapping_sub(self.walk.rsp));
        let end = u32::try_from(distance).ok().and_then(|distance| distance.checked_add(size_of::<usize>() as u32));
        if !distance.is_multiple_of(size_of::<usize>()) {
            self.fits = false;
        }
        let (Some(place), Some(value), Some(end)) = (self.walk.places.get_mut(at), self.walk.words.get_mut(at), end)
        else {
            self.fits = false;
            return;
        };
        (*place, *value) = (distance as u32, word);
        self.walk.count += 1;
        self.walk.reach = self.walk.reach.max(end);
    }
}

impl Log for Recorder {
    fn read(&mut self, address: usize, word: usize) {
        self.keep(address, word);
    }

    fn read_frame_pointer(&mut self, address: usize, word: usize) {
        self.pending = Some((address, word));
        self.first_rbp = false;
    }

    fn use_frame_pointer(&mut self) {
        if let Some((address, word)) = self.pending.take() {
            self.keep(address, word);
        }
        self.walk.depends_on_rbp |= u32::from(self.first_rbp);
    }

    fn give_up(&mut self) {
        self.fits = false;
    }
}

impl Recent {
    fn set_of(&mut self, rsp: usize) -> Option<&mut Set> {
        // Stack pointers are multiples of 16 behind a call.
        let mixed = rsp >> 4 ^ rsp >> 10;
        self.sets.get_mut(mixed % SETS)
    }

    /// The value of the calling thread's stack from the call of the program on, whose function `is_call` names by its
    /// address: what `value_of` makes of the innermost `most` frames, or what it made of them when the thread stood
    /// here before. `most` is the same for all calls.
    #[inline(never)]
    pub(crate) fn value(
        &mut self,
        most: usize,
        is_call: fn(usize) -> bool,
        value_of: impl FnOnce(&[usize]) -> u32,
    ) -> u32 {
        let at = Registers::here();
        let stack = Stack::around(at.rsp);
        let Some(set) = self.set_of(at.rsp) else { return 0 };
        if let Some(known) = set.walks.iter().find(|walk| walk.holds(&at, &stack)) {
            return known.value;
        }
        let skip = trace::own_frames(at, is_call);
        set.learn(Walk::new(at, stack, Recorder::at(&at)), skip, most, value_of)
    }
}

impl Recorder {
    fn at(at: &Registers) -> Self {
        let walk = Remembered { rsp: at.rsp, rbp: at.rbp, ..NONE };
        // A stack pointer that is no multiple of a word belongs to no walk that can be repeated.
        let fits = at.rsp.is_multiple_of(size_of::<usize>());
        Self { walk, pending: None, first_rbp: true, fits }
    }
}

impl Set {
    #[inline(never)]
    fn learn(
        &mut self,
        mut walk: Walk<Recorder>,
        skip: usize,
        most: usize,
        value_of: impl FnOnce(&[usize]) -> u32,
    ) -> u32 {
        let mut frames = [0; FRAMES_MAX];
        let count = walk.capture(skip, frames.get_mut(..most).unwrap_or_default());
        let value = value_of(frames.get(..count).unwrap_or_default());
        let recorder = walk.log();
        if recorder.fits
            && let Some(place) = self.walks.get_mut(self.next as usize % WAYS)
        {
            *place = Remembered { value, ..recorder.walk };
            self.next += 1;
        }
        value
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::mapping::{Mapped, Zeroed};
    use crate::unwind::capture;
    use proptest::prelude::*;
    use std::hint::black_box;

    const DEPTH: usize = 12;

    /// Calls itself along `path`, by one of three calls at each step, and compares at its end.
    #[inline(never)]
    fn descend(path: &[u8], recent: &mut Recent, seen: &mut Vec<Vec<usize>>) {
        let room = black_box([path.len(); 3]);
        match path {
            [] => compare(recent, seen),
            [0, rest @ ..] => descend(black_box(rest), recent, seen),
            [1, rest @ ..] => descend(black_box(rest), recent, seen),
            [_, rest @ ..] => aligned(black_box(rest), recent, seen),
        }
        black_box(room);
    }

    #[repr(align(64))]
    struct Aligned([usize; 8]);

    /// A frame that is found by its frame pointer.
    #[inline(never)]
    fn aligned(path: &[u8], recent: &mut Recent, seen: &mut Vec<Vec<usize>>) {
        let room = black_box(Aligned([path.len(); 8]));
        descend(path, recent, seen);
        black_box(room.0);
    }

    #[inline(never)]
    fn compare(recent: &mut Recent, seen: &mut Vec<Vec<usize>>) {
        let mut plain = [0; DEPTH];
        let count = capture(0, &mut plain);
        let plain = &plain[..count];
        let value = recent.value(
            DEPTH,
            |_| false,
            |frames| {
                seen.push(frames.to_vec());
                seen.len() as u32
            },
        );
        let known = &seen[value as usize - 1];
        // The innermost frames are those of the two walks themselves.
        let own = known.iter().position(|frame| plain.contains(frame)).unwrap();
        let own_plain = plain.iter().position(|frame| *frame == known[own]).unwrap();
        let len = DEPTH - own.max(own_plain);
        assert_eq!(known[own..][..len], plain[own_plain..][..len]);
        assert!(len >= DEPTH - 4);
    }

    proptest! {
        #[test]
        fn a_remembered_stack_is_the_one_that_a_walk_finds(
            paths in proptest::collection::vec(proptest::collection::vec(0_u8..3, 0..10), 1..60)
        ) {
            let mut recent = Mapped::<Recent>::new(1).unwrap();
            let mut seen = Vec::new();
            for path in paths.iter().chain(&paths) {
                descend(path, &mut recent[0], &mut seen);
            }
        }
    }

    #[test]
    fn a_stack_is_walked_once_while_its_thread_stands_where_it_stood() {
        let mut recent = Mapped::<Recent>::new(1).unwrap();
        let mut walked = 0;
        for _ in 0..100 {
            assert_eq!(
                recent[0].value(
                    DEPTH,
                    |_| false,
                    |_| {
                        walked += 1;
                        7
                    }
                ),
                7
            );
        }
        assert_eq!(walked, 1);
        assert_eq!(Recent::zeroed().sets[0].walks[0].count, 0);
    }
}
