#![expect(unsafe_code, reason = "finds heaps and batches by address")]
//! The outbox: blocks of others that this thread freed, collected into batches by the heap they go to.
//!
//! Each owner has one place, found by its address; of the depot, each class. A batch leaves when it is full, when another owner
//! needs the place, or when everything is sent: for its owner's inbox, or into the depot's spans. A refused batch is settled
//! block by block. Must not know why a block is here.
//!
//! There are two lanes of places. The fast path adds to batches of the outer one, and may be interrupted while it does; so a call that is
//! not about a block for that place, and other threads, take blocks out of such a batch but leave the batch where it is
//! ([`Batch::move_to`]). What heaps themselves have to send goes by the inner lane, which belongs to the holder of the spans.

use core::cell::Cell;

use crate::base::class::Class;
use crate::base::units::REGION_BYTES;
use crate::central::{Batch, Central, Place, Refused, Returned};
use crate::diag::{self, Code};
use crate::heap::layout::Heap;
use crate::heap::registry::Registry;
use crate::heap::remote::inbox::Pushed;
use crate::pages::Entry;
use crate::pages::map::{BIN_BYTES, HEAP_ALIGN};

/// Owners for whom batches are collected at a time, in each lane.
const PLACES: usize = 16;
const LANES: usize = 2;
/// Empty batches kept for the next owners.
const SPARES_MAX: u32 = 4;
/// How many batches a sender takes home at a time: more than have come since the last one did, so that the backlog shrinks.
const RECEIVED_FOR_MAX: usize = 24;
/// With so many batches in an inbox the sender takes them home itself.
const BACKLOG: u32 = 16;
/// Tries to bring a block home while it changes hands.
const ROUNDS_MAX: usize = 64;

/// Why a block is sent.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in crate::heap) enum Lane {
    /// The program freed it.
    Outer = 0,
    /// A bin, an inbox or a cache gave it back.
    Inner = 1,
}

/// See the module. Belongs to its heap's thread, and as far as the module says to who holds the spans. All-zero bytes are an empty
/// outbox.
pub(in crate::heap) struct Outbox {
    batches: [Cell<*const Batch>; LANES * PLACES],
    spares: Cell<*const Batch>,
    spare_count: Cell<u32>,
}

/// The central store and the registry: what remote frees need to find their way.
#[derive(Clone, Copy)]
pub(crate) struct Shared<'a> {
    pub(crate) central: &'a Central,
    pub(crate) registry: &'a Registry,
}

impl Outbox {
    /// Where the batches are, and how many places there are for them.
    pub(in crate::heap) const BATCHES: [usize; 2] = [core::mem::offset_of!(Self, batches), LANES * PLACES];

    /// Drops all batches without a look.
    pub(in crate::heap) fn forget(&self) {
        self.batches.iter().for_each(|place| place.set(core::ptr::null()));
        self.spares.set(core::ptr::null());
        self.spare_count.set(0);
    }

    /// The batches there are.
    pub(in crate::heap) fn batches(&self) -> impl Iterator<Item = &Batch> {
        // SAFETY: a place holds null or a valid batch.
        self.batches.iter().filter_map(|place| unsafe { place.get().as_ref() })
    }

    /// Takes one of the batches, for the child of a fork.
    pub(in crate::heap) fn take_batch(&self) -> Option<&Batch> {
        // SAFETY: a place holds null or a valid batch.
        self.batches.iter().find_map(|place| unsafe { place.replace(core::ptr::null()).as_ref() })
    }

    /// The place of the batches with `key` in `lane`.
    #[inline(always)]
    fn place(&self, key: usize, lane: Lane) -> &Cell<*const Batch> {
        let index = ((key / HEAP_ALIGN) ^ (key / BIN_BYTES)) % PLACES;
        // SAFETY: the remainder is below the number of places of a lane.
        unsafe { self.batches.get_unchecked(lane as usize * PLACES + index) }
    }

    /// The batch with `key`, if one is being collected in `lane`.
    #[inline(always)]
    fn batch_for(&self, key: usize, lane: Lane) -> Option<&Batch> {
        // SAFETY: a place holds null or a valid batch of this thread's.
        let batch = unsafe { self.place(key, lane).get().as_ref() }?;
        (batch.key.get() == key).then_some(batch)
    }

    /// The places of `lane`.
    fn places(&self, lane: Lane) -> impl Iterator<Item = &Cell<*const Batch>> {
        self.batches.iter().skip(lane as usize * PLACES).take(PLACES)
    }
}

/// What the batches for `entry` are found by: the owner's address, or the entry itself where the depot owns the spans.
#[inline(always)]
fn key_of(entry: Entry) -> usize {
    if entry.is_central() { entry.bits() } else { entry.owner() }
}

/// The heap that owns the spans of `entry`, which are not the depot's.
pub(in crate::heap) fn owner_of(entry: Entry) -> &'static Heap {
    debug_assert!(!entry.is_central());
    // SAFETY: such an entry names a heap; heaps are never unmapped.
    unsafe { Heap::at(entry.owner()) }
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
            return crate::heap::free::report(Refused::Double, block, class.size());
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
        self.counters.sent(batch.len());
        let key = Entry::from_bits(batch.key.get());
        if let Some(class) = key.class().filter(|_| key.is_central()) {
            shared.central.give_back_all(class, batch.blocks(), |block| deliver_or_report(shared, block));
            return self.keep_batch(shared, batch);
        }
        let owner = owner_of(key);
        match owner.inbox.push(batch) {
            Pushed::Closed => deliver_each(shared, batch),
            Pushed::Delivered if owner.inbox.count() >= BACKLOG => self.receive_for(shared, owner),
            Pushed::Delivered => {}
        }
    }

    /// Takes home what waits in the inbox of another heap, whose thread may be asleep: into its spans, not its bins, which its fast path
    /// uses. Does nothing if that thread, or another one, is at work there. What is beyond a bounded number of batches stays for the owner,
    /// or for the next to come by, so that neither the sender's call nor one of the owner's that waits for it is long.
    #[cold]
    fn receive_for(&self, shared: Shared<'_>, owner: &Heap) {
        if !owner.try_hold_spans() {
            return;
        }
        for _ in 0..RECEIVED_FOR_MAX {
            let Some(batch) = owner.receive() else { break };
            owner.return_batch(shared, batch);
            self.keep_batch(shared, batch);
        }
        owner.free_spans();
    }
}

/// Brings each block of a batch home by itself and keeps the batch's piece.
pub(crate) fn deliver_each(shared: Shared<'_>, batch: &Batch) {
    batch.blocks().iter().for_each(|&block| deliver_or_report(shared, block));
    shared.central.release_batch(batch);
}

pub(in crate::heap) fn deliver_or_report(shared: Shared<'_>, block: *mut u8) {
    if let Err(refused) = deliver_block(shared, block) {
        crate::heap::free::report(refused, block, 0);
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
        let owner = owner_of(entry);
        let Some(batch) = shared.central.acquire_batch(entry.owner()) else {
            // Without a batch the block cannot travel; whoever comes next tries again.
            // SAFETY: a block of a class, which its last holder gave up.
            unsafe { shared.central.defer_free(block) };
            diag::once(Code::RemoteFreeOverflow, "no memory for a batch of blocks on their way home; they wait");
            return Ok(());
        };
        let _ = batch.push(block, entry, class.geometry());
        if owner.inbox.push(batch) == Pushed::Delivered {
            let _ = owner.inbox.count();
            return Ok(());
        }
        shared.central.release_batch(batch);
        shared.registry.adopt_orphans(shared);
    }
    Ok(())
}
