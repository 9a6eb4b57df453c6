#![expect(unsafe_code, reason = "maps memory and follows its own list")]
//! Direct mappings: blocks too large for the page runs, each a mapping of its own, described in metadata.
//!
//! There are few, and each costs system calls anyway, so a list is enough. They are not in the page map: a free that
//! the map does not know looks here before it is called foreign.

use crate::base::units::round_up;
use crate::pages::Pages;
use crate::sys::memory;

/// A direct block.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct DirectBlock {
    /// Where it starts.
    pub(crate) address: usize,
    /// Its usable bytes, which are its mapping.
    pub(crate) bytes: usize,
    /// The ticket by which a sampled block is known; 0 for others.
    pub(crate) ticket: u32,
}

struct Link {
    block: DirectBlock,
    next: *mut Link,
}

/// How many addresses of blocks that are gone the list keeps.
const GONE: usize = 32;

/// All direct blocks, and where the last ones began that are gone. Guarded by a lock.
pub(crate) struct DirectList {
    first: *mut Link,
    count: usize,
    bytes: usize,
    gone: [usize; GONE],
    /// Blocks that went.
    went: usize,
}

// SAFETY: the links belong to no thread; the lock around this structure guards them.
unsafe impl Send for DirectList {}

/// Maps `bytes`, rounded up to pages, at a multiple of `align`; no list knows of it yet.
pub(super) fn map(page: usize, bytes: usize, align: usize) -> Option<DirectBlock> {
    let bytes = round_up(bytes, page)?;
    if align <= page {
        let address = memory::map(bytes).ok()?;
        return Some(DirectBlock { address, bytes, ticket: 0 });
    }
    let whole = bytes.checked_add(align)?;
    let start = memory::map(whole).ok()?;
    let address = round_up(start, align)?;
    trim(start, address);
    trim(address + bytes, start + whole);
    Some(DirectBlock { address, bytes, ticket: 0 })
}

/// Unmaps what lies between `start` and `end`. If the kernel refuses, address space is lost, and nothing else.
fn trim(start: usize, end: usize) {
    if start < end {
        // SAFETY: this part of a fresh mapping was not handed out.
        let _ = unsafe { memory::unmap(start, end - start) };
    }
}

/// Unmaps a block that is in no list any more. If the process has as many mappings as it may, so that none can be
/// split, the block's pages go back instead.
pub(super) fn unmap(block: DirectBlock) {
    // SAFETY: the block was taken off the list, so nothing uses it.
    if unsafe { memory::unmap(block.address, block.bytes) }.is_err() {
        // SAFETY: as above.
        let _ = unsafe { memory::purge(block.address, block.bytes) };
    }
}

impl DirectList {
    /// Offsets of how many blocks there are, and of their bytes.
    pub(super) const OFFSETS: [usize; 2] = [core::mem::offset_of!(Self, count), core::mem::offset_of!(Self, bytes)];

    /// No blocks.
    pub(crate) const fn new() -> Self {
        Self { first: core::ptr::null_mut(), count: 0, bytes: 0, gone: [0; GONE], went: 0 }
    }

    /// How many blocks there are, and their bytes.
    pub(crate) const fn totals(&self) -> (usize, usize) {
        (self.count, self.bytes)
    }

    /// Adds a block; false if there is no metadata for it.
    pub(crate) fn add(&mut self, pages: &Pages, block: DirectBlock) -> bool {
        let Some(piece) = pages.acquire_metadata(size_of::<Link>()) else {
            return false;
        };
        let link = piece.cast::<Link>();
        // SAFETY: the piece is large enough, aligned to its size, and nothing else has it.
        unsafe { link.write(Link { block, next: self.first }) };
        self.first = link;
        self.count += 1;
        self.bytes += block.bytes;
        true
    }

    /// The block that `address` lies in.
    pub(crate) fn find(&self, address: usize) -> Option<DirectBlock> {
        self.links().map(|link| link.block).find(|block| address.wrapping_sub(block.address) < block.bytes)
    }

    /// Takes out the block that starts at `address`.
    pub(crate) fn remove(&mut self, pages: &Pages, address: usize) -> Option<DirectBlock> {
        let mut place: *mut *mut Link = &raw mut self.first;
        loop {
            // SAFETY: `place` is the head or the `next` of a valid link, and the lock is held.
            let link = unsafe { place.read() };
            if link.is_null() {
                return None;
            }
            // SAFETY: links on the list are valid.
            let Link { block, next } = unsafe { link.read() };
            if block.address == address {
                // SAFETY: as for the read of `place`.
                unsafe { place.write(next) };
                // SAFETY: the link is off the list; `add` acquired it with the same bytes.
                unsafe { pages.release_metadata(link.cast(), size_of::<Link>()) };
                self.count -= 1;
                self.bytes -= block.bytes;
                self.note_gone(address);
                return Some(block);
            }
            // SAFETY: links on the list are valid.
            place = unsafe { &raw mut (*link).next };
        }
    }

    /// Whether one of the last blocks that are gone began at `address`.
    pub(crate) fn was_here(&self, address: usize) -> bool {
        self.gone.contains(&address)
    }

    fn note_gone(&mut self, address: usize) {
        if let Some(place) = self.gone.get_mut(self.went % GONE) {
            *place = address;
        }
        self.went = self.went.wrapping_add(1);
    }

    /// Changes the bytes of the block that starts at `address`, which may move; where it is then. `None` leaves it as
    /// it was.
    pub(crate) fn resize(&mut self, page: usize, address: usize, bytes: usize) -> Option<usize> {
        let bytes = round_up(bytes, page)?;
        let mut next = self.first;
        loop {
            // SAFETY: links on the list are valid, and the lock is held.
            let link = unsafe { next.as_mut() }?;
            if link.block.address == address {
                // SAFETY: the block's owner is resizing it and holds the only pointers into it.
                let moved = unsafe { memory::remap(address, link.block.bytes, bytes) }.ok()?;
                self.bytes = self.bytes - link.block.bytes + bytes;
                link.block = DirectBlock { address: moved, bytes, ..link.block };
                if moved != address {
                    self.note_gone(address);
                }
                return Some(moved);
            }
            next = link.next;
        }
    }

    /// Sets the ticket of the block that starts at `address`.
    pub(crate) fn set_ticket(&mut self, address: usize, ticket: u32) {
        let mut next = self.first;
        // SAFETY: links on the list are valid, and the lock is held.
        while let Some(link) = unsafe { next.as_mut() } {
            if link.block.address == address {
                link.block.ticket = ticket;
                return;
            }
            next = link.next;
        }
    }

    fn links(&self) -> impl Iterator<Item = &Link> {
        let mut next = self.first;
        core::iter::from_fn(move || {
            // SAFETY: links on the list are valid, and the borrow of the list keeps them there.
            let link = unsafe { next.as_ref() }?;
            next = link.next;
            Some(link)
        })
    }
}
