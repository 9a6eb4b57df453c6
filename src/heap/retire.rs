//! The end of a heap: nothing stays behind that only its thread could free.
//!
//! First the blocks go (outbox, bins, inbox), then the spans get the depot for an owner, then the inbox closes: whoever finds it
//! closed sees the new owner in the map.

use core::cell::Cell;

use super::layout::Heap;
use super::registry::Shared;
use super::remote::{inbox, send};
use crate::base::class::Class;
use crate::pages::Entry;

impl Heap {
    /// Gives everything away. `Registry::release` follows.
    pub(crate) fn retire(&self, shared: Shared<'_>) {
        self.receive_blocks(shared, usize::MAX, None);
        for class in Class::all() {
            self.bin(class).restore();
            self.cache_bin(shared, class);
            self.give_up_bin(shared, class);
        }
        self.close_outbox(shared);
        for class in Class::all() {
            self.surrender(shared, class);
        }
        let late = Cell::new(self.inbox.close());
        while let Some(batch) = inbox::pop(&late) {
            send::deliver_each(shared, batch);
        }
        self.close_outbox(shared);
        self.drop_spares(shared);
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
        }
    }

    fn surrender(&self, shared: Shared<'_>, class: Class) {
        while let Some(region) = self.spans(class).pop(shared.central.pages.space()) {
            shared.central.surrender_span(class, region);
        }
    }
}
