#![expect(unsafe_code, reason = "finds bins by their offsets; the thread's word names it")]
//! The fast paths of malloc and free, and the part of a heap that they read, in the order in which they read it.
//!
//! ```text
//! malloc(size)            free(block)
//! |- size <= 1024, or     |- the page map says: a span of this heap
//! |  |  of another class  |  |- a block starts there, and it is none of the last two: push the bin
//! |  |- pop the bin       |  '- full, or not proven: miss
//! |  '- empty: miss       '- anything else: miss
//! '- anything else: miss
//! ```
//! A miss takes the second path, which the heap names ([`super::second_path`]).
//!
//! A thread without a heap, a thread inside its heap, and modes that see every call use the inert heap, in which every
//! fast path fails: its one visible bin has neither a block nor room, no request fits the other bins, and its map has
//! no entries. `miss` is the caller's, so that errno and exceptions stay with the API. Must not know spans.

use core::arch::global_asm;
use core::cell::Cell;

use super::bin::{Bin, NOTHING};
use super::second_path::{CLOSED, DEFAULT, SecondPath};
use crate::base::class::{self, Class, FAST_CLASSES, FAST_MAX};
use crate::base::units::REGION_SHIFT;
use crate::pages::map::{BIN_BYTES, BINS_BYTES};
use crate::pages::{Entry, Space};
use crate::sys::atomic::{AtomicPtr, AtomicU16, AtomicUsize, Ordering};
use crate::sys::cell::{Relaxed, Slot};
use crate::sys::{processor, tls};

/// The part of a heap that the fast path reads. Belongs to the heap's thread. A thread that holds the heap's spans may
/// write `limit` and the `Relaxed` fields, to close the fast path: an operation reads each of them once, and counts as
/// begun earlier if it reads the old value.
#[repr(C)]
pub(crate) struct FastHeap {
    bins: [Bin; class::COUNT],
    /// Where the data area begins.
    pub(super) base: Cell<usize>,
    /// How many map entries free reads, from the first on; 0 where every free takes the slow path. Written by the
    /// heap's thread, and by threads that close the heap; entries below an old value can still be read.
    pub(super) limit: AtomicUsize,
    /// Where the map's first entry is.
    pub(super) map: Cell<*const AtomicUsize>,
    /// Largest request that a bin of this heap can serve.
    medium_max: Relaxed<AtomicUsize>,
    /// For each request of up to `FAST_MAX` bytes where its bin is, in bytes from the start of the heap.
    offsets: [Relaxed<AtomicU16>; FAST_MAX + 1],
    /// The functions that a miss calls. Written by the heap's thread, and by threads that close the heap.
    pub(super) second: AtomicPtr<SecondPath>,
    /// How many map entries the second path reads, whether or not `limit` lets free read them.
    pub(super) reach: Cell<usize>,
    /// The first word of a bin that is always empty: all sizes lead to it while the second path sees every request.
    always_empty: Cell<*mut Slot>,
    /// The count up to which requests are not sampled; 0 where none is.
    pub(super) until: Cell<usize>,
    /// Which bits of a request's size count.
    pub(super) counted: Cell<usize>,
    /// A bit for each class that no coarse one serves any more ([`FastHeap::split`]). Written and read by the heap's
    /// thread, and by the one that prepares the heap for it.
    split: Cell<u64>,
}

// SAFETY: only the heap's thread uses the cells; the inert heap is never written.
unsafe impl Sync for FastHeap {}

const _: () = assert!(core::mem::offset_of!(FastHeap, base) == BINS_BYTES);

/// The table of offsets while no requests are sampled.
pub(super) static OFFSETS: [u16; FAST_MAX + 1] = {
    let mut table = [0; FAST_MAX + 1];
    let mut size = 0;
    while size <= FAST_MAX {
        table[size] = FAST_CLASSES[size] as u16 * BIN_BYTES as u16;
        size += 1;
    }
    table
};

/// The offset of the bin that is always empty.
const ALWAYS_EMPTY: u16 = core::mem::offset_of!(FastHeap, always_empty) as u16;

const _: () = assert!(core::mem::offset_of!(FastHeap, always_empty) <= u16::MAX as usize);

/// Offsets of the words that other threads may write.
const LIMIT: usize = core::mem::offset_of!(FastHeap, limit);
const MEDIUM_MAX: usize = core::mem::offset_of!(FastHeap, medium_max);
const TABLE: usize = core::mem::offset_of!(FastHeap, offsets);
pub(super) const REACH: usize = core::mem::offset_of!(FastHeap, reach);

