#![expect(unsafe_code, reason = "has spans fill slots")]
//! Refill: an empty bin gets blocks from the first of these that has any: the inbox, own partial spans, the transfer
//! cache, the central list, a new span.

use super::bin::{Bin, NULL_SLOTS, SLOT_BYTES};
use super::layout::Heap;
use super::registry::Shared;
use crate::base::class::{Class, FAST_MAX};
use crate::base::units::{KIB, Region};
use crate::central::Fresh;
use crate::pages::{METADATA_MAX, METADATA_MIN, Pages};
use crate::sys::cell::{Slot, Slots};

/// Blocks received from the inbox in one refill, before the other sources: some eight full batches.
const RECEIVED_PER_REFILL: usize = 1000;
/// Most blocks fetched at a time.
const FETCH_MAX: usize = 256;
/// Partial spans compared to find the fullest one.
const SPANS_COMPARED: usize = 4;
/// Slow events of a class before its bin grows, and refills of a coarse class for it before it gets spans of its own.
const GROWTH_EVENTS: u8 = 3;

/// While the bin of a coarse class has room for no more than so many bytes, further classes may begin to use it.
const COARSE_BYTES: usize = 32 * KIB;
/// A thread that starts beside so many others that its bins may hold less than this has narrow bins at first, for
/// classes up to [`FAST_MAX`]: their bytes, the least number of blocks in that of a coarse class, and the slow events
/// in a row after which a bin may hold as much as any.
const NARROW: usize = 64 * KIB;
const OWN_BIN_BYTES: usize = KIB;
const COARSE_BIN_BYTES: usize = 8 * KIB;
const COARSE_BLOCKS: usize = 16;
const WIDE_EVENTS: u8 = 8;
/// A bin starts with room for about this many bytes of blocks.
const FIRST_BYTES: usize = 2 * KIB;
/// Fewest blocks that a bin has room for, and how many it has room for at first if they are small.
const BLOCKS_MIN: usize = 3;
const SMALL_BLOCKS_MIN: usize = SLOTS_MIN - NULL_SLOTS;
/// Blocks above this start with the fewest.
const SMALL_BLOCK_MAX: usize = 4 * KIB;
/// Fewest slots of an array.
const SLOTS_MIN: usize = 8;
pub(super) const SLOTS_MAX: usize = METADATA_MAX / 2 / SLOT_BYTES;

/// Lengths are kept in 16 bits.
const _: () = assert!(SLOTS_MAX <= u16::MAX as usize && SLOTS_MIN * SLOT_BYTES >= METADATA_MIN);

/// Slots of an array with room for `blocks`. Arrays are powers of two.
fn slots_for(blocks: usize) -> usize {
    (blocks + NULL_SLOTS).next_power_of_two().max(SLOTS_MIN)
}

/// Most blocks a bin of `class` may hold when bins are limited to `bytes`: as many as fill an array.
pub(super) fn limit(class: Class, bytes: usize) -> usize {
    let slots = (bytes / class.size()).min(SLOTS_MAX - NULL_SLOTS) + NULL_SLOTS;
    if slots < SLOTS_MIN { BLOCKS_MIN } else { (1 << slots.ilog2()) - NULL_SLOTS }
}

/// How many blocks a bin of `class` without an array gets room for.
fn first_blocks(class: Class) -> usize {
    if class.size() > SMALL_BLOCK_MAX {
        return BLOCKS_MIN;
    }
    ((FIRST_BYTES / class.size()).next_power_of_two().saturating_sub(NULL_SLOTS)).max(SMALL_BLOCKS_MIN)
}

impl Heap {
    /// A block of `class`; `None` where memory is used up.
    pub(crate) fn alloc(&self, shared: Shared<'_>, class: Class) -> Option<*mut u8> {
        let bin = self.bin(class);
        let block = bin.pop();
        if block.is_null() { self.refill(shared, class, bin) } else { Some(block) }
    }

