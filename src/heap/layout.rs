#![expect(unsafe_code, reason = "places heaps in memory and in the thread's word")]
//! A heap, as it lies in memory. What the hit path reads comes first.
//!
//! # Invariants
//! - Heaps are never unmapped: an address that was a heap once can be dereferenced for ever.
//! - All but the inbox belongs to the heap's thread, except for fields that say otherwise.

use core::arch::global_asm;
use core::cell::Cell;

use super::bin::{Bin, NOTHING};
use super::inbox::Inbox;
use super::outbox::Outbox;
use crate::base::class::{self, Class, HIT_CLASSES, HIT_MAX};
use crate::central::{Batch, SpanList};
use crate::pages::map::{BIN_BYTES, BINS_BYTES, HEAP_ALIGN};
use crate::pages::{Entry, Space};
use crate::sys::atomic::{AtomicU32, Ordering};

/// See the module.
#[repr(C, align(8192))]
pub(crate) struct Heap {
    bins: [Bin; class::COUNT],
    /// Where the region map is, and the mask put on an address's region before it is looked up there.
    map: Cell<*const usize>,
    mask: Cell<usize>,
    /// Largest request that a bin of this heap can serve.
    medium_max: Cell<usize>,
    /// For each request of up to `HIT_MAX` bytes where its bin is, in bytes from the start of the heap.
    offsets: [Cell<u16>; HIT_MAX + 1],
    /// Whether the heap is being worked on: a call that finds it so came from inside.
    pub(crate) busy: Cell<bool>,
    /// What `tls::hot` is set to while the heap is not busy: the heap, or the inert one where every call is to be seen.
    pub(crate) hot: Cell<usize>,
    /// Rounds of the C library's thread exit that have passed.
    pub(crate) exit_rounds: Cell<u8>,
    /// Most bytes of blocks in a bin.
    pub(super) bin_bytes: Cell<usize>,
    /// Spans with blocks to fetch, by class.
    partial: [SpanList; class::COUNT],
    /// Spans with every block out, by class.
    full: [SpanList; class::COUNT],
    pub(super) outbox: Outbox,
    /// Batches taken from the inbox and not yet looked at.
    pub(super) pending: Cell<*mut Batch>,
    /// Slow events since the bins were last looked over.
    pub(super) events: Cell<u32>,
    /// How often the bins were looked over.
    pub(super) scavenges: Cell<u32>,
    /// Refills, flushes and batches received and sent so far; read by statistics from other threads.
    pub(super) refills: AtomicU32,
    pub(super) flushes: AtomicU32,
    pub(super) sent: AtomicU32,
    pub(super) received: AtomicU32,
    /// The next heap of the registry, and whether a thread has this one. Guarded by the registry's lock.
    pub(super) next: Cell<*const Heap>,
    pub(super) taken: Cell<bool>,
    /// Whether the thread of this heap was lost in a fork. Guarded by the registry's lock.
    pub(super) orphan: Cell<bool>,
    pub(super) inbox: Inbox,
}

// SAFETY: cells are touched by the heap's thread or under the lock they name; the rest is atomic.
unsafe impl Sync for Heap {}

const _: () = assert!(size_of::<Heap>() == HEAP_ALIGN && core::mem::offset_of!(Heap, map) == BINS_BYTES);

/// The heap of threads that have none: no bin has a block or room, and no region is its own, so every call of the hit path falls
/// through to the slow one.
pub(crate) static INERT: Heap = Heap::inert();

global_asm!(
    ".pushsection .tdata.spandrel, \"awT\", @progbits",
    ".balign 8",
    ".hidden spandrel_tls_hot",
    ".globl spandrel_tls_hot",
    ".type spandrel_tls_hot, @object",
    "spandrel_tls_hot: .quad {inert}",
    ".size spandrel_tls_hot, 8",
    ".popsection",
    inert = sym INERT,
);

