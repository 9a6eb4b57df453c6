#![expect(unsafe_code, reason = "follows pointers to batches, defers blocks by their first word, reads records")]
//! Sending: blocks of other heaps, and of the central list, leave in batches, or one by one where there is no memory
//! for a batch.

use super::inbox::Pushed;
use super::outbox::Lane;
use crate::base::class::{Class, Geometry, proves_start};
use crate::base::units::REGION_BYTES;
use crate::central::{Batch, Place, Refused, Returned, first_region};
use crate::diag::{self, Code};
use crate::heap::fast_path::FastHeap;
use crate::heap::layout::Heap;
use crate::heap::registry::Shared;
use crate::heap::returns::NEWEST;
use crate::pages::Entry;

/// Most empty batches kept for the next owners.
const EMPTY_BATCHES_MAX: u32 = 4;
/// With so many batches in an inbox the sender receives them for the owner.
const BACKLOG: u32 = 16;
/// Tries to deliver a block whose span changes owners.
const TRIES_MAX: usize = 64;

impl FastHeap {
    /// Sends `block` to the heap that owns it, where a batch for that heap is being collected and nothing else needs to
    /// be done. With `COUNT` it notes that the program freed the block. For the second path.
    #[inline(always)]
    pub(crate) fn send_fast<const COUNT: bool>(&self, block: *mut u8) -> bool {
        self.with_entry_in_reach(block, false, |entry| self.heap().send_fast::<COUNT>(entry, block))
    }

    /// As [`FastHeap::send_fast`], for blocks of the class of `size` alone.
    #[inline(always)]
    pub(crate) fn send_sized_fast<const COUNT: bool>(&self, block: *mut u8, size: usize) -> bool {
        let Some(class) = Class::of_size(size) else { return false };
        self.with_entry_in_reach(block, false, |entry| {
            entry.class() == Some(class) && self.heap().send_fast::<COUNT>(entry, block)
        })
    }

    /// The heap that starts with this fast heap, which is not the inert one: a second path that is not closed.
    #[inline(always)]
    pub(crate) fn heap(&self) -> &Heap {
        // SAFETY: every fast heap but the inert one is the first field of a heap; heaps are never unmapped.
        unsafe { Heap::at(self.address()) }
    }
}

/// The key of the batches for `entry`: the owner's address, or the entry itself where the central list owns the spans.
#[inline(always)]
fn key_of(entry: Entry) -> usize {
    if entry.is_central() { entry.bits() } else { entry.owner() }
}

impl Heap {
    /// Adds a block of another heap to the batch that is collected for it; false if there is no such batch, if the
    /// block would fill it, or if the block needs another check. Adds one of this heap to its bin where that cannot
    /// prove the start by itself. For the second path: changes nothing where it fails.
    #[inline(always)]
    pub(in crate::heap) fn send_fast<const COUNT: bool>(&self, entry: Entry, block: *mut u8) -> bool {
        let joined = match self.join_common(entry, block) {
            Some(joined) => joined,
            None if entry.owner() == self.address() => return self.push_by_record(entry, block),
            None => self.join_batch(entry, block),
        };
        if COUNT && joined {
            self.note_own(-1, -(entry.geometry().size as isize));
        }
        joined
    }

    /// Adds a block to the batch whose blocks share its entry; whether it did. `None` if there is no such batch, or if
    /// a factor cannot prove starts in its class.
    #[inline(always)]
    fn join_common(&self, entry: Entry, block: *mut u8) -> Option<bool> {
        // SAFETY: a place holds null or a valid batch of this thread's.
        let batch = unsafe { self.outbox.place(entry.owner(), Lane::Outer).get().as_ref() }?;
        if batch.common() != entry || entry == Entry::NONE {
            return None;
        }
        // The entry that blocks have in common has a class.
        let geometry = entry.geometry();
        let factor = geometry.proof();
        (factor != 0).then(|| proves_start(factor, block.addr()) && batch.push_common(block, geometry))
    }

    /// As [`Heap::send_fast`], for batches of several classes, and classes in which a factor proves no starts.
    #[inline(never)]
    fn join_batch(&self, entry: Entry, block: *mut u8) -> bool {
        let Some(class) = entry.class() else { return false };
        let geometry = class.geometry();
        let Some(batch) = self.outbox.batch_for(key_of(entry), Lane::Outer) else { return false };
        if !self.is_start(geometry, block) || batch.has_near(block) || !batch.has_room(geometry) {
            return false;
        }
        batch.push(block, entry, geometry)
    }

    /// Whether a block starts at `block`, which lies in a span cut by `geometry`.
    #[inline(always)]
    fn is_start(&self, geometry: &Geometry, block: *mut u8) -> bool {
        let factor = geometry.proof();
        if factor == 0 { self.is_start_by_record(geometry, block) } else { proves_start(factor, block.addr()) }
    }

    /// As [`Heap::is_start`], by the record of the region. The first region of a span never changes while one of its
    /// blocks is out, whichever heap owns it.
    fn is_start_by_record(&self, geometry: &Geometry, block: *mut u8) -> bool {
        // SAFETY: the map's entry has the class of the geometry.
        let first = unsafe { first_region(self.finder.get(), block.addr()) };
        let offset = block.addr().wrapping_sub(self.base.get()).wrapping_sub(first.0 as usize * REGION_BYTES);
        let (index, exact) = geometry.locate(offset);
        exact && index < geometry.capacity
    }