    /// The class whose blocks are to serve a request of `class` that the fast path did not serve.
    ///
    /// A page for each class that a thread uses is more than all else that it has, so at first one coarse class serves
    /// several. A request that finds no block of the coarse class has its own class get spans of its own, if it is the
    /// third of that class within a while, or if the coarse class serves much already: then more is lost in blocks that
    /// are larger than they need be.
    pub(crate) fn choose_class(&self, class: Class) -> Class {
        let (serving, events) = (self.serving(class), &self.bin(class).events);
        if serving == class || !self.is_empty(serving) {
            return serving;
        }
        events.set(events.get() + 1);
        let room = self.bin(serving).capacity() * serving.size();
        if events.get() < GROWTH_EVENTS && room <= COARSE_BYTES {
            return serving;
        }
        events.set(0);
        self.split(class);
        class
    }

    /// As [`Heap::alloc`], for a caller that writes to the block before the program has it.
    #[inline]
    pub(crate) fn alloc_fresh(&self, shared: Shared<'_>, class: Class) -> Option<Fresh> {
        // SAFETY: a block of the class was just taken out of a bin or a span.
        self.alloc(shared, class).map(|block| unsafe { Fresh::small(block, class.size()) })
    }

    /// Whether the bin of `class` has no block.
    pub(crate) fn is_empty(&self, class: Class) -> bool {
        self.bin(class).last().is_null()
    }

    /// How many blocks the spans of `class` have of which this heap took all; those of the first few spans, if these
    /// have `enough`.
    pub(crate) fn blocks_in_full_spans(&self, shared: Shared<'_>, class: Class, enough: usize) -> usize {
        let capacity = class.geometry().capacity as usize;
        let full = self.spans(class).full.iter(shared.central.pages.space());
        full.take(enough.div_ceil(capacity)).count() * capacity
    }

    #[inline(never)]
    fn refill(&self, shared: Shared<'_>, class: Class, bin: &Bin) -> Option<*mut u8> {
        self.counters.note(class);
        if let Some(refills) = self.counters.refills.get(class.index()) {
            refills.add(1);
        }
        self.note_growth();
        self.slow_event(shared);
        if bin.is_drained() {
            // The bin was idle for a while, so it starts again with the smallest array.
            bin.restore();
            bin.drop_array(&shared.central.pages);
        }
        let wanted = self.room_to_fetch(shared, class, bin);
        if self.may_receive() {
            self.receive_blocks(shared, RECEIVED_PER_REFILL, Some(class));
            let received = bin.pop();
            if !received.is_null() {
                self.count_received_refill(shared.central, class);
                return Some(received);
            }
        }
        let fetched = self.fetch(shared, class, bin, wanted);
        if fetched == 0 {
            // There is no memory for an array or a span: one block without the bin, if there is one.
            return self.take_one(shared, class);
        }
        Some(bin.pop())
    }

    /// How many blocks to fetch: half of what the bin has room for, after it may have grown.
    fn room_to_fetch(&self, shared: Shared<'_>, class: Class, bin: &Bin) -> usize {
        self.count_event(shared, class, bin);
        if bin.capacity() > 0 { bin.half().min(FETCH_MAX) } else { 0 }
    }

    /// Notes a refill or flush of `bin`, which grows after several.
    pub(super) fn count_event(&self, shared: Shared<'_>, class: Class, bin: &Bin) -> bool {
        bin.events.set(bin.events.get().saturating_add(1));
        let crowded = bin.events.get() >= GROWTH_EVENTS;
        if bin.capacity() > 0 && !crowded {
            return false;
        }
        let grown = bin.grow(&shared.central.pages, class, limit(class, self.bytes_for(class, bin)));
        if grown && crowded {
            bin.events.set(0);
        }
        grown
    }