/// The inert heap, for threads without a heap of their own.
static INERT: FastHeap = FastHeap::inert();

global_asm!(
    ".pushsection .tdata.spandrel, \"awT\", @progbits",
    ".balign 8",
    ".hidden spandrel_tls_fast",
    ".globl spandrel_tls_fast",
    ".type spandrel_tls_fast, @object",
    "spandrel_tls_fast: .quad {inert}",
    ".size spandrel_tls_fast, 8",
    ".popsection",
    inert = sym INERT,
);

impl FastHeap {
    const fn inert() -> Self {
        Self {
            bins: [const { Bin::unused() }; class::COUNT],
            base: Cell::new(0),
            limit: AtomicUsize::new(0),
            map: Cell::new(core::ptr::null()),
            medium_max: Relaxed::<AtomicUsize>::new(0),
            // So no bin is seen, and needs no pointer, which the loader would write on a page that nothing else is on.
            offsets: [const { Relaxed::<AtomicU16>::new(ALWAYS_EMPTY) }; FAST_MAX + 1],
            second: AtomicPtr::new(core::ptr::from_ref(&CLOSED).cast_mut()),
            reach: Cell::new(0),
            always_empty: Cell::new(NOTHING.slot()),
            until: Cell::new(0),
            counted: Cell::new(0),
            split: Cell::new(0),
        }
    }

    #[inline(always)]
    pub(crate) fn inert_address() -> usize {
        core::ptr::from_ref(&INERT).addr()
    }

