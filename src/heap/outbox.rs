#![expect(unsafe_code, reason = "finds heaps by address")]
//! The outbox: blocks of others that this thread freed, collected into batches by where they go.
//!
//! A batch leaves when it is full, when its place is needed, or when the outbox is emptied: it goes to its owner's inbox, or to
//! the transfer cache of its class where the depot owns the blocks. A refused batch is settled block by block. Must not know why
//! a block is here.

use core::cell::Cell;

use super::inbox::Pushed;
use super::layout::{Heap, count};
use super::registry::Registry;
use crate::base::class::Class;
use crate::central::{Batch, Central, Place, Refused, Returned};
use crate::pages::Entry;

/// Owners for whom batches are collected at a time.
const PLACES: usize = 16;
/// Tries to bring a block home while it changes hands.
const ROUNDS_MAX: usize = 64;

/// See the module. Belongs to its heap's thread. All-zero bytes are an empty outbox.
pub(super) struct Outbox {
    batches: [Cell<*const Batch>; PLACES],
}

/// The central store and the registry: what remote frees need to find their way.
#[derive(Clone, Copy)]
pub(crate) struct Shared<'a> {
    pub(crate) central: &'a Central,
    pub(crate) registry: &'a Registry,
}

impl Outbox {
    /// Drops all batches without a look.
    pub(super) fn forget(&self) {
        self.batches.iter().for_each(|place| place.set(core::ptr::null()));
    }

    /// The batches there are, for the child of a fork.
    pub(super) fn batches(&self) -> impl Iterator<Item = &Batch> {
        // SAFETY: a place holds null or a valid batch.
        self.batches.iter().filter_map(|place| unsafe { place.get().as_ref() })
    }
}

impl Heap {
    /// Sends `block` to the owner that `entry` names: in a batch, or by itself where there is no metadata for one. A block that was
    /// sent just before is reported.
    pub(super) fn send(&self, shared: Shared<'_>, entry: Entry, class: Class, block: *mut u8) {
        let Some(place) = self.place_for(shared, key_of(entry)) else {
            let _ = settle_block(shared, block);
            return;
        };
        // SAFETY: a place that `place_for` returns holds a valid batch of this thread's.
        let batch = unsafe { &*place.get() };
        if batch.last() == block {
            return super::free::report(Refused::Double, block, class.size());
        }
        if !batch.push(block, class.size()) {
            place.set(core::ptr::null());
            self.deliver(shared, batch);
        }
    }

    /// Sends everything off.
    pub(super) fn empty_outbox(&self, shared: Shared<'_>) {
        for place in &self.outbox.batches {
            // SAFETY: a place holds null or a valid batch of this thread's.
            if let Some(batch) = unsafe { place.replace(core::ptr::null()).as_ref() } {
                self.deliver(shared, batch);
            }
        }
    }

    /// The place that collects for `key`.
    fn place_for(&self, shared: Shared<'_>, key: usize) -> Option<&Cell<*const Batch>> {
        let places = &self.outbox.batches;
        // SAFETY: a place holds null or a valid batch of this thread's.
        let collects = |place: &&Cell<*const Batch>| unsafe { place.get().as_ref() }.is_some_and(|batch| batch.key.get() == key);
        if let Some(place) = places.iter().find(collects) {
            return Some(place);
        }
        // SAFETY: as above.
        let fill = |place: &&Cell<*const Batch>| unsafe { place.get().as_ref() }.map_or(usize::MAX, Batch::len);
        // An empty place, else that of the fullest batch.
        let place = places.iter().max_by_key(fill)?;
        // SAFETY: as above.
        if let Some(batch) = unsafe { place.replace(core::ptr::null()).as_ref() } {
            self.deliver(shared, batch);
        }
        place.set(core::ptr::from_ref(shared.central.acquire_batch(key)?));
        Some(place)
    }

    fn deliver(&self, shared: Shared<'_>, batch: &Batch) {
        count(&self.sent);
        deliver(shared, batch);
    }
}

fn key_of(entry: Entry) -> usize {
    if entry.is_depot() { entry.bits() } else { entry.owner() }
}

/// Brings a batch to where its key says, or its blocks to wherever they belong by now.
pub(super) fn deliver(shared: Shared<'_>, batch: &Batch) {
    let key = Entry::from_bits(batch.key.get());
    if key.is_depot() {
        if key.class().is_some_and(|class| shared.central.put_batch(class, batch)) {
            return;
        }
    } else {
        // SAFETY: a key that is not the depot's is the address of a heap.
        let owner = unsafe { Heap::at(key.owner()) };
        if owner.inbox.push(batch) == Pushed::Delivered {
            return;
        }
    }
    settle(shared, batch);
}

/// Brings each block of a batch home by itself and keeps the batch's piece.
pub(crate) fn settle(shared: Shared<'_>, batch: &Batch) {
    for block in batch.iter() {
        if let Err(refused) = settle_block(shared, block) {
            super::free::report(refused, block, 0);
        }
    }
    shared.central.release_batch(batch);
}

/// Brings one block to its span or into its owner's inbox, whoever that is by now.
pub(crate) fn settle_block(shared: Shared<'_>, block: *mut u8) -> Result<(), Refused> {
    // Each round in vain means that the block changed hands meanwhile. That ends; a span torn by a fork would not.
    for _ in 0..ROUNDS_MAX {
        let Place::Small { span, class, entry, .. } = shared.central.resolve(block.addr()) else {
            return Err(Refused::Double);
        };
        if entry.is_depot() {
            match shared.central.give_back(class, span.first(), block.addr()) {
                Returned::Moved => continue,
                Returned::Refused(refused) => return Err(refused),
                Returned::Taken | Returned::Emptied(_) => return Ok(()),
            }
        }
        // SAFETY: an entry that is not the depot's names a heap.
        let owner = unsafe { Heap::at(entry.owner()) };
        let Some(batch) = shared.central.acquire_batch(entry.owner()) else {
            // Without a batch the block cannot travel. It stays out: lost to reuse, harmless to everyone.
            return Ok(());
        };
        batch.push(block, class.size());
        if owner.inbox.push(batch) == Pushed::Delivered {
            return Ok(());
        }
        shared.central.release_batch(batch);
        shared.registry.adopt_orphans(shared);
    }
    Ok(())
}