    /// How many bytes the bin of `class` may hold now. With narrow bins a thread that uses many classes for a moment
    /// holds a few blocks of each; a class with many slow events in a row gets more.
    fn bytes_for(&self, class: Class, bin: &Bin) -> usize {
        let most = self.bin_bytes.get();
        if most >= NARROW || !self.is_crowded() || class.size() > FAST_MAX {
            return most;
        }
        let few = if class.is_coarse() { COARSE_BIN_BYTES.max(COARSE_BLOCKS * class.size()) } else { OWN_BIN_BYTES };
        if bin.events.get() < WIDE_EVENTS { few.min(most) } else { most }
    }

    /// Fills the empty `bin` with up to `wanted` blocks, the lowest address on top; how many it got.
    fn fetch(&self, shared: Shared<'_>, class: Class, bin: &Bin, wanted: usize) -> usize {
        if wanted == 0 {
            return 0;
        }
        let mut got = self.fetch_own(shared, class, bin, wanted, 0);
        if got == 0 {
            got = self.fetch_cached(shared, class, bin);
            if got > 0 {
                return got;
            }
            if self.obtain_span(shared, class).is_none() {
                return 0;
            }
            got = self.fetch_own(shared, class, bin, wanted, 0);
        }
        // Blocks were put from the top slot downwards; the free slots are at the bottom.
        bin.set_len(wanted);
        bin.drop_lowest(wanted - got);
        self.note_given(class, got as isize);
        got
    }

    /// Takes blocks of own partial spans into slots `wanted - done` and below.
    fn fetch_own(&self, shared: Shared<'_>, class: Class, bin: &Bin, wanted: usize, mut done: usize) -> usize {
        let geometry = class.geometry();
        while done < wanted {
            let Some(region) = self.fullest(shared, class) else { break };
            let span = shared.central.span(region);
            let take = (span.available(geometry) as usize).min(wanted - done);
            let few = self.spans(class).full.first().is_none();
            if span.purged_bytes() > 0 {
                self.note_refault();
            }
            // SAFETY: `wanted` is at most the capacity, and `take` at most what is missing: all slots are above slot 0.
            unsafe { shared.central.take(span, geometry, few, take, bin.slot(wanted - done)) };
            self.spans(class).settle_taken(shared.central.pages.space(), geometry, span);
            done += take;
        }
        done
    }

    /// Moves a batch of the transfer cache into the bin, as far as it fits, and returns the other blocks. How many it
    /// moved.
    fn fetch_cached(&self, shared: Shared<'_>, class: Class, bin: &Bin) -> usize {
        if self.is_part() {
            return 0;
        }
        let Some(batch) = shared.central.serve_batch(class) else {
            return 0;
        };
        let (fitting, rest) = batch.blocks().split_at_checked(bin.capacity()).unwrap_or((batch.blocks(), &[]));
        for (index, &block) in fitting.iter().enumerate() {
            bin.set_block(index + 1, block);
        }
        bin.set_len(fitting.len());
        self.note_given(class, fitting.len() as isize);
        rest.iter().for_each(|&block| self.return_or_send(shared, block));
        shared.central.release_batch(batch);
        fitting.len()
    }

    /// A span with free blocks for this heap; `None` if there is no memory, or the heap's bill forbids it.
    fn obtain_span(&self, shared: Shared<'_>, class: Class) -> Option<Region> {
        if !self.admit_span(shared.central, class) {
            return None;
        }
        let Some(region) = self.find_span(shared, class) else {
            self.give_back_span(class);
            return None;
        };
        self.spans(class).add(shared.central.pages.space(), shared.central.span(region));
        Some(region)
    }

