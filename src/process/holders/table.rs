#![expect(unsafe_code, reason = "places records in metadata")]
//! The table of holders: records in metadata, found by the place in a handle.

use core::ffi::{c_int, c_void};
use core::mem::offset_of;

use super::accounts::{Kind, heaps_with};
use super::parts::{Part, Parts};
use crate::base::text::Line;
use crate::central::{Bill, FindBill};
use crate::heap::{Heap, User};
use crate::process::feature::{Feature, Order};
use crate::process::state::PROCESS;
use crate::sys::atomic::{AtomicBool, AtomicPtr, AtomicU8, AtomicU32, AtomicUsize, Ordering};
use crate::sys::cell::{Relaxed, StaticRef};
use crate::sys::lock::{Lock, Rank};

/// Bytes of a name, and of the zero behind it.
pub(crate) const NAME_BYTES: usize = 64;
/// Records of a piece of metadata, and how many pieces there may be.
pub(super) const PIECE: usize = 32;
const PIECES: usize = 2048;
/// Bits of a handle that are the place in the table, counted from 1.
const PLACE_BITS: u32 = 17;

const _: () = assert!(PIECE * PIECES < 1 << PLACE_BITS);

/// The program's function for limits of a named heap. Arguments: the heap's handle, the limit that was met (1 soft, 2
/// hard), the bytes held, the limit in bytes, and the context that came with the function.
pub(crate) type Callback = unsafe extern "C" fn(usize, c_int, usize, usize, *mut c_void);

/// A holder of a bill: a named heap or an account. All-zero bytes are a record without one.
pub(crate) struct Holder {
    /// The handle, and the parts of a heap.
    pub(super) parts: Parts<Heap>,
    pub(crate) bill: Bill,
    /// The kind, by its number. Written before the handle, as all below.
    pub(super) kind: Relaxed<AtomicU8>,
    /// Whether several threads may use the heap at a time.
    shared: Relaxed<AtomicBool>,
    pub(super) callback: AtomicPtr<c_void>,
    pub(super) context: AtomicPtr<c_void>,
    /// Whether the line about the hard limit, and that about a second user or the soft limit of an account, were printed.
    pub(super) told_limit: AtomicBool,
    pub(super) told_line: AtomicBool,
    pub(super) name: [Relaxed<AtomicU8>; NAME_BYTES],
    /// The next record without a holder, by its place. Guarded by the lock of the table.
    next_free: Relaxed<AtomicU32>,
}

/// Some records in a piece of metadata.
pub(super) struct Piece([Holder; PIECE]);

/// The records. Written under the lock; read by any thread.
pub(super) static TABLE: [StaticRef<Piece>; PIECES] = [const { StaticRef::none() }; PIECES];
/// How many records there are. Written under the lock, after the piece; read by any thread.
pub(super) static COUNT: AtomicUsize = AtomicUsize::new(0);
/// The state that only threads which make holders use.
static PLACES: Lock<Places> = Lock::new(Rank::Holders, Places { free: 0, made: 0, accounts: 0, next_sweep: 0 });

pub(super) struct Places {
    /// The first record without a holder, by its place; 0 for none.
    free: u32,
    /// Holders made so far.
    made: usize,
    /// Accounts there are, and how many there may be before some without use end.
    pub(super) accounts: usize,
    pub(super) next_sweep: usize,
}

/// The state that only threads which make holders use.
pub(super) fn places() -> &'static Lock<Places> {
    &PLACES
}

/// The part of named heaps in forks.
pub(super) static FEATURE: Feature = Feature {
    locks: Some((Order::BeforeCentral, |patience| PLACES.lock_for_fork(patience), || PLACES.unlock_after_fork())),
    in_child: Some(super::usage::in_child),
    ..Feature::NONE
};

/// Figures of a holder. Sizes are in bytes.
pub(crate) struct Figures {
    pub(crate) handle: usize,
    pub(crate) kind: Kind,
    pub(crate) name: [u8; NAME_BYTES],
    pub(crate) held: usize,
    pub(crate) peak: usize,
    pub(crate) large: usize,
    /// Of the large blocks those that a mode places apart, which are of requests for small ones: how many, and their bytes.
    pub(crate) apart: [usize; 2],
    /// Bytes of blocks of spans that the program has, and how many; 0 for spans that another thread works on just now.
    pub(crate) small_bytes: usize,
    pub(crate) small_blocks: usize,
    /// [`crate::pages::limits::UNLIMITED`] for none.
    pub(crate) soft: usize,
    pub(crate) hard: usize,
    pub(crate) refusals: usize,
    pub(crate) parts: usize,
    pub(crate) users: usize,
}

