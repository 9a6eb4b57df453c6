#![expect(unsafe_code, reason = "prepares memory that is about to be handed out")]
//! Large and direct blocks: those above the largest class.
//!
//! Up to [`LARGE_MAX`] a block is a run of regions; above, or where the runs are used up, a mapping of its own.

use super::direct::{self, DirectBlock};
use super::span::{Span, State, header};
use super::store::Central;
use crate::base::lane::Lane;
use crate::base::units::{LARGE_MAX, MIB, REGION_BYTES, Region, regions_for, round_up};
use crate::pages::{Bank, Entry, Run, Space};
use crate::sys::memory;

/// A dirty run of more than this is purged rather than filled with zeroes: pages that the program never touches then
/// cost nothing.
const ZERO_BY_HAND_MAX: usize = 4 * MIB;

/// Words in the place of a large block's bitmap: its bill and its ticket.
const MARKS: usize = 2;

/// Most regions of a run that gets room to spare between its guards.
pub(crate) const ROOM_MAX: u32 = 64;

/// Regions between the guards of a large block that needs `regions`: a power of two, as far as it is at most
/// [`ROOM_MAX`], so that the block can grow in place and its run serves other sizes. Unused pages stay without memory.
pub(crate) const fn with_room(regions: u32) -> u32 {
    if regions <= ROOM_MAX { regions.next_power_of_two() } else { regions }
}

/// A block that was not handed out yet: nothing else has it, and all its bytes can be written.
pub(crate) struct Fresh {
    address: usize,
    bytes: usize,
    dirty: bool,
    lane: Lane,
}

impl Fresh {
    /// A block of a class.
    ///
    /// # Safety
    /// - `block` has `bytes` bytes, and a heap just gave it to the caller.
    #[inline]
    pub(crate) unsafe fn small(block: *mut u8, bytes: usize) -> Self {
        Self { address: block.expose_provenance(), bytes, dirty: true, lane: Lane::Small }
    }

    /// Where it starts.
    pub(crate) const fn address(&self) -> usize {
        self.address
    }

    /// The lane it is from.
    pub(crate) const fn lane(&self) -> Lane {
        self.lane
    }

    /// Makes the first `bytes`, as far as there are as many, zero.
    #[inline]
    pub(crate) fn zero(&self, bytes: usize) {
        // SAFETY: the bytes lie in this block.
        unsafe { memory::zero(core::ptr::with_exposed_provenance_mut(self.address), bytes.min(self.bytes)) };
    }

    /// Makes all bytes `value`.
    pub(crate) fn fill(&self, value: u8) {
        // SAFETY: the bytes lie in this block.
        unsafe { memory::fill(core::ptr::with_exposed_provenance_mut(self.address), self.bytes, value) };
    }

    /// The block, for the program.
    #[inline]
    pub(crate) fn hand_out(self) -> *mut u8 {
        core::ptr::with_exposed_provenance_mut(self.address)
    }
}

/// The header of a large block.
impl Span {
    /// Makes the run of `regions` at `region` one large block of `bytes` usable bytes.
    pub(super) fn make_large(space: &Space, region: Region, regions: u32, bytes: usize) {
        let span = header(space, region);
        span.first.set(region.0);
        span.set_large(regions, bytes);
        span.inline.iter().take(MARKS).for_each(|word| word.set(0));
        span.state.set(State::Large as u8);
    }

    /// Ends a large block, which becomes a freed or a destroyed one.
    pub(super) fn unmake_large(&self, state: State) {
        self.state.set(state as u8);
    }

    /// Usable bytes of a large block.
    pub(crate) fn large_bytes(&self) -> usize {
        self.bytes.get()
    }

    /// Regions of the run of a large block.
    pub(crate) fn large_regions(&self) -> u32 {
        match self.room.get() {
            0 => regions_for(self.large_bytes()) as u32,
            room => room.into(),
        }
    }

    /// Sets the usable bytes of a large block whose run has so many regions. The regions beyond what `bytes` need
    /// are known of runs up to `ROOM_MAX`.
    pub(super) fn set_large(&self, regions: u32, bytes: usize) {
        let spare = regions as usize > regions_for(bytes);
        self.room.set(if spare { u16::try_from(regions).unwrap_or(0) } else { 0 });
        self.bytes.set(bytes);
    }

    /// The ticket by which a sampled block is known; 0 for others. Only large blocks have one, in the place of their
    /// bitmap, behind the mark of its bill.
    pub(crate) fn ticket(&self) -> u32 {
        let [_, ticket, ..] = &self.inline;
        ticket.get() as u32
    }

    pub(super) fn set_ticket(&self, ticket: u32) {
        let [_, word, ..] = &self.inline;
        word.set(u64::from(ticket));
    }
}

