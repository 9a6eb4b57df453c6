#![expect(unsafe_code, reason = "protects pages and marks the rest of them")]
//! Sampled blocks on pages of their own, with a guard page on either side of each (the idea is GWP-ASan's). The page of
//! a freed block has no access, so that any use of it faults, until all other places have been used. Must not know how
//! requests are sampled.
//!
//! ```text
//! guard | page 0 | guard | page 1 | guard | ...      a block lies at the start or at the end of its page
//! ```

use crate::base::random::Random;
use crate::sys::memory;
use crate::unwind::StackId;

/// Places that a pool may have.
pub(crate) const PLACES_MAX: usize = 4096;
/// Fills the rest of a page, behind the end of the block.
const REST: u8 = 0xca;
/// Up to this alignment a block at the end of its page may leave a few bytes.
const NATURAL_ALIGN: usize = 16;
const SMALL_ALIGN: usize = 8;

/// An allocation or a free: which thread did it, and where.
#[derive(Clone, Copy, Default, Debug)]
pub(crate) struct Act {
    /// The thread, by the kernel's number.
    pub(crate) thread: u32,
    pub(crate) stack: StackId,
}

/// The state of a place.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum State {
    /// It never had a block.
    Unused,
    /// The program holds its block.
    Live,
    /// Its block was freed.
    Freed,
}

/// A place, with its block or its last one.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place {
    pub(crate) address: usize,
    /// As asked for: the usable size, too.
    pub(crate) size: usize,
    pub(crate) state: State,
    pub(crate) made: Act,
    pub(crate) freed: Act,
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

impl Place {
    const UNUSED: Self = Self {
        address: 0,
        size: 0,
        state: State::Unused,
        made: Act { thread: 0, stack: StackId(0) },
        freed: Act { thread: 0, stack: StackId(0) },
        next: NOWHERE,
    };

    /// How far `address` is from the block: 0 within it.
    fn distance(&self, address: usize) -> usize {
        self.address.saturating_sub(address).max((address + 1).saturating_sub(self.address + self.size.max(1)))
    }
}

/// Whether the `rest` bytes between the end of the block at `address` and the end of its page are marked: not where the
/// block lies at the start, far from the guard page.
fn is_marked(address: usize, page: usize, rest: usize) -> bool {
    address != page || rest < NATURAL_ALIGN
}

/// The outcome of a free.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[must_use]
pub(crate) enum Fate {
    /// The block is freed.
    Freed,
    /// The block is freed, but something wrote behind it, so far from its start.
    Overflowed(usize),
    /// The block was freed before.
    Double,
    /// No block starts there.
    Inside,
}

/// The places, in address space of their own.
pub(crate) struct Pool {
    start: usize,
    page: usize,
    places: [Place; PLACES_MAX],
    /// How many there are, and how many were used so far.
    count: usize,
    used: usize,
    /// The place that was freed first, and last.
    oldest: Link,
    newest: Link,
    random: Random,
}

impl Pool {
    /// A pool of no places.
    pub(crate) const fn new() -> Self {
        Self {
            start: 0,
            page: 0,
            places: [Place::UNUSED; PLACES_MAX],
            count: 0,
            used: 0,
            oldest: NOWHERE,
            newest: NOWHERE,
            random: Random::UNSEEDED,
        }
    }

