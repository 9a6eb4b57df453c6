//! Page runs: free stretches of regions, coalesced, handed out best fit at the lowest address of a bank.
//!
//! Dirty runs (pages may hold something) and clean runs (they read as zero) are kept in trees of their own and do not
//! merge with each other: a dirty run is reused first, because its pages are there already, and purging one makes it
//! clean. jemalloc keeps its extents apart in the same way. Each bank has its own trees and border; age and amounts are
//! those of all. Must not know what a run is used for nor what a bank is, and makes no system call.
//!
//! # Invariants
//! - Every region of a bank below its border, but the first, is in a run that was acquired, or in exactly one free run.
//! - Two neighbouring free runs differ in dirtiness.
//! - The list from oldest to newest holds the dirty runs, in the order in which they were freed.

use core::mem::offset_of;

use super::bank::{Bank, Trees};
use super::space::Space;
use super::tree::Node;
use super::tree::Nodes;
use crate::base::units::{LARGE_MAX, MIB, REGION_BYTES, Region, regions_for};

/// A stretch of regions that the caller of `acquire` now has to itself.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[must_use]
pub(crate) struct Run {
    /// Its first region.
    pub(crate) region: Region,
    /// How many regions.
    pub(crate) count: u32,
    /// Whether its pages may hold something; if not, they read as zero.
    pub(crate) dirty: bool,
}

/// The free runs of all banks. Guarded by a lock.
pub(crate) struct Runs {
    /// Those of the first bank; others have theirs with them.
    first: Trees,
    /// Regions that were part of a run once.
    touched: u32,
    oldest: u32,
    newest: u32,
    dirty_regions: u32,
    clean_regions: u32,
    /// How much of what was freed the process is likely to use again, by what it did lately: see [`Runs::note_reuse`].
    reused: u32,
}

const NONE: u32 = 0;
/// Regions that may be dirty in any case, or this part of what is in use if that is more: a process that grows and shrinks
/// once keeps no more.
const DIRTY_MIN: u32 = regions_for(8 * MIB) as u32;
const DIRTY_PART: u32 = 4;
/// A process that uses again what it freed may have so many dirty, however little is in use: those of one block of the
/// largest kind that comes from runs.
const REUSED_MIN: u32 = regions_for(LARGE_MAX) as u32;
/// A region that is used again makes up for so many that are freed.
const REUSE_GAIN: u32 = 4;
/// [`Runs::reused`] is at most so many times what may be dirty because of it: it stays while a process frees all and
/// takes it again.
const REUSED_MAX: u32 = 2;

impl Runs {
    /// Offsets of the first bank's border, of regions ever used, dirty regions and clean regions.
    pub(super) const OFFSETS: [usize; 4] = [
        offset_of!(Self, first) + offset_of!(Trees, border),
        offset_of!(Self, touched),
        offset_of!(Self, dirty_regions),
        offset_of!(Self, clean_regions),
    ];

    /// No run at all; region 0 stays unused, so that 0 can mean "none".
    pub(crate) const fn new() -> Self {
        Self {
            first: Trees::new(Region(0)),
            touched: 0,
            oldest: NONE,
            newest: NONE,
            dirty_regions: 0,
            clean_regions: 0,
            reused: REUSED_MAX * REUSED_MIN,
        }
    }

    /// The first region of `bank` that was never used.
    pub(crate) fn border(&self, space: &Space, bank: Bank) -> Region {
        self.trees(space, bank).border.get()
    }

    /// Regions ever used, in all banks.
    pub(crate) const fn touched(&self) -> u32 {
        self.touched
    }

    fn trees<'a>(&'a self, space: &'a Space, bank: Bank) -> &'a Trees {
        space.trees(bank).unwrap_or(&self.first)
    }

    fn trees_of<'a>(&'a self, space: &'a Space, region: u32) -> &'a Trees {
        self.trees(space, space.bank_of(Region(region)))
    }

    /// Regions in dirty free runs.
    pub(crate) const fn dirty_regions(&self) -> u32 {
        self.dirty_regions
    }

    /// Regions in clean free runs.
    pub(crate) const fn clean_regions(&self) -> u32 {
        self.clean_regions
    }

    /// A run of `count` regions whose address is a multiple of `align` bytes, in `bank` if it has one; `None` where the
    /// space is used up.
    pub(crate) fn acquire(&mut self, space: &Space, bank: Bank, count: u32, align: usize) -> Option<Run> {
        let near = self.acquire_in(space, bank, count, align);
        near.or_else(|| space.other_banks(bank).find_map(|bank| self.acquire_in(space, bank, count, align)))
    }

    fn acquire_in(&mut self, space: &Space, bank: Bank, count: u32, align: usize) -> Option<Run> {
        let spare = (align / REGION_BYTES).saturating_sub(1);
        let wanted = count.checked_add(u32::try_from(spare).ok()?)?;
        for dirty in [true, false] {
            let trees = self.trees(space, bank);
            let start = if dirty { &trees.dirty } else { &trees.clean }.best_fit(space, wanted);
            if start != NONE {
                let run = self.carve(space, start, count, align);
                self.note_reuse(count, false);
                return Some(run);
            }
        }
        self.extend_border(space, bank, count, align)
    }

