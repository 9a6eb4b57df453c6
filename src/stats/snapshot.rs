#![expect(unsafe_code, reason = "makes snapshots in memory that one report at a time uses")]
//! The snapshot: all figures at one moment.
//!
//! Other threads go on while it is taken, so parts of it may be some calls apart; in a quiet process it is exact. It
//! has some thirty kilobytes, too much for the stack of whichever thread makes a report, and a report must not need
//! memory of the heap's. So there is one place for it, and a mapping while another report uses that.

use core::cell::UnsafeCell;
use core::mem::MaybeUninit;

use super::bills::{Bills, HolderFigures, handle_of};
use crate::base::class::{self, Class};
use crate::base::units::{REGION_BYTES, Region};
use crate::central::{CentralListFigures, LargeFigures, Span, State};
use crate::heap::{Heap, Shared, Traffic};
use crate::pages::{Entry, PageFigures};
use crate::process::state::PROCESS;
use crate::process::{holders, thread};
use crate::sys::atomic::{AtomicBool, Ordering};
use crate::sys::memory::{self, COUNTED_CALLS};

/// Heaps of which a snapshot has figures.
pub(super) const HEAPS: usize = 64;

/// One class.
#[derive(Clone, Copy, Default, Debug)]
pub struct ClassFigures {
    /// Blocks that are out of their spans: live, or free somewhere else.
    pub out: u32,
    /// Free blocks in bins.
    pub binned: u32,
    /// Free blocks in the transfer cache.
    pub cached: u32,
    /// Blocks freed by another thread, on their way to their owner.
    pub in_flight: u32,
    /// Spans of which blocks can be fetched.
    pub partial: u32,
    /// Spans with every block out.
    pub full: u32,
    /// Refills and flushes of bins so far.
    pub refills: u64,
    /// See `refills`.
    pub flushes: u64,
    /// Refills by blocks that other threads freed.
    pub received: u64,
    /// Refills by the transfer cache, by spans of the central list, and by new spans.
    pub central: CentralListFigures,
}

impl ClassFigures {
    /// Blocks that the program holds.
    #[must_use]
    pub fn live(&self) -> u64 {
        u64::from(self.out).saturating_sub(u64::from(self.binned) + u64::from(self.cached) + u64::from(self.in_flight))
    }

    /// Refills by spans of the thread's own.
    #[must_use]
    pub fn own(&self) -> u64 {
        self.hits().saturating_sub(self.received + self.central.cache_hits)
    }

    /// Refills that needed no further span.
    #[must_use]
    pub fn hits(&self) -> u64 {
        self.refills.saturating_sub(self.central.adopted + self.central.made)
    }

    /// Whether the class was ever used.
    #[must_use]
    pub fn is_used(&self) -> bool {
        self.partial + self.full > 0 || self.refills > 0 || self.central.made > 0
    }
}

/// One heap that has a thread.
#[derive(Clone, Copy, Default, Debug)]
pub struct HeapFigures {
    /// Its thread, by the kernel's number.
    pub thread: u32,
    /// Bytes of live blocks of its spans.
    pub live: u64,
    /// Bytes of free blocks in its bins.
    pub binned: u64,
    /// Refills and flushes of its bins so far.
    pub refills: u64,
    /// See `refills`.
    pub flushes: u64,
    /// Remote frees.
    pub traffic: Traffic,
}

/// Figures of the process: bytes, and counts.
pub struct Snapshot {
    /// The name of the profile in force.
    pub profile: &'static str,
    /// Page runs and metadata.
    pub pages: PageFigures,
    /// Large and direct blocks.
    pub large: LargeFigures,
    /// Each class.
    pub classes: [ClassFigures; class::COUNT],
    /// Heaps that have a thread: how many, and the first of them.
    pub heaps: usize,
    heap_figures: [HeapFigures; HEAPS],
    /// Remote frees of all heaps so far, those of ended threads included.
    pub traffic: Traffic,
    /// System calls for memory so far, by kind.
    pub calls: [u64; COUNTED_CALLS],
    /// Bytes of free pages inside spans that were purged, but for spans from which blocks were taken since.
    pub holes: usize,
    /// Whether a thread held spans that had to be read, so that some blocks on their way count as live.
    pub disturbed: bool,
    /// Named heaps.
    pub bills: Bills,
}

