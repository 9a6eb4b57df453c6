#![expect(unsafe_code, reason = "finds bins by their offsets; the thread's word names it")]
//! The fast paths of malloc and free, and the part of a heap that they read, in the order in which they read it.
//!
//! ```text
//! malloc(size)            free(block)
//! |- size <= 1024, or     |- the page map says: a span of this heap
//! |  |  a larger class    |  |- a block starts there, and it is not one of the last two: push it to the bin
//! |  |- pop the bin       |  '- the bin is full, or the proof fails: miss
//! |  '- empty: miss       '- anything else: miss
//! '- anything else: miss
//! ```
//! A miss takes the second path, to which the heap has a pointer ([`super::second_path`]).
//!
//! A thread without a heap, a thread inside the allocator, and modes without a fast path use the inert heap, on which
//! every fast path fails: all sizes lead to one bin that has neither a block nor room, and its map has no entries. The
//! caller supplies `miss`, so that errno and exceptions stay in the API. Must not know spans.

use core::arch::global_asm;
use core::cell::Cell;

use super::bin::{Bin, NOTHING};
use super::second_path::{ALWAYS_EMPTY, CLOSED, DEFAULT, SecondPath};
use crate::base::class::{self, Class, FAST_MAX};
use crate::base::units::REGION_SHIFT;
use crate::pages::map::{BIN_BYTES, BINS_BYTES, HEAP_ALIGN};
use crate::pages::{Entry, Space, Word};
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
    pub(super) medium_max: Relaxed<AtomicUsize>,
    /// For each request of up to `FAST_MAX` bytes where its bin is, in bytes from the start of the heap.
    pub(super) offsets: [Relaxed<AtomicU16>; FAST_MAX + 1],
    /// The functions that a miss calls. Written by the heap's thread, and by threads that close the heap.
    pub(super) second: AtomicPtr<SecondPath>,
    /// How many map entries the second path reads, whether or not `limit` lets free read them.
    pub(super) reach: Cell<usize>,
    /// The first word of a bin that is always empty: all sizes lead to it while the second path sees every request.
    pub(super) always_empty: Cell<*mut Slot>,
    /// The count up to which requests are not sampled; 0 where none is.
    pub(super) until: Cell<usize>,
    /// Which bits of a request's size count.
    pub(super) counted: Cell<usize>,
    /// A bit for each class that no coarse one serves any more ([`FastHeap::split`]). Written and read by the heap's
    /// thread, and by the one that prepares the heap for it.
    pub(super) split: Cell<u64>,
}

// SAFETY: only the heap's thread uses the cells; the inert heap is never written.
unsafe impl Sync for FastHeap {}

const _: () = assert!(core::mem::offset_of!(FastHeap, base) == BINS_BYTES);