    /// Takes `extra` regions directly behind the acquired run that ends before `end`; whether they may hold something.
    /// `None` where they are not free.
    pub(crate) fn acquire_behind(&mut self, space: &Space, end: Region, extra: u32) -> Option<Run> {
        let bank = space.bank_of(Region(end.0 - 1));
        if end == self.border(space, bank) {
            let next = end.0.checked_add(extra).map(Region)?;
            if !self.move_border(space, bank, next) {
                return None;
            }
            return Some(Run { region: end, count: extra, dirty: false });
        }
        let node = space.node(end.0);
        if node.len.get() < extra {
            return None;
        }
        let run = self.carve(space, end.0, extra, REGION_BYTES);
        self.note_reuse(extra, false);
        Some(run)
    }

    /// Takes back a run. `now` is the time in milliseconds.
    pub(crate) fn release(&mut self, space: &Space, run: Run, now: u32) {
        if run.dirty {
            self.reused = self.reused.saturating_sub(run.count);
        }
        let mut start = run.region.0;
        let mut len = run.count;
        let mut stamp = now;
        // The list stays in order of time: a merged run keeps the place of the larger part.
        let mut behind = self.newest;
        let next = start + len;
        let border = self.border(space, space.bank_of(run.region));
        if next < border.0 && self.is_free(space, next, run.dirty) {
            len += self.merge(space, next, run.count, &mut stamp, &mut behind);
        }
        let before = space.node(start - 1).back.get();
        if before != NONE && self.is_free(space, before, run.dirty) {
            let joined = self.merge(space, before, len, &mut stamp, &mut behind);
            start = before;
            len += joined;
        }
        self.put(space, Run { region: Region(start), count: len, dirty: run.dirty }, stamp, behind);
    }

    /// Takes out a dirty run to purge: that which was freed longest ago, if that was at least `delay` milliseconds before
    /// `now`; else the longest, if more is dirty than the process is likely to want again soon, since a purge costs a
    /// system call and an interrupt of the other processors, however short the run. `cached` dirty regions are in the run
    /// cache.
    pub(crate) fn expire(&mut self, space: &Space, now: u32, delay: u32, cached: u32) -> Option<Run> {
        if self.oldest == NONE {
            return None;
        }
        let start = if waited(now, space.node(self.oldest).stamp.get()) >= delay {
            self.oldest
        } else if self.is_excessive(cached) {
            self.longest(space)
        } else {
            return None;
        };
        let run = self.take_out(space, start);
        self.reused = self.reused.saturating_sub(run.count);
        Some(run)
    }

    /// The longest dirty run of all banks; there is one.
    fn longest(&self, space: &Space) -> u32 {
        let starts = space.banks().map(|bank| self.trees(space, bank).dirty.longest(space));
        starts.filter(|&start| start != NONE).max_by_key(|&start| space.node(start).len.get()).unwrap_or(self.oldest)
    }

    /// Notes that `count` regions are used again. Purged ones count as well: the process would have needed what was
    /// given back. Fresh ones count as far as others are dirty: a process that takes what it has no room for does not
    /// shrink.
    fn note_reuse(&mut self, count: u32, fresh: bool) {
        let most = self.taken() + REUSED_MIN;
        let most = REUSED_MAX * if fresh { most.min(self.dirty_regions) } else { most };
        let reused = self.reused.saturating_add(count.saturating_mul(REUSE_GAIN)).min(most);
        self.reused = self.reused.max(reused);
    }

    /// Regions in runs that were acquired.
    const fn taken(&self) -> u32 {
        self.touched - self.dirty_regions - self.clean_regions
    }

    /// Whether more is dirty than a process like this is likely to use again soon. One that frees most of its memory
    /// may do nothing afterwards that would notice the time. One that replaces large blocks of many sizes all the time
    /// has about as much dirty as in use, and would take the fault of each page again that it gave back.
    fn is_excessive(&self, cached: u32) -> bool {
        // Threads use the cache meanwhile, so the sum may be off.
        self.dirty_regions + cached > self.dirty_max(cached)
    }

    /// How many regions may be dirty, those in the cache among them: [`DIRTY_MIN`], or a [`DIRTY_PART`] of what is in
    /// use, or, where the process used again as much as it freed, [`REUSED_MIN`] and as much as is in use.
    pub(super) fn dirty_max(&self, cached: u32) -> u32 {
        let used = self.taken().saturating_sub(cached);
        let earned = self.reused.min(used + REUSED_MIN - DIRTY_MIN);
        (used / DIRTY_PART).max(DIRTY_MIN + earned)
    }

    fn is_free(&self, space: &Space, start: u32, dirty: bool) -> bool {
        let node = space.node(start);
        node.len.get() != 0 && node.dirty.get() == dirty
    }