    /// The fast heap at `address`.
    ///
    /// # Safety
    /// - The address comes from `tls::fast_heap`.
    #[inline(always)]
    pub(crate) unsafe fn at(address: usize) -> &'static Self {
        // SAFETY: the word names the inert heap or a heap, which starts with its fast heap; neither is ever unmapped.
        unsafe { &*core::ptr::with_exposed_provenance::<Self>(address) }
    }

    #[inline(always)]
    pub(crate) fn current() -> &'static Self {
        // SAFETY: the thread's word always names the inert heap or a heap.
        unsafe { Self::at(tls::fast_heap()) }
    }

    /// Prepares a zeroed fast heap for a thread.
    pub(super) fn ready(&self, space: &Space) {
        for class in Class::all() {
            let bin = self.bin(class);
            bin.forget();
            bin.set_proof(class.geometry().proof());
        }
        self.always_empty.set(NOTHING.slot());
        let [base, map] = space.window();
        self.base.set(base);
        self.map.set(core::ptr::with_exposed_provenance(map));
        self.reopen(space, &DEFAULT);
        self.set_sampled(0, 0);
    }

    /// The class whose blocks serve requests of `class` here: its coarse class until [`FastHeap::split`].
    #[inline]
    pub(crate) fn serving(&self, class: Class) -> Class {
        let coarse = class.coarse();
        // Only a class of the table has another coarse class than itself, so it has a bit.
        if coarse == class || self.split.get() >> class.index() & 1 != 0 { class } else { coarse }
    }

    /// Has blocks of its own serve requests of `class` from now on. For the heap's thread.
    pub(super) fn split(&self, class: Class) {
        self.split.set(self.split.get() | 1 << class.index());
        let (place, own) = (class.index() * class::LINEAR_STEP, (class.index() * BIN_BYTES) as u16);
        // A closed table stays closed: it is made anew when it opens.
        let sizes = self.offsets.get(place + 1 - class::LINEAR_STEP..=place).unwrap_or(&[]);
        sizes.iter().filter(|place| place.get() != ALWAYS_EMPTY).for_each(|place| place.set(own));
    }

    /// Has coarse classes serve all requests at first, or none; for the next thread, before the fast path opens.
    pub(super) fn merge(&self, merges: bool) {
        self.split.set(if merges { 0 } else { u64::MAX });
    }

    /// Leads requests to the bins that serve their sizes, or all of them to the second path.
    pub(super) fn lead(&self, to_bins: bool) {
        let mut size = 0;
        for class in Class::all() {
            let offset = if to_bins { (self.serving(class).index() * BIN_BYTES) as u16 } else { ALWAYS_EMPTY };
            let sizes = self.offsets.get(size..=class.size()).unwrap_or(&[]);
            sizes.iter().for_each(|place| place.set(offset));
            size += sizes.len();
        }
        self.medium_max.set(if to_bins { class::SMALL_MAX } else { 0 });
    }

    #[inline(always)]
    pub(crate) fn is_sampled(&self) -> bool {
        self.until.get() != 0
    }

    /// The start of this structure, for reads of words that other threads may write.
    #[inline(always)]
    pub(super) fn start(&self) -> *const u8 {
        core::ptr::from_ref(self).cast()
    }

    /// The address of the heap, by which map entries name it as the owner.
    #[inline(always)]
    pub(crate) fn address(&self) -> usize {
        core::ptr::from_ref(self).addr()
    }

    /// A block for a request of `size` bytes, at most `FAST_MAX`; null if there is none in the bin.
    #[inline(always)]
    pub(crate) fn pop_fast(&self, size: usize) -> *mut u8 {
        // SAFETY: the caller keeps `size` within the table, which has one place more than `FAST_MAX`.
        let offset = unsafe { processor::load_u16::<TABLE>(self.start(), size) };
        // SAFETY: the table holds offsets of this heap's bins; the inert heap's lead all to its one empty bin.
        unsafe { Bin::pop_at(core::ptr::from_ref(self).cast(), offset) }
    }

    /// As [`FastHeap::pop_fast`], for a request above `FAST_MAX`.
    #[inline(always)]
    fn pop_medium(&self, size: usize) -> *mut u8 {
        // SAFETY: the word is a field of this structure.
        if !unsafe { processor::is_at_most::<MEDIUM_MAX>(size, self.start()) } {
            return core::ptr::null_mut();
        }
        // SAFETY: the offset is that of a bin of this heap; the inert heap's word is 0.
        unsafe { Bin::pop_at(core::ptr::from_ref(self).cast(), Class::of_medium(size).index() * BIN_BYTES) }
    }

    /// The bin `offset` bytes from the start of the heap, an offset from the table or from a map entry.
    #[inline(always)]
    fn bin_at(&self, offset: usize) -> &Bin {
        debug_assert!(offset < BINS_BYTES && offset.is_multiple_of(BIN_BYTES));
        let bin = core::ptr::from_ref(self).cast::<u8>().wrapping_add(offset).cast::<Bin>();
        // SAFETY: the offset is that of a bin of this heap.
        unsafe { &*bin }
    }

    /// The bin for a request above `FAST_MAX`; `None` if no bin of this heap can serve it.
    #[inline(always)]
    pub(crate) fn bin_of_medium(&self, size: usize) -> Option<&Bin> {
        // SAFETY: the word is a field of this structure.
        let can_be = unsafe { processor::is_at_most::<MEDIUM_MAX>(size, self.start()) };
        can_be.then(|| self.bin(Class::of_medium(size)))
    }

    /// Usable bytes of a block that starts at `block` in a span of this heap; `None` for all others, and where the bin
    /// cannot prove it.
    #[inline(always)]
    pub(crate) fn bytes_of_block(&self, block: *mut u8) -> Option<usize> {
        let bin = self.bin_of_block(block)?;
        if !bin.proves_start(block) || bin.has_near(block) {
            return None;
        }
        Some(self.class_of(bin)?.size())
    }

    /// As [`FastHeap::bin_of_block`], but `None` also unless requests of `size` bytes are served by that bin.
    #[inline(always)]
    pub(crate) fn bin_of_sized_block(&self, block: *mut u8, size: usize) -> Option<&Bin> {
        let bin = self.bin_of_block(block)?;
        if size > FAST_MAX {
            return self.bin_of_medium(size).filter(|&expected| core::ptr::eq(expected, bin));
        }
        // SAFETY: the size was just compared with the last place of the table.
        let offset = unsafe { processor::load_u16::<TABLE>(self.start(), size) };
        (core::ptr::from_ref(bin).addr() - self.address() == offset).then_some(bin)
    }

    /// Whether spans of the class of `bin`, one of this heap's, are one region.
    pub(super) fn is_single(&self, bin: &Bin) -> bool {
        self.class_of(bin).is_some_and(|class| class.geometry().regions == 1)
    }

    #[inline(always)]
    fn class_of(&self, bin: &Bin) -> Option<Class> {
        Class::from_index((core::ptr::from_ref(bin).addr() - self.address()) / BIN_BYTES)
    }

    /// Adds `block` to the bin of its span; false unless the map says that the block is in a span of this heap, and if
    /// the bin refuses it. This is the fast path's whole test: remote, large, foreign, wild and null pointers all fail
    /// it, and so do those into a block and those freed a moment ago.
    #[inline(always)]
    pub(crate) fn push_fast(&self, block: *mut u8) -> bool {
        self.with_entry(block, false, |entry| self.is_own(entry) && Self::bin_of_entry(entry).push(block))
    }

    /// The bin of `block`; `None` unless the map says that the block is in a span of this heap.
    #[inline(always)]
    pub(crate) fn bin_of_block(&self, block: *mut u8) -> Option<&Bin> {
        self.with_entry(block, None, |entry| self.is_own(entry).then(|| Self::bin_of_entry(entry)))
    }

    #[inline(always)]
    pub(super) fn is_own(&self, entry: Entry) -> bool {
        entry.bits() ^ self.address() < BINS_BYTES
    }

    /// The bin whose address `entry` is, one of this heap's.
    #[inline(always)]
    pub(super) fn bin_of_entry<'a>(entry: Entry) -> &'a Bin {
        // SAFETY: the entry is this heap's, as callers checked, so a bin lies there; heaps are never unmapped.
        unsafe { &*core::ptr::with_exposed_provenance::<Bin>(entry.bits()) }
    }

    /// Calls `look` with the map entry of `block`, or returns `outside`: an optional entry would cost the fast path a
    /// test.
    #[inline(always)]
    fn with_entry<R>(&self, block: *mut u8, outside: R, look: impl FnOnce(Entry) -> R) -> R {
        self.with_entry_below::<LIMIT, R>(block, outside, look)
    }

    /// `BOUND` is the offset of the word that says how many entries there are.
    #[inline(always)]
    pub(super) fn with_entry_below<const BOUND: usize, R>(
        &self,
        block: *mut u8,
        outside: R,
        look: impl FnOnce(Entry) -> R,
    ) -> R {
        // Below the data area this is more than any bound.
        let index = block.addr().wrapping_sub(self.base.get()) >> REGION_SHIFT;
        // SAFETY: the bound is a field of this structure.
        if !unsafe { processor::is_below::<BOUND>(index, core::ptr::from_ref(self).cast()) } {
            return outside;
        }
        // SAFETY: entries below either bound can be read for the life of the process; the inert heap's are 0.
        let word = unsafe { &*self.map.get().wrapping_add(index) };
        // Relaxed: a block's entry was written before the block was handed out.
        look(Entry::from_bits(word.load(Ordering::Relaxed)))
    }

    #[inline(always)]
    pub(crate) fn bin(&self, class: Class) -> &Bin {
        self.bin_at(class.index() * BIN_BYTES)
    }
}