    /// Adds a block of this heap to its bin if it is none of the last [`NEWEST`] and the record of its region says that a block
    /// starts there: for classes whose bins cannot prove it. False for the others.
    #[inline(never)]
    fn push_by_record(&self, entry: Entry, block: *mut u8) -> bool {
        let Some(class) = entry.class() else { return false };
        let (bin, geometry) = (self.bin(class), class.geometry());
        geometry.proof() == 0
            && !bin.has_lately(block, NEWEST)
            && self.is_start_by_record(geometry, block)
            && bin.add(block)
    }

    /// Sends `block` to the owner that `entry` names: in a batch, or by itself where there is no metadata for one. A
    /// block that was sent just before is reported, and the first of a batch if the owner freed it lately.
    pub(in crate::heap) fn send(&self, shared: Shared<'_>, entry: Entry, class: Class, block: *mut u8, lane: Lane) {
        if lane == Lane::Inner {
            shared.note_leaving(block);
        }
        let Some(batch) = self.collecting(shared, key_of(entry), lane) else {
            return deliver_or_report(shared, block);
        };
        // The owner's bin is far away for this processor, so only the first block of a batch is compared with it.
        let is_first = lane == Lane::Outer && batch.len() == 0 && !entry.is_central();
        if batch.has_near(block) || is_first && Heap::of_entry(entry).other_has_lately(class, block) {
            return Refused::Double.report("free", block, class.size());
        }
        if !batch.push(block, entry, class.geometry()) {
            self.outbox.place(key_of(entry), lane).set(core::ptr::null());
            self.send_batch(shared, batch);
        }
    }

    /// Sends all blocks of the outbox; the batches of the outer lane stay in their places. The caller holds the spans.
    pub(in crate::heap) fn send_all(&self, shared: Shared<'_>) {
        self.empty_lane(shared, Lane::Inner);
        for place in self.outbox.places(Lane::Outer) {
            // SAFETY: a place holds null or a valid batch of this heap's.
            let Some(batch) = unsafe { place.get().as_ref() }.filter(|batch| batch.len() > 0) else { continue };
            match self.take_empty_batch(batch.key.get()).or_else(|| shared.central.acquire_batch(batch.key.get())) {
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

    /// The batch that collects for `key`. Sends another batch that has its place first.
    fn collecting<'a>(&'a self, shared: Shared<'a>, key: usize, lane: Lane) -> Option<&'a Batch> {
        if let Some(batch) = self.outbox.batch_for(key, lane) {
            return Some(batch);
        }
        let place = self.outbox.place(key, lane);
        // SAFETY: a place holds null or a valid batch of this thread's.
        if let Some(batch) = unsafe { place.replace(core::ptr::null()).as_ref() } {
            self.send_batch(shared, batch);
        }
        let batch = self.take_empty_batch(key).or_else(|| shared.central.acquire_batch(key))?;
        place.set(core::ptr::from_ref(batch));
        Some(batch)
    }

    fn take_empty_batch(&self, key: usize) -> Option<&Batch> {
        // SAFETY: the chain of empty batches holds valid batches of this heap's and ends with null.
        let batch = unsafe { self.outbox.empty_batches.get().as_ref() }?;
        self.outbox.empty_batches.set(batch.next.get());
        self.outbox.empty_count.set(self.outbox.empty_count.get() - 1);
        batch.clear(key);
        Some(batch)
    }

    /// Keeps an empty batch for the next blocks of other heaps, so that senders and receivers seldom ask the central
    /// store for one.
    pub(in crate::heap) fn keep_batch(&self, shared: Shared<'_>, batch: &Batch) {
        if self.outbox.empty_count.get() >= EMPTY_BATCHES_MAX {
            return shared.central.release_batch(batch);
        }
        batch.next.set(self.outbox.empty_batches.get().cast_mut());
        self.outbox.empty_batches.set(core::ptr::from_ref(batch));
        self.outbox.empty_count.set(self.outbox.empty_count.get() + 1);
    }

    /// Releases the empty batches.
    pub(in crate::heap) fn release_empty_batches(&self, shared: Shared<'_>) {
        while let Some(batch) = self.take_empty_batch(0) {
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

impl Shared<'_> {
    /// Tells the mode in force of a block that is about to be sent, if it wants to know.
    fn note_leaving(self, block: *mut u8) {
        if let Some(transit) = self.registry.transit.get() {
            (transit.leaves)(block);
        }
    }
}

/// Delivers each block of a batch by itself, and releases the batch.
pub(crate) fn deliver_each(shared: Shared<'_>, batch: &Batch) {
    batch.blocks().iter().for_each(|&block| deliver_or_report(shared, block));
    shared.central.release_batch(batch);
}

pub(in crate::heap) fn deliver_or_report(shared: Shared<'_>, block: *mut u8) {
    if let Err(refused) = deliver_block(shared, block) {
        refused.report_found_later(block, 0);
    }
}

/// Returns one block to its span, or sends it to the inbox of the heap that owns the span by now.
pub(crate) fn deliver_block(shared: Shared<'_>, block: *mut u8) -> Result<(), Refused> {
    // Each try in vain means that the span changed owners meanwhile. That ends; a span torn by a fork would not.
    for _ in 0..TRIES_MAX {
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
        shared.note_leaving(block);
        let Some(batch) = shared.central.acquire_batch(entry.owner()) else {
            // Without a batch the block cannot be sent; a later slow call tries again.
            // SAFETY: a block of a class that was freed, and that is in no bin or batch any more.
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
