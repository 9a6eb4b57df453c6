#![expect(unsafe_code, reason = "follows the word that names the functions; finds bins by their offsets")]
//! The second path: the functions to which a miss of the fast path jumps. Each heap has a pointer to a table of them,
//! so a miss costs one load and one indirect jump, and no test of the state of thread and process.
//!
//! | Table | Of which heap | What it does |
//! |---|---|---|
//! | [`DEFAULT`] | one whose fast path is open | pops where requests are sampled; adds remote frees to open batches |
//! | [`COUNTED`] | the same, in mode `counting` | the same, and counts the remote frees |
//! | [`SAMPLED_BY_CALLS`] | the same, in mode `guarded` | the same as the default, some instructions cheaper |
//! | [`CLOSED`] | the inert heap, and one that another thread closed | nothing: takes the slow path |
//! | that of a mode | one of a thread in that mode | what the mode does without locks |
//!
//! A function gets the thread's heap and `slow`, the slow path of the API's function. It serves the call, or ends with
//! a call of `slow`, which the compiler turns into a jump, so that an exception of `operator new` crosses no frame of
//! it. A function must not take locks, use spans or enter the heap; work that needs these is done by `slow`.
//!
//! A table may require a closed fast path, so that the second path gets every call: then all sizes lead to the bin that
//! is always empty, and the limit of free is 0.
//!
//! # Invariants
//! - A thread that holds the lock of a heap's spans may close the heap's second path. An operation reads the pointer
//!   once; if it reads the old table, it is treated as begun earlier. So a function may do no more than the fast path:
//!   one pop from or one push to one bin or one batch of the heap.

use super::bin::Bin;
use super::bin_drain::NEWEST;
use super::fast_path::{FastHeap, REACH};
use crate::base::class::{Class, FAST_CLASSES, FAST_MAX, LINEAR_STEP, SMALL_MAX};
use crate::pages::Word;
use crate::pages::map::BIN_BYTES;
use crate::sys::atomic::Ordering;

/// The slow path of malloc and its like: gets a size, and says in its own way that there is no block. Not a function of
/// Rust alone: that of `operator new` throws.
pub(crate) type SlowMalloc = extern "C" fn(usize) -> *mut u8;
/// As [`SlowMalloc`], of a function that gets alignment and size.
pub(crate) type SlowAligned = extern "C" fn(usize, usize) -> *mut u8;
/// The slow path of free.
pub(crate) type SlowFree = fn(*mut u8);
/// As [`SlowFree`], of a function that gets block and size.
pub(crate) type SlowSizedFree = fn(*mut u8, usize);

/// The table of offsets while no requests are sampled.
static OFFSETS: [u16; FAST_MAX + 1] = {
    let mut table = [0; FAST_MAX + 1];
    let mut size = 0;
    while size <= FAST_MAX {
        table[size] = FAST_CLASSES[size] as u16 * BIN_BYTES as u16;
        size += 1;
    }
    table
};

/// The offset of the bin that is always empty.
pub(super) const ALWAYS_EMPTY: u16 = core::mem::offset_of!(FastHeap, always_empty) as u16;

const _: () = assert!(core::mem::offset_of!(FastHeap, always_empty) <= u16::MAX as usize);

/// The functions of a second path. The heap is the calling thread's own, whole one, except in [`CLOSED`].
pub(crate) struct SecondPath {
    /// Whether the fast path serves calls before.
    pub(crate) after_fast: bool,
    /// malloc, of a size.
    pub(crate) malloc: fn(usize, &FastHeap, SlowMalloc) -> *mut u8,
    /// calloc, of a size.
    pub(crate) zeroed: fn(usize, &FastHeap, SlowMalloc) -> *mut u8,
    /// An aligned allocation, of an alignment, a power of two, and a size.
    pub(crate) aligned: fn(usize, usize, &FastHeap, SlowAligned) -> *mut u8,
    /// free, of a block.
    pub(crate) free: fn(*mut u8, &FastHeap, SlowFree),
    /// A sized free, of a block and the size that the caller names.
    pub(crate) free_sized: fn(*mut u8, usize, &FastHeap, SlowSizedFree),
}

/// The second path of the inert heap and of closed ones. The fast path is closed with it.
pub(super) static CLOSED: SecondPath = SecondPath::SLOW;