/// A block of at least `size` bytes, or the result of `miss`.
#[inline(always)]
pub(crate) fn malloc(size: usize, miss: impl Fn(usize, &FastHeap) -> *mut u8) -> *mut u8 {
    let heap = FastHeap::current();
    let block = if size > FAST_MAX { heap.pop_medium(size) } else { heap.pop_fast(size) };
    if block.is_null() { miss(size, heap) } else { block }
}

/// As [`malloc`], for a block that is filled with zeroes.
#[inline(always)]
pub(crate) fn zeroed(size: usize, miss: impl Fn(usize, &FastHeap) -> *mut u8) -> *mut u8 {
    let heap = FastHeap::current();
    let block = malloc(size, |_, _| core::ptr::null_mut());
    if block.is_null() {
        return miss(size, heap);
    }
    // SAFETY: the block was just allocated with that many bytes, and the program does not have it yet.
    unsafe { block.write_bytes(0, size) };
    block
}

/// As [`malloc`], for a block at a multiple of `align`, a power of two. `miss` gets alignment and size.
#[inline(always)]
pub(crate) fn aligned(align: usize, size: usize, miss: impl Fn(usize, usize, &FastHeap) -> *mut u8) -> *mut u8 {
    match Class::rounded(size, align) {
        Some(rounded) => malloc(rounded, |_, heap| miss(align, size, heap)),
        None => miss(align, size, FastHeap::current()),
    }
}

/// Usable bytes of `block`, where the fast path can tell.
#[inline(always)]
pub(crate) fn bytes_of(block: *mut u8) -> Option<usize> {
    FastHeap::current().bytes_of_block(block)
}

/// As [`free`], for a caller that names the size: blocks of another class are left to `miss`.
#[inline(always)]
pub(crate) fn free_sized(block: *mut u8, size: usize, miss: impl Fn(*mut u8, usize)) {
    match FastHeap::current().bin_of_sized_block(block, size) {
        Some(bin) if bin.push(block) => {}
        _ => miss(block, size),
    }
}

/// Frees `block`, or has `miss` do it, which finds the heap anew: to keep its address would cost an instruction.
#[inline(always)]
pub(crate) fn free(block: *mut u8, miss: impl Fn(*mut u8)) {
    if !FastHeap::current().push_fast(block) {
        miss(block);
    }
}