    /// A span from the central list, else a new one; near to where the thread runs as long as there is memory. A part
    /// of a named heap gets new ones alone.
    fn find_span(&self, shared: Shared<'_>, class: Class) -> Option<Region> {
        let (central, entry) = (shared.central, self.entry(class));
        let bank = self.current_bank(central.pages.space());
        if self.is_part() {
            return central.new_span(class, entry, bank);
        }
        let region = central.adopt_span(class, entry, Some(bank)).or_else(|| {
            if !shared.registry.orphans.get() {
                return None;
            }
            shared.registry.adopt_orphans(shared);
            central.adopt_span(class, entry, Some(bank))
        });
        region.or_else(|| central.new_span(class, entry, bank)).or_else(|| central.adopt_span(class, entry, None))
    }

    /// One block straight from a span.
    fn take_one(&self, shared: Shared<'_>, class: Class) -> Option<*mut u8> {
        let region = self.fullest(shared, class).or_else(|| self.obtain_span(shared, class))?;
        let span = shared.central.span(region);
        let mut taken = core::ptr::null_mut();
        // SAFETY: one block for one place.
        unsafe { shared.central.take(span, class.geometry(), false, 1, &raw mut taken) };
        self.spans(class).settle_taken(shared.central.pages.space(), class.geometry(), span);
        self.note_given(class, 1);
        Some(taken)
    }

    /// The fullest of the first few partial spans: taking from it lets the others become free as a whole.
    fn fullest(&self, shared: Shared<'_>, class: Class) -> Option<Region> {
        let space = shared.central.pages.space();
        let spans = self.spans(class).partial.iter(space).take(SPANS_COMPARED);
        spans.max_by_key(|(_, span)| span.used()).map(|(region, _)| region)
    }
}

impl Bin {
    /// Gives the bin an array, or one of twice the slots, as long as it may hold `limit` blocks; false if it stays as
    /// it is. The bin is as [`Bin::restore`] leaves it.
    pub(super) fn grow(&self, pages: &Pages, class: Class, limit: usize) -> bool {
        let old = self.capacity();
        let blocks = match old {
            0 => first_blocks(class).min(limit),
            BLOCKS_MIN => SMALL_BLOCKS_MIN,
            _ => slots_for(old) * 2 - NULL_SLOTS,
        };
        if blocks > limit {
            return false;
        }
        self.move_to_array(pages, blocks)
    }

    /// Gives the bin an array of half the slots, if that is an array, and the blocks fit. The bin is as
    /// [`Bin::restore`] leaves it.
    pub(super) fn halve(&self, pages: &Pages) {
        let slots = slots_for(self.capacity()) / 2;
        if slots >= SLOTS_MIN && self.len() + NULL_SLOTS <= slots && self.move_to_array(pages, slots - NULL_SLOTS) {
            self.events.set(0);
        }
    }

    /// Gives the bin an array with room for `blocks`, at least as many as it holds; false if there is no memory for it.
    fn move_to_array(&self, pages: &Pages, blocks: usize) -> bool {
        let (len, slots) = (self.len(), slots_for(blocks));
        let Some(piece) = pages.acquire_metadata(slots * SLOT_BYTES) else {
            return false;
        };
        let array = Slots(piece.cast::<Slot>());
        for index in 0..NULL_SLOTS {
            // SAFETY: the new array has these slots.
            unsafe { array.set(index, core::ptr::null_mut()) };
        }
        for index in 1..=len {
            // SAFETY: the new array has room for all blocks. Block 1 follows the bottom.
            unsafe { array.set(NULL_SLOTS - 1 + index, self.block(index)) };
        }
        self.release_array(pages);
        self.adopt(array.0, slots.ilog2() as u8, blocks);
        self.set_len(len);
        true
    }

    /// Releases the array; the bin must be empty.
    pub(super) fn drop_array(&self, pages: &Pages) {
        debug_assert_eq!(self.len(), 0);
        self.release_array(pages);
        self.forget();
    }

    fn release_array(&self, pages: &Pages) {
        if let Some((start, order)) = self.array() {
            // SAFETY: `grow` acquired the array with these bytes.
            unsafe { pages.release_metadata(start.cast(), SLOT_BYTES << order) };
        }
    }
}