impl SecondPath {
    /// Takes the slow path.
    pub(crate) const SLOW: Self = Self {
        after_fast: false,
        malloc: malloc_to_slow,
        zeroed: malloc_to_slow,
        aligned: aligned_to_slow,
        free: free_to_slow,
        free_sized: |block, size, _, slow| slow(block, size),
    };
}

// These have names, and so have those below: by its name `scripts/layout.ld` places a function, and a closure in a
// constant has none.

fn malloc_to_slow(size: usize, _: &FastHeap, slow: SlowMalloc) -> *mut u8 {
    slow(size)
}

fn aligned_to_slow(align: usize, size: usize, _: &FastHeap, slow: SlowAligned) -> *mut u8 {
    slow(align, size)
}

fn free_to_slow(block: *mut u8, _: &FastHeap, slow: SlowFree) {
    slow(block);
}

/// The second path behind an open fast path.
pub(crate) static DEFAULT: SecondPath = behind_fast_path::<true, false>();

/// As [`DEFAULT`], and counts remote frees.
pub(crate) static COUNTED: SecondPath = behind_fast_path::<true, true>();

/// As [`DEFAULT`], where requests are sampled by calls alone.
pub(crate) static SAMPLED_BY_CALLS: SecondPath = behind_fast_path::<false, false>();

/// `BYTES`: whether samples may be by bytes. `COUNT`: whether remote frees are counted.
const fn behind_fast_path<const BYTES: bool, const COUNT: bool>() -> SecondPath {
    SecondPath {
        after_fast: true,
        malloc: malloc_behind::<BYTES>,
        zeroed: zeroed_behind::<BYTES>,
        aligned: aligned_behind::<BYTES>,
        free: free_behind::<COUNT>,
        free_sized: free_sized_behind::<COUNT>,
    }
}

fn malloc_behind<const BYTES: bool>(size: usize, heap: &FastHeap, slow: SlowMalloc) -> *mut u8 {
    let block = heap.pop_sampled::<BYTES>(size, |size| heap.pop_own(size));
    if block.is_null() { malloc_coarse::<BYTES>(size, heap, slow) } else { block }
}

fn zeroed_behind<const BYTES: bool>(size: usize, heap: &FastHeap, slow: SlowMalloc) -> *mut u8 {
    let block = heap.pop_sampled::<BYTES>(size, |size| heap.pop(size));
    if block.is_null() { slow(size) } else { fill(block, size) }
}

fn aligned_behind<const BYTES: bool>(align: usize, size: usize, heap: &FastHeap, slow: SlowAligned) -> *mut u8 {
    let rounded = Class::rounded(size, align);
    let pop = |rounded| heap.pop_sampled::<BYTES>(rounded, |size| heap.pop(size));
    let block = rounded.map_or(core::ptr::null_mut(), pop);
    if block.is_null() { slow(align, size) } else { block }
}

fn free_behind<const COUNT: bool>(block: *mut u8, heap: &FastHeap, slow: SlowFree) {
    if !heap.send_common::<COUNT>(block) {
        send_more::<COUNT>(block, heap, slow);
    }
}

fn free_sized_behind<const COUNT: bool>(block: *mut u8, size: usize, heap: &FastHeap, slow: SlowSizedFree) {
    if !heap.push_sampled(block, size) && !heap.send_sized_fast::<COUNT>(block, size) {
        slow(block, size);
    }
}

/// malloc where the bin of the class has no block: by itself, so that what comes before needs no stack.
#[inline(never)]
fn malloc_coarse<const BYTES: bool>(size: usize, heap: &FastHeap, slow: SlowMalloc) -> *mut u8 {
    let block = heap.pop_sampled::<BYTES>(size, |size| heap.pop_coarse(size));
    if block.is_null() { slow(size) } else { block }
}

/// free of a block that joined no batch of its class: by itself, so that what comes before needs no stack.
#[inline(never)]
fn send_more<const COUNT: bool>(block: *mut u8, heap: &FastHeap, slow: SlowFree) {
    if !heap.send_more::<COUNT>(block, None) {
        slow(block);
    }
}

/// Fills the block, which the program does not have yet, with zeroes.
pub(crate) fn fill(block: *mut u8, size: usize) -> *mut u8 {
    // SAFETY: callers just allocated the block with that many bytes.
    unsafe { block.write_bytes(0, size) };
    block
}

/// malloc where the fast path failed.
#[inline(always)]
pub(crate) fn malloc(size: usize, heap: &FastHeap, slow: SlowMalloc) -> *mut u8 {
    (heap.second().malloc)(size, heap, slow)
}

