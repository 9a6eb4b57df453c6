//! The slow path of free, and flushes: blocks return to their bin or their span, or go to the heap that owns the span.
//!
//! A call may push to or rearrange the bin of its own class only: it may have interrupted an operation on any other.

use super::bin::Bin;
use super::bin_drain::NEWEST;
use super::fast_path::FastHeap;
use super::layout::Heap;
use super::registry::Shared;
use super::remote::outbox::Side;
use super::remote::send::deliver_or_report;
use crate::base::class::Class;
use crate::base::units::REGION_BYTES;
use crate::central::{Batch, Blocks, Central, Empty, Next, Place, Refused, Span, found};
use crate::diag::{self, Code, Misuse};
use crate::pages::{Entry, Space};
use crate::sys::atomic::Ordering;

/// Blocks returned one by one before the next test whether they lie in a row.
const SCATTERED: usize = 128;
/// Blocks of the bin of another thread with which a free is compared, where the first block of a batch is freed.
const NEWEST_OF_OTHERS: usize = 128;

/// A crowded heap gives up a class of which the program has no more blocks than this ([`Heap::make_room`]).
const TAIL: usize = 8;
/// Spans at most of such a class.
const FEW_SPANS: usize = 16;

/// The outcome of a free.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[must_use]
pub(crate) enum Freed {
    /// It was a block of a class.
    Small,
    /// It was a large block.
    Large,
    /// It was a direct mapping.
    Direct,
    /// It was a sampled block, known by this ticket.
    Sampled(u32),
    /// It is not an address of Spandrel's; libc may own it.
    Foreign,
    /// It was reported as a misuse, and the policy lets the process go on.
    Misused,
}

impl Refused {
    /// Reports `block`, an argument of `call` that cannot be freed or measured. `bytes` is its size, or 0.
    pub(crate) fn report(self, call: &'static str, block: *mut u8, bytes: usize) {
        diag::misuse(&self.misuse(call, block, bytes));
    }

    /// As [`Refused::report`], for a block that an earlier call of `free` passed.
    pub(crate) fn report_found_later(self, block: *mut u8, bytes: usize) {
        diag::misuse_found_later(&self.misuse("free", block, bytes));
    }

    fn misuse(self, call: &'static str, block: *mut u8, bytes: usize) -> Misuse {
        let (code, what) = match self {
            Self::Double => (Code::DoubleFree, "the block is free already"),
            Self::Inside => (Code::InvalidPointer, "no block starts there"),
            Self::Destroyed => (Code::HeapGone, "its heap was destroyed"),
        };
        Misuse { code, call, pointer: block.addr(), what, block_bytes: bytes }
    }
}

impl FastHeap {
    /// Raises reach and limit to the number of map entries that can be read by now. A fast path that is closed stays
    /// closed. For the heap's thread, which holds the spans.
    #[inline]
    fn widen(&self, space: &Space) {
        // Relaxed: entries below `reach` can be read, and only this thread reads them by this limit.
        let (limit, reach) = (self.limit.load(Ordering::Relaxed), space.reach());
        self.reach.set(reach);
        if limit < reach && limit != 0 {
            // Relaxed: as above.
            self.limit.store(reach, Ordering::Relaxed);
        }
    }
}

impl Heap {
    /// Frees `block`, whatever it is. First receives a batch of blocks that other threads freed, because a thread that
    /// only frees never refills a bin.
    pub(crate) fn free(&self, shared: Shared<'_>, block: *mut u8) -> Freed {
        self.widen(shared.central.pages.space());
        self.receive_blocks(shared, 1, None);
        match self.resolve_and_claim(shared, block) {
            Place::Small { span, class, entry, offset } => self.free_small(shared, block, (span, class, entry, offset)),
            place => {
                let freed = free_unowned(shared.central, &place, block);
                if self.has_idle_return() {
                    // The freed memory is purged even if no thread calls any more.
                    shared.registry.idle().want_round();
                }
                freed
            }
        }
    }

