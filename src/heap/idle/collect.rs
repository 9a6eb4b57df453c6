//! Scavenging: free blocks in bins that were not used for a while return to their spans, so that bins may be large
//! without holding memory forever.
//!
//! The call may come from a signal handler or another context, and so may have interrupted an operation on any bin but
//! that of its own class. So the heap's thread drains bins as other threads do ([`crate::heap::idle::drain`]): each
//! keeps its last block and its array.

use crate::base::class::{self, Class};
use crate::central::{Due, Holes, Place, State};
use crate::heap::layout::Heap;
use crate::heap::registry::Shared;

/// Blocks at most that a flush drains from a bin of another class.
const DRAINED_PER_FLUSH: u32 = 512;
/// Spans at most whose holes a flush purges, and the part of a span's blocks that may be out.
const SPANS_PER_FLUSH: usize = 16;
const SPARSE: u32 = 4;
/// Flushes for which no holes are purged once the heap needed such pages again: this many, and each time so many times
/// more.
const PAUSE: u32 = 256;
const PAUSE_GROWTH: u32 = 4;

/// Memory shrinks: flush follows flush. Perhaps the thread makes no call any more once it has freed what it had, so
/// each flush returns some memory of one class, another one each time.
impl Heap {
    /// Drains a bin, but for that of `class`, and purges holes. Part of a flush of `class`.
    pub(in crate::heap) fn return_of_next_class(&self, shared: Shared<'_>, class: Class) {
        let next = Class::from_index(self.offer.shrinking.get() as usize % class::COUNT);
        let Some(next) = next else { return };
        if next != class {
            self.drain_bin(shared, next, &mut { DRAINED_PER_FLUSH });
        }
        match self.offer.pause.get() {
            0 => self.purge_sparse_spans(shared, next),
            flushes => self.offer.pause.set(flushes - 1),
        }
    }

    /// Purges the holes of the first spans of `class` if few of their blocks are out: then few purges suffice for each
    /// until it is empty.
    fn purge_sparse_spans(&self, shared: Shared<'_>, class: Class) {
        let (central, capacity) = (shared.central, class.geometry().capacity);
        if !central.pages.has_holes() {
            return;
        }
        for (region, span) in self.spans(class).partial.iter(central.pages.space()).take(SPANS_PER_FLUSH) {
            if span.used() * SPARSE <= capacity {
                let _ = central.purge_holes(class, region, Due::Shrinking, None);
            }
        }
    }

    /// Notes that the heap needs pages that were purged as holes: the program will perhaps need others, too.
    #[cold]
    pub(in crate::heap) fn note_refault(&self) {
        if self.offer.pause.get() == 0 {
            let pause = self.offer.next_pause.get().max(PAUSE);
            self.offer.pause.set(pause);
            self.offer.next_pause.set(pause.saturating_mul(PAUSE_GROWTH));
        }
    }
}

impl Heap {
    /// Drains every bin that has as many blocks as at the last call and had no slow event since, and sends the blocks
    /// of the outbox; whether any bin was in use.
    pub(in crate::heap) fn drain_idle_bins(&self, shared: Shared<'_>) -> bool {
        let mut used = false;
        for class in Class::all() {
            let bin = self.bin(class);
            let (len, events) = (bin.len(), bin.events.replace(0));
            if events == 0 && usize::from(bin.mark.get()) == len {
                if len > 1 {
                    self.drain_whole_bin(shared, class);
                } else {
                    self.release_kept_span(shared, class);
                }
            } else {
                used = true;
            }
            bin.mark.set(bin.len() as u16);
        }
        self.send_all(shared);
        used
    }

    fn drain_whole_bin(&self, shared: Shared<'_>, class: Class) {
        let mut blocks = u32::MAX;
        self.drain_bin(shared, class, &mut blocks);
    }

    /// Releases the empty span that may be kept for `class`.
    pub(in crate::heap) fn release_kept_span(&self, shared: Shared<'_>, class: Class) {
        if let Some(region) = self.spans(class).take_spare(shared.central.pages.space()) {
            shared.central.release_span(class, region);
            self.give_back_span(class);
        }
    }

    /// The explicit collection: returns all that this heap does not need. Each bin keeps its last block.
    pub(crate) fn collect(&self, shared: Shared<'_>) {
        self.receive_blocks(shared, usize::MAX, None);
        for class in Class::all() {
            self.drain_whole_bin(shared, class);
            self.purge_around_last(shared, class);
        }
        self.send_all(shared);
        self.release_empty_batches(shared);
    }

    /// Returns all that this heap holds, the last block of each bin, too, so that no free block splits what a pool has
    /// left. A call that interrupted an operation of its own thread must not do this.
    pub(crate) fn collect_wholly(&self, shared: Shared<'_>) {
        self.receive_blocks(shared, usize::MAX, None);
        Class::all().for_each(|class| self.give_up_bin(shared, class));
        self.close_outbox(shared);
        self.release_empty_batches(shared);
    }

    /// Purges the free pages of the span in which the last block of the bin of `class` lies, if the heap owns it.
    fn purge_around_last(&self, shared: Shared<'_>, class: Class) {
        let last = self.bin(class).last();
        if last.is_null() || !shared.central.pages.has_holes() {
            return;
        }
        if let Place::Small { span, entry, .. } = shared.central.resolve(last.addr())
            && entry.owner() == self.address()
            && span.state() == State::Partial
        {
            let holes = shared.central.purge_holes(class, span.first(), Due::Now, None);
            debug_assert!(holes != Holes::Waiting);
        }
    }

    /// Empties the bin of `class` and releases its array, for the end of the heap's thread.
    pub(in crate::heap) fn give_up_bin(&self, shared: Shared<'_>, class: Class) {
        let bin = self.bin(class);
        bin.restore();
        if bin.len() > 0 {
            self.flush(shared, class, bin, bin.len());
        }
        bin.drop_array(&shared.central.pages);
        self.release_kept_span(shared, class);
    }
}
