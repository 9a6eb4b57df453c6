//! Looking over the bins: blocks that lay untouched for a while go back, so that bins may be large without holding memory for ever.
//!
//! The call may come from a signal handler or another context, and so may have interrupted an operation on any bin but that of its own
//! class. So bins are drained as other threads would drain them ([`crate::heap::idle::offer`]): each keeps its last block and its array.

use crate::base::class::Class;
use crate::central::{Holes, Place, State};
use crate::heap::layout::Heap;
use crate::heap::registry::Shared;

impl Heap {
    /// Drains every bin whose number of blocks is what it was at the last look and that had no slow event since, and sends what waits in
    /// the outbox; whether any bin was in use.
    pub(in crate::heap) fn look_over(&self, shared: Shared<'_>) -> bool {
        let mut used = false;
        for class in Class::all() {
            let bin = self.bin(class);
            let (len, events) = (bin.len(), bin.events.replace(0));
            if events == 0 && usize::from(bin.mark.get()) == len {
                if len > 1 {
                    self.drain_whole_bin(shared, class);
                } else {
                    self.release_spare(shared, class);
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
    pub(in crate::heap) fn release_spare(&self, shared: Shared<'_>, class: Class) {
        if let Some(region) = self.spans(class).take_spare(shared.central.pages.space()) {
            shared.central.release_span(class, region);
        }
    }

    /// Gives back what this heap holds without need: the explicit collection. Each bin keeps one block, as the module says.
    pub(crate) fn collect(&self, shared: Shared<'_>) {
        self.receive_blocks(shared, usize::MAX, None);
        for class in Class::all() {
            self.drain_whole_bin(shared, class);
            self.purge_around_last(shared, class);
        }
        self.send_all(shared);
        self.drop_spares(shared);
    }

    /// Gives back all that this heap holds, the last block of each bin, too, so that no free block splits what a pool has left. Not right
    /// for a call that interrupted an operation of its own thread.
    pub(crate) fn collect_wholly(&self, shared: Shared<'_>) {
        self.receive_blocks(shared, usize::MAX, None);
        Class::all().for_each(|class| self.give_up_bin(shared, class));
        self.close_outbox(shared);
        self.drop_spares(shared);
    }

    /// Gives back the free pages of the span in which the last block of the bin of `class` lies, if the heap owns it.
    fn purge_around_last(&self, shared: Shared<'_>, class: Class) {
        let last = self.bin(class).last();
        if last.is_null() || !shared.central.pages.has_holes() {
            return;
        }
        if let Place::Small { span, entry, .. } = shared.central.resolve(last.addr())
            && entry.owner() == self.address()
            && span.state() == State::Partial
        {
            // The first look notes the count of blocks, the second purges.
            let looks = [0, 1].map(|_| shared.central.purge_holes(class, span.first()));
            debug_assert!(looks.last() != Some(&Holes::Waiting));
        }
    }

    /// Empties the bin of `class` and gives up its array, for the end of the heap's thread.
    pub(in crate::heap) fn give_up_bin(&self, shared: Shared<'_>, class: Class) {
        let bin = self.bin(class);
        bin.restore();
        if bin.len() > 0 {
            self.flush(shared, class, bin, bin.len());
        }
        bin.shed(&shared.central.pages);
        self.release_spare(shared, class);
    }
}
