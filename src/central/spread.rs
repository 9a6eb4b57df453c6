#![expect(unsafe_code, reason = "fills slots with blocks")]
//! Spread fetches: the blocks of a span are taken in an unpredictable order, and neighbours rarely one after the other.
//! For modes that ask for it; otherwise a fetch takes blocks in order of address.
//!
//! A hash of a block's address with a secret assigns the block to one of a few groups. A fetch takes the blocks of the
//! first group in order of address, then those of the next one. So a heap with few blocks of a class has them far
//! apart. Of blocks of four pages and more every second one is never taken, which costs address space and no memory.
//! Must not know why a block is taken.

use super::span::{Span, WORD_BITS};
use super::store::Central;
use crate::base::class::Geometry;
use crate::base::random::Random;
use crate::base::units::KIB;
use crate::config::SpreadSpans;
use crate::sys::atomic::{AtomicU8, AtomicU64, Ordering};

/// Of whole words of a bitmap, those with about so many bytes of blocks are taken before the next ones: a heap with few
/// blocks touches few pages. But no more words than this.
const WINDOW_BYTES: usize = 20 * KIB;
const WINDOW_WORDS: usize = 8;
/// log2 of the parts.
const PARTS_SHIFT: u32 = 3;
/// Larger blocks are few to a page, so that spreading them would cost memory.
const SPREAD_MAX: u32 = 512;
/// Of blocks of so many bytes and more every second one is left out: no page holds bytes of two blocks.
pub(super) const SPACED_MIN: u32 = 16 * KIB as u32;
/// The blocks of a word that are taken where every second one is left out.
const SECOND: u64 = 0x5555_5555_5555_5555;

/// Which fetches are spread, and how.
pub(super) struct Spread {
    /// Decides the parts. Written at start, read by any thread.
    secret: AtomicU64,
    /// A [`SpreadSpans`] as a number, 0 for none. Written at start, read by any thread.
    pub(super) spans: AtomicU8,
}

impl Spread {
    /// No fetch is.
    pub(super) const fn none() -> Self {
        Self { secret: AtomicU64::new(0), spans: AtomicU8::new(SpreadSpans::None as u8) }
    }

    fn is(&self, spans: SpreadSpans) -> bool {
        // Relaxed: published by the start barrier.
        self.spans.load(Ordering::Relaxed) == spans as u8
    }
}

impl Central {
    /// Spreads fetches from `spans`, as `secret` decides. Part of the start.
    pub(crate) fn spread_fetches(&self, spans: SpreadSpans, secret: u64) {
        // Relaxed: published by the start barrier.
        self.spread.secret.store(secret, Ordering::Relaxed);
        // Relaxed: as above.
        self.spread.spans.store(spans as u8, Ordering::Relaxed);
    }

    /// As [`Central::take`], where fetches from some spans are spread.
    ///
    /// # Safety
    /// - As there.
    #[cold]
    #[inline(never)]
    pub(super) unsafe fn take_spread(
        &self,
        span: &Span,
        geometry: &Geometry,
        few: bool,
        count: usize,
        slot: *mut *mut u8,
    ) {
        let start = self.pages.space().address(span.first());
        let near = few && geometry.size <= SPREAD_MAX;
        if !near && !span.is_spaced() && !self.spread.is(SpreadSpans::All) {
            // SAFETY: the caller's.
            return unsafe { span.take(geometry, start, count, slot) };
        }
        // Relaxed: see `Spread::is`.
        let secret = self.spread.secret.load(Ordering::Relaxed);
        // SAFETY: as above.
        unsafe { span.take_spread(geometry, (start, secret), count, slot) };
    }
}

impl Span {
    /// As [`Span::take`], in the order that `secret` decides.
    ///
    /// # Safety
    /// - As there.
    #[cold]
    #[inline(never)]
    unsafe fn take_spread(&self, geometry: &Geometry, from: (usize, u64), count: usize, slot: *mut *mut u8) {
        debug_assert!(count <= self.available(geometry) as usize);
        let ((start, secret), size) = (from, geometry.size as usize);
        let (mut slot, mut rest) = (slot, count);
        // The parts of a window, one after the other, and of each part all words of the window.
        let words = self.words(geometry).len();
        let window = WINDOW_BYTES.div_ceil(size * WORD_BITS as usize).min(WINDOW_WORDS);
        let windows = (0..words).step_by(window).map(|first| first..words.min(first + window));
        let parts = windows.flat_map(|window| (0..1 << PARTS_SHIFT).map(move |part| (window.clone(), part)));
        for (place, part) in parts.flat_map(|(window, part)| window.map(move |place| (place, part))) {
            let first = place as u32 * WORD_BITS;
            let word = self.word(geometry, first);
            let mut free = !word.get() & self.wanted(geometry, first);
            if free == 0 {
                continue;
            }
            let base = start + first as usize * size;
            free &= part_of_word(secret ^ base as u64, part);
            while free != 0 && rest > 0 {
                let index = free.trailing_zeros();
                // SAFETY: the slots below the first one can be written, one for each of `count` blocks, and no more are
                // put.
                unsafe { slot.write(core::ptr::with_exposed_provenance_mut(base + index as usize * size)) };
                slot = slot.wrapping_sub(1);
                word.set(word.get() | 1 << index);
                free &= free - 1;
                rest -= 1;
            }
            if rest == 0 {
                break;
            }
        }
        self.count_up((count - rest) as u32);
    }

    /// The blocks of the word that begins with block `first` that may be taken at all.
    fn wanted(&self, geometry: &Geometry, first: u32) -> u64 {
        let blocks = geometry.capacity.saturating_sub(first).min(WORD_BITS);
        let there = if blocks == 0 { 0 } else { u64::MAX >> (WORD_BITS - blocks) };
        if self.is_spaced() { there & SECOND } else { there }
    }
}

/// The blocks of a word that belong to `part`, where `seed` decides.
fn part_of_word(seed: u64, part: u32) -> u64 {
    let mut random = Random::new(seed);
    (0..PARTS_SHIFT).fold(u64::MAX, |mask, bit| {
        let half = random.next();
        mask & if part >> bit & 1 == 0 { half } else { !half }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_block_of_a_word_is_in_one_part_and_parts_differ_by_seed() {
        for seed in [0, 1, 0x7f00_0000_0000, u64::MAX] {
            let parts: Vec<u64> = (0..1 << PARTS_SHIFT).map(|part| part_of_word(seed, part)).collect();
            assert_eq!(parts.iter().fold(0, |all, part| all | part), u64::MAX);
            assert_eq!(parts.iter().map(|part| part.count_ones()).sum::<u32>(), u64::BITS);
            assert!(parts.iter().all(|part| part.count_ones() < u64::BITS / 2), "{parts:x?}");
            assert_ne!(parts[0], part_of_word(seed ^ 1 << 20, 0));
        }
    }
}