    /// Frees deferred blocks by `work`: they are of any class, so they bypass the bins.
    pub(crate) fn defer<R>(&self, work: impl FnOnce() -> R) -> R {
        let before = self.defers.replace(true);
        let result = work();
        self.defers.set(before);
        result
    }

    /// Whether `block`, which the calling thread is about to resize, is one of those of its class that this heap got
    /// back last. `own`: the heap is the calling thread's.
    pub(crate) fn has_lately(&self, class: Class, block: *mut u8, own: bool) -> bool {
        if own { self.bin(class).has_lately(block, NEWEST) } else { self.other_has_lately(class, block) }
    }

    /// As [`Heap::has_lately`] of a heap that is not the calling thread's; false while a thread holds its spans.
    pub(super) fn other_has_lately(&self, class: Class, block: *mut u8) -> bool {
        if !self.try_lock_spans() {
            return false;
        }
        let found = self.bin(class).has_lately(block, NEWEST_OF_OTHERS);
        self.unlock_spans();
        found
    }

    fn free_small(&self, shared: Shared<'_>, block: *mut u8, place: (&Span, Class, Entry, usize)) -> Freed {
        let (span, class, entry, offset) = place;
        let bin = self.bin(class);
        let refused = if entry.owner() == self.address() {
            let near = bin.has_lately(block, NEWEST);
            if near { Some(Refused::Double) } else { span.is_out(class.geometry(), offset).err() }
        } else {
            // Another thread changes that span, so this one checks only what never changes; the owner checks the rest.
            (!class.geometry().locate(offset).1).then_some(Refused::Inside)
        };
        if let Some(refused) = refused {
            let deferred = self.defers.get();
            if deferred {
                refused.report_found_later(block, class.size());
            } else {
                refused.report("free", block, class.size());
            }
            return Freed::Misused;
        }
        if self.defers.get() {
            self.free_past_bin(shared, class, block);
        } else if entry.owner() == self.address() {
            if !bin.add(block) {
                self.make_room(shared, class, bin);
                if !bin.add(block) {
                    self.free_past_bin(shared, class, block);
                }
            }
        } else {
            self.free_remote(shared, entry, class, block);
        }
        Freed::Small
    }

    fn free_past_bin(&self, shared: Shared<'_>, class: Class, block: *mut u8) {
        self.note_given(class, -1);
        self.return_or_send(shared, block);
    }

    fn free_remote(&self, shared: Shared<'_>, entry: Entry, class: Class, block: *mut u8) {
        self.note_given(class, -1);
        let sent = self.counters.sent.get();
        self.send(shared, entry, class, block, Side::Outer);
        // A batch that was sent is a slow event; a block that joined a batch is not.
        if self.counters.sent.get() != sent {
            self.slow_event(shared);
        }
    }
}

/// Frees a block that no heap owns.
pub(crate) fn free_unowned(central: &Central, place: &Place<'_>, block: *mut u8) -> Freed {
    let (ticket, kind) = match place {
        Place::Large { region, .. } => (central.free_large(*region), Freed::Large),
        Place::Direct(direct) if direct.address == block.addr() => (central.free_direct(direct.address), Freed::Direct),
        Place::Foreign => return Freed::Foreign,
        Place::Direct(_) | Place::Small { .. } => (None, Freed::Misused),
        Place::Nowhere => {
            central.why_nowhere(block.addr()).report("free", block, 0);
            return Freed::Misused;
        }
    };
    match ticket {
        Some(0) => return kind,
        Some(ticket) => return Freed::Sampled(ticket),
        None => {}
    }
    let refused = if matches!(place, Place::Direct(_)) { Refused::Inside } else { Refused::Double };
    refused.report("free", block, 0);
    Freed::Misused
}

