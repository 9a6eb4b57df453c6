#![expect(unsafe_code, reason = "follows pointers to batches, defers blocks by their first word")]
//! Sending: blocks of other heaps, and of the central list, leave in batches, or one by one where there is no memory for a batch.

use super::inbox::Pushed;
use super::outbox::Lane;
use crate::base::class::Class;
use crate::base::units::REGION_BYTES;
use crate::central::{Batch, Place, Refused, Returned};
use crate::diag::{self, Code};
use crate::heap::fast_path::FastHeap;
use crate::heap::layout::Heap;
use crate::heap::registry::Shared;
use crate::pages::Entry;

/// Empty batches kept for the next owners.
const SPARES_MAX: u32 = 4;
/// With so many batches in an inbox the sender takes them home itself.
const BACKLOG: u32 = 16;
/// Tries to bring a block home while it changes hands.
const ROUNDS_MAX: usize = 64;

impl FastHeap {
    /// Sends `block` to the heap that owns it, where a batch for that heap is being collected and nothing else needs to be done.
    #[inline(always)]
    pub(crate) fn send_fast(&self, block: *mut u8) -> bool {
        // The inert front, which is no heap, sees no entry.
        self.with_entry(block, false, |entry| self.heap().send_fast(entry, block))
    }

    /// As [`FastHeap::send_fast`], for blocks of `class` alone.
    #[inline(always)]
    pub(crate) fn send_sized_fast(&self, block: *mut u8, class: Class) -> bool {
        self.with_entry(block, false, |entry| entry.class() == Some(class) && self.heap().send_fast(entry, block))
    }

    /// The heap that starts with this front, which is not the inert one.
    #[inline(always)]
    fn heap(&self) -> &Heap {
        // SAFETY: every front but the inert one is the first field of a heap; heaps are never unmapped.
        unsafe { Heap::at(self.address()) }
    }
}

/// What the batches for `entry` are found by: the owner's address, or the entry itself where the depot owns the spans.
#[inline(always)]
fn key_of(entry: Entry) -> usize {
    if entry.is_central() { entry.bits() } else { entry.owner() }
}

impl Heap {
    /// Adds a block of another heap to the batch that is collected for it; false if there is no such batch, if it would be full,
    /// or if there is anything else to look into. For the fast path: changes nothing where it fails.
    #[inline(always)]
    pub(in crate::heap) fn send_fast(&self, entry: Entry, block: *mut u8) -> bool {
        let Some(class) = entry.class() else { return false };
        let geometry = class.geometry();
        // SAFETY: a place holds null or a valid batch of this thread's.
        if let Some(batch) = unsafe { self.outbox.place(entry.owner(), Lane::Outer).get().as_ref() }
            && batch.common() == entry
            && geometry.regions == 1
        {
            return geometry.locate(block.addr() % REGION_BYTES).1 && batch.push_common(block, geometry);
        }
        let Some(batch) = self.outbox.batch_for(key_of(entry), Lane::Outer) else { return false };
        // Of a larger span the owner finds out whether a block starts there.
        let starts = geometry.regions > 1 || geometry.locate(block.addr() % REGION_BYTES).1;
        if !starts || batch.last() == block || !batch.has_room(geometry) {
            return false;
        }
        batch.push(block, entry, geometry)
    }

    /// Sends `block` to the owner that `entry` names: in a batch, or by itself where there is no metadata for one. A block that was
    /// sent just before is reported.
    pub(in crate::heap) fn send(&self, shared: Shared<'_>, entry: Entry, class: Class, block: *mut u8, lane: Lane) {
        let Some(batch) = self.collecting(shared, key_of(entry), lane) else {
            return deliver_or_report(shared, block);
        };
        if batch.last() == block {
            return Refused::Double.report("free", block, class.size());
        }
        if !batch.push(block, entry, class.geometry()) {
            self.outbox.place(key_of(entry), lane).set(core::ptr::null());
            self.send_batch(shared, batch);
        }
    }

    /// Sends everything off that waits here; the batches of the outer lane stay. The caller holds the spans.
    pub(in crate::heap) fn send_all(&self, shared: Shared<'_>) {
        self.empty_lane(shared, Lane::Inner);
        for place in self.outbox.places(Lane::Outer) {
            // SAFETY: a place holds null or a valid batch of this heap's.
            let Some(batch) = unsafe { place.get().as_ref() }.filter(|batch| batch.len() > 0) else { continue };
            match self.take_spare(batch.key.get()).or_else(|| shared.central.acquire_batch(batch.key.get())) {
                Some(other) => {
                    batch.move_to(other);
                    self.send_batch(shared, other);
                }
                None => batch.move_each(|block| deliver_or_report(shared, block)),
            }
        }
    }

    /// As [`Heap::send_all`], for the end of the heap's thread: no batch stays.
    pub(in crate::heap) fn close_outbox(&self, shared: Shared<'_>) {
        self.empty_lane(shared, Lane::Outer);
        self.empty_lane(shared, Lane::Inner);
    }

