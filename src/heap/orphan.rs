//! Orphans: heaps whose threads were lost in a fork, caught anywhere in their work.
//!
//! Nothing of such a heap but its inbox was ever meant to be read by others, so little is believed. Spans are found by the region
//! map, not by the heap's lists, and their counts are taken from the bitmaps. Bins and batches are believed only if the thread was
//! not at work inside the allocator: then at most one block is between two places, and it was nobody's but the lost thread's. A heap
//! that was busy may have listed a block in two places, so what its bins and batches hold stays out: some memory is lost to the
//! child, and nothing is handed out twice.

use core::cell::Cell;

use super::layout::Heap;
use super::outbox::{self, Shared};
use crate::base::class::Class;
use crate::base::units::Region;
use crate::central::{Batch, Place};

/// Calls what it is given with each orphaned heap.
pub(super) type Each<'a> = &'a dyn Fn(&mut dyn FnMut(&'static Heap));

/// Hands the spans and free blocks of `orphans` to the depot and makes the heaps fit for new threads.
pub(super) fn adopt(shared: Shared<'_>, orphans: Each<'_>) {
    let mut last = Region::NONE;
    let is_orphan = |owner: usize| {
        let mut found = false;
        orphans(&mut |heap| found |= heap.address() == owner);
        found
    };
    // While the map still names the lost owners nobody else touches their spans, so blocks can go straight into the bitmaps.
    orphans(&mut |heap| {
        if !heap.is_busy() {
            Class::all().for_each(|class| rescue_bin(shared, heap, class, &is_orphan));
            heap.outbox.batches().for_each(|batch| rescue_batch(shared, batch, &is_orphan));
            while let Some(batch) = super::inbox::pop(&heap.pending) {
                rescue_batch(shared, batch, &is_orphan);
            }
        }
    });
    shared.central.each_span(|span, entry, region| {
        // A span that was being made when the fork came may not know its first region yet; it is passed over.
        let known = span.first() == region && region > last;
        if let Some(class) = entry.class().filter(|_| known && is_orphan(entry.owner())) {
            last = region;
            shared.central.surrender_orphan(class, region);
        }
    });
    orphans(&mut |heap| {
        let late = Cell::new(heap.inbox.close());
        while let Some(batch) = super::inbox::pop(&late) {
            rescue_batch(shared, batch, &is_orphan);
            shared.central.release_batch(batch);
        }
        heap.forget();
    });
}

fn rescue_batch(shared: Shared<'_>, batch: &Batch, is_orphan: &dyn Fn(usize) -> bool) {
    batch.blocks().iter().for_each(|&block| rescue(shared, block, is_orphan));
}

fn rescue_bin(shared: Shared<'_>, heap: &Heap, class: Class, is_orphan: &dyn Fn(usize) -> bool) {
    let bin = heap.bin(class);
    (1..=bin.orphaned_len()).for_each(|index| rescue(shared, bin.block(index), is_orphan));
}

/// Brings a block home. What is free already is passed over in silence.
fn rescue(shared: Shared<'_>, block: *mut u8, is_orphan: &dyn Fn(usize) -> bool) {
    match shared.central.resolve(block.addr()) {
        Place::Small { span, class, entry, offset } if is_orphan(entry.owner()) => {
            let _ = span.give_back(class.geometry(), offset);
        }
        _ => {
            let _ = outbox::settle_block(shared, block);
        }
    }
}
