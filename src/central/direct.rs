#![expect(unsafe_code, reason = "maps memory, for blocks and for the table of them")]
//! Direct mappings: blocks too large for the page runs, each a mapping of its own.
//!
//! They are not in the page map: an address that the map does not know is searched here before it counts as foreign.
//! The search takes no lock and probes a hash table of ranges, so its time does not depend on the number of direct
//! blocks.

use super::ranges::{Range, Ranges, Slot, Writer};
use crate::base::units::round_up;
use crate::pages::{METADATA_MAX, Pages};
use crate::sys::atomic::AtomicUsize;
use crate::sys::cell::Relaxed;
use crate::sys::lock::{Guard, Lock, Patience, Rank};
use crate::sys::memory;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct DirectBlock {
    /// Where it starts.
    pub(crate) address: usize,
    /// Its usable bytes, which are its mapping.
    pub(crate) bytes: usize,
    /// The ticket by which a sampled block is known; 0 for others.
    pub(crate) ticket: u32,
}

/// All direct blocks, and those freed last.
pub(super) struct DirectBlocks {
    /// Any thread reads it; the holder of the lock writes it.
    ranges: Ranges,
    state: Lock<State>,
    /// Bytes without access before and behind each block. Written at start, read by any thread.
    guard: Relaxed<AtomicUsize>,
}

/// The part that the lock guards.
struct State {
    count: usize,
    bytes: usize,
    writer: Writer,
}

/// Maps `bytes`, rounded up to pages, at a multiple of `align`, with `guard` bytes without access, whole pages, on
/// either side; it is not among the direct blocks yet.
pub(super) fn map(page: usize, bytes: usize, align: usize, guard: usize) -> Option<DirectBlock> {
    let bytes = round_up(bytes, page)?;
    let slack = if align <= page { 0 } else { align };
    let whole = bytes.checked_add(2 * guard)?.checked_add(slack)?;
    let start = memory::map(whole).ok()?;
    let address = round_up(start + guard, align.max(page))?;
    let end = address + bytes;
    trim(start, address - guard);
    trim(end + guard, start + whole);
    for side in [address - guard, end] {
        if guard > 0 {
            // SAFETY: pages of the fresh mapping that no block has. Refused, they can be accessed, which does no harm.
            let _ = unsafe { memory::protect(side, guard) };
        }
    }
    Some(DirectBlock { address, bytes, ticket: 0 })
}

/// Unmaps what lies between `start` and `end`. If the kernel refuses, address space is lost, and nothing else.
fn trim(start: usize, end: usize) {
    if start < end {
        // SAFETY: this part of a fresh mapping was not handed out.
        let _ = unsafe { memory::unmap(start, end - start) };
    }
}

/// Unmaps a block that is not among the direct blocks any more, with `guard` bytes on either side. If the process has
/// as many mappings as it may, so that none can be split, the block's pages go back instead.
pub(super) fn unmap(block: DirectBlock, guard: usize) {
    // SAFETY: the block was taken out, so nothing uses it; its guards are its own.
    if unsafe { memory::unmap(block.address - guard, block.bytes + 2 * guard) }.is_err() {
        // SAFETY: as above.
        let _ = unsafe { memory::purge(block.address, block.bytes) };
    }
}

/// An array of `count` empty slots, which stays.
fn make_slots(pages: &Pages, count: usize) -> Option<&'static [Slot]> {
    let bytes = count * size_of::<Slot>();
    if bytes > METADATA_MAX {
        return memory::map_values(count, |_| Slot::new());
    }
    let slots = pages.acquire_metadata(bytes)?.cast::<Slot>();
    for place in 0..count {
        // SAFETY: the piece has room for `count` slots, is aligned to a word at least, and nothing else has it.
        unsafe { slots.wrapping_add(place).write(Slot::new()) };
    }
    // SAFETY: all of them were just written; the piece is never released, and metadata is never unmapped.
    Some(unsafe { core::slice::from_raw_parts(slots, count) })
}

impl DirectBlocks {
    /// No blocks.
    pub(super) const fn new() -> Self {
        let state = State { count: 0, bytes: 0, writer: Writer::new() };
        Self { ranges: Ranges::new(), state: Lock::new(Rank::Direct, state), guard: Relaxed::<AtomicUsize>::new(0) }
    }

    /// Has blocks lie between `bytes` without access on either side. Part of the start, before there are any.
    pub(super) fn set_guard(&self, bytes: usize) {
        self.guard.set(bytes);
    }

    /// Bytes without access on either side of a block.
    pub(super) fn guard(&self) -> usize {
        self.guard.get()
    }

