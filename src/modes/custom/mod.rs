//! Mode `custom`: a provider, functions of the program's or of a plugin, serves the calls.
//!
//! A provider is called with this thread's heap free and no lock held. The heap says that its thread is inside a
//! provider, and then Spandrel serves, so a provider that allocates does not call itself. A block is noted when it is
//! allocated, and its provider frees it, whichever provider serves by then. A signal handler whose thread holds a lock
//! only tries that of the notes, so it never waits for the thread that it interrupted.
//!
//! Most blocks of providers lie in memory of their own, which the shadow of Spandrel's data area does not cover, and
//! those inside it may start anywhere. So the notes are a ledger by address.

pub(crate) mod functions;
mod ledger;
mod plugin;

use core::ffi::CStr;

use self::functions::{Functions, Note, Providers};
use self::ledger::Table;
use crate::heap::second_path::SecondPath;
use crate::heap::{Freed, Heap};
use crate::process::feature::{Feature, Order};
use crate::process::state::PROCESS;
use crate::process::tally::Reason;
use crate::process::thread::{self, HeapAccess};
use crate::slow_path::alloc;
use crate::slow_path::free;
use crate::slow_path::mode::{self, Fast, Mode, Paths};
use crate::slow_path::realloc;
use crate::slow_path::request::{FreeSize, Request, Resized};
use crate::slow_path::table::{self, IN_FORCE, ModeTable, NoSwitch};
use crate::sys::lock::Patience;
use crate::sys::tls;

/// Up to this alignment malloc serves.
const NATURAL_ALIGN: usize = 16;

static PROVIDERS: Providers = Providers::new();

/// The table of functions of the mode.
pub(crate) static CUSTOM: ModeTable = ModeTable {
    alloc,
    free,
    realloc,
    usable_size,
    free_sized: |block, _named: FreeSize| free(block),
    ..ModeTable::of::<Custom>()
};

/// Serves what providers themselves allocate; all else is for the slow path.
static SECOND: SecondPath = SecondPath {
    malloc: |size, heap, slow| {
        let own = heap.heap().thread.in_provider.get();
        let block = if own { heap.pop(size) } else { core::ptr::null_mut() };
        if block.is_null() { slow(size) } else { block }
    },
    ..SecondPath::SLOW
};

/// The part of the mode that works with the heap held: deferred frees.
struct Custom;

impl Mode for Custom {
    const NAME: &'static CStr = c"custom";
    const PATHS: Paths = Paths::Second(&SECOND);

    /// A deferred free, of a block that a signal handler freed. Its provider is called with the heap held, so libc
    /// serves the provider's own requests.
    fn free(heap: &Heap, block: *mut u8) -> Freed {
        let note = PROVIDERS.notes.shard(block.addr()).remove(block.addr());
        match note.and_then(|note| PROVIDERS.functions(note.provider)) {
            Some(functions) => {
                functions.free(block);
                // Nothing is left to do for the caller.
                Freed::Misused
            }
            None => mode::free_on(heap, block),
        }
    }
}

/// The mode's locks for a fork.
static FORK: Feature =
    Feature { locks: Some((Order::AfterCentral, lock_for_fork, unlock_after_fork)), ..Feature::NONE };

fn lock_for_fork(patience: &Patience) {
    PROVIDERS.notes.lock_for_fork(patience);
}

fn unlock_after_fork() {
    PROVIDERS.notes.unlock_after_fork();
}