/// The record at a place, counted from 1.
fn record(place: usize) -> Option<&'static Holder> {
    let index = place.checked_sub(1)?;
    let piece = TABLE.get(index / PIECE)?.get()?;
    piece.0.get(index % PIECE)
}

/// For headers of large blocks.
static FIND_BILL: FindBill = |place| record(place).map(|holder| &holder.bill);

/// The holder with that handle.
#[inline]
pub(crate) fn find(handle: usize) -> Option<&'static Holder> {
    record(handle & ((1 << PLACE_BITS) - 1)).filter(|holder| holder.is(handle))
}

/// The handle of the named heap that has `bill`, which is that of a record; 0 if the heap is gone, or an account has it.
pub(crate) fn heap_of_bill(bill: &'static Bill) -> usize {
    let holder = holder_of(bill);
    if holder.kind().is_heap() { holder.handle() } else { 0 }
}

pub(super) fn holder_of(bill: &'static Bill) -> &'static Holder {
    let holder = core::ptr::from_ref(bill).cast::<u8>().wrapping_sub(offset_of!(Holder, bill));
    // SAFETY: bills are parts of records alone, which stay for the life of the process.
    unsafe { &*holder.cast::<Holder>() }
}

/// All records.
pub(super) fn records() -> impl Iterator<Item = &'static Holder> {
    // Acquire pairs with the Release in `create`: the piece is there.
    (1..=COUNT.load(Ordering::Acquire)).filter_map(record)
}

/// A program's description of a heap that it makes.
pub(crate) struct Wanted<'a> {
    pub(crate) name: &'a [u8],
    /// Limits in bytes; [`crate::pages::limits::UNLIMITED`] for none.
    pub(crate) limits: (usize, usize),
    pub(crate) callback: Option<Callback>,
    pub(crate) context: *mut c_void,
    pub(crate) shared: bool,
}

/// Makes a heap: its handle; `None` without memory or places for a record.
pub(crate) fn create(wanted: &Wanted<'_>) -> Option<usize> {
    super::usage::begin();
    make(&mut PLACES.lock(), wanted, Kind::Heap)
}

/// Makes a holder: its handle; `None` without memory or places for a record.
pub(super) fn make(places: &mut Places, wanted: &Wanted<'_>, kind: Kind) -> Option<usize> {
    let place = if places.free != 0 { places.free as usize } else { more_records(places)? };
    let holder = record(place)?;
    places.free = holder.next_free.get();
    places.made += 1;
    let handle = places.made << PLACE_BITS | place;
    holder.bill.open(wanted.limits.0, wanted.limits.1);
    holder.bill.set_place(place);
    holder.kind.set(kind as u8);
    holder.shared.set(wanted.shared);
    let callback = wanted.callback.map_or(core::ptr::null_mut(), |callback| callback as *mut c_void);
    // Relaxed, as all below: the handle publishes it.
    holder.callback.store(callback, Ordering::Relaxed);
    holder.context.store(wanted.context, Ordering::Relaxed);
    holder.told_limit.store(false, Ordering::Relaxed);
    holder.told_line.store(false, Ordering::Relaxed);
    let name = wanted.name.iter().take(NAME_BYTES - 1).copied().chain(core::iter::repeat(0));
    holder.name.iter().zip(name).for_each(|(place, byte)| place.set(byte));
    holder.parts.begin(handle);
    Some(handle)
}

/// Adds a piece of records to the free ones; the place of the first.
#[cold]
fn more_records(places: &mut Places) -> Option<usize> {
    // Relaxed: this thread has the lock under which it is written.
    let count = COUNT.load(Ordering::Relaxed);
    let place = TABLE.get(count / PIECE)?;
    let piece = PROCESS.central.pages.acquire_zeroed(size_of::<Piece>())?.cast::<Piece>();
    PROCESS.central.find_bills_by(&FIND_BILL);
    // SAFETY: all-zero bytes are records without holders; pieces are aligned to their size, and metadata stays.
    place.set(Some(unsafe { &*piece }));
    for number in count + 1..count + PIECE {
        if let Some(holder) = record(number) {
            holder.next_free.set(number as u32 + 1);
        }
    }
    // Release pairs with the Acquire in `records`.
    COUNT.store(count + PIECE, Ordering::Release);
    places.free = count as u32 + 1;
    Some(count + 1)
}

/// Takes the holder out of the table: its handle is of no use from now on; false if another thread did. [`Holder::put_back`]
/// follows.
pub(crate) fn remove(holder: &Holder, handle: usize) -> bool {
    holder.parts.remove(handle)
}

