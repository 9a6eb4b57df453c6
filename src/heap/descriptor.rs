//! Where things are in a heap, for tools that read a process from outside. Must not know how they read.

use core::mem::offset_of;

use super::bin::Bin;
use super::counters::Counters;
use super::layout::Heap;
use super::remote::inbox::Inbox;
use super::remote::outbox::Outbox;

/// Offsets in a heap, for tools that read it from outside; see `observe::live`. What is not a word is said.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct HeapDescriptor {
    /// Where the address of the first heap is.
    pub first: usize,
    /// Bytes of a heap.
    pub bytes: usize,
    /// The next heap.
    pub next: usize,
    /// Whether a thread has it, one byte, and which, four bytes.
    pub taken: usize,
    /// See `taken`.
    pub thread: usize,
    /// The distance between bins, the first of which is at 0; in a bin the last block's place, and slot 0.
    pub bin_step: usize,
    /// See `bin_step`.
    pub bin_top: usize,
    /// See `bin_step`.
    pub bin_base: usize,
    /// By class, four bytes each: refills and flushes.
    pub refills: usize,
    /// See `refills`.
    pub flushes: usize,
    /// Batches sent and received, four bytes each; blocks sent and received.
    pub sent: usize,
    /// See `sent`.
    pub received: usize,
    /// See `sent`.
    pub sent_blocks: usize,
    /// See `sent`.
    pub received_blocks: usize,
    /// Batches of the outbox, and how many there are.
    pub outbox: usize,
    /// See `outbox`.
    pub outbox_places: usize,
    /// Batches taken from the inbox, and the one pushed to it last.
    pub pending: usize,
    /// See `pending`.
    pub inbox: usize,
}

impl HeapDescriptor {
    /// What is the same in every process of this version; the address is 0.
    pub(crate) const LAYOUT: Self = Self::of(0);

    /// As [`HeapDescriptor::LAYOUT`], of this one.
    pub(crate) const fn layout(self) -> Self {
        Self { first: 0, ..self }
    }

    /// The offsets; the first heap's address is at `first`.
    pub(super) const fn of(first: usize) -> Self {
        let counters = offset_of!(Heap, counters);
        let [refills, flushes, sent, received, sent_blocks, received_blocks] = Counters::OFFSETS;
        Self {
            first,
            bytes: size_of::<Heap>(),
            next: offset_of!(Heap, next),
            taken: offset_of!(Heap, taken),
            thread: offset_of!(Heap, thread),
            bin_step: size_of::<Bin>(),
            bin_top: Bin::OFFSETS[0],
            bin_base: Bin::OFFSETS[1],
            refills: counters + refills,
            flushes: counters + flushes,
            sent: counters + sent,
            received: counters + received,
            sent_blocks: counters + sent_blocks,
            received_blocks: counters + received_blocks,
            outbox: offset_of!(Heap, outbox) + Outbox::BATCHES[0],
            outbox_places: Outbox::BATCHES[1],
            pending: offset_of!(Heap, pending),
            inbox: offset_of!(Heap, inbox) + Inbox::HEAD_AT,
        }
    }
}