    /// How many blocks there are, and their bytes.
    pub(super) fn totals(&self) -> (usize, usize) {
        let state = self.state.lock();
        (state.count, state.bytes)
    }

    /// Where a reader in another process finds [`DirectBlocks::totals`].
    pub(super) fn addresses(&self) -> [usize; 2] {
        let start = self.state.value_address();
        [start + core::mem::offset_of!(State, count), start + core::mem::offset_of!(State, bytes)]
    }

    /// Adds a block; false if there is no memory for it.
    pub(super) fn add(&self, pages: &Pages, block: DirectBlock) -> bool {
        let Some(mut state) = self.lock_with_room(pages) else { return false };
        state.count += 1;
        state.bytes += block.bytes;
        self.ranges.add(&mut state.writer, block.range());
        true
    }

    /// The lock, and room for another block; `None` if there is no memory for that. The memory is made without the
    /// lock.
    fn lock_with_room(&self, pages: &Pages) -> Option<Guard<'_, State>> {
        loop {
            let state = self.state.lock();
            let Some(count) = self.ranges.wants(&state.writer) else { return Some(state) };
            drop(state);
            let slots = make_slots(pages, count)?;
            let state = self.state.lock();
            if !self.ranges.install(&state.writer, slots) {
                drop(state);
                discard_slots(pages, slots);
            }
        }
    }

    /// The block that `address` lies in. Takes no lock, unless other threads add and remove blocks all the time.
    pub(super) fn find(&self, address: usize) -> Option<DirectBlock> {
        let found = self.ranges.find(address).or_else(|_| {
            let _state = self.state.lock();
            self.ranges.find(address)
        });
        found.ok().flatten().map(DirectBlock::of)
    }

    /// Whether a block that started at `address` was freed not long ago, and the address is not in one since.
    pub(super) fn was_freed(&self, address: usize) -> bool {
        let known = self.ranges.was_there(address).or_else(|_| {
            let _state = self.state.lock();
            self.ranges.was_there(address)
        });
        known.unwrap_or(false)
    }

    /// Takes out the block that starts at `address`.
    pub(super) fn remove(&self, address: usize) -> Option<DirectBlock> {
        let mut state = self.state.lock();
        let block = DirectBlock::of(self.ranges.remove(&mut state.writer, address)?);
        state.count -= 1;
        state.bytes -= block.bytes;
        Some(block)
    }

    /// Changes the bytes of the block that starts at `address`, which may move; where it is then. `None` leaves it as
    /// it was, as happens where there are guards.
    pub(super) fn resize(&self, pages: &Pages, address: usize, bytes: usize) -> Option<usize> {
        if self.guard() > 0 {
            return None;
        }
        let bytes = round_up(bytes, pages.space().page_bytes())?;
        let mut state = self.lock_with_room(pages)?;
        let block = self.ranges.find(address).ok().flatten().filter(|range| range.start == address)?;
        // SAFETY: the block's owner is resizing it and holds the only pointers into it.
        let moved = unsafe { memory::remap(address, block.bytes, bytes) }.ok()?;
        state.bytes = state.bytes - block.bytes + bytes;
        self.ranges.replace(&mut state.writer, address, Range { start: moved, bytes, ..block });
        Some(moved)
    }

    /// Sets the ticket of the block that starts at `address`.
    pub(super) fn set_ticket(&self, address: usize, ticket: u32) {
        let mut state = self.state.lock();
        if let Some(range) = self.ranges.find(address).ok().flatten() {
            self.ranges.replace(&mut state.writer, address, Range { tag: ticket, ..range });
        }
    }

    /// Takes the lock for a fork.
    pub(super) fn lock_for_fork(&self, patience: &Patience) {
        self.state.lock_for_fork(patience);
    }

    /// Ends `lock_for_fork`.
    pub(super) fn unlock_after_fork(&self) {
        self.state.unlock_after_fork();
    }
}

/// Gives back an array that another thread made superfluous.
fn discard_slots(pages: &Pages, slots: &'static [Slot]) {
    let (start, bytes) = (slots.as_ptr().cast_mut(), size_of_val(slots));
    if bytes <= METADATA_MAX {
        // SAFETY: `make_slots` acquired it with the same bytes, and nothing has seen it.
        unsafe { pages.release_metadata(start.cast(), bytes) };
    } else {
        // SAFETY: `make_slots` mapped it, and nothing has seen it. Refused, the mapping stays.
        let _ = unsafe { memory::unmap(start.addr(), bytes) };
    }
}

impl DirectBlock {
    fn of(range: Range) -> Self {
        Self { address: range.start, bytes: range.bytes, ticket: range.tag }
    }

    fn range(self) -> Range {
        Range { start: self.address, bytes: self.bytes, tag: self.ticket }
    }
}