/// calloc where the fast path failed.
#[inline(always)]
pub(crate) fn zeroed(size: usize, heap: &FastHeap, slow: SlowMalloc) -> *mut u8 {
    (heap.second().zeroed)(size, heap, slow)
}

/// An aligned allocation where the fast path failed.
#[inline(always)]
pub(crate) fn aligned(align: usize, size: usize, heap: &FastHeap, slow: SlowAligned) -> *mut u8 {
    (heap.second().aligned)(align, size, heap, slow)
}

/// free where the fast path failed.
#[inline(always)]
pub(crate) fn free(block: *mut u8, slow: SlowFree) {
    let heap = FastHeap::current();
    (heap.second().free)(block, heap, slow);
}

/// A sized free where the fast path failed.
#[inline(always)]
pub(crate) fn free_sized(block: *mut u8, size: usize, slow: SlowSizedFree) {
    let heap = FastHeap::current();
    (heap.second().free_sized)(block, size, heap, slow);
}

/// free where the fast path failed, of a known size, which modes compare in which the fast path serves nothing.
#[cfg(not(feature = "export"))]
#[inline(always)]
pub(crate) fn free_known(block: *mut u8, size: usize, slow: SlowFree, slow_sized: SlowSizedFree) {
    match FastHeap::current() {
        heap if heap.second().after_fast => free(block, slow),
        _ => free_sized(block, size, slow_sized),
    }
}

/// Whether `block`, of whose bytes the fast path told, is one of the blocks that this thread freed last: more than the
/// fast path compares, for calls that copy the block.
#[inline(never)]
pub(crate) fn was_freed_lately(block: *mut u8) -> bool {
    let heap = FastHeap::current();
    heap.with_entry_in_reach(block, false, |word| {
        let is_own = heap.is_own(word) || heap.is_own_spanning(word);
        let class = word.entry().class().filter(|_| is_own);
        class.is_some_and(|class| heap.bin(class).has_lately(block, NEWEST))
    })
}

impl FastHeap {
    #[inline(always)]
    pub(super) fn second(&self) -> &'static SecondPath {
        // Relaxed: the table is a constant, and nothing else comes with it.
        let table = self.second.load(Ordering::Relaxed);
        // SAFETY: only references to statics are stored, the first before a thread gets the heap.
        unsafe { &*table }
    }

    /// The class whose blocks serve requests of `class` here: its coarse class until [`FastHeap::split`].
    #[inline]
    pub(crate) fn serving(&self, class: Class) -> Class {
        let coarse = class.coarse();
        // Only a class of the table has another coarse class than itself, so it has a bit.
        if coarse == class || self.split.get() >> class.index() & 1 != 0 { class } else { coarse }
    }

    /// Has blocks of its own serve requests of `class` from now on. For the heap's thread.
    #[cold]
    #[inline(never)]
    pub(super) fn split(&self, class: Class) {
        self.split.set(self.split.get() | 1 << class.index());
        self.lead_class(class, class);
    }

    /// Undoes [`FastHeap::split`]. For the heap's thread, of a heap that is crowded.
    pub(super) fn join(&self, class: Class) {
        let coarse = class.coarse();
        if coarse != class {
            self.split.set(self.split.get() & !(1 << class.index()));
            self.lead_class(class, coarse);
        }
    }

    fn lead_class(&self, class: Class, serving: Class) {
        let (place, offset) = (class.index() * LINEAR_STEP, (serving.index() * BIN_BYTES) as u16);
        // A closed table stays closed: it is made anew when it opens.
        let sizes = self.offsets.get(place + 1 - LINEAR_STEP..=place).unwrap_or(&[]);
        sizes.iter().filter(|place| place.get() != ALWAYS_EMPTY).for_each(|place| place.set(offset));
    }

    /// Whether the thread started beside so many others that coarse classes serve its requests at first. The first
    /// class has no coarse one, so nothing else sets its bit.
    #[inline]
    pub(super) fn is_crowded(&self) -> bool {
        self.split.get() & 1 == 0
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
        self.medium_max.set(if to_bins { SMALL_MAX } else { 0 });
    }

    pub(super) fn set_second(&self, table: &'static SecondPath) {
        // Relaxed: as above.
        self.second.store(core::ptr::from_ref(table).cast_mut(), Ordering::Relaxed);
    }
}

