#![expect(unsafe_code, reason = "protects pages and marks the rest of them")]
//! Sampled blocks on pages of their own, with a guard page on either side of each (the idea is GWP-ASan's). The page of
//! a freed block has no access, so that any use of it faults, until all other places have been used. A live block of a
//! heap with a bill is on that, by its page. Must not know how requests are sampled.
//!
//! ```text
//! guard | page 0 | guard | page 1 | guard | ...      a block lies at the start or at the end of its page
//! ```

use core::ops::Range;

use crate::base::random::Random;
use crate::central::Bill;
use crate::config::GuardedSide;
use crate::diag::Family;
use crate::process::state::PROCESS;
use crate::sys::memory;
use crate::unwind::StackId;

/// Places that a pool may have.
pub(crate) const PLACES_MAX: usize = 4096;
/// Fills the bytes of a page around its block.
const REST: u8 = 0xca;
/// Most bytes that are filled on either side.
const MARKED_BYTES: usize = 64;
/// Up to this alignment a block at the end of its page may leave a few bytes.
const NATURAL_ALIGN: usize = 16;
const SMALL_ALIGN: usize = 8;

/// An allocation or a free: which thread did it, and where.
#[derive(Clone, Copy, Default, Debug)]
pub(crate) struct Act {
    /// The thread, by the kernel's number.
    pub(crate) thread: u32,
    pub(crate) stack: StackId,
    /// The family of the call, if it is known.
    pub(crate) family: Option<Family>,
}

impl Act {
    const NONE: Self = Self { thread: 0, stack: StackId(0), family: None };
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum PlaceState {
    /// It never had a block.
    Unused,
    /// The program holds its block.
    Live,
    /// Its block was freed.
    Freed,
}

/// A place, with its block or its last one.
#[derive(Clone, Copy)]
pub(crate) struct PoolPlace {
    pub(crate) address: usize,
    /// As asked for: the usable size, too.
    pub(crate) size: usize,
    pub(crate) state: PlaceState,
    pub(crate) made: Act,
    pub(crate) freed: Act,
    /// The bill that a live block is on.
    bill: Option<&'static Bill>,
    /// Whether the block goes, or went, with its heap, which the program destroyed.
    pub(crate) with_heap: bool,
    /// The place that was freed after this one.
    next: Link,
}

/// The number of a place plus one; 0 for none, so that a pool of no places is all zeroes and needs no room in the
/// library's file.
type Link = u32;

const NOWHERE: Link = 0;

const fn link_to(index: usize) -> Link {
    index as Link + 1
}

fn place_of(link: Link) -> Option<usize> {
    (link as usize).checked_sub(1)
}

impl PoolPlace {
    const UNUSED: Self = Self {
        address: 0,
        size: 0,
        state: PlaceState::Unused,
        made: Act::NONE,
        freed: Act::NONE,
        bill: None,
        with_heap: false,
        next: NOWHERE,
    };

    /// How far `address` is from the block: 0 within it.
    fn distance(&self, address: usize) -> usize {
        self.address.saturating_sub(address).max((address + 1).saturating_sub(self.address + self.size.max(1)))
    }
}

/// The bytes before and behind the block of `size` bytes at `address` that are marked, in its page of `bytes` bytes.
fn marked(address: usize, size: usize, page: usize, bytes: usize) -> [Range<usize>; 2] {
    let end = address + size;
    [page.max(address.saturating_sub(MARKED_BYTES))..address, end..(page + bytes).min(end + MARKED_BYTES)]
}

/// Where blocks lie in their pages.
#[derive(Clone, Copy)]
pub(crate) struct Layout {
    pub(crate) side: GuardedSide,
    /// Whether blocks at the right end forgo the alignment that no caller asked for.
    pub(crate) exact: bool,
}

/// The reason why there is no block.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Refusal {
    /// It does not fit into a page, or there is no pool.
    Unfit,
    /// All places are live.
    Full,
    /// The hard limit of the bill forbids another page.
    Limit,
    /// The kernel refuses.
    Kernel,
}