impl Heap {
    const fn inert() -> Self {
        let mut bins = [const { Bin::unused() }; class::COUNT];
        // All offsets are 0, so this is the one bin that the inert heap's hit path can see.
        bins[0] = Bin::empty();
        Self {
            bins,
            map: Cell::new(NOTHING.slot().cast_const().cast()),
            mask: Cell::new(0),
            medium_max: Cell::new(0),
            offsets: [const { Cell::new(0) }; HIT_MAX + 1],
            busy: Cell::new(false),
            hot: Cell::new(0),
            exit_rounds: Cell::new(0),
            bin_bytes: Cell::new(0),
            partial: [const { SpanList::new() }; class::COUNT],
            full: [const { SpanList::new() }; class::COUNT],
            outbox: Outbox::new(),
            pending: Cell::new(core::ptr::null_mut()),
            events: Cell::new(0),
            scavenges: Cell::new(0),
            refills: AtomicU32::new(0),
            flushes: AtomicU32::new(0),
            sent: AtomicU32::new(0),
            received: AtomicU32::new(0),
            next: Cell::new(core::ptr::null()),
            taken: Cell::new(false),
            orphan: Cell::new(false),
            inbox: Inbox::new(),
        }
    }

    /// Makes a heap in `piece`.
    ///
    /// # Safety
    /// - `piece` has the size and alignment of a heap, stays for ever, and nobody else has it.
    pub(super) unsafe fn place(piece: *mut u8) -> &'static Self {
        let heap = piece.cast::<Self>();
        // SAFETY: the inert heap is never written, so it can be copied bit by bit; the caller vouches for the piece.
        unsafe { (&raw const INERT).copy_to_nonoverlapping(heap, 1) };
        // SAFETY: just written.
        unsafe { &*heap }
    }

    /// Readies the heap for a thread.
    pub(super) fn ready(&self, space: &Space, bin_bytes: usize) {
        Class::all().for_each(|class| self.bin(class).forget());
        for (offset, &index) in self.offsets.iter().zip(&HIT_CLASSES) {
            offset.set(u16::from(index) * BIN_BYTES as u16);
        }
        if let Some((map, mask)) = space.hit_map() {
            self.map.set(core::ptr::with_exposed_provenance(map));
            self.mask.set(mask);
        }
        self.medium_max.set(class::SMALL_MAX);
        self.bin_bytes.set(bin_bytes);
    }

    /// The heap at `address`.
    ///
    /// # Safety
    /// - A heap is there, or was once: the address comes from a thread's word or from the owner of a map entry.
    #[inline(always)]
    pub(crate) unsafe fn at(address: usize) -> &'static Self {
        // SAFETY: the caller vouches; heaps are never unmapped.
        unsafe { &*core::ptr::with_exposed_provenance::<Self>(address) }
    }

    /// Where the heap lies: its name as an owner.
    #[inline(always)]
    pub(crate) fn address(&self) -> usize {
        core::ptr::from_ref(self).addr()
    }

    /// A block for a request of `size` bytes, at most `HIT_MAX`; null if there is none in the bin.
    #[inline(always)]
    pub(crate) fn pop_hit(&self, size: usize) -> *mut u8 {
        // SAFETY: the caller keeps `size` within the table, which has one place more than `HIT_MAX`.
        let offset = unsafe { self.offsets.get_unchecked(size) }.get();
        // SAFETY: the table holds offsets of this heap's bins; the inert heap's are all those of its one empty bin.
        unsafe { Bin::pop_at(core::ptr::from_ref(self).cast(), usize::from(offset)) }
    }

    /// The bin `offset` bytes from the start of the heap, an offset from the table or from a map entry.
    #[inline(always)]
    fn bin_at(&self, offset: usize) -> &Bin {
        debug_assert!(offset < BINS_BYTES && offset.is_multiple_of(BIN_BYTES));
        let bin = core::ptr::from_ref(self).cast::<u8>().wrapping_add(offset).cast::<Bin>();
        // SAFETY: the offset is that of a bin of this heap.
        unsafe { &*bin }
    }

    /// The bin for a request above `HIT_MAX`; `None` if no bin of this heap can serve it.
    #[inline(always)]
    pub(crate) fn bin_of_medium(&self, size: usize) -> Option<&Bin> {
        (size <= self.medium_max.get()).then(|| self.bin(Class::of_medium(size)))
    }

    /// As [`Heap::bin_of_block`], but `None` also unless requests of `size` bytes are served by that bin.
    #[inline(always)]
    pub(crate) fn bin_of_sized_block(&self, block: *mut u8, size: usize) -> Option<&Bin> {
        let bin = self.bin_of_block(block)?;
        if size > HIT_MAX {
            return self.bin_of_medium(size).filter(|&expected| core::ptr::eq(expected, bin));
        }
        // SAFETY: the size was just compared with the last place of the table.
        let offset = unsafe { self.offsets.get_unchecked(size) }.get();
        (core::ptr::from_ref(bin).addr() - self.address() == usize::from(offset)).then_some(bin)
    }

    /// The bin that takes `block` back; `None` unless the map says that the block is in a span of this heap. This is the hit
    /// path's whole test: remote, large, foreign and null pointers all fail it.
    #[inline(always)]
    pub(crate) fn bin_of_block(&self, block: *mut u8) -> Option<&Bin> {
        let index = (block.addr() >> crate::base::units::REGION_SHIFT) & self.mask.get();
        let word = self.map.get().wrapping_add(index);
        // SAFETY: the map covers every masked index; the inert heap's mask leaves 0, and its map is a word of zero.
        let entry = unsafe { word.read() };
        let offset = entry ^ self.address();
        (offset < BINS_BYTES).then(|| {
            let bin = core::ptr::with_exposed_provenance::<Bin>(entry);
            // SAFETY: an entry of this heap is the address of one of its bins.
            unsafe { &*bin }
        })
    }

    /// The bin of `class`.
    #[inline(always)]
    pub(crate) fn bin(&self, class: Class) -> &Bin {
        self.bin_at(class.index() * BIN_BYTES)
    }

    /// The map entry of this heap's spans of `class`.
    pub(super) fn entry(&self, class: Class) -> Entry {
        Entry::small(self.address(), class)
    }

    pub(super) fn partial(&self, class: Class) -> &SpanList {
        // SAFETY: a class is below the number of lists.
        unsafe { self.partial.get_unchecked(class.index()) }
    }

    pub(super) fn full(&self, class: Class) -> &SpanList {
        // SAFETY: a class is below the number of lists.
        unsafe { self.full.get_unchecked(class.index()) }
    }

    /// Forgets bins, lists and batches, whatever they hold.
    pub(super) fn forget(&self) {
        for class in Class::all() {
            self.bin(class).forget();
            self.partial(class).clear();
            self.full(class).clear();
        }
        self.outbox.forget();
        self.pending.set(core::ptr::null_mut());
        self.events.set(0);
        self.busy.set(false);
    }

    /// Blocks of `class` in the bin, for statistics; a moment old when asked from another thread.
    pub(crate) fn binned(&self, class: Class) -> usize {
        self.bin(class).len()
    }

    /// Refills, flushes, batches sent and received so far.
    pub(crate) fn counts(&self) -> [u64; 4] {
        // Relaxed: counters.
        [&self.refills, &self.flushes, &self.sent, &self.received].map(|count| u64::from(count.load(Ordering::Relaxed)))
    }
}

/// Adds one to a counter that only this thread writes.
pub(super) fn count(counter: &AtomicU32) {
    // Relaxed: one writer; readers only count.
    counter.store(counter.load(Ordering::Relaxed).wrapping_add(1), Ordering::Relaxed);
}
