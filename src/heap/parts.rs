//! Parts of named heaps as a whole: how one is made, and how it ends.

use core::cell::Cell;

use super::layout::Heap;
use super::registry::{Registry, Shared, heaps_from};
use super::remote::inbox;
use super::remote::send::deliver_or_report;
use crate::base::class::Class;
use crate::base::units::Region;
use crate::central::{Batch, Bill, Central, Place};
use crate::pages::{Entry, Pages};

impl Registry {
    /// A heap that becomes a part of the named heap with that handle, for the thread with that word; `None` if there is
    /// no metadata for one.
    pub(crate) fn acquire_part(
        &self,
        pages: &Pages,
        bin_bytes: usize,
        (handle, bill): (usize, &'static Bill),
        thread: usize,
    ) -> Option<&'static Heap> {
        let heap = self.acquire(pages, bin_bytes)?;
        heap.become_part(handle, bill, thread);
        Some(heap)
    }

    /// Adopts all orphans.
    pub(crate) fn adopt_all(&self, shared: Shared<'_>) {
        while self.orphans.get() {
            self.adopt_orphans(shared);
        }
    }

    /// Calls `work` with each heap of a thread and each part, but for `own`, the calling thread's, under the lock of
    /// its spans; that thread holds nothing. Waits for each thread that is inside its heap, so that a block which it
    /// was about to send is in a batch or gone.
    pub(crate) fn with_others(&self, own: &Heap, work: impl Fn(&Heap)) {
        for heap in heaps_from(self.first.get()) {
            if heap.taken.get() && heap.belongs_to_process() && heap.address() != own.address() {
                heap.lock_spans();
                work(heap);
                heap.unlock_spans();
            }
        }
    }
}

/// The end of a part. The caller holds the spans.
impl Heap {
    /// The batches of this heap's outbox whose blocks are those of parts with that handle.
    fn batches_of(&self, handle: usize) -> impl Iterator<Item = (&Batch, &'static Self)> {
        self.outbox.batches().filter_map(move |batch| {
            let key = Entry::from_bits(batch.key.get());
            let owner = (key.bits() != 0 && !key.is_central() && batch.len() > 0).then(|| Self::of_entry(key))?;
            (owner.handle() == handle).then_some((batch, owner))
        })
    }

    /// Drops the blocks of parts with that handle from this heap's batches.
    pub(crate) fn drop_batches_of(&self, handle: usize, shared: Shared<'_>) {
        for (batch, owner) in self.batches_of(handle) {
            batch.move_each(|block| owner.drop_block(shared, block));
        }
    }

    /// Sends off this heap's batches, if any has blocks of parts with that handle.
    pub(crate) fn send_batches_of(&self, handle: usize, shared: Shared<'_>) {
        if self.batches_of(handle).next().is_some() {
            self.send_all(shared);
        }
    }

    /// The class of the block at `address` if it is in a span of this heap. One that was sent to it need not be: it may
    /// be of a span that the heap had before it became a part of this named heap.
    pub(super) fn class_of_own(&self, central: &Central, address: usize) -> Option<Class> {
        match central.resolve(address) {
            Place::Small { entry, class, .. } if entry.owner() == self.address() => Some(class),
            _ => None,
        }
    }

    /// Drops a block on its way to this heap, which another heap's thread freed and which was counted there; one that
    /// is not this heap's goes to its owner.
    fn drop_block(&self, shared: Shared<'_>, block: *mut u8) {
        match self.class_of_own(shared.central, block.addr()) {
            Some(class) => self.note_given(class, 1),
            None => deliver_or_report(shared, block),
        }
    }

    /// Releases all spans of this part, which no thread uses, and whose blocks are in no other heap's batches; with
    /// them go the blocks that the program has. In time by spans.
    pub(crate) fn destroy(&self, shared: Shared<'_>) {
        let central = shared.central;
        self.close();
        self.close_outbox(shared);
        for chain in [self.pending.replace(core::ptr::null_mut()), self.inbox.close()] {
            let chain = Cell::new(chain);
            while let Some(batch) = inbox::pop(&chain) {
                batch.blocks().iter().for_each(|&block| self.drop_block(shared, block));
                central.release_batch(batch);
            }
        }
        for class in Class::all() {
            let bin = self.bin(class);
            bin.restore();
            bin.set_len(0);
            bin.drop_array(&central.pages);
            while let Some(region) = self.spans(class).pop(central.pages.space()) {
                self.note_given(class, -(central.span(region).used() as isize));
                central.destroy_span(class, region);
                self.give_back_span(class);
            }
        }
        self.release_empty_batches(shared);
    }

    /// Calls `see` with the address of each block that is out of the span of this heap which starts at `region`, until
    /// the span is not this heap's any more. `see` may free the block.
    pub(crate) fn each_out(&self, shared: Shared<'_>, region: Region, mut see: impl FnMut(usize)) {
        let (central, space) = (shared.central, shared.central.pages.space());
        let entry = space.entry(region);
        let Some(class) = entry.class().filter(|_| entry.owner() == self.address()) else { return };
        let (geometry, start) = (class.geometry(), space.address(region));
        if central.span(region).first() != region {
            return;
        }
        for index in 0..geometry.capacity {
            if space.entry(region) != entry {
                return;
            }
            let offset = index as usize * class.size();
            if central.span(region).is_out(geometry, offset).is_ok() {
                see(start + offset);
            }
        }
    }
}
