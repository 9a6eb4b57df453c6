#![expect(unsafe_code, reason = "follows pointers to batches, defers blocks by their first word")]
//! Sending: blocks of other heaps and of the central list return to their owners in batches, or one by one if there is
//! no memory for a batch.

use super::inbox::Pushed;
use super::outbox::Side;
use crate::base::class::{Class, Geometry};
use crate::central::{Batch, Place, Refused, Returned};
use crate::diag::{self, Code};
use crate::heap::fast_path::FastHeap;
use crate::heap::layout::Heap;
use crate::heap::registry::Shared;
use crate::pages::{Entry, Word};
use crate::sys::processor;

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
        self.send_common::<COUNT>(block) || self.send_more::<COUNT>(block, None)
    }

    /// As [`FastHeap::send_fast`], where all blocks of the batch are of the class, which is not a spanning one.
    #[inline(always)]
    pub(in crate::heap) fn send_common<const COUNT: bool>(&self, block: *mut u8) -> bool {
        self.with_entry_in_reach(block, false, |word| {
            let heap = self.heap();
            let joined = heap.outbox.join(|| heap.join_common(word, block));
            if COUNT && joined {
                heap.note_sent(word.plain());
            }
            joined
        })
    }

    /// As [`FastHeap::send_fast`], for batches of several classes, and spanning classes; for blocks of `class` alone
    /// where one is named.
    #[inline(never)]
    pub(in crate::heap) fn send_more<const COUNT: bool>(&self, block: *mut u8, class: Option<Class>) -> bool {
        self.with_entry_in_reach(block, false, |word| {
            let (heap, entry) = (self.heap(), word.entry());
            let joined = class.is_none_or(|class| entry.class() == Some(class))
                && heap.outbox.join(|| heap.join_batch(word, block));
            if COUNT && joined {
                heap.note_sent(entry);
            }
            joined
        })
    }

    /// As [`FastHeap::send_fast`], for blocks of the class of `size` alone.
    #[inline(always)]
    pub(crate) fn send_sized_fast<const COUNT: bool>(&self, block: *mut u8, size: usize) -> bool {
        let Some(class) = Class::of_size(size) else { return false };
        self.send_more::<COUNT>(block, Some(class))
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
    /// Adds a block of another heap to the batch that is collected for it, and whose blocks share its entry, of a class
    /// that is not a spanning one; false if there is no such batch, if the block would fill it, or if the block needs
    /// another check. Changes nothing where it fails, as for all functions of the second path.
    #[inline(always)]
    fn join_common(&self, word: Word, block: *mut u8) -> bool {
        // SAFETY: a place holds null or a valid batch of this thread's.
        let Some(batch) = (unsafe { self.outbox.place_of_owner(word.bits()).get().as_ref() }) else { return false };
        // A word that equals an entry is that of a class which is not a spanning one, and has a class.
        if batch.common().bits() != word.bits() {
            return false;
        }
        let geometry = word.plain().geometry();
        // SAFETY: the factor is a field of the geometry.
        let proven = unsafe {
            processor::proves_start::<{ Geometry::PROOF_AT }>(block.addr(), core::ptr::from_ref(geometry).cast())
        };
        proven && batch.push_common(block, geometry)
    }

    /// As [`Heap::join_common`], for batches of several classes, and spanning classes.
    #[inline(always)]
    fn join_batch(&self, word: Word, block: *mut u8) -> bool {
        let entry = word.entry();
        let Some(class) = entry.class() else { return false };
        let geometry = class.geometry();
        let Some(batch) = self.outbox.batch_for(key_of(entry), Side::Outer) else { return false };
        if !geometry.is_start(block.addr(), word.bits()) {
            return false;
        }
        if batch.common() == entry {
            return batch.push_common(block, geometry);
        }
        !batch.has_near(block) && batch.has_room(geometry) && batch.push(block, entry, geometry)
    }

    /// Notes that the program freed a block of another heap.
    #[inline(always)]
    fn note_sent(&self, entry: Entry) {
        self.note_own(-1, -(entry.geometry().size as isize));
    }

    /// Sends `block` to the owner that `entry` names: in a batch, or by itself where there is no metadata for one. A
    /// block that was sent just before is reported, and the first of a batch if the owner freed it lately.
    pub(in crate::heap) fn send(&self, shared: Shared<'_>, entry: Entry, class: Class, block: *mut u8, side: Side) {
        if side == Side::Inner {
            shared.note_leaving(block);
        }
        // A batch that an interrupted call is adding to is neither to be sent nor to be added to.
        let may_collect = side == Side::Inner || !self.outbox.is_joining();
        let Some(batch) = may_collect.then(|| self.collecting(shared, key_of(entry), side)).flatten() else {
            return deliver_or_report(shared, block);
        };
        // The owner's bin is far away for this processor, so only the first block of a batch is compared with it.
        let is_first = side == Side::Outer && batch.len() == 0 && !entry.is_central();
        if batch.has_near(block) || is_first && Heap::of_entry(entry).other_has_lately(class, block) {
            return Refused::Double.report("free", block, class.size());
        }
        if !batch.push(block, entry, class.geometry()) {
            self.outbox.place(key_of(entry), side).set(core::ptr::null());
            self.send_batch(shared, batch);
        }
    }

    /// Sends all blocks of the outbox; the batches of the outer side stay in their places. The caller holds the spans.
    pub(in crate::heap) fn send_all(&self, shared: Shared<'_>) {
        self.empty_side(shared, Side::Inner);
        for place in self.outbox.places(Side::Outer) {
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
        self.empty_side(shared, Side::Outer);
        self.empty_side(shared, Side::Inner);
        self.outbox.end_join();
    }

    fn empty_side(&self, shared: Shared<'_>, side: Side) {
        for place in self.outbox.places(side) {
            // SAFETY: a place holds null or a valid batch of this heap's.
            if let Some(batch) = unsafe { place.replace(core::ptr::null()).as_ref() } {
                self.send_batch(shared, batch);
            }
        }
    }

    /// The batch that collects for `key`. Sends another batch that has its place first.
    fn collecting<'a>(&'a self, shared: Shared<'a>, key: usize, side: Side) -> Option<&'a Batch> {
        if let Some(batch) = self.outbox.batch_for(key, side) {
            return Some(batch);
        }
        let place = self.outbox.place(key, side);
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
    /// Empties the transfer caches: their blocks return to their spans.
    pub(crate) fn empty_caches(self) {
        for class in Class::all() {
            while let Some(batch) = self.central.take_batch(class) {
                deliver_each(self, batch);
            }
        }
    }

    /// Tells the mode in force of a block that is about to be sent, if it wants to know.
    fn note_leaving(self, block: *mut u8) {
        if let Some(transit) = self.registry.transit.get() {
            (transit.leaves)(block);
        }
    }
}

/// Delivers each block of a batch by itself, and releases the batch.
pub(in crate::heap) fn deliver_each(shared: Shared<'_>, batch: &Batch) {
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