impl Central {
    /// A block of at least `bytes`, at most `REQUEST_MAX`, at a multiple of `align`, a power of two; in `bank` if that
    /// has room.
    pub(crate) fn alloc_large(&self, bytes: usize, align: usize, bank: Bank) -> Option<Fresh> {
        let bytes = bytes.max(1);
        if self.pages.space().is_self_contained() {
            self.alloc_run(bytes, align, bank)
        } else if bytes <= LARGE_MAX && align <= LARGE_MAX {
            self.alloc_run(bytes, align, bank).or_else(|| self.alloc_direct(bytes, align))
        } else {
            // Under a limit, the process may have nothing left of it but the reservation.
            self.alloc_direct(bytes, align).or_else(|| self.alloc_run(bytes, align, bank))
        }
    }

    pub(super) fn alloc_run(&self, bytes: usize, align: usize, bank: Bank) -> Option<Fresh> {
        self.alloc_regions(round_up(bytes, self.pages.space().page_bytes())?, align, bank)
    }

    pub(super) fn alloc_regions(&self, bytes: usize, align: usize, bank: Bank) -> Option<Fresh> {
        let space = self.pages.space();
        let run = self.acquire_run(bank, u32::try_from(regions_for(bytes)).ok()?, align)?;
        Some(self.make_large(space, run, bytes))
    }

    fn make_large(&self, space: &Space, run: Run, bytes: usize) -> Fresh {
        Span::make_large(space, run.region, run.count, bytes);
        space.set_entries(run.region, 1, Entry::LARGE);
        Fresh { address: space.address(run.region), bytes, dirty: run.dirty, lane: Lane::Large }
    }

    /// A large block of at least `bytes`, for a thread that need not hold anything: its run is from the run cache.
    /// `None` where that has none that fits, or the block is to have guards or a node.
    #[inline]
    pub(crate) fn alloc_cached(&self, bytes: usize, now: u32) -> Option<Fresh> {
        let space = self.pages.space();
        if space.is_divided() || self.has_guards() || bytes > LARGE_MAX {
            return None;
        }
        let bytes = bytes.next_multiple_of(space.page_bytes());
        let run = self.pages.acquire_cached(Bank::FIRST, regions_for(bytes) as u32, || now)?;
        Some(self.make_large(space, run, bytes))
    }

    /// Frees the large block at `address`, for a thread that need not hold anything; false, and nothing has happened,
    /// where there is none, another thread just freed it, or more is to be done than to leave its run to the run cache.
    #[inline]
    pub(crate) fn free_cached(&self, address: usize, now: u32) -> bool {
        let space = self.pages.space();
        let Some(region) = space.region_of(address) else { return false };
        if space.entry(region) != Entry::LARGE || address != space.address(region) || !self.pages.can_cache(now) {
            return false;
        }
        let span = header(space, region);
        if span.state() != State::Large || span.is_marked() || span.guarded.get() {
            return false;
        }
        if !space.clear_entry(region, Entry::LARGE) {
            return false;
        }
        // This thread has the block alone now. It may be another one than above, if the program freed that twice.
        self.take_off_bill(region);
        let (regions, guarded) = (span.large_regions(), span.guarded.get());
        span.unmake_large(State::FreedLarge);
        if guarded {
            self.release_run(region, regions);
        } else {
            self.pages.put_cached(region, regions, now);
        }
        true
    }

    fn alloc_direct(&self, bytes: usize, align: usize) -> Option<Fresh> {
        let page = self.pages.space().page_bytes();
        let wanted = round_up(bytes, page)?;
        if !self.pages.admit_mapping(wanted) {
            return None;
        }
        let guard = self.direct.guard();
        let mapped = direct::map(page, bytes, align, guard);
        let listed = mapped.filter(|&block| self.direct.add(&self.pages, block));
        let Some(block) = listed else {
            if let Some(block) = mapped {
                direct::unmap(block, guard);
            }
            self.pages.dismiss_mapping(wanted);
            return None;
        };
        // Refused, it is where the process's own policy says.
        let _ = self.pages.space().placement().apply(block.address, block.bytes);
        self.pages.space().huge().advise_mapping(block.address, block.bytes);
        // SAFETY: just mapped, and its address was not handed out yet.
        unsafe { self.pages.make_mapping_present(block.address, block.bytes) };
        Some(Fresh { address: block.address, bytes: block.bytes, dirty: false, lane: Lane::Direct })
    }

    /// Sets the ticket of the large or direct block at `address`.
    pub(crate) fn set_ticket(&self, address: usize, direct: bool, ticket: u32) {
        if direct {
            self.direct.set_ticket(address, ticket);
        } else if let Some(region) = self.pages.space().region_of(address) {
            header(self.pages.space(), region).set_ticket(ticket);
        }
    }

    /// Frees the large block at `region`; its ticket, or `None` if another thread just freed it.
    pub(crate) fn free_large(&self, region: Region) -> Option<u32> {
        self.free_large_as(region, State::FreedLarge)
    }

