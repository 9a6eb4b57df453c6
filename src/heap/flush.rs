//! Flush and drain: blocks go back to their spans.
//!
//! Only the bin of the class that a call is about may be pushed to or rearranged: the call may have interrupted an operation on any other.

use super::bin::Bin;
use super::layout::Heap;
use crate::base::class::Class;
use crate::base::units::REGION_BYTES;
use crate::central::{Batch, Empty, Next, Place, Refused, Span, found};
use crate::heap::remote::outbox::{Lane, Shared};

/// Blocks given back one by one until it is asked again whether they lie in a row.
const SCATTERED: usize = 128;

impl Heap {
    /// Makes room in the full `bin`: it grows, or its bottom half goes back.
    pub(super) fn make_room(&self, shared: Shared<'_>, class: Class, bin: &Bin) {
        self.shrinks();
        self.slow_event(shared);
        if bin.is_drained() {
            bin.restore();
            return;
        }
        if !self.count_event(shared, class, bin) {
            self.flush(shared, class, bin, bin.len().div_ceil(2));
        }
    }

    /// Gives the `amount` lowest blocks of `bin` back to their spans, or to whoever owns those by now.
    pub(super) fn flush(&self, shared: Shared<'_>, class: Class, bin: &Bin, amount: usize) {
        self.counters.flushed(class);
        self.return_blocks(shared, class, bin.lowest(amount));
        bin.drop_lowest(amount);
    }

    /// Gives blocks of `class` back to their spans: at once where they lie in a row, else one by one.
    pub(super) fn return_blocks(&self, shared: Shared<'_>, class: Class, blocks: &[*mut u8]) {
        if class.geometry().regions > 1 {
            return self.return_scattered::<false>(shared, class, blocks);
        }
        let mut rest = blocks;
        while !rest.is_empty() {
            let mut done = self.return_row(shared, class, rest);
            if done == 0 {
                let (scattered, _) = rest.split_at_checked(SCATTERED).unwrap_or((rest, &[]));
                self.return_scattered::<true>(shared, class, scattered);
                done = scattered.len();
            }
            rest = rest.get(done..).unwrap_or(&[]);
        }
    }

    /// Gives back as many of `blocks` as lie in one row of this heap's, upwards or downwards without a gap; how many.
    fn return_row(&self, shared: Shared<'_>, class: Class, blocks: &[*mut u8]) -> usize {
        let Some(first) = blocks.first() else { return 0 };
        let finder = shared.central.pages.space().finder();
        if finder.entry(first.addr()) != self.entry(class) {
            return 0;
        }
        let span = found(finder, *first);
        let row = span.clear_row(class.geometry(), blocks);
        if row > 0 && span.count_down(row) {
            self.settle_span(shared, class, span);
        }
        row as usize
    }

    /// Gives blocks back one by one. `SINGLE`: spans of the class are one region.
    // Apart, and with slow calls that are calls, so that what the loop needs stays in registers.
    #[inline(never)]
    fn return_scattered<const SINGLE: bool>(&self, shared: Shared<'_>, class: Class, blocks: &[*mut u8]) {
        let space = shared.central.pages.space();
        let (finder, divisor, entry) = (space.finder(), class.geometry().divisor(), self.entry(class));
        for &block in blocks {
            let mut span = found(finder, block);
            let mut offset = block.addr() % REGION_BYTES;
            let own = finder.entry(block.addr()) == entry;
            if !SINGLE && own {
                let first = span.first();
                span = shared.central.span(first);
                offset = block.addr().wrapping_sub(space.address(first));
            }
            if !own || !span.clear_block(divisor, offset) {
                self.return_or_send(shared, block);
            } else if span.count_down(1) {
                self.settle_span(shared, class, span);
            }
        }
    }

    /// Settles a span after blocks came back.
    #[cold]
    #[inline(never)]
    fn settle_span(&self, shared: Shared<'_>, class: Class, span: &Span) {
        if self.spans(class).settle_returned(shared.central.pages.space(), span, Empty::KeepLast) == Next::Release {
            shared.central.release_span(class, span.first());
        }
    }