/// The outcome of a free.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[must_use]
pub(crate) enum Fate {
    /// The block is freed.
    Freed,
    /// The block is freed, but something wrote behind it, so far from its start.
    Overflowed(usize),
    /// The block is freed, but something wrote so many bytes before it.
    Underflowed(usize),
    /// The block was freed before.
    Double,
    /// No block starts there.
    Inside,
}

/// The places, in address space of their own.
pub(crate) struct Pool {
    start: usize,
    page: usize,
    places: [PoolPlace; PLACES_MAX],
    /// How many there are, and how many were used so far.
    count: usize,
    used: usize,
    /// The place that was freed first, and last.
    oldest: Link,
    newest: Link,
    random: Random,
    layout: Layout,
}

impl Pool {
    /// A pool of no places.
    pub(crate) const fn new() -> Self {
        Self {
            start: 0,
            page: 0,
            places: [PoolPlace::UNUSED; PLACES_MAX],
            count: 0,
            used: 0,
            oldest: NOWHERE,
            newest: NOWHERE,
            random: Random::UNSEEDED,
            layout: Layout { side: GuardedSide::Both, exact: false },
        }
    }

    /// Reserves address space for `count` places of one page of `page` bytes: its start and end. `None` if the kernel
    /// refuses.
    pub(crate) fn begin(&mut self, count: usize, page: usize, layout: Layout, seed: u64) -> Option<(usize, usize)> {
        let count = count.min(PLACES_MAX);
        let bytes = (2 * count + 1) * page;
        self.start = memory::reserve(bytes).ok()?;
        (self.page, self.count, self.layout, self.random) = (page, count, layout, Random::new(seed));
        Some((self.start, self.start + bytes))
    }

    fn page_of(&self, index: usize) -> usize {
        self.start + (2 * index + 1) * self.page
    }

    /// The number of the place whose page `address` lies in.
    fn index_of(&self, address: usize) -> Option<usize> {
        let pages = address.checked_sub(self.start)?.checked_div(self.page)?;
        (pages % 2 == 1 && pages / 2 < self.count).then_some(pages / 2)
    }

    /// The place whose page `address` lies in.
    pub(crate) fn place(&self, address: usize) -> Option<&PoolPlace> {
        self.places.get(self.index_of(address)?)
    }

    /// A block of `size` bytes at a multiple of `align`, all zero. Its page is on `bill` until it is freed.
    pub(crate) fn alloc(
        &mut self,
        size: usize,
        align: usize,
        made: Act,
        bill: Option<&'static Bill>,
    ) -> Result<usize, Refusal> {
        if size > self.page || align > self.page {
            return Err(Refusal::Unfit);
        }
        let is_new = self.used < self.count;
        let index = if is_new { self.used } else { place_of(self.oldest).ok_or(Refusal::Full)? };
        let page = self.page_of(index);
        if !PROCESS.central.admit_apart(self.page, bill) {
            return Err(Refusal::Limit);
        }
        // SAFETY: the page lies in the address space that `begin` reserved.
        if unsafe { memory::commit(page, self.page) }.is_err() {
            PROCESS.central.dismiss_apart(self.page, bill);
            return Err(Refusal::Kernel);
        }
        let address = page + self.offset_of(size, align);
        for bytes in marked(address, size, page, self.page) {
            // SAFETY: the bytes lie in the page, which was just committed and which the program does not have yet.
            unsafe { memory::fill(core::ptr::with_exposed_provenance_mut(bytes.start), bytes.len(), REST) };
        }
        let place = self.places.get_mut(index).ok_or(Refusal::Full)?;
        let next = core::mem::replace(&mut place.next, NOWHERE);
        *place = PoolPlace { address, size, state: PlaceState::Live, made, bill, ..PoolPlace::UNUSED };
        if is_new {
            self.used += 1;
        } else {
            self.oldest = next;
            if next == NOWHERE {
                self.newest = NOWHERE;
            }
        }
        Ok(address)
    }