/// The table of offsets of medium requests. The first places are those of requests that the other table serves.
static MEDIUM_OFFSETS: [u16; class::MEDIUM_STEPS] = {
    let mut table = [0; class::MEDIUM_STEPS];
    let mut step = 0;
    while step < class::MEDIUM_STEPS {
        table[step] = class::MEDIUM_CLASSES[step] as u16 * BIN_BYTES as u16;
        step += 1;
    }
    table
};

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
    pub(super) fn pop_medium(&self, size: usize) -> *mut u8 {
        // SAFETY: the word is a field of this structure.
        if !unsafe { processor::is_at_most::<MEDIUM_MAX>(size, self.start()) } {
            return core::ptr::null_mut();
        }
        // SAFETY: the offset is that of a bin of this heap; the inert heap's word is 0.
        unsafe { Bin::pop_at(core::ptr::from_ref(self).cast(), Self::offset_of_medium(size)) }
    }

    /// Where the bin of a request above `FAST_MAX` and not above `SMALL_MAX` is.
    #[inline(always)]
    fn offset_of_medium(size: usize) -> usize {
        // SAFETY: the table has a place for every such request.
        usize::from(unsafe { *MEDIUM_OFFSETS.get_unchecked(class::step_of(size)) })
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
        can_be.then(|| self.bin_at(Self::offset_of_medium(size)))
    }

    /// Usable bytes of a block that starts at `block` in a span of this heap; `None` for all others.
    #[inline(always)]
    pub(crate) fn bytes_of_block(&self, block: *mut u8) -> Option<usize> {
        let word = self.with_entry(block, None, Some)?;
        let (bin, starts) = if self.is_own(word) {
            let bin = Self::bin_of(word.plain());
            (bin, bin.proves_start(block))
        } else if self.is_own_spanning(word) {
            let (place, entry) = word.split(block);
            let bin = Self::bin_of(entry);
            (bin, bin.proves_place(place))
        } else {
            return None;
        };
        if !starts || bin.has_near(block) {
            return None;
        }
        Some(self.class_of(bin)?.size())
    }

    /// As [`FastHeap::push_fast`], for a block whose word in the map is `word`, if requests of `size` bytes are served
    /// by its bin.
    #[inline(always)]
    pub(super) fn push_sized(&self, word: Word, block: *mut u8, size: usize) -> bool {
        if size > FAST_MAX {
            let Some(bin) = self.bin_of_medium(size) else { return false };
            let address = core::ptr::from_ref(bin).addr();
            if word.bits() == address {
                return bin.push(block);
            }
            return word.entry().bits() == address && self.push_own_spanning(word, block);
        }
        // SAFETY: the size was just compared with the last place of the table.
        let offset = unsafe { processor::load_u16::<TABLE>(self.start(), size) };
        word.bits() ^ self.address() == offset && Self::bin_of(word.plain()).push(block)
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
        self.with_entry(block, false, |word| self.push_own(word, block))
    }

    /// As [`FastHeap::push_fast`], for a block whose word in the map is `word`.
    #[inline(always)]
    pub(super) fn push_own(&self, word: Word, block: *mut u8) -> bool {
        if self.is_own(word) {
            return Self::bin_of(word.plain()).push(block);
        }
        self.push_own_spanning(word, block)
    }

    /// As [`FastHeap::push_own`], of a word that [`FastHeap::is_own`] refused.
    #[inline(always)]
    fn push_own_spanning(&self, word: Word, block: *mut u8) -> bool {
        if !self.is_own_spanning(word) {
            return false;
        }
        let (place, entry) = word.split(block);
        Self::bin_of(entry).push_spanning(block, place)
    }

    /// The bin of `block`; `None` unless the map says that the block is in a span of this heap, of a class that is not
    /// a spanning one.
    #[inline(always)]
    pub(crate) fn bin_of_block(&self, block: *mut u8) -> Option<&Bin> {
        self.with_entry(block, None, |word| self.is_own(word).then(|| Self::bin_of(word.plain())))
    }

    /// Whether `word` is that of a span of this heap, of a class that is not a spanning one.
    #[inline(always)]
    pub(super) fn is_own(&self, word: Word) -> bool {
        word.bits() ^ self.address() < BINS_BYTES
    }

    /// Whether `word`, which [`FastHeap::is_own`] refused, is that of a span of this heap, of a spanning class then.
    #[inline(always)]
    pub(super) fn is_own_spanning(&self, word: Word) -> bool {
        word.bits() ^ self.address() < HEAP_ALIGN
    }

    /// The bin whose address `entry` is, one of this heap's.
    #[inline(always)]
    fn bin_of<'a>(entry: Entry) -> &'a Bin {
        // SAFETY: the entry is this heap's, as callers checked, so a bin lies there; heaps are never unmapped.
        unsafe { &*core::ptr::with_exposed_provenance::<Bin>(entry.bits()) }
    }

    /// Calls `look` with the map's word for the region of `block`, or returns `outside`: an optional word would cost
    /// the fast path a test.
    #[inline(always)]
    fn with_entry<R>(&self, block: *mut u8, outside: R, look: impl FnOnce(Word) -> R) -> R {
        self.with_entry_below::<LIMIT, R>(block, outside, look)
    }

    /// `BOUND` is the offset of the word that says how many entries there are.
    #[inline(always)]
    pub(super) fn with_entry_below<const BOUND: usize, R>(
        &self,
        block: *mut u8,
        outside: R,
        look: impl FnOnce(Word) -> R,
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
        look(Word::from_bits(word.load(Ordering::Relaxed)))
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
    let heap = FastHeap::current();
    // 0 stands for an address outside: it leads to no bin. A closure with the whole test would not be inlined.
    let word = heap.with_entry(block, Word::from_bits(0), |word| word);
    if !heap.push_sized(word, block, size) {
        miss(block, size);
    }
}

/// Frees `block`, or has `miss` do it, which finds the heap anew: to keep its address would cost an instruction.
#[inline(always)]
pub(crate) fn free(block: *mut u8, miss: impl Fn(*mut u8)) {
    if !FastHeap::current().push_fast(block) {
        miss(block);
    }
}
