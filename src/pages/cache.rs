//! The run cache: dirty runs that were large blocks, beside the free runs, for the next large blocks. A thread takes or
//! puts one by a compare-exchange, where the free runs have one lock for all.
//!
//! A run is one word, in a shard of [`SLOTS`] words. A thread uses the shard that follows from its heap's address, or,
//! with memory by node, that of its node. No run belongs to a thread: any thread may take any run at any time. Within a
//! shard runs are handed out best fit, are split, and merge with their neighbours. Must not know what a run is used
//! for.
//!
//! # Invariants
//! - A run of the cache is in no free run and has no entry in the map; one thread at a time takes it.
//! - A shard keeps at most [`SHARD_REGIONS`], unless several threads put runs there at once.

use super::runs::{Run, waited};
use crate::base::units::{MIB, REGION_BYTES, Region};
use crate::sys::atomic::{AtomicU32, AtomicUsize, Ordering};
use crate::sys::cell::{Flag, Flags};

/// Words of a shard, and shards.
const SLOTS: usize = 16;
pub(super) const SHARDS: usize = 8;
/// Bytes that a shard keeps.
const SHARD_BYTES: usize = 4 * MIB;
const SHARD_REGIONS: u32 = (SHARD_BYTES / REGION_BYTES) as u32;
/// Attempts to put a run before the free runs get it.
const ATTEMPTS: usize = 16;

/// A run, or none: its first region from bit [`REGION_BIT`] on, when it was used last from bit [`TIME_BIT`] on, how
/// many regions below.
#[derive(Clone, Copy, PartialEq, Eq)]
struct PackedRun(usize);

const REGION_BIT: u32 = 32;
const TIME_BIT: u32 = 12;
const COUNT_MASK: usize = (1 << TIME_BIT) - 1;
/// Times have 20 bits, and count this many milliseconds.
const TIME_MASK: u32 = (1 << (REGION_BIT - TIME_BIT)) - 1;
const TIME_UNIT: u32 = 4;
/// The longest wait of a run in the cache: half a turn of its times, some 35 minutes.
const DELAY_MAX: u32 = TIME_MASK / 2 * TIME_UNIT;
/// Sweeps in the time after which a run is due.
const SWEEPS: u32 = 4;

const _: () = assert!((SHARD_REGIONS as usize) < COUNT_MASK);

impl PackedRun {
    const EMPTY: Self = Self(0);

    /// Of a run that was used last at `time`, of [`PackedRun::time`].
    const fn of(region: Region, count: u32, time: u32) -> Self {
        if count == 0 {
            return Self::EMPTY;
        }
        Self((region.0 as usize) << REGION_BIT | (time as usize) << TIME_BIT | count as usize)
    }

    /// The time of a clock in milliseconds, as words have it.
    const fn time_of(now: u32) -> u32 {
        (now / TIME_UNIT) & TIME_MASK
    }

    const fn time(self) -> u32 {
        (self.0 >> TIME_BIT) as u32 & TIME_MASK
    }

    /// Whether the run has waited for `delay` milliseconds at `now`.
    const fn is_due(self, now: u32, delay: u32) -> bool {
        let waited = Self::time_of(now).wrapping_sub(self.time()) & TIME_MASK;
        // One that was stamped a little after the caller read the clock is young.
        waited <= TIME_MASK / 2 && waited * TIME_UNIT >= if delay < DELAY_MAX { delay } else { DELAY_MAX }
    }

    const fn region(self) -> Region {
        Region((self.0 >> REGION_BIT) as u32)
    }

    const fn count(self) -> u32 {
        (self.0 & COUNT_MASK) as u32
    }

    const fn end(self) -> Region {
        self.region().plus(self.count())
    }

    const fn run(self) -> Run {
        Run { region: self.region(), count: self.count(), dirty: true }
    }
}

/// A place for a run. Any thread reads and writes it.
struct Slot(AtomicUsize);

impl Slot {
    fn word(&self) -> PackedRun {
        // Relaxed: `replace` decides.
        PackedRun(self.0.load(Ordering::Relaxed))
    }

    /// Puts `new` in the place of `old`; false if another word is there by now. The same word means that the same run
    /// is there, and free: whether it was away meanwhile does not matter.
    fn replace(&self, old: PackedRun, new: PackedRun) -> bool {
        // Acquire of the thread that takes a run pairs with the Release of the one that put it.
        self.0.compare_exchange(old.0, new.0, Ordering::AcqRel, Ordering::Relaxed).is_ok()
    }
}

#[repr(align(64))]
struct Shard([Slot; SLOTS]);