    /// Returns a block to its span, or sends it to the owner of that.
    #[inline(never)]
    pub(super) fn return_or_send(&self, shared: Shared<'_>, block: *mut u8) {
        match self.resolve_and_claim(shared, block) {
            Place::Small { span, class, entry, offset } if entry.owner() == self.address() => {
                self.return_to_span(shared, span, class, offset, block);
            }
            Place::Small { class, entry, .. } => self.send(shared, entry, class, block, Lane::Inner),
            _ => super::free::report(Refused::Double, block, 0),
        }
    }

    /// What `block` is. A span that nobody owns, and that is not far from the thread, becomes this heap's if blocks of that class go in
    /// and out of it just now: whoever frees one block of the span is likely to free the others, and from then on they take the hit
    /// path.
    pub(super) fn resolve_and_claim<'a>(&self, shared: Shared<'a>, block: *mut u8) -> Place<'a> {
        loop {
            let place = shared.central.resolve(block.addr());
            let Place::Small { span, class, entry, .. } = place else { return place };
            if !entry.is_central() || self.bin(class).events.get() == 0 {
                return place;
            }
            let region = span.first();
            if shared.central.pages.space().bank_of(region) != self.bank.get() {
                return place;
            }
            if shared.central.claim_span(class, region, self.entry(class)) {
                self.spans(class).add(shared.central.pages.space(), span);
            }
        }
    }

    /// Receives what others sent, until `most` blocks have come. Blocks of `wanted` go to their bin while it is less than half full, for
    /// they will be wanted soon; the others to their spans.
    pub(super) fn receive_blocks(&self, shared: Shared<'_>, most: usize, wanted: Option<Class>) {
        let mut done = 0;
        while done < most {
            let Some(batch) = self.receive() else { return };
            done += batch.len();
            self.receive_batch(shared, batch, wanted);
            self.keep_batch(shared, batch);
        }
    }

    fn receive_batch(&self, shared: Shared<'_>, batch: &Batch, wanted: Option<Class>) {
        let common = batch.common();
        match common.class().filter(|class| class.geometry().regions == 1 && common.owner() == self.address()) {
            Some(class) => {
                let blocks = batch.blocks();
                let taken = if wanted == Some(class) { self.bin(class).take_in(blocks) } else { 0 };
                self.return_blocks(shared, class, blocks.get(taken..).unwrap_or(&[]));
            }
            None => batch.blocks().iter().for_each(|&block| self.receive_block(shared, block, wanted)),
        }
    }

    /// Gives a batch back to the spans of this heap, whose thread may be on its fast path: all that this path uses is left alone. The
    /// caller holds the spans.
    pub(super) fn return_batch(&self, shared: Shared<'_>, batch: &Batch) {
        let single = batch.common().class().filter(|class| class.geometry().regions == 1);
        let mut rest = batch.blocks();
        while let [first, others @ ..] = rest {
            match single.map_or(0, |class| self.return_row(shared, class, rest)) {
                0 => {
                    self.return_block(shared, *first);
                    rest = others;
                }
                row => rest = rest.get(row..).unwrap_or(&[]),
            }
        }
    }

    fn return_block(&self, shared: Shared<'_>, block: *mut u8) {
        match shared.central.resolve(block.addr()) {
            Place::Small { span, class, entry, offset } if entry.owner() == self.address() => {
                self.return_to_span(shared, span, class, offset, block);
            }
            _ => crate::heap::remote::outbox::deliver_or_report(shared, block),
        }
    }

    fn return_to_span(&self, shared: Shared<'_>, span: &Span, class: Class, offset: usize, block: *mut u8) {
        match span.give_back(class.geometry(), offset) {
            Ok(false) => {}
            Ok(true) => self.settle_span(shared, class, span),
            Err(refused) => super::free::report(refused, block, class.size()),
        }
    }

    /// Takes in one block as [`Heap::take_in`] does. Of spans of one region the sender saw that a block starts there.
    #[inline]
    fn receive_block(&self, shared: Shared<'_>, block: *mut u8, wanted: Option<Class>) {
        match self.bin_of_block(block) {
            Some(bin)
                if wanted.is_some_and(|class| core::ptr::eq(bin, self.bin(class)))
                    && bin.has_half()
                    && self.is_single(bin)
                    && bin.push(block) => {}
            _ => self.return_or_send(shared, block),
        }
    }
}
