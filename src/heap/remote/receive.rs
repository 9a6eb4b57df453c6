//! Receiving: blocks of this heap that other threads freed return to their bin or to their spans.

use super::inbox;
use crate::base::class::Class;
use crate::central::Batch;
use crate::heap::layout::Heap;
use crate::heap::registry::Shared;

/// Most batches that a sender receives for the owner at a time: more than came since the last sender did, so that the
/// backlog shrinks.
const RECEIVED_FOR_MAX: usize = 24;

impl Heap {
    /// Sends the blocks of other heaps that were freed here, and receives whole batches until `most` blocks have come;
    /// whether more wait.
    pub(crate) fn exchange(&self, shared: Shared<'_>, most: usize) -> bool {
        self.send_all(shared);
        self.receive_blocks(shared, most, None);
        self.may_receive()
    }

    /// The next batch that other threads sent; `None` if there is none. The caller holds the spans.
    fn receive(&self) -> Option<&'static Batch> {
        if self.pending.get().is_null() {
            self.pending.set(self.inbox.take());
        }
        let batch = inbox::pop(&self.pending)?;
        self.counters.received.add(1);
        self.counters.received_blocks.add(batch.len());
        Some(batch)
    }

    /// Receives batches until `most` blocks have come. Blocks of `wanted` go to their bin while it is less than half
    /// full, because the program will want them soon; the others return to their spans.
    pub(in crate::heap) fn receive_blocks(&self, shared: Shared<'_>, most: usize, wanted: Option<Class>) {
        let mut done = 0;
        while done < most {
            let Some(batch) = self.receive() else { return };
            done += batch.len();
            self.receive_whole(shared, batch, wanted);
        }
    }

    // Not inlined: a program with one thread runs the loop alone.
    #[inline(never)]
    fn receive_whole(&self, shared: Shared<'_>, batch: &Batch, wanted: Option<Class>) {
        self.note_arriving(shared, batch, true);
        self.receive_batch(shared, batch, wanted);
        self.keep_batch(shared, batch);
    }

    /// Has the mode in force look at the blocks of a batch that arrived at this heap, if it wants to.
    #[inline]
    fn note_arriving(&self, shared: Shared<'_>, batch: &Batch, by_owner: bool) {
        if let Some(transit) = shared.registry.transit.get() {
            batch.replace_each(|block| (transit.arrives)(self, block, by_owner));
        }
    }

    fn receive_batch(&self, shared: Shared<'_>, batch: &Batch, wanted: Option<Class>) {
        let common = batch.common();
        // A batch may be older than a part: its blocks are others' then, and a part has none of these in its bins.
        let is_own = common.owner() == self.address() && !self.is_part();
        match common.class().filter(|class| is_own && class.geometry().regions == 1) {
            Some(class) => {
                let blocks = batch.given_out();
                let taken = if wanted == Some(class) { self.bin(class).take_in(blocks.pointers()) } else { 0 };
                self.note_given(class, taken as isize);
                self.return_blocks(shared, class, blocks.from(taken));
            }
            None => batch.blocks().iter().for_each(|&block| self.receive_block(shared, block, wanted)),
        }
    }

    /// Receives one block, into the bin of `wanted` or to its span. For spans of one region the sender checked that a
    /// block starts there.
    #[inline]
    fn receive_block(&self, shared: Shared<'_>, block: *mut u8, wanted: Option<Class>) {
        match (self.bin_of_block(block), wanted) {
            (Some(bin), Some(class))
                if core::ptr::eq(bin, self.bin(class))
                    && bin.is_below_half()
                    && class.geometry().regions == 1
                    && bin.push(block) =>
            {
                self.note_given(class, 1);
            }
            _ => self.return_or_send(shared, block),
        }
    }

    /// Receives the inbox of another heap, whose thread may be asleep: into its spans, not its bins, which its fast
    /// path uses. Does nothing if that thread, or another one, holds the spans. Batches beyond a bounded number stay
    /// for the owner or for the next sender, so that neither the sender's call nor one of the owner's that waits for it
    /// is long.
    #[cold]
    pub(super) fn receive_for(&self, shared: Shared<'_>, owner: &Heap) {
        if !owner.try_lock_spans() {
            return;
        }
        for _ in 0..RECEIVED_FOR_MAX {
            if self.receive_batch_for(shared, owner).is_none() {
                break;
            }
        }
        owner.unlock_spans();
    }

    /// Receives the next batch of another heap, whose spans the calling thread holds, into these: how many blocks;
    /// `None` if there is no batch.
    pub(in crate::heap) fn receive_batch_for(&self, shared: Shared<'_>, owner: &Heap) -> Option<usize> {
        let batch = owner.receive()?;
        let blocks = batch.len();
        owner.note_arriving(shared, batch, false);
        owner.return_batch(shared, batch);
        self.keep_batch(shared, batch);
        Some(blocks)
    }
}