    fn empty_lane(&self, shared: Shared<'_>, lane: Lane) {
        for place in self.outbox.places(lane) {
            // SAFETY: a place holds null or a valid batch of this heap's.
            if let Some(batch) = unsafe { place.replace(core::ptr::null()).as_ref() } {
                self.send_batch(shared, batch);
            }
        }
    }

    /// The batch that collects for `key`. Whatever was in its place is sent first.
    fn collecting<'a>(&'a self, shared: Shared<'a>, key: usize, lane: Lane) -> Option<&'a Batch> {
        if let Some(batch) = self.outbox.batch_for(key, lane) {
            return Some(batch);
        }
        let place = self.outbox.place(key, lane);
        // SAFETY: a place holds null or a valid batch of this thread's.
        if let Some(batch) = unsafe { place.replace(core::ptr::null()).as_ref() } {
            self.send_batch(shared, batch);
        }
        let batch = self.take_spare(key).or_else(|| shared.central.acquire_batch(key))?;
        place.set(core::ptr::from_ref(batch));
        Some(batch)
    }

    fn take_spare(&self, key: usize) -> Option<&Batch> {
        // SAFETY: spares are null or valid batches of this thread's.
        let batch = unsafe { self.outbox.spares.get().as_ref() }?;
        self.outbox.spares.set(batch.next.get());
        self.outbox.spare_count.set(self.outbox.spare_count.get() - 1);
        batch.clear(key);
        Some(batch)
    }

    /// Keeps an empty batch for the next blocks of others, so that senders and receivers seldom ask the central store for one.
    pub(in crate::heap) fn keep_batch(&self, shared: Shared<'_>, batch: &Batch) {
        if self.outbox.spare_count.get() >= SPARES_MAX {
            return shared.central.release_batch(batch);
        }
        batch.next.set(self.outbox.spares.get().cast_mut());
        self.outbox.spares.set(core::ptr::from_ref(batch));
        self.outbox.spare_count.set(self.outbox.spare_count.get() + 1);
    }

    /// Gives up the empty batches.
    pub(in crate::heap) fn drop_spares(&self, shared: Shared<'_>) {
        while let Some(batch) = self.take_spare(0) {
            shared.central.release_batch(batch);
        }
    }

    fn send_batch(&self, shared: Shared<'_>, batch: &Batch) {
        if batch.len() == 0 {
            return self.keep_batch(shared, batch);
        }
        self.counters.sent.add(1);
        self.counters.sent_blocks.add(batch.len());
        let key = Entry::from_bits(batch.key.get());
        if let Some(class) = key.class().filter(|_| key.is_central()) {
            shared.central.give_back_all(class, batch.blocks(), |block| deliver_or_report(shared, block));
            return self.keep_batch(shared, batch);
        }
        let owner = Heap::of_entry(key);
        match owner.inbox.push(batch) {
            Pushed::Closed => deliver_each(shared, batch),
            Pushed::Delivered if owner.inbox.count() >= BACKLOG => self.receive_for(shared, owner),
            Pushed::Delivered => {}
        }
    }
}

/// Brings each block of a batch home by itself and keeps the batch's piece.
pub(crate) fn deliver_each(shared: Shared<'_>, batch: &Batch) {
    batch.blocks().iter().for_each(|&block| deliver_or_report(shared, block));
    shared.central.release_batch(batch);
}

pub(in crate::heap) fn deliver_or_report(shared: Shared<'_>, block: *mut u8) {
    if let Err(refused) = deliver_block(shared, block) {
        refused.report("free", block, 0);
    }
}

/// Brings one block to its span or into its owner's inbox, whoever that is by now.
pub(crate) fn deliver_block(shared: Shared<'_>, block: *mut u8) -> Result<(), Refused> {
    // Each round in vain means that the block changed hands meanwhile. That ends; a span torn by a fork would not.
    for _ in 0..ROUNDS_MAX {
        let Place::Small { span, class, entry, .. } = shared.central.resolve(block.addr()) else {
            return Err(Refused::Double);
        };
        if entry.is_central() {
            match shared.central.give_back(class, span.first(), block.addr()) {
                Returned::Moved => continue,
                Returned::Refused(refused) => return Err(refused),
                Returned::Taken | Returned::Emptied(_) => return Ok(()),
            }
        }
        let owner = Heap::of_entry(entry);
        let Some(batch) = shared.central.acquire_batch(entry.owner()) else {
            // Without a batch the block cannot travel; whoever comes next tries again.
            // SAFETY: a block of a class, which its last holder gave up.
            unsafe { shared.central.defer_free(block) };
            diag::once(Code::RemoteFreeOverflow, "no memory for a batch of remote frees; they are deferred");
            return Ok(());
        };
        let _ = batch.push(block, entry, class.geometry());
        if owner.inbox.push(batch) == Pushed::Delivered {
            let _ = owner.inbox.count();
            return Ok(());
        }
        shared.central.release_batch(batch);
        if shared.registry.orphans.get() {
            shared.registry.adopt_orphans(shared);
        }
    }
    Ok(())
}
