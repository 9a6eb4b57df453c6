//! Records of sampled blocks that are live, found by number. Guarded by the profile's lock.

use super::Weight;
use super::kept::Kept;
use super::stacks::Entry;
use crate::pages::{METADATA_MAX, Pages};

/// One block, or a link in the list of free records.
#[derive(Clone, Copy)]
struct Record {
    /// The stack that asked for the block; `None` in a free record.
    entry: Option<&'static Entry>,
    weight: Weight,
    /// The ticket of the next free record.
    next: u32,
}

const PER_PIECE: usize = METADATA_MAX / size_of::<Record>();
/// Four million blocks live at a time: with the default rate, terabytes.
const PIECES: usize = 4096;

/// All records. Tickets are their numbers, counted from 1.
pub(super) struct Records {
    pieces: [Option<&'static mut [Record; PER_PIECE]>; PIECES],
    kept: Kept,
    /// Records ever used.
    used: u32,
    /// The first free one; 0 for none.
    free: u32,
}

impl Records {
    pub(super) const fn new() -> Self {
        Self { pieces: [const { None }; PIECES], kept: Kept::new(), used: 0, free: 0 }
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

    /// Ends a ticket: the stack of its block, and the weight. `None` if there is no such ticket.
    pub(super) fn remove(&mut self, ticket: u32) -> Option<(&'static Entry, Weight)> {
        let next = self.free;
        let record = self.record(ticket)?;
        let entry = record.entry.take()?;
        record.next = next;
        let weight = record.weight;
        self.free = ticket;
        Some((entry, weight))
    }

    /// Changes the weight of a ticket: its stack, and the weight before.
    pub(super) fn replace(&mut self, ticket: u32, weight: Weight) -> Option<(&'static Entry, Weight)> {
        let record = self.record(ticket)?;
        let entry = record.entry?;
        Some((entry, core::mem::replace(&mut record.weight, weight)))
    }

    /// The ticket of a record never used before.
    fn grow(&mut self, pages: &Pages) -> Option<u32> {
        let piece = self.pieces.get_mut(self.used as usize / PER_PIECE)?;
        if piece.is_none() {
            let free = |_| Record { entry: None, weight: Weight::default(), next: 0 };
            *piece = self.kept.values(pages, PER_PIECE, free)?.try_into().ok();
        }
        self.used += 1;
        Some(self.used)
    }

    fn record(&mut self, ticket: u32) -> Option<&mut Record> {
        let index = ticket.checked_sub(1).filter(|_| ticket <= self.used)? as usize;
        self.pieces.get_mut(index / PER_PIECE)?.as_mut()?.get_mut(index % PER_PIECE)
    }
}