impl Snapshot {
    /// Figures of nothing.
    #[must_use]
    pub fn empty(profile: &'static str) -> Self {
        Self {
            profile,
            pages: PageFigures::default(),
            large: LargeFigures::default(),
            classes: [ClassFigures::default(); class::COUNT],
            heaps: 0,
            heap_figures: [HeapFigures::default(); HEAPS],
            traffic: Traffic::default(),
            calls: [0; COUNTED_CALLS],
            holes: 0,
            disturbed: false,
            bills: Bills::NONE,
        }
    }

    /// Makes an empty one at `place`, without a copy of it on the stack.
    ///
    /// # Safety
    /// - `place` is large enough and aligned, and the caller's alone for as long as the snapshot is used.
    unsafe fn place<'a>(place: *mut Self, profile: &'static str) -> &'a mut Self {
        // SAFETY: the place is large enough, and the caller alone has it.
        unsafe { memory::zero(place.cast(), size_of::<Self>()) };
        // SAFETY: the field lies within the place.
        let name = unsafe { &raw mut (*place).profile };
        // SAFETY: the field is aligned, as the place is.
        unsafe { name.write(profile) };
        // SAFETY: all-zero bytes are figures of nothing, and the one field that is none was written.
        unsafe { &mut *place }
    }

    /// Takes the figures of this moment, into an empty snapshot. The caller holds its heap, if it has one.
    pub(crate) fn take(&mut self, shared: Shared<'_>) {
        self.pages = shared.central.pages.figures();
        self.calls = memory::calls();
        (self.large.direct_blocks, self.large.direct_bytes) = shared.central.direct_figures();
        shared.registry.each_ever(|heap| heap.out().set(0));
        holders::each(&mut |figures| self.bills.add(&HolderFigures::of(figures)));
        shared.central.each_span(|span, entry, region| self.see_span(span, entry, region));
        for class in Class::all() {
            let mut cached = 0;
            let central = shared.central.list_figures(class, |block| {
                cached += 1;
                self.disown(shared.central.entry_of(block));
            });
            let received = shared.central.received_refills(class);
            let figures = self.class(class);
            (figures.central, figures.cached, figures.received) = (central, cached, received);
        }
        shared.registry.each(|heap| {
            let seen = heap.each_in_flight(|block| {
                let entry = shared.central.entry_of(block);
                if let Some(class) = entry.class() {
                    self.class(class).in_flight += 1;
                    self.disown(entry);
                }
            });
            self.disturbed |= !seen;
        });
        shared.registry.each_ever(|heap| self.see_heap(heap));
        // Read again: threads that go on may have begun to use regions since, and their blocks were counted.
        self.pages.used = shared.central.pages.figures().used;
    }

    fn see_span(&mut self, span: &Span, entry: Entry, region: Region) {
        let Some(class) = entry.class() else {
            self.large.large_blocks += 1;
            self.large.large_bytes += span.large_bytes();
            self.large.region_bytes += span.large_regions() as usize * REGION_BYTES;
            self.bills.credit(handle_of(PROCESS.central.bill_of(span)), 1, span.large_bytes());
            return;
        };
        if span.first() != region {
            return;
        }
        self.holes += span.purged_bytes();
        let figures = self.class(class);
        figures.out += span.used();
        if span.state() == State::Full {
            figures.full += 1
        } else {
            figures.partial += 1
        }
        if let Some(owner) = heap_of(entry) {
            let (blocks, bytes) = (span.used() as usize, span.used() as usize * class.size());
            owner.out().set(owner.out().get() + bytes);
            self.bills.credit(handle_of(owner.bill()), blocks, bytes);
        }
    }

    fn see_heap(&mut self, heap: &Heap) {
        let mut figures =
            HeapFigures { thread: heap.thread.id.get(), traffic: heap.traffic(), ..HeapFigures::default() };
        for class in Class::all() {
            let [refills, flushes] = heap.events_of(class);
            let binned = if heap.is_taken() { heap.binned(class) } else { 0 };
            let of_class = self.class(class);
            of_class.refills += refills;
            of_class.flushes += flushes;
            of_class.received += u64::from(heap.received_refills(class));
            of_class.binned += binned as u32;
            figures.refills += refills;
            figures.flushes += flushes;
            figures.binned += (binned * class.size()) as u64;
            self.bills.debit(handle_of(heap.bill()), binned, binned * class.size());
        }
        self.traffic.sent += figures.traffic.sent;
        self.traffic.sent_blocks += figures.traffic.sent_blocks;
        self.traffic.received += figures.traffic.received;
        self.traffic.received_blocks += figures.traffic.received_blocks;
        // A part of a named heap is no thread's: its figures are on the bill.
        if heap.is_taken() && !heap.is_part() {
            figures.live = (heap.out().get() as u64).saturating_sub(figures.binned);
            self.add_heap(figures);
        }
    }

    /// Takes a free block off the bytes that are out of its owner's spans.
    fn disown(&mut self, entry: Entry) {
        if let (Some(owner), Some(class)) = (heap_of(entry), entry.class()) {
            owner.out().set(owner.out().get().saturating_sub(class.size()));
            self.bills.debit(handle_of(owner.bill()), 1, class.size());
        }
    }

    /// Adds a heap that has a thread.
    pub fn add_heap(&mut self, figures: HeapFigures) {
        if let Some(place) = self.heap_figures.get_mut(self.heaps) {
            *place = figures;
        }
        self.heaps += 1;
    }

    fn class(&mut self, class: Class) -> &mut ClassFigures {
        // Classes are below the number of places; the fallback keeps panics out.
        let index = class.index().min(class::COUNT - 1);
        &mut self.classes[index]
    }

    /// The figures of `class`.
    pub(crate) fn of_class(&self, class: Class) -> ClassFigures {
        self.classes.get(class.index()).copied().unwrap_or_default()
    }

    /// Classes that were ever used, with their figures.
    pub(crate) fn used_classes(&self) -> impl Iterator<Item = (Class, &ClassFigures)> {
        Class::all().zip(&self.classes).filter(|(_, figures)| figures.is_used())
    }

    /// Heaps that have a thread, at most [`HEAPS`].
    pub fn each_heap(&self) -> impl Iterator<Item = &HeapFigures> {
        self.heap_figures.iter().take(self.heaps)
    }

    fn sum(&self, count: impl Fn(&ClassFigures) -> u64) -> u64 {
        Class::all().zip(&self.classes).map(|(class, figures)| count(figures) * class.size() as u64).sum()
    }

    /// Bytes of blocks of classes that the program holds.
    #[must_use]
    pub fn small_live(&self) -> usize {
        self.sum(ClassFigures::live) as usize
    }

    /// Bytes of blocks that the program holds.
    #[must_use]
    pub fn live(&self) -> usize {
        self.small_live() + self.large.large_bytes + self.large.direct_bytes
    }

    /// Bytes of free blocks in bins.
    #[must_use]
    pub fn binned(&self) -> usize {
        self.sum(|figures| u64::from(figures.binned)) as usize
    }

    /// Bytes of free blocks in transfer caches.
    #[must_use]
    pub fn cached(&self) -> usize {
        self.sum(|figures| u64::from(figures.cached)) as usize
    }

    /// Bytes of blocks freed by another thread, on their way to their owner.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        self.sum(|figures| u64::from(figures.in_flight)) as usize
    }

    /// Bytes of spans.
    #[must_use]
    pub fn spans(&self) -> usize {
        let bytes = |class: Class, figures: &ClassFigures| {
            (figures.partial + figures.full) as usize * class.geometry().regions as usize * REGION_BYTES
        };
        Class::all().zip(&self.classes).map(|(class, figures)| bytes(class, figures)).sum()
    }

    /// The sum of a count over all classes.
    #[must_use]
    pub fn total(&self, count: impl Fn(&ClassFigures) -> u64) -> u64 {
        self.classes.iter().map(count).sum()
    }

    /// Refills and flushes of all classes.
    #[must_use]
    pub fn events(&self) -> [u64; 2] {
        [self.total(|figures| figures.refills), self.total(|figures| figures.flushes)]
    }

    /// Bytes obtained for blocks: regions ever used and direct mappings.
    #[must_use]
    pub fn obtained(&self) -> usize {
        self.pages.used + self.large.direct_bytes
    }

    /// Bytes obtained that hold no live block.
    #[must_use]
    pub fn free(&self) -> usize {
        self.obtained().saturating_sub(self.live())
    }

    /// Bytes of regions in use: those that are in no free run.
    #[must_use]
    pub fn in_use(&self) -> usize {
        self.pages.used.saturating_sub(self.pages.dirty + self.pages.clean)
    }
}