    /// Where in its page a block lies.
    fn offset_of(&mut self, size: usize, align: usize) -> usize {
        let is_right = match self.layout.side {
            GuardedSide::Left => false,
            GuardedSide::Right => true,
            GuardedSide::Both => self.random.next() & 1 == 1,
        };
        if !is_right {
            return 0;
        }
        let natural = match () {
            () if self.layout.exact => 1,
            () if size < NATURAL_ALIGN => SMALL_ALIGN,
            () => NATURAL_ALIGN,
        };
        // Even an empty block has an address in its page.
        (self.page - size.max(1)) & !(align.max(natural) - 1)
    }

    /// Frees the block at `address`, which lies in the pool. `check` is whether to check the rest of its page.
    pub(crate) fn free(&mut self, address: usize, freed: Act, check: bool) -> Fate {
        let (page_bytes, newest) = (self.page, self.newest);
        let Some(index) = self.index_of(address) else { return Fate::Inside };
        let page = self.page_of(index);
        let Some(place) = self.places.get_mut(index) else { return Fate::Inside };
        match place.state {
            _ if place.address != address => return Fate::Inside,
            PlaceState::Unused => return Fate::Inside,
            PlaceState::Freed => return Fate::Double,
            PlaceState::Live => {}
        }
        let [before, behind] = marked(address, place.size, page, page_bytes).map(|range| {
            let start = core::ptr::with_exposed_provenance::<u8>(range.start);
            // SAFETY: the bytes lie in the page of a live block, which is committed.
            unsafe { core::slice::from_raw_parts(start, range.len()) }
        });
        let is_wrong = |byte: &u8| check && *byte != REST;
        let overflowed = behind.iter().position(is_wrong).map(|at| Fate::Overflowed(place.size + at));
        let underflowed = || before.iter().rev().position(is_wrong).map(|at| Fate::Underflowed(at + 1));
        let fate = overflowed.or_else(underflowed).unwrap_or(Fate::Freed);
        (place.state, place.freed, place.next) = (PlaceState::Freed, freed, NOWHERE);
        PROCESS.central.dismiss_apart(page_bytes, place.bill.take());
        match place_of(newest).and_then(|newest| self.places.get_mut(newest)) {
            Some(before) => before.next = link_to(index),
            None => self.oldest = link_to(index),
        }
        self.newest = link_to(index);
        // SAFETY: the page is the pool's, and the program has freed its block. If the kernel
        // refuses, it stays as it is.
        let _ = unsafe { memory::purge(page, page_bytes) };
        // SAFETY: as above.
        let _ = unsafe { memory::protect(page, page_bytes) };
        fate
    }

    /// The bill of the live block at `address`.
    pub(crate) fn bill_of(&self, address: usize) -> Option<&'static Bill> {
        self.place(address).filter(|place| place.address == address)?.bill
    }

    /// Takes the next block behind the place of `after`, the first for 0, that is on `bill` off it; its address.
    /// `with_heap`: it is freed next, because its heap is destroyed.
    pub(crate) fn take_off_bill(&mut self, bill: &'static Bill, after: usize, with_heap: bool) -> Option<usize> {
        let first = self.index_of(after).map_or(0, |index| index + 1);
        let is_on = |place: &&mut PoolPlace| place.bill.is_some_and(|other| core::ptr::eq(other, bill));
        let place = self.places.iter_mut().take(self.used).skip(first).find(is_on)?;
        place.with_heap = with_heap;
        if let Some(bill) = place.bill.take() {
            bill.give_back_apart(self.page);
        }
        Some(place.address)
    }

    /// The block that an access to `address` in the pool was meant for: the one whose page it is, or the nearer one of
    /// both neighbours of a guard page.
    pub(crate) fn nearest(&self, address: usize) -> Option<&PoolPlace> {
        if let Some(place) = self.place(address) {
            return Some(place).filter(|place| place.state != PlaceState::Unused);
        }
        let left = self.place(address.wrapping_sub(self.page));
        let right = self.place(address.wrapping_add(self.page));
        let used = [left, right].into_iter().flatten().filter(|place| place.state != PlaceState::Unused);
        used.min_by_key(|place| place.distance(address))
    }
}

#[cfg(test)]
mod tests;
