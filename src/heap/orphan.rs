//! Orphans: heaps whose threads were lost in a fork, caught anywhere in their work.
//!
//! Nothing of such a heap but its inbox was ever meant to be read by others, so nothing is believed: spans are found by the
//! region map, not by the heap's lists; their counts are taken from the bitmaps; and every pointer found in a bin or batch goes
//! through the same test as a free, where what is free already is passed over in silence. At worst a block that was on its way
//! between two places stays out.

use core::cell::Cell;

use super::layout::Heap;
use super::outbox::{self, Shared};
use crate::base::class::Class;
use crate::base::units::Region;
use crate::central::Batch;

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
            rescue_batch(shared, batch);
            shared.central.release_batch(batch);
        }
        while let Some(batch) = super::inbox::pop(&heap.pending) {
            rescue_batch(shared, batch);
        }
        heap.outbox.batches().for_each(|batch| rescue_batch(shared, batch));
        Class::all().for_each(|class| rescue_bin(shared, heap, class));
        heap.forget();
    });
}

fn rescue_batch(shared: Shared<'_>, batch: &Batch) {
    for block in batch.iter() {
        let _ = outbox::settle_block(shared, block);
    }
}

fn rescue_bin(shared: Shared<'_>, heap: &Heap, class: Class) {
    let bin = heap.bin(class);
    for index in 1..=bin.orphaned_len() {
        let _ = outbox::settle_block(shared, bin.block(index));
    }
}
