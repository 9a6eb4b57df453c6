//! Flush and drain: blocks go back to their spans.

use super::bin::Bin;
use super::inbox;
use super::layout::{Heap, count};
use super::outbox::Shared;
use crate::base::class::Class;
use crate::central::{Batch, Next, Place, Refused, Span, State};

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
        let mut rest = bin.lowest(amount);
        while let [block, ..] = rest {
            let run = self.return_run(shared, class, rest);
            if run == 0 {
                self.take_home(shared, *block);
            }
            rest = rest.get(run.max(1)..).unwrap_or(&[]);
        }
        bin.drop_lowest(amount);
    }

    /// Gives the first of `blocks`, and those that follow it in the same span, back to that span if it is this heap's; how many.
    #[inline]
    fn return_run(&self, shared: Shared<'_>, class: Class, blocks: &[*mut u8]) -> usize {
        let (space, geometry) = (shared.central.pages.space(), class.geometry());
        let Some(&first) = blocks.first() else { return 0 };
        let region = space.region_of(first.addr()).filter(|&region| space.entry(region) == self.entry(class));
        let Some(region) = region else { return 0 };
        let span = shared.central.span(shared.central.span(region).first());
        let start = space.address(span.first());
        let bytes = geometry.capacity as usize * geometry.size as usize;
        let mut returning = span.returning(geometry);
        let mut run = 0;
        for &block in blocks {
            let offset = block.addr().wrapping_sub(start);
            if offset >= bytes {
                break;
            }
            if let Err(refused) = returning.take(offset) {
                super::free::report(refused, block, class.size());
            }
            run += 1;
        }
        self.follow(shared, class, span, returning.finish());
        if run == 0 {
            // The rest of the last region, behind the last block.
            super::free::report(Refused::Inside, first, class.size());
        }
        run.max(1)
    }

    /// Does what a span asks for after blocks came back.
    fn follow(&self, shared: Shared<'_>, class: Class, span: &Span, next: Next) {
        let (space, region) = (shared.central.pages.space(), span.first());
        if next == Next::Stay {
            return;
        }
        if span.state() == State::Full {
            self.full(class).remove(space, region);
            span.set_state(State::Partial);
            self.partial(class).push(space, region);
        }
        // The last span of a class is kept for the next refill, even when it is empty.
        if next == Next::Empty && !self.partial(class).is_single(space) {
            self.partial(class).remove(space, region);
            shared.central.release_span(class, region);
        }
    }

    /// Takes a block home, wherever that is.
    pub(super) fn take_home(&self, shared: Shared<'_>, block: *mut u8) {
        match shared.central.resolve(block.addr()) {
            Place::Small { span, class, entry, offset } if entry.owner() == self.address() => {
                match span.give_back(class.geometry(), offset) {
                    Ok(next) => self.follow(shared, class, span, next),
                    Err(refused) => super::free::report(refused, block, class.size()),
                }
            }
            Place::Small { class, entry, .. } => self.send(shared, entry, class, block),
            _ => super::free::report(Refused::Double, block, 0),
        }
    }

    /// Takes home what others sent, until `most` blocks have come.
    pub(super) fn drain(&self, shared: Shared<'_>, most: usize) {
        let mut done = 0;
        while done < most {
            if self.pending.get().is_null() {
                self.pending.set(self.inbox.take());
            }
            let Some(batch) = inbox::pop(&self.pending) else { return };
            done += batch.len();
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