/// The one place for snapshots. A child of a fork whose parent was using it finds it taken, and uses mappings.
struct Workspace {
    /// Whether a thread uses it. Any thread reads and writes.
    taken: AtomicBool,
    snapshot: UnsafeCell<MaybeUninit<Snapshot>>,
}

// SAFETY: the snapshot belongs to the thread that set `taken`.
unsafe impl Sync for Workspace {}

static WORKSPACE: Workspace =
    Workspace { taken: AtomicBool::new(false), snapshot: UnsafeCell::new(MaybeUninit::uninit()) };

/// Does `work` with an empty snapshot; `None` where there is no memory for it.
fn with_empty<R>(profile: &'static str, work: impl FnOnce(&mut Snapshot) -> R) -> Option<R> {
    // Acquire pairs with the Release below: the snapshot of one report ends before that of the next begins.
    if !WORKSPACE.taken.swap(true, Ordering::Acquire) {
        // SAFETY: the place is this thread's until it is given back.
        let done = work(unsafe { Snapshot::place(WORKSPACE.snapshot.get().cast(), profile) });
        // Release pairs with the Acquire above.
        WORKSPACE.taken.store(false, Ordering::Release);
        return Some(done);
    }
    let address = memory::map(size_of::<Snapshot>()).ok()?;
    // SAFETY: the mapping was just made, is large enough and aligned to a page.
    let done = work(unsafe { Snapshot::place(core::ptr::with_exposed_provenance_mut(address), profile) });
    // SAFETY: made above; the snapshot is not used any more.
    let _ = unsafe { memory::unmap(address, size_of::<Snapshot>()) };
    Some(done)
}

/// Does `work` with the figures of this moment, which are zeroes where libc serves everything; `None` where there is no
/// memory for them.
pub(crate) fn with_snapshot<R>(work: impl FnOnce(&Snapshot) -> R) -> Option<R> {
    if !PROCESS.is_ready() {
        return with_empty("none: libc serves this process", |snapshot| work(snapshot));
    }
    // Before the heap is held, which may have to change its bill.
    PROCESS.features.names_matter();
    with_empty(PROCESS.options().profile.row().name, |snapshot| {
        // The heap is held while the snapshot takes locks, so libc serves a signal handler that comes meanwhile.
        let held = thread::access();
        snapshot.take(PROCESS.shared());
        drop(held);
        work(snapshot)
    })
}

/// The heap that an entry names, if it names one.
fn heap_of(entry: Entry) -> Option<&'static Heap> {
    (entry.class().is_some() && !entry.is_central()).then(|| Heap::of_entry(entry))
}
