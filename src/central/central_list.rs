//! The central list of one class: the spans that no heap owns, and whole batches of free blocks for any heap (the
//! transfer cache).
//!
//! # Invariants
//! - A span whose map entry names the central list is in exactly one of the two lists, and only the holder of the lock
//!   changes the span or its entry.
//! - The blocks of batches are marked as in use in their spans.

use core::mem::offset_of;

use super::batch::{Batch, Stack};
use super::span::{Refused, Span, State, header};
use super::spans::{Empty, Next, Spans};
use crate::base::class::Class;
use crate::base::units::Region;
use crate::pages::{Bank, Entry, Space};

/// The transfer cache of a class keeps at most one batch for so many bytes that it may hold.
const BYTES_PER_BATCH: usize = 16 << 10;

/// The outcome of returning a block to the central list.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[must_use]
pub(crate) enum Returned {
    /// Its span took it.
    Taken,
    /// Its span took it and is empty now; the caller must release the span, which is in no list any more.
    Emptied(Region),
    /// A heap has adopted its span meanwhile.
    Moved,
    /// It cannot be taken.
    Refused(Refused),
}

/// The central list of one class. Guarded by a lock.
pub(crate) struct CentralList {
    spans: Spans,
    batches: Stack,
    /// Batches, and blocks in them.
    count: usize,
    blocks: usize,
    /// Batches and spans that heaps were given.
    taken: usize,
    adopted: usize,
}

impl CentralList {
    /// Offsets of the batches, and of batches and spans given.
    pub(super) const OFFSETS: [usize; 3] =
        [offset_of!(Self, batches), offset_of!(Self, taken), offset_of!(Self, adopted)];

    /// An empty list.
    pub(crate) const fn new() -> Self {
        Self { spans: Spans::new(), batches: Stack::new(), count: 0, blocks: 0, taken: 0, adopted: 0 }
    }

    /// Whether there is nothing that a heap could use.
    pub(crate) fn is_bare(&self) -> bool {
        self.batches.is_empty() && self.spans.partial.first().is_none()
    }

    /// Keeps a batch of blocks of `class`, within `bytes` in all but at least one; false if the cache is full.
    pub(crate) fn put_batch(&mut self, class: Class, batch: &Batch, bytes: usize) -> bool {
        let full = class.geometry().batch as usize;
        let room = (bytes / (full * class.size())).min(bytes / BYTES_PER_BATCH).max(1);
        // Short batches would take the places of full ones.
        if self.count >= room || batch.len() * 2 < full {
            return false;
        }
        self.batches.push(batch);
        self.count += 1;
        self.blocks += batch.len();
        true
    }

    /// Takes the batch that was put last.
    pub(crate) fn take_batch(&mut self) -> Option<&'static Batch> {
        let batch = self.batches.pop()?;
        self.count -= 1;
        self.blocks -= batch.len();
        Some(batch)
    }

    /// As [`CentralList::take_batch`], for a heap that needs blocks.
    pub(crate) fn serve_batch(&mut self) -> Option<&'static Batch> {
        let batch = self.take_batch()?;
        self.taken += 1;
        Some(batch)
    }

    /// Its spans; for the check.
    #[cfg(debug_assertions)]
    pub(super) const fn spans(&self) -> &Spans {
        &self.spans
    }

    /// Blocks in the batches kept, as counted; for the check.
    #[cfg(debug_assertions)]
    pub(super) const fn cached(&self) -> usize {
        self.blocks
    }

    /// Batches, and spans, that heaps have been given so far.
    pub(crate) const fn given(&self) -> [usize; 2] {
        [self.taken, self.adopted]
    }

    /// Calls `see` with each block in the batches kept.
    pub(crate) fn each_cached(&self, mut see: impl FnMut(*mut u8)) {
        self.batches.iter().for_each(|batch| batch.blocks().iter().for_each(|&block| see(block)));
    }

    /// Takes over a span that its owner gives up. The span is in no list.
    pub(crate) fn accept(&mut self, space: &Space, class: Class, region: Region) {
        let span = header(space, region);
        space.set_entries(region, class.geometry().regions, Entry::central(class));
        // Its count may have been taken anew.
        span.set_state(if span.available(class.geometry()) > 0 { State::Partial } else { State::Full });
        self.spans.add(space, span);
    }

    /// Hands the fullest of the first few partial spans to the owner whose map entry is `entry`: of those in `bank`,
    /// where one is named.
    pub(crate) fn adopt(&mut self, space: &Space, class: Class, entry: Entry, bank: Option<Bank>) -> Option<Region> {
        const ASKED: usize = 8;
        let fits = |&(region, _): &(Region, &Span)| bank.is_none_or(|bank| space.bank_of(region) == bank);
        let partial = self.spans.partial.iter(space).filter(fits);
        let (region, span) = partial.take(ASKED).max_by_key(|(_, span)| span.used())?;
        self.spans.remove(space, span);
        space.set_entries(region, class.geometry().regions, entry);
        self.adopted += 1;
        Some(region)
    }

    /// Hands the span at `region` to the owner whose map entry is `entry`; false if it is not in the list.
    pub(crate) fn claim(&mut self, space: &Space, class: Class, region: Region, entry: Entry) -> bool {
        if space.entry(region) != Entry::central(class) || header(space, region).first() != region {
            return false;
        }
        self.spans.remove(space, header(space, region));
        space.set_entries(region, class.geometry().regions, entry);
        true
    }

    /// Takes back a block of `class` at `address`, whose span starts at `region`.
    pub(crate) fn give_back(&mut self, space: &Space, class: Class, region: Region, address: usize) -> Returned {
        if space.entry(region) != Entry::central(class) {
            return Returned::Moved;
        }
        let span = header(space, region);
        match span.give_back(class.geometry(), address - space.address(region)) {
            Err(refused) => Returned::Refused(refused),
            Ok(true) if self.spans.settle_returned(space, span, Empty::Release) == Next::Release => {
                space.set_entries(region, class.geometry().regions, Entry::NONE);
                Returned::Emptied(region)
            }
            Ok(_) => Returned::Taken,
        }
    }
}
