//! Flush and drain: blocks go back to their spans.

use super::bin::Bin;
use super::inbox;
use super::layout::{Heap, count};
use super::outbox::Shared;
use crate::base::class::Class;
use crate::base::units::Region;
use crate::central::{Batch, Central, Next, Place, Refused, State};

impl Heap {
    /// Makes room in the full `bin`: it grows, or its bottom half goes back.
    pub(super) fn make_room(&self, shared: Shared<'_>, class: Class, bin: &Bin) {
        self.slow_event(shared);
        if !self.count_event(shared, class, bin) {
            self.flush(shared, class, bin, bin.len().div_ceil(2));
        }
    }

    /// Gives the `amount` lowest blocks of `bin` back to their spans, or to whoever owns those by now.
    pub(super) fn flush(&self, shared: Shared<'_>, class: Class, bin: &Bin, amount: usize) {
        count(&self.flushes);
        for index in 1..=amount {
            self.return_binned(shared, class, bin.block(index));
        }
        bin.drop_lowest(amount);
    }

    /// Takes home a block of `class` that was in a bin.
    #[inline]
    fn return_binned(&self, shared: Shared<'_>, class: Class, block: *mut u8) {
        let space = shared.central.pages.space();
        let Some(region) = space.region_of(block.addr()) else {
            return super::free::report(Refused::Inside, block, 0);
        };
        if space.entry(region) == self.entry(class) {
            let first = shared.central.span(region).first();
            self.return_own(shared, class, first, block);
        } else {
            self.take_home(shared, block);
        }
    }

    /// Takes a block home, wherever that is.
    pub(super) fn take_home(&self, shared: Shared<'_>, block: *mut u8) {
        match shared.central.resolve(block.addr()) {
            Place::Small { span, class, entry, .. } if entry.owner() == self.address() => {
                self.return_own(shared, class, span.first(), block);
            }
            Place::Small { class, entry, .. } => {
                if !self.send(shared, entry, class, block) {
                    let _ = super::outbox::settle_block(shared, block);
                }
            }
            _ => super::free::report(Refused::Double, block, 0),
        }
    }

    /// Gives a block back to a span of this heap.
    fn return_own(&self, shared: Shared<'_>, class: Class, region: Region, block: *mut u8) {
        let central = shared.central;
        let (space, span) = (central.pages.space(), central.span(region));
        match span.give_back(class.geometry(), block.addr().wrapping_sub(space.address(region))) {
            Ok(Next::Stay) => {}
            Ok(Next::Partial) => {
                self.full(class).remove(space, region);
                span.set_state(State::Partial);
                self.partial(class).push(space, region);
            }
            Ok(Next::Empty) => self.retire_span(central, class, region),
            Err(refused) => super::free::report(refused, block, class.size()),
        }
    }

    /// Releases an empty span, but keeps the last one of its class for the next refill.
    fn retire_span(&self, central: &Central, class: Class, region: Region) {
        let space = central.pages.space();
        if !self.partial(class).is_single(space) {
            self.partial(class).remove(space, region);
            central.release_span(class, region);
        }
    }

    /// Takes home what others sent, up to `most` batches.
    pub(super) fn drain(&self, shared: Shared<'_>, most: usize) {
        for _ in 0..most {
            if self.pending.get().is_null() {
                self.pending.set(self.inbox.take());
            }
            let Some(batch) = inbox::pop(&self.pending) else { return };
            self.take_batch_home(shared, batch);
        }
    }

    pub(super) fn take_batch_home(&self, shared: Shared<'_>, batch: &Batch) {
        count(&self.received);
        for block in batch.iter() {
            self.take_home(shared, block);
        }
        shared.central.release_batch(batch);
    }
}