    /// Reserves address space for `count` places of one page of `page` bytes: its start and end. `None` if the kernel
    /// refuses.
    pub(crate) fn begin(&mut self, count: usize, page: usize, seed: u64) -> Option<(usize, usize)> {
        let count = count.min(PLACES_MAX);
        let bytes = (2 * count + 1) * page;
        self.start = memory::reserve(bytes).ok()?;
        (self.page, self.count, self.random) = (page, count, Random::new(seed));
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
    pub(crate) fn place(&self, address: usize) -> Option<&Place> {
        self.places.get(self.index_of(address)?)
    }

    /// A block of `size` bytes at a multiple of `align`, all zero; `None` if it does not fit into a page, all places
    /// are live, or the kernel refuses.
    pub(crate) fn alloc(&mut self, size: usize, align: usize, made: Act) -> Option<usize> {
        if size > self.page || align > self.page {
            return None;
        }
        let index = if self.used < self.count { self.used } else { place_of(self.oldest)? };
        let page = self.page_of(index);
        // SAFETY: the page lies in the address space that `begin` reserved.
        unsafe { memory::commit(page, self.page) }.ok()?;
        if self.used < self.count {
            self.used += 1;
        } else {
            self.oldest = self.places.get(index)?.next;
            if self.oldest == NOWHERE {
                self.newest = NOWHERE;
            }
        }
        let natural = if size < NATURAL_ALIGN { SMALL_ALIGN } else { NATURAL_ALIGN };
        let align = align.max(natural);
        let at_end = self.random.next() & 1 == 1;
        // Even an empty block has an address in its page.
        let room = (self.page - size.max(1)) & !(align - 1);
        let address = if at_end { page + room } else { page };
        let rest = page + self.page - address - size;
        if is_marked(address, page, rest) {
            // SAFETY: the bytes lie in the page, which was just committed and which the program does not have yet.
            unsafe { memory::fill(core::ptr::with_exposed_provenance_mut(address + size), rest, REST) };
        }
        *self.places.get_mut(index)? = Place { address, size, state: State::Live, made, ..Place::UNUSED };
        Some(address)
    }

    /// Frees the block at `address`, which lies in the pool. `check` is whether to check the rest of its page.
    pub(crate) fn free(&mut self, address: usize, freed: Act, check: bool) -> Fate {
        let (page_bytes, newest) = (self.page, self.newest);
        let Some(index) = self.index_of(address) else { return Fate::Inside };
        let page = self.page_of(index);
        let Some(place) = self.places.get_mut(index) else { return Fate::Inside };
        match place.state {
            _ if place.address != address => return Fate::Inside,
            State::Unused => return Fate::Inside,
            State::Freed => return Fate::Double,
            State::Live => {}
        }
        let end = address + place.size;
        let rest = page + page_bytes - end;
        let check = check && is_marked(address, page, rest);
        // SAFETY: the bytes lie in the page of a live block, which is committed.
        let bytes = unsafe { core::slice::from_raw_parts(core::ptr::with_exposed_provenance::<u8>(end), rest) };
        let wrong = if check { bytes.iter().position(|&byte| byte != REST) } else { None };
        let overflowed = wrong.map(|at| place.size + at);
        (place.state, place.freed, place.next) = (State::Freed, freed, NOWHERE);
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
        overflowed.map_or(Fate::Freed, Fate::Overflowed)
    }

    /// The block that an access to `address` in the pool was meant for: the one whose page it is, or the nearer one of
    /// both neighbours of a guard page.
    pub(crate) fn nearest(&self, address: usize) -> Option<&Place> {
        if let Some(place) = self.place(address) {
            return Some(place).filter(|place| place.state != State::Unused);
        }
        let left = self.place(address.wrapping_sub(self.page));
        let right = self.place(address.wrapping_add(self.page));
        let used = [left, right].into_iter().flatten().filter(|place| place.state != State::Unused);
        used.min_by_key(|place| place.distance(address))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: usize = 4096;

    fn pool(count: usize) -> (Box<Pool>, usize, usize) {
        let mut pool = Box::new(Pool::new());
        let (start, end) = pool.begin(count, PAGE, 7).unwrap();
        (pool, start, end)
    }

    #[test]
    fn blocks_lie_at_the_ends_of_pages_and_places_are_used_again_last() {
        let (mut pool, start, end) = pool(4);
        assert_eq!(end - start, 9 * PAGE);
        let blocks: Vec<usize> = (0..4).map(|size| pool.alloc(size + 100, 1, Act::default()).unwrap()).collect();
        assert_eq!(pool.alloc(1, 1, Act::default()), None);
        for (index, &block) in blocks.iter().enumerate() {
            let page = start + (2 * index + 1) * PAGE;
            assert!(block == page || block + 100 + index + 15 >= page + PAGE, "{block:x}");
            assert_eq!(pool.place(block).unwrap().size, 100 + index);
        }
        for &block in [&blocks[2], &blocks[0], &blocks[3]] {
            assert_eq!(pool.free(block, Act::default(), true), Fate::Freed);
            assert_eq!(pool.free(block, Act::default(), true), Fate::Double);
        }
        assert_eq!(pool.free(blocks[1] + 8, Act::default(), true), Fate::Inside);
        for expected in [2, 0, 3] {
            let block = pool.alloc(PAGE, 1, Act::default()).unwrap();
            assert_eq!(block, start + (2 * expected + 1) * PAGE);
        }
        assert_eq!(pool.alloc(1, 1, Act::default()), None);
        let (mut pool, start, _) = self::pool(32);
        for index in 0..32 {
            let empty = pool.alloc(0, 1, Act::default()).unwrap();
            assert_eq!((empty - start) / PAGE, 2 * index + 1);
            assert_eq!(pool.free(empty, Act::default(), true), Fate::Freed);
        }
        assert_eq!((pool.alloc(PAGE + 1, 1, Act::default()), pool.alloc(1, 2 * PAGE, Act::default())), (None, None));
    }

    #[test]
    fn a_place_is_never_live_twice() {
        let (mut pool, ..) = pool(3);
        let (mut live, mut random) = (Vec::new(), Random::new(11));
        for _ in 0..10_000 {
            if random.next() & 1 == 0 {
                match pool.alloc(10, 1, Act::default()) {
                    Some(block) => {
                        assert!(!live.iter().any(|&other: &usize| other / PAGE == block / PAGE));
                        live.push(block);
                    }
                    None => assert_eq!(live.len(), 3),
                }
            } else if !live.is_empty() {
                let block = live.swap_remove(random.next() as usize % live.len());
                assert_eq!(pool.free(block, Act::default(), true), Fate::Freed);
            }
        }
    }

    #[test]
    fn alignment_holds_and_what_is_written_behind_is_seen() {
        let (mut pool, ..) = pool(64);
        let mut seen = 0;
        for round in 0..64_usize {
            let align = 1 << (round % 10);
            let block = pool.alloc(21, align, Act::default()).unwrap();
            assert_eq!(block % align.max(16), 0);
            if block % PAGE != 0 {
                // SAFETY: the byte lies in the page of the block, which nobody else uses.
                unsafe { core::ptr::with_exposed_provenance_mut::<u8>(block + 21).write(1) };
                assert_eq!(
                    pool.free(block, Act::default(), round % 3 != 0),
                    if round % 3 == 0 { Fate::Freed } else { Fate::Overflowed(21) }
                );
                seen += 1;
            }
        }
        assert!(seen > 10);
    }

    #[test]
    fn an_access_belongs_to_the_nearest_block() {
        let (mut pool, start, _) = pool(3);
        assert!(pool.nearest(start + 5).is_none());
        let block = pool.alloc(PAGE, 1, Act::default()).unwrap();
        for address in [block - 1, block, block + PAGE, block - PAGE] {
            assert_eq!(pool.nearest(address).map(|place| place.address), Some(block));
        }
        let other = pool.alloc(PAGE, 1, Act::default()).unwrap();
        assert_eq!(pool.nearest(block + PAGE + 10).map(|place| place.address), Some(block));
        assert_eq!(pool.nearest(other - 10).map(|place| place.address), Some(other));
    }
}
