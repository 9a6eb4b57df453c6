#![expect(unsafe_code, reason = "keeps records in metadata")]
//! Records of sampled blocks that are live, found by number. Guarded by the profile's lock.

use super::Weight;
use super::stacks::Entry;
use crate::pages::{METADATA_MAX, Pages};

/// One block, or a link in the list of free records.
#[derive(Clone, Copy)]
struct Record {
    /// Whose it is; `None` in a free record.
    entry: Option<&'static Entry>,
    weight: Weight,
    /// The ticket of the next free record.
    next: u32,
}

const PER_PIECE: usize = METADATA_MAX / size_of::<Record>();
/// Four million blocks live at a time: with the default rate, terabytes.
const PIECES: usize = 4096;

/// See the module. Tickets are numbers of records, counted from 1.
pub(super) struct Records {
    pieces: [*mut Record; PIECES],
    /// Records ever used.
    used: u32,
    /// The first free one; 0 for none.
    free: u32,
}

// SAFETY: the pieces belong to no thread; the lock around this structure guards them.
unsafe impl Send for Records {}

impl Records {
    pub(super) const fn new() -> Self {
        Self { pieces: [core::ptr::null_mut(); PIECES], used: 0, free: 0 }
    }

    /// A ticket for a block of the stack `entry`; `None` where there is no memory for more.
    pub(super) fn add(&mut self, pages: &Pages, entry: &'static Entry, weight: Weight) -> Option<u32> {
        let ticket = if self.free == 0 { self.grow(pages)? } else { self.free };
        let record = self.record(ticket)?;
        let next = record.next;
        *record = Record { entry: Some(entry), weight, next: 0 };
        if self.free == ticket {
            self.free = next;
        }
        Some(ticket)
    }

    /// Ends a ticket: whose block it was, and what it stood for. `None` if it is none.
    pub(super) fn remove(&mut self, ticket: u32) -> Option<(&'static Entry, Weight)> {
        let next = self.free;
        let record = self.record(ticket)?;
        let entry = record.entry.take()?;
        record.next = next;
        let weight = record.weight;
        self.free = ticket;
        Some((entry, weight))
    }

    /// Changes what a ticket stands for; what it stood for.
    pub(super) fn replace(&mut self, ticket: u32, weight: Weight) -> Option<(&'static Entry, Weight)> {
        let record = self.record(ticket)?;
        let entry = record.entry?;
        Some((entry, core::mem::replace(&mut record.weight, weight)))
    }

    /// A record never used before.
    fn grow(&mut self, pages: &Pages) -> Option<u32> {
        let index = self.used as usize;
        let piece = self.pieces.get_mut(index / PER_PIECE)?;
        if piece.is_null() {
            *piece = pages.acquire_metadata(METADATA_MAX)?.cast();
        }
        let place = piece.wrapping_add(index % PER_PIECE);
        // SAFETY: the piece has so many records, and nobody uses this one.
        unsafe { place.write(Record { entry: None, weight: Weight::default(), next: 0 }) };
        self.used += 1;
        Some(self.used)
    }

    fn record(&mut self, ticket: u32) -> Option<&mut Record> {
        let index = ticket.checked_sub(1).filter(|_| ticket <= self.used)? as usize;
        let piece = *self.pieces.get(index / PER_PIECE)?;
        // SAFETY: records up to `used` were made by `grow`, and the lock is held.
        unsafe { piece.wrapping_add(index % PER_PIECE).as_mut() }
    }
}
