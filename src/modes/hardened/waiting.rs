#![expect(unsafe_code, reason = "places slots in metadata, and looks at bytes of blocks")]
//! The quarantine of a heap: for each class a bounded number of slots, out of line. A block that the heap's thread
//! frees takes a slot at random, and the block that was there leaves. So a program cannot foresee when a block is used
//! again.
//!
//! A class begins with few slots, and gets more as the heap takes blocks of it: what waits is in proportion to what the
//! program uses, and what it uses stays in the processor's caches. Beside many heaps one has fewer slots.
//!
//! # Invariants
//! - An array of slots stays where it is as long as the heap has its thread, because a handler may interrupt an operation
//!   that has found its slot.
//! - A block in a slot is all zeroes unless the program wrote to it after it was freed.
//! - Only the heap's thread uses the slots. One instruction changes one, so a handler that interrupts the thread finds
//!   each block once. In the child of a fork the slots stay with the heap, for the next thread that gets it.

use core::cell::Cell;

use crate::base::class;
use crate::base::class::Class;
use crate::base::units::KIB;
use crate::heap::{FastHeap, Heap};
use crate::pages::map::BIN_BYTES;
use crate::process::state::PROCESS;
use crate::sys::atomic::Ordering;
use crate::sys::cell::{Slot, Slots};
use crate::sys::{processor, zeroes};

/// Slots of a class: powers of two between these.
const SLOTS_MIN: usize = 4;
const SLOTS_MAX: usize = 256;
/// A class begins with slots for so many bytes of blocks, a number of slots between these.
const FIRST_BYTES: usize = 2 * KIB;
const FIRST_MIN: usize = 8;
const FIRST_MAX: usize = 32;
/// A class has one slot for so many blocks in full spans of the heap, if those are more than it begins with.
const BLOCKS_PER_SLOT: usize = 8;
/// So many heaps may have all slots that the option allows; further ones share as many among all.
const FULL_HEAPS: usize = 8;

/// The slots of one class.
#[repr(C)]
pub(super) struct Waiting {
    /// The first slot: `first` before the class has others.
    slots: Cell<*mut Slot>,
    /// Slots in use, less one.
    mask: Cell<usize>,
    /// Where the block waits until the class has slots of its own.
    first: Slot,
    /// Slots of the array; 0 before there is one.
    room: Cell<usize>,
}

/// The part of the mode that lies with a heap. All-zero bytes are a heap without slots.
#[repr(C)]
pub(super) struct Kept {
    classes: [Waiting; class::COUNT],
    random: Cell<u64>,
    /// Bytes of each class that may wait.
    bytes: Cell<usize>,
}

/// The kept state of a class lies as far behind its start as the bin of the class behind that of the heap.
const _: () = assert!(size_of::<Waiting>() == BIN_BYTES);

/// The fate of a block that went into the quarantine.
#[must_use]
pub(super) enum Left {
    /// There was room.
    None,
    /// This block left in its place, and is all zeroes.
    Clean(*mut u8),
    /// This block left, and something has written to it since it was freed.
    Written(*mut u8),
}

impl Kept {
    /// Prepares the state of a heap whose thread begins, one of so many `heaps` that have a thread; makes it, if there
    /// is memory for it. `bytes` of each class may wait beside few heaps.
    pub(super) fn begin(heap: &FastHeap, seed: u64, bytes: usize, heaps: usize) {
        if Self::of(heap).is_none() {
            let Some(piece) = PROCESS.central.pages.acquire_zeroed(size_of::<Self>()) else { return };
            // Relaxed: only the heap's thread reads it, which this is.
            heap.heap().thread.mode.store(piece, Ordering::Relaxed);
            if let Some(kept) = Self::of(heap) {
                kept.random.set(seed);
                kept.classes.iter().for_each(|waiting| waiting.slots.set(waiting.first_slot()));
            }
        }
        if let Some(kept) = Self::of(heap) {
            let share = bytes / (heaps.next_power_of_two() / FULL_HEAPS).max(1);
            if kept.bytes.replace(share) != share {
                Class::all().zip(&kept.classes).for_each(|(class, waiting)| waiting.fit(slots_for(class, share)));
            }
        }
    }

