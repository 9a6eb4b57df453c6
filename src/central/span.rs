#![expect(unsafe_code, reason = "views records as spans and metadata as bitmaps")]
//! A span: regions cut into blocks of one class. Its header and bitmap lie out of line.
//!
//! A block is free in the bitmap, never used (at or behind `fresh`), or out: live, or in some bin or batch. Only the bitmap
//! decides what is free, so a block that comes back twice is seen here. Must not know who owns the span.
//!
//! # Invariants
//! - `free` is the number of set bits; no bit at or behind `fresh` is set.
//! - A span is changed by its owner's thread alone, or under its shelf's lock while the depot owns it.

use core::cell::Cell;

use crate::base::class::{Class, Geometry};
use crate::base::units::Region;
use crate::pages::{Pages, SPAN_BYTES, Space};
use crate::sys::atomic::{AtomicU32, Ordering};

const INLINE_WORDS: usize = 7;
const WORD_BITS: u32 = u64::BITS;

/// Where a span stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub(crate) enum State {
    /// No span, or not yet.
    Unused = 0,
    /// Blocks can be fetched.
    Partial,
    /// Every block is out.
    Full,
    /// One large block, no cutting.
    Large,
    /// A span that was released.
    FreedSpan,
    /// A large block that was freed.
    FreedLarge,
}

/// What a span that got a block back asks of its owner. This is the one place that decides when a span may be recycled.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[must_use]
pub(crate) enum Next {
    /// Nothing.
    Stay,
    /// It was full: it belongs among the partial ones now.
    Partial,
    /// No block is out any more: it may be released.
    Empty,
}

/// Why a block cannot be taken back.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Refused {
    /// It is free already.
    Double,
    /// No block starts there.
    Inside,
}

/// See the module.
#[repr(C)]
pub(crate) struct Span {
    /// Neighbours in the owner's list, as region numbers.
    pub(crate) next: Cell<u32>,
    pub(crate) previous: Cell<u32>,
    /// The first region of the span that this region belongs to.
    first: Cell<u32>,
    class: Cell<u8>,
    state: Cell<u8>,
    /// Set bits. Written by whoever may change the span; read by anyone for statistics.
    free: AtomicU32,
    /// Blocks ever handed out. As `free`.
    fresh: AtomicU32,
    /// The bitmap, unless it is `inline`.
    bitmap: Cell<*const Cell<u64>>,
    /// Usable bytes of a large block.
    bytes: Cell<usize>,
    inline: [Cell<u64>; INLINE_WORDS],
}

const _: () = assert!(size_of::<Span>() <= SPAN_BYTES);

/// The header of `region`, which is committed. Zeroed records are valid headers of unused regions.
#[inline]
pub(super) fn header(space: &Space, region: Region) -> &Span {
    // SAFETY: a record is aligned, zero-initialised memory of enough bytes that stays for the life of the process.
    unsafe { &*space.record(region).cast::<Span>() }
}

impl Span {
    /// Makes a span of `class` out of the run at `region`; false if there is no memory for its bitmap.
    pub(super) fn make(pages: &Pages, region: Region, class: Class) -> bool {
        let space = pages.space();
        let geometry = class.geometry();
        let words = geometry.capacity.div_ceil(WORD_BITS) as usize;
        let span = header(space, region);
        let bitmap = if words <= INLINE_WORDS {
            span.inline.as_ptr()
        } else {
            match pages.acquire_metadata(words * size_of::<u64>()) {
                Some(piece) => piece.cast_const().cast(),
                None => return false,
            }
        };
        span.bitmap.set(bitmap);
        for word in span.words(geometry) {
            word.set(0);
        }
        // Relaxed: nobody else sees the span yet.
        span.free.store(0, Ordering::Relaxed);
        span.fresh.store(0, Ordering::Relaxed);
        span.class.set(class.index() as u8);
        span.state.set(State::Partial as u8);
        for step in 0..geometry.regions {
            header(space, region.plus(step)).first.set(region.0);
        }
        true
    }

    /// Gives back the bitmap of a span of `class` that nobody uses any more.
    pub(super) fn unmake(&self, pages: &Pages, class: Class) {
        self.state.set(State::FreedSpan as u8);
        let bitmap = self.bitmap.replace(core::ptr::null());
        if bitmap != self.inline.as_ptr() {
            let bytes = class.geometry().capacity.div_ceil(WORD_BITS) as usize * size_of::<u64>();
            // SAFETY: `make` acquired it with the same bytes.
            unsafe { pages.release_metadata(bitmap.cast_mut().cast(), bytes) };
        }
    }

    /// Makes the run at `region` one large block of `bytes` usable bytes.
    pub(super) fn make_large(space: &Space, region: Region, bytes: usize) {
        let span = header(space, region);
        span.first.set(region.0);
        span.bytes.set(bytes);
        span.state.set(State::Large as u8);
    }

    /// Ends a large block.
    pub(super) fn unmake_large(&self) {
        self.state.set(State::FreedLarge as u8);
    }

    /// Usable bytes of a large block.
    pub(crate) fn large_bytes(&self) -> usize {
        self.bytes.get()
    }

    /// Sets the usable bytes of a large block that was resized in place.
    pub(super) fn set_large_bytes(&self, bytes: usize) {
        self.bytes.set(bytes);
    }

    /// The first region of the span.
    #[inline]
    pub(crate) fn first(&self) -> Region {
        Region(self.first.get())
    }

    /// Where the span stands.
    pub(crate) fn state(&self) -> State {
        match self.state.get() {
            1 => State::Partial,
            2 => State::Full,
            3 => State::Large,
            4 => State::FreedSpan,
            5 => State::FreedLarge,
            _ => State::Unused,
        }
    }