impl Heap {
    /// Makes room in the full `bin`: it grows, or its bottom half returns to the spans, or more, and it has half the
    /// room from then on; or the heap gives the class up.
    pub(super) fn make_room(&self, shared: Shared<'_>, class: Class, bin: &Bin) {
        self.note_shrinking();
        self.slow_event(shared);
        if bin.is_drained() {
            bin.restore();
            return;
        }
        let out = self.out_if_few(shared, class);
        // Of a class that is given up, what the program frees goes past the bin, so that the spans become empty and
        // serve another thread. The next refill makes the bin an array again.
        let is_tail = out.is_some_and(|out| out <= bin.len() + TAIL);
        if is_tail && bin.capacity() > 0 || bin.capacity() == 0 && self.is_crowded() {
            // Small bins of a coarse class would have its requests miss more often, and split it.
            let stays = class.is_coarse() && bin.capacity() > 0 && self.count_event(shared, class, bin);
            if !stays {
                self.give_up_bin(shared, class);
                self.join(class);
            }
            return;
        }
        let halves = out.is_some() && self.may_halve();
        if !halves && self.count_event(shared, class, bin) {
            return;
        }
        let shrinks = self.is_shrinking();
        // Perhaps this thread makes no call any more once it has freed what it had.
        let kept = match (shrinks, halves) {
            (true, _) => 0,
            (_, true) => bin.half() / 2,
            _ => bin.capacity() - bin.half(),
        };
        self.flush(shared, class, bin, bin.len() - kept.min(bin.len()));
        if halves {
            self.offer.halved.set(true);
            bin.halve(&shared.central.pages);
        }
        if shrinks {
            self.return_of_next_class(shared, class);
        }
    }

    /// How many blocks of `class` are out, where a crowded heap whose memory shrinks has no more than a few spans of
    /// it.
    fn out_if_few(&self, shared: Shared<'_>, class: Class) -> Option<usize> {
        if !self.is_crowded() || !self.is_falling() {
            return None;
        }
        let (spans, space) = (self.spans(class), shared.central.pages.space());
        let mut all = spans.partial.iter(space).chain(spans.full.iter(space));
        let out = all.by_ref().take(FEW_SPANS).map(|(_, span)| span.used() as usize).sum();
        all.next().is_none().then_some(out)
    }

    /// Returns the `amount` lowest blocks of `bin` to their spans, or sends them to heaps that own those by now.
    pub(super) fn flush(&self, shared: Shared<'_>, class: Class, bin: &Bin, amount: usize) {
        self.counters.note(class);
        if let Some(flushes) = self.counters.flushes.get(class.index()) {
            flushes.add(1);
        }
        self.return_blocks(shared, class, bin.lowest(amount));
        bin.drop_lowest(amount);
        self.note_given(class, -(amount as isize));
    }

    /// Returns blocks of `class` to their spans: at once where they lie in a row, else one by one.
    pub(super) fn return_blocks(&self, shared: Shared<'_>, class: Class, blocks: Blocks<'_>) {
        if class.geometry().regions > 1 {
            return self.return_scattered::<false>(shared, class, blocks);
        }
        let mut rest = blocks;
        while !rest.pointers().is_empty() {
            let mut done = self.return_row(shared, class, rest);
            if done == 0 {
                let scattered = rest.up_to(SCATTERED);
                self.return_scattered::<true>(shared, class, scattered);
                done = scattered.pointers().len();
            }
            rest = rest.from(done);
        }
    }

    /// Returns as many of `blocks` as lie in one row of this heap's, upwards or downwards without a gap; how many.
    fn return_row(&self, shared: Shared<'_>, class: Class, blocks: Blocks<'_>) -> usize {
        let Some(first) = blocks.first() else { return 0 };
        let (word, span) = found(shared.central.pages.space().finder(), first);
        if word.plain() != self.entry(class) {
            return 0;
        }
        let row = span.clear_row(class.geometry(), blocks.pointers());
        if row > 0 && span.count_down(row) {
            self.settle_span(shared, class, span);
        }
        row as usize
    }