/// The result of [`Shard::survey`].
struct Survey<'a> {
    /// Regions of its runs.
    regions: u32,
    empty: Option<&'a Slot>,
    /// The runs that end where the caller's begins, and begin where it ends.
    before: Option<(&'a Slot, PackedRun)>,
    behind: Option<(&'a Slot, PackedRun)>,
}

impl Shard {
    /// Each slot with what is in it at this moment.
    fn words(&self) -> impl Iterator<Item = (&Slot, PackedRun)> {
        self.0.iter().map(|slot| (slot, slot.word()))
    }

    /// The smallest run of at least `count` regions.
    #[inline]
    fn best_fit(&self, count: u32) -> Option<(&Slot, PackedRun)> {
        let (mut best, mut least) = (None, u32::MAX);
        for slot in &self.0 {
            let word = slot.word();
            // Those that are too short become the longest.
            let over = word.count().wrapping_sub(count);
            if over < least && over <= SHARD_REGIONS {
                (best, least) = (Some((slot, word)), over);
                if over == 0 {
                    break;
                }
            }
        }
        best
    }

    /// Its bytes, an empty slot and the neighbours of `run`, for a thread that puts that.
    #[inline]
    fn survey(&self, run: Run) -> Survey<'_> {
        let mut survey = Survey { regions: 0, empty: None, before: None, behind: None };
        let end = run.region.plus(run.count);
        for slot in &self.0 {
            let word = slot.word();
            if word == PackedRun::EMPTY {
                // The first, where the next search begins.
                survey.empty = survey.empty.or(Some(slot));
                continue;
            }
            survey.regions += word.count();
            if word.end() == run.region {
                survey.before = Some((slot, word));
            } else if word.region() == end {
                survey.behind = Some((slot, word));
            }
        }
        survey
    }
}

impl Shard {
    /// Has one of the runs go for `run`: which depends on that, so that each word has its turn.
    #[cold]
    fn spill_one(&self, run: Run, spill: &mut impl FnMut(Run)) {
        let words = || self.words().filter(|&(_, word)| word != PackedRun::EMPTY);
        if let Some((slot, word)) = words().nth(run.region.0 as usize % words().count().max(1))
            && slot.replace(word, PackedRun::EMPTY)
        {
            spill(word.run());
        }
    }
}

/// A run last used at `time` and its neighbour `word` as one, with the age of the larger.
fn join(run: Run, time: u32, word: PackedRun) -> (Run, u32) {
    let time = if word.count() >= run.count { word.time() } else { time };
    (Run { region: run.region.min(word.region()), count: run.count + word.count(), ..run }, time)
}

/// The bit that says whether the cache is in use.
#[derive(Clone, Copy)]
struct InUse;

impl Flag for InUse {
    fn bit(self) -> u32 {
        1
    }
}

/// See the module. All-zero bytes are an empty cache that is not in use.
pub(super) struct RunCache {
    shards: [Shard; SHARDS],
    /// Set at start, and then read by any thread.
    in_use: Flags<InUse>,
    /// When the last sweep was, in milliseconds. Any thread writes it.
    swept: AtomicU32,
    /// A bit for each shard that ever had a run. Any thread sets one, before it puts the run.
    used: AtomicU32,
}

impl RunCache {
    pub(super) const fn new() -> Self {
        Self {
            shards: [const { Shard([const { Slot(AtomicUsize::new(0)) }; SLOTS]) }; SHARDS],
            in_use: Flags::new(),
            swept: AtomicU32::new(0),
            used: AtomicU32::new(0),
        }
    }

    /// Has the cache be used from here on.
    pub(super) fn open(&self) {
        self.in_use.set(InUse);
    }

    /// Whether it is used.
    #[inline]
    pub(super) fn is_open(&self) -> bool {
        self.in_use.any()
    }

    /// Where its words are, for a reader in another process, and how many.
    pub(super) fn place(&self) -> [usize; 2] {
        [self.shards.as_ptr().addr(), SHARDS * SLOTS]
    }

    /// Regions of its runs.
    pub(super) fn regions(&self) -> u32 {
        // Relaxed: a run that another thread puts just now may as well come later.
        let used = self.used.load(Ordering::Relaxed);
        let shards = self.shards.iter().enumerate().filter(|(place, _)| used >> place & 1 != 0);
        shards.flat_map(|(_, shard)| shard.words()).map(|(_, word)| word.count()).sum()
    }

    /// The shard at `place`, which may be any number.
    #[inline]
    fn shard(&self, place: usize) -> &Shard {
        // A remainder is below the number of shards; `get` keeps a panic out of the library.
        self.shards.get(place % SHARDS).unwrap_or(&self.shards[0])
    }