/// For second paths: the same operations as the fast path's, and whether or not that is open.
impl FastHeap {
    /// Calls `look` with the map's word for the region of `block`, or returns `outside`, as the fast path does.
    #[inline(always)]
    pub(super) fn with_entry_in_reach<R>(&self, block: *mut u8, outside: R, look: impl FnOnce(Word) -> R) -> R {
        self.with_entry_below::<REACH, R>(block, outside, look)
    }

    /// The map's word for a region.
    ///
    /// # Safety
    /// - The region is committed, and the heap is not the inert one.
    #[inline(always)]
    pub(crate) unsafe fn word_of(&self, region: usize) -> Word {
        // SAFETY: entries of committed regions can be read.
        let word = unsafe { &*self.map.get().wrapping_add(region) };
        // Relaxed: a block's entry was written before the block was handed out.
        Word::from_bits(word.load(Ordering::Relaxed))
    }

    /// A block from the bin `offset` bytes from the start of the heap; null if there is none.
    ///
    /// # Safety
    /// - That is the offset of a bin, and the heap is the calling thread's.
    #[inline(always)]
    pub(crate) unsafe fn pop_at(&self, offset: usize) -> *mut u8 {
        // SAFETY: a bin of the calling thread lies there.
        unsafe { Bin::pop_at(self.start(), offset) }
    }

    /// Adds a block that is in no bin to the bin `offset` bytes from the start of the heap; false if that is full.
    ///
    /// # Safety
    /// - As for [`FastHeap::pop_at`].
    #[inline(always)]
    pub(crate) unsafe fn push_fresh_at(&self, offset: usize, block: *mut u8) -> bool {
        // SAFETY: a bin of the calling thread lies there.
        unsafe { Bin::push_fresh_at(self.start(), offset, block) }
    }

    /// A block from the bin for a request of `size` bytes, wherever requests lead; null if there is none.
    #[inline(always)]
    pub(crate) fn pop(&self, size: usize) -> *mut u8 {
        let block = self.pop_own(size);
        if block.is_null() { self.pop_coarse(size) } else { block }
    }

    /// As [`FastHeap::pop`], from the bin of the class of the request alone.
    #[inline(always)]
    fn pop_own(&self, size: usize) -> *mut u8 {
        let offset = match OFFSETS.get(size) {
            Some(&offset) => usize::from(offset),
            None if size <= SMALL_MAX => Class::of_medium(size).index() * BIN_BYTES,
            None => return core::ptr::null_mut(),
        };
        // SAFETY: both are the offset of a bin of this heap, which is the calling thread's.
        unsafe { Bin::pop_at(core::ptr::from_ref(self).cast(), offset) }
    }

    /// A block of the coarse class that serves requests of `size` bytes here; null if none does, or it has none.
    #[inline(never)]
    fn pop_coarse(&self, size: usize) -> *mut u8 {
        match Class::of_size(size).map(|class| (class, self.serving(class))) {
            Some((class, serving)) if serving != class => self.bin(serving).pop(),
            _ => core::ptr::null_mut(),
        }
    }

    /// A block that `pop` takes for a request that the fast path did not serve; null unless requests are sampled, and
    /// null if this one is to be sampled. `BYTES` says whether samples may be by bytes.
    #[inline(always)]
    fn pop_sampled<const BYTES: bool>(&self, size: usize, pop: impl FnOnce(usize) -> *mut u8) -> *mut u8 {
        let cost = if BYTES { (size & self.counted.get()).wrapping_add(1) } else { 1 };
        // A heap that is not sampled ends here, too.
        if cost >= self.until.get() {
            return core::ptr::null_mut();
        }
        let block = pop(size);
        if !block.is_null() {
            // Read again: so it is one instruction.
            self.until.set(self.until.get() - cost);
        }
        block
    }

    /// As [`FastHeap::push_fast`].
    #[inline(always)]
    pub(crate) fn push_in_reach(&self, block: *mut u8) -> bool {
        self.with_entry_in_reach(block, false, |word| self.push_own(word, block))
    }

    /// As [`FastHeap::push_in_reach`], for blocks of the class of `size` alone.
    #[inline(always)]
    pub(crate) fn push_sized_in_reach(&self, block: *mut u8, size: usize) -> bool {
        let Some(class) = Class::of_size(size) else { return false };
        let is_of_class = |word: Word| word.entry().class() == Some(self.serving(class));
        self.with_entry_in_reach(block, false, |word| is_of_class(word) && self.push_own(word, block))
    }
}