/// Adds a record that has no holder any more to the free ones.
pub(super) fn put_free(places: &mut Places, holder: &Holder, handle: usize) {
    holder.next_free.set(places.free);
    places.free = (handle & ((1 << PLACE_BITS) - 1)) as u32;
}

/// Calls `see` with the figures of each holder. Waits a moment for threads that are inside them.
pub(crate) fn each(see: &mut dyn FnMut(&Figures)) {
    PROCESS.features.names_matter();
    records().filter_map(Holder::figures).for_each(|figures| see(&figures));
}

/// The figures of the holder with that handle.
pub(crate) fn figures_of(handle: usize) -> Option<Figures> {
    find(handle)?.figures().filter(|figures| figures.handle == handle)
}

/// Calls `see` with the handle of each holder.
pub(crate) fn each_handle(see: impl FnMut(usize)) {
    PROCESS.features.names_matter();
    records().map(Holder::handle).filter(|&handle| handle != 0).for_each(see);
}

/// Copies the name of the holder with that handle, which ends with a zero; false if there is none.
pub(crate) fn name_of(handle: usize, name: &mut [u8; NAME_BYTES]) -> bool {
    find(handle).map(|holder| *name = holder.name()).is_some()
}

impl Holder {
    /// Whether this is the holder with that handle.
    #[inline]
    pub(crate) fn is(&self, handle: usize) -> bool {
        self.parts.is(handle)
    }

    /// The kind.
    pub(crate) fn kind(&self) -> Kind {
        Kind::of(self.kind.get())
    }

    /// The handle; 0 for none.
    pub(super) fn handle(&self) -> usize {
        self.parts.handle()
    }

    /// Whether the record has a holder.
    pub(super) fn is_live(&self) -> bool {
        self.handle() != 0
    }

    /// Whether several threads may use the heap at a time.
    pub(super) fn is_shared(&self) -> bool {
        self.shared.get()
    }

    /// The parts, the newest first.
    pub(crate) fn parts(&self) -> impl Iterator<Item = &'static Heap> + use<> {
        self.parts.iter()
    }

    /// The name, which ends with a zero.
    pub(crate) fn name(&self) -> [u8; NAME_BYTES] {
        core::array::from_fn(|index| self.name.get(index).map_or(0, |byte| byte.get()))
    }

    /// Adds the name in quotes to a line, control characters as `?`.
    pub(super) fn quote(&self, line: &mut Line) {
        let name = self.name();
        line.text("\"").raw(name.split(|&byte| byte == 0).next().unwrap_or(&[])).text("\"");
    }

    /// The figures; `None` if there is no holder.
    pub(crate) fn figures(&self) -> Option<Figures> {
        let handle = self.handle();
        if handle == 0 {
            return None;
        }
        let (mut parts, mut users, mut live) = (0, 0, [0; 2]);
        let mut see = |part: &Heap, is_used: bool| {
            let [blocks, bytes] = part.live(PROCESS.shared()).unwrap_or([0; 2]);
            live = [live[0] + blocks, live[1] + bytes];
            parts += 1;
            users += usize::from(is_used);
        };
        let ((soft, hard), held) = (self.bill.limits(), self.bill.held());
        match self.kind() {
            Kind::Heap => self.parts().for_each(|part| see(part, part.user() != 0)),
            Kind::ThreadName | Kind::CgroupThread => heaps_with(&self.bill).for_each(|heap| see(heap, true)),
            Kind::Object => live = [0, held],
        }
        let figures = Figures {
            handle,
            kind: self.kind(),
            name: self.name(),
            held,
            peak: self.bill.peak().max(held),
            large: self.bill.large().min(held),
            apart: self.bill.apart(),
            small_bytes: live[1],
            small_blocks: live[0],
            soft,
            hard,
            refusals: self.bill.refusals(),
            parts,
            users,
        };
        // The record may be another holder's by now.
        self.is(handle).then_some(figures)
    }

    /// Puts back the record of a heap that was taken out of the table, and has neither parts nor blocks any more.
    pub(crate) fn put_back(&'static self, handle: usize) {
        // The next heap with this record is not told of this one's limit.
        self.bill.take_met_soft();
        self.parts.end(&PROCESS.central.pages.pending);
        put_free(&mut PLACES.lock(), self, handle);
    }
}

impl Part for Heap {
    #[inline(always)]
    fn user_word(&self) -> &User {
        Self::user_word(self)
    }

    #[inline(always)]
    fn handle(&self) -> usize {
        Self::handle(self)
    }

    #[inline(always)]
    fn next(&self) -> Option<&'static Self> {
        self.next_part()
    }

    fn set_next(&self, next: Option<&'static Self>) {
        self.set_next_part(next);
    }
}