    /// That of `heap`, which is the calling thread's, or whose spans that holds.
    #[inline(always)]
    pub(super) fn of(heap: &FastHeap) -> Option<&Self> {
        // Relaxed: this thread stored it, or the one that had the heap before, which handed it over under a lock.
        let piece = heap.heap().thread.mode.load(Ordering::Relaxed).cast::<Self>();
        // SAFETY: `make` put it there, and metadata stays for the life of the process.
        unsafe { piece.as_ref() }
    }

    /// The slots of the class whose bin lies `offset` bytes from the start of the heap.
    ///
    /// # Safety
    /// - There is such a bin.
    #[inline(always)]
    pub(super) unsafe fn at(&self, offset: usize) -> &Waiting {
        let place = core::ptr::from_ref(self).cast::<u8>().wrapping_add(offset).cast::<Waiting>();
        // SAFETY: bins and slots of classes lie at the same distances, and the class is one.
        unsafe { &*place }
    }

    /// The slots of `class`. Makes them, if there is memory for them.
    pub(super) fn slots_of(&self, class: Class) -> Option<&Waiting> {
        let waiting = self.classes.get(class.index())?;
        if waiting.room.get() == 0 && self.bytes.get() > 0 {
            waiting.make(class, slots_for(class, self.bytes.get()));
        }
        Some(waiting)
    }

    /// Gives `class` twice the slots, as often as the blocks in full spans of `heap` allow. Part of a refill.
    pub(super) fn grow(&self, heap: &Heap, class: Class) {
        let Some(waiting) = self.slots_of(class) else { return };
        let (mask, room) = (&waiting.mask, waiting.room.get());
        if mask.get() + 1 >= room {
            return;
        }
        let full = heap.blocks_in_full_spans(PROCESS.shared(), class, room * BLOCKS_PER_SLOT);
        while (mask.get() + 1) * 2 <= room.min(full / BLOCKS_PER_SLOT) {
            mask.set(mask.get() * 2 + 1);
        }
    }

    /// A random number. The next one depends on `secret`, too, a number that the program does not know.
    #[inline(always)]
    pub(super) fn draw(&self, secret: u64) -> usize {
        const BITS: u32 = u8::BITS;
        let next = self.random.get().wrapping_add(secret);
        self.random.set(next);
        (next >> (u64::BITS - BITS)) as usize
    }

    /// Takes all blocks out. The classes then have as few slots as at first.
    pub(super) fn empty(&self, mut take: impl FnMut(*mut u8, Class)) {
        for (class, waiting) in Class::all().zip(&self.classes) {
            for place in waiting.places() {
                let block = place.get_block();
                if !block.is_null() && place.replace(block, core::ptr::null_mut()) {
                    take(block, class);
                }
            }
            waiting.mask.set(first_mask(class, waiting.room.get()));
        }
    }

    /// The block in slot `number` of `class`, in use or not; null for none, and `None` behind the last slot. For the
    /// thread that holds the spans of the heap.
    pub(super) fn waiting_at(&self, class: Class, number: usize) -> Option<*mut u8> {
        let waiting = self.classes.get(class.index())?;
        let room = waiting.room.get();
        if number > room {
            return None;
        }
        let place = if number < room { waiting.slots.get().wrapping_add(number) } else { waiting.first_slot() };
        // SAFETY: a slot that exists. An operation of the heap's thread that was interrupted may go on now: then a
        // block that was here is on its way to a bin, from which nothing takes it before the spans are free.
        Some(unsafe { Slots(place).get_shared(0) })
    }

    /// Calls `see` with each block.
    pub(super) fn each(&self, mut see: impl FnMut(*mut u8, Class)) {
        for (class, waiting) in Class::all().zip(&self.classes) {
            waiting
                .places()
                .map(WaitingSlot::get_block)
                .filter(|block| !block.is_null())
                .for_each(|block| see(block, class));
        }
    }
}

/// Slots for `bytes` of blocks of `class`.
fn slots_for(class: Class, bytes: usize) -> usize {
    1 << (bytes / class.size()).clamp(SLOTS_MIN, SLOTS_MAX).ilog2()
}