    /// A run of `count` regions from the shard at `place`: the best fit, or the front of it. The rest counts as used
    /// `now`.
    #[inline]
    pub(super) fn take(&self, place: usize, count: u32, now: impl FnOnce() -> u32) -> Option<Run> {
        if !self.is_open() {
            return None;
        }
        let (slot, word) = self.shard(place).best_fit(count)?;
        let left = word.count() - count;
        let rest = if left > 0 {
            PackedRun::of(word.region().plus(count), left, PackedRun::time_of(now()))
        } else {
            PackedRun::EMPTY
        };
        slot.replace(word, rest).then_some(Run { count, ..word.run() })
    }

    /// The run that begins at `region`, whichever shard it is in.
    pub(super) fn take_at(&self, region: Region) -> Option<Run> {
        if !self.is_open() {
            return None;
        }
        let (slot, word) = self.each().find(|(_, word)| word.region() == region)?;
        slot.replace(word, PackedRun::EMPTY).then(|| word.run())
    }

    /// Keeps a run that was used `now`, in the shard at `place`; it has the age of its larger part where it meets
    /// others. Calls `spill` with runs that have to go for it, or with itself: the caller makes them free runs.
    pub(super) fn put(&self, place: usize, mut run: Run, now: u32, mut spill: impl FnMut(Run)) {
        let (shard, mut time) = (self.shard(place), PackedRun::time_of(now));
        let bit = 1 << (place % SHARDS);
        // Relaxed: see the field.
        if self.used.load(Ordering::Relaxed) & bit == 0 {
            // Relaxed: as above.
            self.used.fetch_or(bit, Ordering::Relaxed);
        }
        for _ in 0..ATTEMPTS {
            if run.count > SHARD_REGIONS / 2 {
                break;
            }
            let survey = shard.survey(run);
            if survey.regions + run.count > SHARD_REGIONS {
                shard.spill_one(run, &mut spill);
                continue;
            }
            let (slot, old) = match (survey.before, survey.behind, survey.empty) {
                (Some((slot, word)), Some(_), _) => {
                    if slot.replace(word, PackedRun::EMPTY) {
                        (run, time) = join(run, time, word);
                    }
                    continue;
                }
                (Some(neighbour), ..) | (_, Some(neighbour), _) => neighbour,
                (.., Some(slot)) => (slot, PackedRun::EMPTY),
                _ => {
                    shard.spill_one(run, &mut spill);
                    continue;
                }
            };
            let (whole, age) = if old == PackedRun::EMPTY { (run, time) } else { join(run, time, old) };
            if slot.replace(old, PackedRun::of(whole.region, whole.count, age)) {
                return;
            }
        }
        spill(run);
    }

    /// Whether a sweep may find a run that has waited for `delay` milliseconds at `now`.
    pub(super) fn wants_sweep(&self, now: u32, delay: u32) -> bool {
        // Relaxed: a hint; `sweep` decides.
        self.is_open() && waited(now, self.swept.load(Ordering::Relaxed)) >= delay / SWEEPS
    }

    /// Calls `spill` with each run that has waited for `delay` milliseconds at `now`.
    pub(super) fn sweep(&self, now: u32, delay: u32, mut spill: impl FnMut(Run)) {
        if !self.wants_sweep(now, delay) {
            return;
        }
        // Relaxed: a hint; runs are handed over by `replace`.
        self.swept.store(now, Ordering::Relaxed);
        for (slot, word) in self.each() {
            if word != PackedRun::EMPTY && word.is_due(now, delay) && slot.replace(word, PackedRun::EMPTY) {
                spill(word.run());
            }
        }
    }

    /// Empties the cache into `spill`.
    pub(super) fn drain(&self, mut spill: impl FnMut(Run)) {
        if !self.is_open() {
            return;
        }
        for (slot, word) in self.each() {
            if word != PackedRun::EMPTY && slot.replace(word, PackedRun::EMPTY) {
                spill(word.run());
            }
        }
    }

    /// Calls `see` with each run, which no other thread has meanwhile, and puts it back; `spill` as for `put`.
    #[cfg(debug_assertions)]
    pub(super) fn see_each(&self, mut see: impl FnMut(Run), mut spill: impl FnMut(Run)) {
        for (slot, word) in self.each() {
            if word != PackedRun::EMPTY && slot.replace(word, PackedRun::EMPTY) {
                see(word.run());
                if !slot.replace(PackedRun::EMPTY, word) {
                    spill(word.run());
                }
            }
        }
    }

    fn each(&self) -> impl Iterator<Item = (&Slot, PackedRun)> {
        self.shards.iter().flat_map(Shard::words)
    }
}

#[cfg(test)]
mod tests;