    fn free_large_as(&self, region: Region, state: State) -> Option<u32> {
        let space = self.pages.space();
        let span = header(space, region);
        if !space.clear_entry(region, Entry::LARGE) {
            return None;
        }
        // This thread has the block alone now, whichever one it was when the program called.
        self.take_off_bill(region);
        let (count, ticket) = (span.large_regions(), span.ticket());
        span.unmake_large(state);
        if span.guarded.get() {
            self.release_run(region, count);
        } else if state == State::Destroyed {
            self.pages.release_later(region, count);
        } else {
            self.pages.release_large(region, count);
        }
        Some(ticket)
    }

    /// Frees the large block at `region` because its heap is destroyed, as [`Central::free_large`] does.
    pub(crate) fn destroy_large(&self, region: Region) -> Option<u32> {
        self.free_large_as(region, State::Destroyed)
    }

    /// Frees the direct block that starts at `address`; its ticket, or `None` if another thread just freed it.
    pub(crate) fn free_direct(&self, address: usize) -> Option<u32> {
        let block = self.direct.remove(address)?;
        direct::unmap(block, self.direct.guard());
        self.pages.dismiss_mapping(block.bytes);
        Some(block.ticket)
    }

    /// Resizes the large block at `region` where it is; false if it has to move.
    pub(crate) fn resize_large(&self, region: Region, bytes: usize) -> bool {
        let space = self.pages.space();
        let span = header(space, region);
        // Blocks with a bill are never direct mappings.
        let fits = |bytes: &usize| *bytes <= LARGE_MAX || span.is_billed();
        let Some(bytes) = round_up(bytes, space.page_bytes()).filter(fits) else {
            return false;
        };
        let Ok(new) = u32::try_from(regions_for(bytes)) else { return false };
        let old = span.large_regions();
        // A guard that moves back would take memory with it that the program has used.
        let guarded = span.guarded.get();
        let room = match guarded {
            true if new > old => with_room(new),
            true => old,
            false => new,
        };
        if guarded && (new as usize) < regions_for(span.large_bytes()) {
            return false;
        }
        let changed = self.change_run(span, room, || {
            let fits = room <= old
                || if guarded {
                    self.pages.grow_guarded(region, old, room)
                } else {
                    self.pages.acquire_behind(region.plus(old), new - old).is_some()
                };
            if fits {
                span.set_large(room, bytes);
            }
            fits
        });
        if changed && !guarded && new < old {
            self.pages.release(region.plus(new), old - new);
        }
        changed
    }

    /// Has the large block at `address`, which the caller has and nothing else uses, hold `bytes` bytes; how many it
    /// holds then. `None` if its run is too small.
    pub(crate) fn reuse_large(&self, address: usize, bytes: usize) -> Option<usize> {
        let space = self.pages.space();
        let span = header(space, space.region_of(address)?);
        let (regions, bytes) = (span.large_regions(), round_up(bytes, space.page_bytes())?);
        if bytes > regions as usize * REGION_BYTES {
            return None;
        }
        span.set_large(regions, bytes);
        Some(bytes)
    }

    /// Resizes a direct block, which may move; `None` leaves it as it was, for the caller to copy.
    pub(crate) fn resize_direct(&self, block: DirectBlock, bytes: usize) -> Option<usize> {
        let page = self.pages.space().page_bytes();
        let (old, new) = (block.bytes, round_up(bytes, page)?);
        if new > old && !self.pages.admit_mapping(new - old) {
            return None;
        }
        let moved = self.direct.resize(&self.pages, block.address, bytes);
        if new != old && moved.is_some() == (new < old) {
            self.pages.dismiss_mapping(new.abs_diff(old));
        }
        moved
    }

    /// Whether a direct block that started at `address` was freed not long ago, and the address is not in one since.
    /// Another mapping of the program's may be there by now.
    pub(crate) fn was_direct(&self, address: usize) -> bool {
        self.direct.was_freed(address)
    }

    /// Makes the first `bytes` of a fresh block read as zero.
    pub(crate) fn zero_large(&self, fresh: &Fresh, bytes: usize) {
        if !fresh.dirty {
            return;
        }
        // A huge page that is half another's is not to be split; what of it is this block's is filled.
        let unit = self.pages.space().purge_unit();
        let (first, behind) = (fresh.address, fresh.address + fresh.bytes);
        let (start, end) = (first.next_multiple_of(unit), behind & !(unit - 1));
        // SAFETY: whole pages of a block that was not handed out yet.
        if bytes <= ZERO_BY_HAND_MAX || start >= end || !unsafe { self.pages.discard(start, end - start) } {
            return fresh.zero(bytes);
        }
        fresh.zero(bytes.min(start - first));
        let rest = (first + bytes.min(fresh.bytes)).saturating_sub(end);
        // SAFETY: from `end` on the block goes on, for at least as many bytes.
        unsafe { memory::zero(core::ptr::with_exposed_provenance_mut(end), rest) };
    }
}
