#![expect(unsafe_code, reason = "places slots in metadata, and looks at bytes of blocks")]
//! The quarantine of a heap: for each class a bounded number of slots, out of line. A block that the heap's thread frees
//! takes a slot at random, and the block that was there leaves. So a program cannot foresee when a block is used again.
//!
//! # Invariants
//! - A block in a slot is all zeroes unless the program wrote to it after it was freed.
//! - Only the heap's thread uses the slots. One instruction changes one, so a handler that interrupts the thread finds
//!   each block once. In the child of a fork the slots stay with the heap, for the next thread that gets it.

use core::cell::Cell;

use crate::base::class;
use crate::base::class::Class;
use crate::heap::FastHeap;
use crate::pages::map::BIN_BYTES;
use crate::process::state::PROCESS;
use crate::sys::atomic::Ordering;
use crate::sys::cell::{Slot, Slots};
use crate::sys::{processor, zeroes};

/// Slots of a class: powers of two between these.
const SLOTS_MIN: usize = 4;
const SLOTS_MAX: usize = 256;

/// The slots of one class.
#[repr(C)]
pub(super) struct Waiting {
    /// The first slot: `first` before the class has others.
    slots: Cell<*mut Slot>,
    /// Slots, less one.
    mask: Cell<usize>,
    /// Where the block waits until the class has slots of its own.
    first: Slot,
    unused: usize,
}

/// The part of the mode that lies with a heap. All-zero bytes are a heap without slots.
#[repr(C)]
pub(super) struct Kept {
    classes: [Waiting; class::COUNT],
    random: Cell<u64>,
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
    /// Makes the state of a heap that has none; nothing if there is no memory for it.
    pub(super) fn make(heap: &FastHeap, seed: u64) {
        if Self::of(heap).is_some() {
            return;
        }
        let Some(piece) = PROCESS.central.pages.acquire_zeroed(size_of::<Self>()) else { return };
        // Relaxed: only the heap's thread reads it, which this is.
        heap.heap().thread.mode.store(piece, Ordering::Relaxed);
        if let Some(kept) = Self::of(heap) {
            kept.random.set(seed);
            kept.classes.iter().for_each(|waiting| waiting.slots.set(waiting.first_slot()));
        }
    }

    /// That of `heap`, which is the calling thread's.
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

    /// The slots of `class`. Makes as many as are needed for `bytes` of blocks to wait, if there is memory for them.
    pub(super) fn slots_of(&self, class: Class, bytes: usize) -> Option<&Waiting> {
        let waiting = self.classes.get(class.index())?;
        if waiting.slots.get() == waiting.first_slot() && bytes > 0 {
            let count = 1_usize << (bytes / class.size()).clamp(SLOTS_MIN, SLOTS_MAX).ilog2();
            if let Some(piece) = PROCESS.central.pages.acquire_zeroed(count * size_of::<Slot>()) {
                // The block of `first` moves to the first slot. A handler that comes between uses slots of either kind.
                let first = Place(waiting.first_slot());
                let block = first.get_block();
                waiting.slots.set(piece.cast());
                waiting.mask.set(count - 1);
                if first.replace(block, core::ptr::null_mut()) {
                    let _ = Place(piece.cast()).replace(core::ptr::null_mut(), block);
                }
            }
        }
        Some(waiting)
    }

    /// A random number. The next one depends on `secret`, too, a number that the program does not know.
    #[inline(always)]
    pub(super) fn draw(&self, secret: u64) -> usize {
        const BITS: u32 = u8::BITS;
        let next = self.random.get().wrapping_add(secret);
        self.random.set(next);
        (next >> (u64::BITS - BITS)) as usize
    }

    /// Takes all blocks out.
    pub(super) fn empty(&self, mut take: impl FnMut(*mut u8, Class)) {
        for class in Class::all() {
            let Some(waiting) = self.classes.get(class.index()) else { return };
            for place in waiting.places() {
                let block = place.get_block();
                if !block.is_null() && place.replace(block, core::ptr::null_mut()) {
                    take(block, class);
                }
            }
        }
    }

    /// Calls `see` with each block.
    pub(super) fn each(&self, mut see: impl FnMut(*mut u8, Class)) {
        for (class, waiting) in Class::all().zip(&self.classes) {
            waiting.places().map(Place::get_block).filter(|block| !block.is_null()).for_each(|block| see(block, class));
        }
    }
}

/// A slot.
#[derive(Clone, Copy)]
pub(super) struct Place(*mut Slot);

impl Place {
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

    fn places(&self) -> impl Iterator<Item = Place> + '_ {
        (0..=self.mask.get()).map(|index| Place(self.slots.get().wrapping_add(index)))
    }

    /// The slot that `drawn` decides.
    #[inline(always)]
    pub(super) fn place(&self, drawn: usize) -> Place {
        Place(self.slots.get().wrapping_add(drawn & self.mask.get()))
    }
}

/// Whether a block of the quarantine is as it was left: zeroes.
pub(super) fn is_untouched(block: *mut u8, whole: usize) -> bool {
    // SAFETY: blocks of the quarantine have so many bytes, which are readable.
    unsafe { zeroes::is_clear(block, whole) }
}