    /// Takes out the neighbour at `start` for a run of `len` regions to grow by; returns its regions.
    fn merge(&mut self, space: &Space, start: u32, len: u32, stamp: &mut u32, behind: &mut u32) -> u32 {
        let node = space.node(start);
        let (older, old_stamp) = (node.older.get(), node.stamp.get());
        let joined = self.take_out(space, start).count;
        if joined >= len && node.dirty.get() {
            (*stamp, *behind) = (old_stamp, older);
        } else if *behind == start {
            *behind = older;
        }
        joined
    }

    /// Cuts `count` regions at a multiple of `align` out of the free run at `start`, which is long enough.
    fn carve(&mut self, space: &Space, start: u32, count: u32, align: usize) -> Run {
        let (stamp, older) = {
            let node = space.node(start);
            (node.stamp.get(), node.older.get())
        };
        let whole = self.take_out(space, start);
        let address = space.address(whole.region);
        let head = (address.next_multiple_of(align.max(REGION_BYTES)) - address) / REGION_BYTES;
        let head = head as u32;
        let tail = whole.count - head - count;
        let first = whole.region.plus(head);
        if tail > 0 {
            self.put(space, Run { region: first.plus(count), count: tail, dirty: whole.dirty }, stamp, older);
        }
        if head > 0 {
            self.put(space, Run { region: whole.region, count: head, dirty: whole.dirty }, stamp, older);
        }
        Run { region: first, count, dirty: whole.dirty }
    }

    fn extend_border(&mut self, space: &Space, bank: Bank, count: u32, align: usize) -> Option<Run> {
        let before = self.border(space, bank);
        let address = space.address(before);
        let start = address.checked_next_multiple_of(align.max(REGION_BYTES))?;
        let gap = u32::try_from((start - address) / REGION_BYTES).ok()?;
        let first = before.0.checked_add(gap)?;
        let end = first.checked_add(count).map(Region)?;
        if !self.move_border(space, bank, end) {
            return None;
        }
        if gap > 0 {
            self.release(space, Run { region: before, count: gap, dirty: false }, 0);
        }
        Some(Run { region: Region(first), count, dirty: false })
    }

    /// Has all regions of `bank` below `end` committed; false if the bank ends before that, or the kernel refuses.
    fn move_border(&mut self, space: &Space, bank: Bank, end: Region) -> bool {
        let moved = end <= space.end_region(bank) && space.commit(bank, end);
        if moved {
            let before = self.trees(space, bank).border.replace(end);
            self.touched += end.0 - before.0;
            self.note_reuse(end.0 - before.0, true);
        }
        moved
    }

    /// Adds a free run whose neighbours cannot merge with it, behind `older` in the list if it is dirty.
    fn put(&mut self, space: &Space, run: Run, stamp: u32, older: u32) {
        let start = run.region.0;
        let node = space.node(start);
        node.len.set(run.count);
        node.stamp.set(stamp);
        node.dirty.set(run.dirty);
        space.node(start + run.count - 1).back.set(start);
        if run.dirty {
            self.dirty_regions += run.count;
            self.trees_of(space, start).dirty.insert(space, start);
            self.link(space, start, older);
        } else {
            self.clean_regions += run.count;
            self.trees_of(space, start).clean.insert(space, start);
        }
    }

    fn take_out(&mut self, space: &Space, start: u32) -> Run {
        let node = space.node(start);
        let run = Run { region: Region(start), count: node.len.get(), dirty: node.dirty.get() };
        if run.dirty {
            self.dirty_regions -= run.count;
            self.trees_of(space, start).dirty.remove(space, start);
            self.unlink(space, node);
        } else {
            self.clean_regions -= run.count;
            self.trees_of(space, start).clean.remove(space, start);
        }
        node.len.set(0);
        space.node(start + run.count - 1).back.set(NONE);
        run
    }

    fn link(&mut self, space: &Space, start: u32, older: u32) {
        let node = space.node(start);
        let newer = if older == NONE { self.oldest } else { space.node(older).newer.get() };
        node.older.set(older);
        node.newer.set(newer);
        if older == NONE {
            self.oldest = start
        } else {
            space.node(older).newer.set(start)
        }
        if newer == NONE { self.newest = start } else { space.node(newer).older.set(start) }
    }

    fn unlink(&mut self, space: &Space, node: &Node) {
        let (older, newer) = (node.older.get(), node.newer.get());
        if older == NONE {
            self.oldest = newer
        } else {
            space.node(older).newer.set(newer)
        }
        if newer == NONE { self.newest = older } else { space.node(newer).older.set(older) }
    }
}

/// Another thread may have stamped a run after the caller read the clock, but by no more than so many milliseconds.
const AHEAD: u32 = 60_000;
/// The longest wait of a run that the clock can express. A run that waits for longer, while the process makes no call,
/// looks younger by a turn of the clock: that puts its purge off by a delay or [`AHEAD`], and does not prevent it.
pub(super) const AGE_MAX: u32 = u32::MAX - AHEAD;

/// Milliseconds from `stamp` to `now`; none where the stamp is a little ahead.
pub(super) const fn waited(now: u32, stamp: u32) -> u32 {
    let waited = now.wrapping_sub(stamp);
    if waited > AGE_MAX { 0 } else { waited }
}

#[cfg(test)]
mod tests;
