//! Offsets within a heap, for tools that read a process from outside. Must not know how they read it.

use core::mem::offset_of;

use super::bin::Bin;
use super::counters::Counters;
use super::layout::Heap;
use super::named::Named;
use super::remote::inbox::Inbox;
use super::remote::outbox::Outbox;

/// Offsets within a heap. Each is that of a word, unless its comment names another size.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct HeapDescriptor {
    /// Where the address of the first heap is.
    pub first: usize,
    /// Bytes of a heap.
    pub bytes: usize,
    /// The next heap.
    pub next: usize,
    /// Whether a thread has it, one byte.
    pub taken: usize,
    /// Which thread has it, four bytes.
    pub thread: usize,
    /// The distance between bins, the first of which is at 0.
    pub bin_step: usize,
    /// Within a bin: the pointer to the last block.
    pub bin_top: usize,
    /// Within a bin: the pointer to the bottom slot.
    pub bin_base: usize,
    /// Refills by class, four bytes each.
    pub refills: usize,
    /// Flushes by class, four bytes each.
    pub flushes: usize,
    /// Refills by received blocks, by class, the lowest byte of each.
    pub received_refills: usize,
    /// Batches sent, four bytes.
    pub sent: usize,
    /// Batches received, four bytes.
    pub received: usize,
    /// Blocks in the batches sent.
    pub sent_blocks: usize,
    /// Blocks in the batches received.
    pub received_blocks: usize,
    /// The outbox's pointers to batches.
    pub outbox: usize,
    /// How many such pointers there are.
    pub outbox_places: usize,
    /// The first batch taken from the inbox and not yet returned to spans.
    pub pending: usize,
    /// The batch pushed to the inbox last.
    pub inbox: usize,
    /// The address of the bill of its memory; 0 for none.
    pub bill: usize,
    /// The handle of the named heap that it is a part of; 0 for a heap of a thread.
    pub handle: usize,
    /// Not 0 while a thread uses this part.
    pub user: usize,
}

impl HeapDescriptor {
    /// The offsets, which are the same in every process of this version; the address is 0.
    pub(crate) const LAYOUT: Self = Self::of(0);

    /// This descriptor with the address 0.
    pub(crate) const fn layout(self) -> Self {
        Self { first: 0, ..self }
    }

    /// The offsets; the first heap's address is at `first`.
    pub(super) const fn of(first: usize) -> Self {
        let (counters, named) = (offset_of!(Heap, counters), offset_of!(Heap, named));
        let [bill, handle, user] = Named::OFFSETS;
        let [refills, flushes, received_refills, sent, received, sent_blocks, received_blocks] = Counters::OFFSETS;
        Self {
            first,
            bytes: size_of::<Heap>(),
            next: offset_of!(Heap, next),
            taken: offset_of!(Heap, taken),
            thread: offset_of!(Heap, thread.id),
            bin_step: size_of::<Bin>(),
            bin_top: Bin::OFFSETS[0],
            bin_base: Bin::OFFSETS[1],
            refills: counters + refills,
            flushes: counters + flushes,
            received_refills: counters + received_refills,
            sent: counters + sent,
            received: counters + received,
            sent_blocks: counters + sent_blocks,
            received_blocks: counters + received_blocks,
            outbox: offset_of!(Heap, outbox) + Outbox::BATCHES[0],
            outbox_places: Outbox::BATCHES[1],
            pending: offset_of!(Heap, pending),
            inbox: offset_of!(Heap, inbox) + Inbox::HEAD_AT,
            bill: named + bill,
            handle: named + handle,
            user: named + user,
        }
    }
}