/// While it lives, this thread is inside a provider, and its heap, if it has one, says so.
struct InProvider(Option<&'static Heap>);

impl InProvider {
    /// `None` if this call comes from a provider, or from inside Spandrel.
    #[inline]
    fn enter() -> Option<Self> {
        match thread::at_rest() {
            Some(heap) => Self::enter_from(heap),
            None => Self::enter_slow(),
        }
    }

    /// As [`InProvider::enter`], for a thread that has no heap yet, has none any more, or is inside Spandrel.
    #[cold]
    #[inline(never)]
    fn enter_slow() -> Option<Self> {
        match thread::access() {
            HeapAccess::Own(heap) => Self::enter_from(heap.heap()),
            HeapAccess::Libc(Reason::Exiting) => Some(Self(None)),
            HeapAccess::Libc(_) => None,
        }
    }

    fn enter_from(heap: &'static Heap) -> Option<Self> {
        (!heap.thread.in_provider.replace(true)).then_some(Self(Some(heap)))
    }
}

impl Drop for InProvider {
    fn drop(&mut self) {
        if let Some(heap) = self.0 {
            heap.thread.in_provider.set(false);
        }
    }
}

/// Does `work` with the notes of `block`; `None` in a signal handler that may have interrupted another use of them:
/// then its thread holds a lock.
fn with_notes<T>(block: *mut u8, work: impl FnOnce(&mut Table<Note>) -> T) -> Option<T> {
    if tls::locks() > 0 {
        return PROVIDERS.notes.try_shard(block.addr()).map(|mut notes| work(&mut notes));
    }
    Some(work(&mut PROVIDERS.notes.shard(block.addr())))
}

fn alloc(request: Request) -> *mut u8 {
    plugin::load_in_time();
    let Some((provider, functions)) = PROVIDERS.current() else { return alloc::alloc::<Fast>(request) };
    let align = (request.align > NATURAL_ALIGN).then_some(request.align);
    if align.is_some() && functions.aligned_alloc.is_none() {
        return alloc::alloc::<Fast>(request);
    }
    let Some(_inside) = InProvider::enter() else { return alloc::alloc::<Fast>(request) };
    let block = functions.alloc(request.size, align, request.zero);
    let note = Note { address: block.addr(), size: request.size, provider };
    if block.is_null() || with_notes(block, |notes| notes.insert(note)) == Some(true) {
        return block;
    }
    functions.free(block);
    core::ptr::null_mut()
}

fn free(block: *mut u8) {
    match with_notes(block, |notes| notes.remove(block.addr())) {
        Some(None) => free::free::<Fast>(block),
        Some(Some(note)) => free_by_provider(block, note),
        None => free::defer(block),
    }
}

fn free_by_provider(block: *mut u8, note: Note) {
    let _inside = InProvider::enter();
    if let Some(functions) = PROVIDERS.functions(note.provider) {
        functions.free(block);
    }
}

fn realloc(block: *mut u8, size: usize) -> Resized {
    let note = match with_notes(block, |notes| notes.remove(block.addr())) {
        Some(Some(note)) => note,
        Some(None) => return realloc::realloc::<Fast>(block, size),
        None => return Resized::OutOfMemory,
    };
    let resized = PROVIDERS.functions(note.provider).and_then(|functions| {
        let _inside = InProvider::enter();
        functions.realloc(block, size)
    });
    match resized {
        Some(moved) if !moved.is_null() => {
            note_again(moved, Note { address: moved.addr(), size, ..note });
            Resized::At(moved)
        }
        Some(_) => {
            note_again(block, note);
            Resized::OutOfMemory
        }
        None => move_block(block, note, size),
    }
}

/// Puts a note back. There is room for it, since it has just been removed.
fn note_again(block: *mut u8, note: Note) {
    let _ = with_notes(block, |notes| notes.insert(note));
}

/// Moves a block whose provider cannot resize it.
fn move_block(block: *mut u8, note: Note, size: usize) -> Resized {
    let resized = realloc::relocate(block, note.size, size, alloc, |block| free_by_provider(block, note));
    if matches!(resized, Resized::OutOfMemory) {
        note_again(block, note);
    }
    resized
}

fn usable_size(block: *mut u8) -> usize {
    let Some(Some(note)) = with_notes(block, |notes| notes.get(block.addr()).copied()) else {
        return realloc::usable_size::<Fast>(block);
    };
    let _inside = InProvider::enter();
    PROVIDERS.functions(note.provider).and_then(|functions| functions.usable_size(block)).unwrap_or(note.size)
}

/// Prepares the mode. Part of the start.
pub(crate) fn begin() {
    PROCESS.features.register(&FORK);
}

/// Has `functions` serve from now on; none for Spandrel itself. Only in modes `fast` and `custom`.
pub(crate) fn set_functions(functions: Option<Functions>) -> Result<(), NoSwitch> {
    if !PROCESS.is_ready() || PROCESS.has_pool() || IN_FORCE.get().is_some_and(|mode| !core::ptr::eq(mode, &CUSTOM)) {
        return Err(NoSwitch::Unsafe);
    }
    begin();
    // Every free consults the notes before the first block has one.
    if !IN_FORCE.is(&CUSTOM) {
        table::put_into_force(Some(&CUSTOM));
        thread::follow_mode();
    }
    if PROVIDERS.choose(functions) { Ok(()) } else { Err(NoSwitch::TooMany) }
}