    pub(crate) fn set_state(&self, state: State) {
        self.state.set(state as u8);
    }

    /// Blocks that can be fetched.
    #[inline]
    pub(crate) fn available(&self, geometry: &Geometry) -> u32 {
        // Relaxed: see the fields.
        self.free.load(Ordering::Relaxed) + geometry.capacity - self.fresh.load(Ordering::Relaxed)
    }

    /// Blocks that are out.
    #[inline]
    pub(crate) fn used(&self) -> u32 {
        // Relaxed: see the fields.
        self.fresh.load(Ordering::Relaxed).saturating_sub(self.free.load(Ordering::Relaxed))
    }

    /// Takes `count` blocks, at most `available`, in order of address: those in the bitmap first, so that pages never touched
    /// stay untouched. `start` is where the span starts.
    pub(crate) fn take(&self, geometry: &Geometry, start: usize, count: u32, mut put: impl FnMut(u32, *mut u8)) {
        let size = geometry.size as usize;
        let block = |index: u32| core::ptr::with_exposed_provenance_mut(start + index as usize * size);
        // Relaxed: see the fields.
        let free = self.free.load(Ordering::Relaxed);
        let reused = count.min(free);
        let mut done = 0;
        if reused > 0 {
            for (base, word) in (0..).step_by(WORD_BITS as usize).zip(self.words(geometry)) {
                let mut bits = word.get();
                while bits != 0 && done < reused {
                    put(done, block(base + bits.trailing_zeros()));
                    bits &= bits - 1;
                    done += 1;
                }
                word.set(bits);
                if done == reused {
                    break;
                }
            }
            self.free.store(free - reused, Ordering::Relaxed);
        }
        let fresh = self.fresh.load(Ordering::Relaxed);
        let new = (count - reused).min(geometry.capacity - fresh);
        for step in 0..new {
            put(reused + step, block(fresh + step));
        }
        self.fresh.store(fresh + new, Ordering::Relaxed);
    }

    /// Starts to take back blocks.
    #[inline]
    pub(crate) fn returning<'a>(&'a self, geometry: &'a Geometry) -> Returning<'a> {
        // Relaxed: see the fields.
        let fresh = self.fresh.load(Ordering::Relaxed);
        Returning { span: self, geometry, words: self.words(geometry), fresh, taken: 0 }
    }

    /// Takes back the block at `offset` from the start of the span.
    pub(crate) fn give_back(&self, geometry: &Geometry, offset: usize) -> Result<Next, Refused> {
        let mut returning = self.returning(geometry);
        returning.take(offset)?;
        Ok(returning.finish())
    }

    /// Whether the block at `offset` is out; an error if none starts there.
    pub(crate) fn is_out(&self, geometry: &Geometry, offset: usize) -> Result<(), Refused> {
        let (index, inside) = geometry.locate(offset);
        // Relaxed: see the fields.
        if inside != 0 || index >= self.fresh.load(Ordering::Relaxed) {
            return Err(Refused::Inside);
        }
        match self.word(geometry, index) {
            Some(word) if word.get() >> (index % WORD_BITS) & 1 == 0 => Ok(()),
            Some(_) => Err(Refused::Double),
            None => Err(Refused::Inside),
        }
    }

    /// Counts the bitmap again, after a fork that may have caught the owner between two stores.
    pub(super) fn recount(&self, geometry: &Geometry) {
        let set: u32 = self.words(geometry).iter().map(|word| word.get().count_ones()).sum();
        // Relaxed: see the fields.
        self.free.store(set, Ordering::Relaxed);
    }

    #[inline]
    fn word(&self, geometry: &Geometry, index: u32) -> Option<&Cell<u64>> {
        self.words(geometry).get((index / WORD_BITS) as usize)
    }

    #[inline]
    fn words(&self, geometry: &Geometry) -> &[Cell<u64>] {
        let words = geometry.capacity.div_ceil(WORD_BITS) as usize;
        // SAFETY: `make` gave the bitmap that many words, aligned; they stay while the span is in use.
        unsafe { core::slice::from_raw_parts(self.bitmap.get(), words) }
    }
}

/// Blocks on their way back into one span; the header is brought up to date once, by `finish`.
#[must_use]
pub(crate) struct Returning<'a> {
    span: &'a Span,
    geometry: &'a Geometry,
    words: &'a [Cell<u64>],
    fresh: u32,
    taken: u32,
}

impl Returning<'_> {
    /// Takes back the block at `offset` from the start of the span.
    #[inline(always)]
    pub(crate) fn take(&mut self, offset: usize) -> Result<(), Refused> {
        let (index, inside) = self.geometry.locate(offset);
        if inside != 0 || index >= self.fresh {
            return Err(Refused::Inside);
        }
        let Some(word) = self.words.get((index / WORD_BITS) as usize) else {
            return Err(Refused::Inside);
        };
        let (bits, bit) = (word.get(), 1_u64 << (index % WORD_BITS));
        if bits & bit != 0 {
            return Err(Refused::Double);
        }
        word.set(bits | bit);
        self.taken += 1;
        Ok(())
    }

    /// Counts what was taken, and says what the span asks of its owner.
    pub(crate) fn finish(self) -> Next {
        let span = self.span;
        // Relaxed: see the fields.
        let free = span.free.load(Ordering::Relaxed) + self.taken;
        span.free.store(free, Ordering::Relaxed);
        if free == self.fresh {
            Next::Empty
        } else if self.taken > 0 && span.state.get() == State::Full as u8 {
            Next::Partial
        } else {
            Next::Stay
        }
    }
}
