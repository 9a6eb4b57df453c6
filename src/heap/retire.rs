//! The end of a heap: its thread returns everything that no other thread could free.
//!
//! First the blocks in outbox, bins and inbox return, then the central list becomes the owner of the spans, then the
//! inbox closes: a sender that finds it closed reads the new owner from the page map.

use core::cell::Cell;

use super::layout::Heap;
use super::registry::Shared;
use super::remote::{inbox, send};
use crate::base::class::Class;
use crate::pages::Entry;

impl Heap {
    /// Returns everything that the heap holds. `Registry::release` follows.
    pub(crate) fn retire(&self, shared: Shared<'_>) {
        self.receive_blocks(shared, usize::MAX, None);
        for class in Class::all() {
            self.bin(class).restore();
            self.cache_bin(shared, class);
            self.give_up_bin(shared, class);
        }
        self.close_outbox(shared);
        for class in Class::all() {
            self.give_to_central(shared, class);
        }
        let left = Cell::new(self.inbox.close());
        while let Some(batch) = inbox::pop(&left) {
            send::deliver_each(shared, batch);
        }
        self.close_outbox(shared);
        self.release_empty_batches(shared);
    }

    /// Moves whole batches of a bin into the transfer cache, where the next thread finds them.
    fn cache_bin(&self, shared: Shared<'_>, class: Class) {
        let (bin, geometry) = (self.bin(class), class.geometry());
        let whole = geometry.batch as usize;
        while bin.len() >= whole {
            let entry = Entry::central(class);
            let Some(batch) = shared.central.acquire_batch(entry.bits()) else { return };
            for index in 1..=whole {
                let _ = batch.push(bin.block(index), entry, geometry);
            }
            if !shared.central.put_batch(class, batch) {
                shared.central.release_batch(batch);
                return;
            }
            bin.drop_lowest(whole);
            self.note_given(class, -(whole as isize));
        }
    }

    fn give_to_central(&self, shared: Shared<'_>, class: Class) {
        while let Some(region) = self.spans(class).pop(shared.central.pages.space()) {
            shared.central.surrender_span(class, region);
            self.give_back_span(class);
        }
    }
}