/// The slots of `class` that are in use at first, less one, where there is `room` for so many.
fn first_mask(class: Class, room: usize) -> usize {
    (FIRST_BYTES / class.size()).next_power_of_two().clamp(FIRST_MIN, FIRST_MAX).min(room).saturating_sub(1)
}

/// A slot.
#[derive(Clone, Copy)]
pub(super) struct WaitingSlot(*mut Slot);

impl WaitingSlot {
    /// The block in it; null if there is none.
    #[inline(always)]
    pub(super) fn get_block(self) -> *mut u8 {
        // SAFETY: places are slots that exist.
        unsafe { Slots(self.0).get(0) }
    }

    /// Replaces the block in it by `new` if it is `old`; whether it was.
    #[inline(always)]
    pub(super) fn replace(self, old: *mut u8, new: *mut u8) -> bool {
        // SAFETY: as above; the slot is the calling thread's alone.
        unsafe { processor::exchange(self.0.cast(), old, new) }
    }

    /// Fills `block` with zeroes, unless the thread that freed it has done so, and has it wait here.
    ///
    /// # Safety
    /// - `block` has `whole` bytes, those of the class of this slot; the program freed it, and the calling thread has
    ///   it, whose heap this slot is of.
    #[inline]
    pub(super) unsafe fn exchange(self, block: *mut u8, whole: usize, filled: bool) -> Left {
        loop {
            let old = self.get_block();
            let clean = if filled {
                old.is_null() || is_untouched(old, whole)
            } else {
                let test = if old.is_null() { block } else { old };
                // SAFETY: the block is the caller's, and blocks in slots have as many bytes.
                unsafe { zeroes::fill_and_test(block, test, whole) }
            };
            if self.replace(old, block) {
                return match (old.is_null(), clean) {
                    (true, _) => Left::None,
                    (false, true) => Left::Clean(old),
                    (false, false) => Left::Written(old),
                };
            }
        }
    }
}

impl Waiting {
    fn first_slot(&self) -> *mut Slot {
        core::ptr::from_ref(&self.first).cast_mut()
    }

    /// Gives the class, of which one block may wait, an array of `room` slots.
    fn make(&self, class: Class, room: usize) {
        let Some(piece) = PROCESS.central.pages.acquire_zeroed(room * size_of::<Slot>()) else { return };
        // The block of `first` moves to the first slot. A handler that comes between uses slots of either kind.
        let first = WaitingSlot(self.first_slot());
        let block = first.get_block();
        self.slots.set(piece.cast());
        self.room.set(room);
        self.mask.set(first_mask(class, room));
        if first.replace(block, core::ptr::null_mut()) {
            let _ = WaitingSlot(piece.cast()).replace(core::ptr::null_mut(), block);
        }
    }

    /// Gives an empty array that has no `room` slots up. For a heap that no thread uses yet.
    fn fit(&self, room: usize) {
        let old = self.room.get();
        if old == 0 || old == room || self.places().any(|place| !place.get_block().is_null()) {
            return;
        }
        let array = self.slots.replace(self.first_slot());
        self.mask.set(0);
        self.room.set(0);
        // SAFETY: `make` acquired the array with these bytes, and no operation of an earlier thread goes on.
        unsafe { PROCESS.central.pages.release_metadata(array.cast(), old * size_of::<Slot>()) };
    }

    /// All slots, in use or not: an operation that a handler interrupted may have used one of them.
    fn places(&self) -> impl Iterator<Item = WaitingSlot> + '_ {
        let array = (0..self.room.get()).map(|index| WaitingSlot(self.slots.get().wrapping_add(index)));
        array.chain([WaitingSlot(self.first_slot())])
    }

    /// The slot that `drawn` decides.
    #[inline(always)]
    pub(super) fn place(&self, drawn: usize) -> WaitingSlot {
        WaitingSlot(self.slots.get().wrapping_add(drawn & self.mask.get()))
    }
}

/// Whether a block of the quarantine is as it was left: zeroes.
pub(super) fn is_untouched(block: *mut u8, whole: usize) -> bool {
    // SAFETY: blocks of the quarantine have so many bytes, which are readable.
    unsafe { zeroes::is_clear(block, whole) }
}