    /// Returns blocks one by one. `SINGLE`: spans of the class are one region.
    // Not inlined, as are the slow calls it makes, so that the loop keeps its values in registers.
    #[inline(never)]
    fn return_scattered<const SINGLE: bool>(&self, shared: Shared<'_>, class: Class, blocks: Blocks<'_>) {
        let space = shared.central.pages.space();
        let (finder, divisor, entry) = (space.finder(), class.geometry().divisor(), self.entry(class));
        for block in blocks.each() {
            let (word, mut span) = found(finder, block);
            let mut offset = block.addr() % REGION_BYTES;
            let own = if SINGLE { word.plain() } else { word.entry() } == entry;
            if !SINGLE && own {
                let first = span.first();
                span = shared.central.span(first);
                offset = block.addr().wrapping_sub(space.address(first));
            }
            if !own || !span.clear_block(divisor, offset) {
                self.return_or_send(shared, block.pointer());
            } else if span.count_down(1) {
                self.settle_span(shared, class, span);
            }
        }
    }

    /// Moves `span` to the list that fits its count after blocks returned to it, or releases it.
    #[cold]
    #[inline(never)]
    fn settle_span(&self, shared: Shared<'_>, class: Class, span: &Span) {
        let given_up = self.is_crowded() && self.bin(class).capacity() == 0;
        let empty = if given_up { Empty::Release } else { Empty::KeepLast };
        if self.spans(class).settle_returned(shared.central.pages.space(), span, empty) == Next::Release {
            shared.central.release_span(class, span.first());
            self.give_back_span(class);
        }
    }

    /// Returns a block to its span, or sends it to the span's owner.
    #[inline(never)]
    pub(super) fn return_or_send(&self, shared: Shared<'_>, block: *mut u8) {
        match self.resolve_and_claim(shared, block) {
            Place::Small { span, class, entry, offset } if entry.owner() == self.address() => {
                self.return_to_span(shared, span, class, offset, block);
            }
            Place::Small { class, entry, .. } => self.send(shared, entry, class, block, Side::Inner),
            _ => Refused::Double.report_found_later(block, 0),
        }
    }

    /// Resolves `block`. A span of the central list that is not far from the thread becomes this heap's if the bin of
    /// its class has had events lately: a thread that frees one block of the span is likely to free the others, and
    /// from then on these frees take the fast path.
    pub(super) fn resolve_and_claim<'a>(&self, shared: Shared<'a>, block: *mut u8) -> Place<'a> {
        loop {
            let place = shared.central.resolve(block.addr());
            let Place::Small { span, class, entry, .. } = place else { return place };
            let uses = self.bin(class).events.get() > 0 && self.serving(class) == class;
            if !entry.is_central() || !uses || self.is_part() {
                return place;
            }
            let region = span.first();
            if shared.central.pages.space().bank_of(region) != self.bank.get() {
                return place;
            }
            if !self.admit_span(shared.central, class) {
                return place;
            }
            if shared.central.claim_span(class, region, self.entry(class)) {
                self.spans(class).add(shared.central.pages.space(), span);
            } else {
                self.give_back_span(class);
            }
        }
    }

    /// Returns a batch to the spans of this heap, whose thread may be on its fast path: nothing that the fast path uses
    /// is changed. The caller holds the spans.
    pub(super) fn return_batch(&self, shared: Shared<'_>, batch: &Batch) {
        let single = batch.common().class().filter(|class| class.geometry().regions == 1);
        let mut rest = batch.given_out();
        while let Some(first) = rest.first() {
            let row = single.map_or(0, |class| self.return_row(shared, class, rest));
            if row == 0 {
                self.return_block(shared, first.pointer());
            }
            rest = rest.from(row.max(1));
        }
    }

    fn return_block(&self, shared: Shared<'_>, block: *mut u8) {
        match shared.central.resolve(block.addr()) {
            Place::Small { span, class, entry, offset } if entry.owner() == self.address() => {
                self.return_to_span(shared, span, class, offset, block);
            }
            _ => deliver_or_report(shared, block),
        }
    }

    fn return_to_span(&self, shared: Shared<'_>, span: &Span, class: Class, offset: usize, block: *mut u8) {
        match span.give_back(class.geometry(), offset) {
            Ok(false) => {}
            Ok(true) => self.settle_span(shared, class, span),
            Err(refused) => refused.report_found_later(block, class.size()),
        }
    }
}
