#![expect(unsafe_code, reason = "leaves blocks to be freed later, gives locks back")]
//! ModeTable `custom`: functions of the program's, or of a plugin, serve the calls.
//!
//! They are called with this thread's heap free and no lock held, and marked as guests: what they allocate themselves is Spandrel's, so
//! nothing goes round in circles. A block is noted when it is made and goes back to its provider, whoever serves by then. Notes are
//! looked at with the heap held, so that a signal handler never waits for the thread it interrupted.

pub(crate) mod functions;
mod plugin;

use core::ffi::CStr;

use self::functions::{Functions, Note, Providers};
use crate::heap::{Freed, Heap};
use crate::modes::ledger::Table;
use crate::process::feature::{Feature, Order};
use crate::process::state::PROCESS;
use crate::process::tally::Reason;
use crate::process::thread::{self, HeapAccess};
use crate::slow_path::alloc;
use crate::slow_path::free;
use crate::slow_path::mode::{self, Fast, Mode};
use crate::slow_path::realloc;
use crate::slow_path::request::{FreeSize, Request, Resized};
use crate::slow_path::table::{self, ModeTable, Refusal};
use crate::sys::lock::Patience;
use crate::sys::memory;

/// Up to this alignment malloc serves.
const NATURAL_ALIGN: usize = 16;

static PROVIDERS: Providers = Providers::new();

/// The table.
pub(crate) static CUSTOM: ModeTable = ModeTable {
    alloc,
    free,
    realloc,
    usable_size,
    free_sized: |block, _named: FreeSize| free(block),
    ..ModeTable::of::<Custom>()
};

/// What is done with the heap held: the blocks that waited to be freed, and the locks of a fork.
struct Custom;

impl Mode for Custom {
    const NAME: &'static CStr = c"custom";

    /// The block waited: a signal handler freed it. Its provider is called from inside this time, so libc serves what it asks for.
    fn free(heap: &Heap, block: *mut u8) -> Freed {
        let note = PROVIDERS.notes.shard(block.addr()).remove(block.addr());
        match note.and_then(|note| PROVIDERS.functions(note.provider)) {
            Some(functions) => {
                functions.free(block);
                // Nothing is left to do.
                Freed::Misused
            }
            None => mode::free_on(heap, block),
        }
    }
}

/// The mode's locks for a fork.
static FORK: Feature = Feature { locks: Some((Order::AfterCentral, lock_for_fork, unlock_after_fork)), ..Feature::NONE };

fn lock_for_fork(patience: &Patience) {
    PROVIDERS.notes.lock_for_fork(patience);
}

fn unlock_after_fork() {
    PROVIDERS.notes.unlock_after_fork();
}

/// A guest's time on this thread.
struct Guest(Option<&'static Heap>);

impl Guest {
    /// `None` if this call comes from a guest, or from inside Spandrel.
    fn enter() -> Option<Self> {
        match thread::access() {
            HeapAccess::Own(heap) if heap.in_provider.get() => None,
            HeapAccess::Own(heap) => {
                heap.in_provider.set(true);
                Some(Self(Some(heap.heap())))
            }
            HeapAccess::Libc(Reason::Exiting) => Some(Self(None)),
            HeapAccess::Libc(_) => None,
        }
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        if let Some(heap) = self.0 {
            heap.in_provider.set(false);
        }
    }
}

/// Looks at the notes of `block`; `None` where they cannot be looked at now.
fn look<T>(block: *mut u8, look: impl FnOnce(&mut Table<Note>) -> T) -> Option<T> {
    match thread::access() {
        HeapAccess::Libc(Reason::Recursion) => PROVIDERS.notes.try_shard(block.addr()).map(|mut table| look(&mut table)),
        _held => Some(look(&mut PROVIDERS.notes.shard(block.addr()))),
    }
}

fn alloc(request: Request) -> *mut u8 {
    plugin::load_in_time();
    let Some((provider, functions)) = PROVIDERS.current() else { return alloc::alloc::<Fast>(request) };
    let align = (request.align > NATURAL_ALIGN).then_some(request.align);
    if align.is_some() && functions.aligned_alloc.is_none() {
        return alloc::alloc::<Fast>(request);
    }
    let Some(_guest) = Guest::enter() else { return alloc::alloc::<Fast>(request) };
    let block = functions.alloc(request.size, align, request.zero);
    let note = Note { address: block.addr(), size: request.size, provider };
    if block.is_null() || look(block, |notes| notes.insert(note)) == Some(true) {
        return block;
    }
    functions.free(block);
    core::ptr::null_mut()
}

fn free(block: *mut u8) {
    match look(block, |notes| notes.remove(block.addr())) {
        Some(None) => free::free::<Fast>(block),
        Some(Some(note)) => give_back(block, note),
        // SAFETY: the program gives up a block, which is as large and aligned as blocks are.
        None => unsafe { PROCESS.central.defer_free(block) },
    }
}

fn give_back(block: *mut u8, note: Note) {
    let _guest = Guest::enter();
    if let Some(functions) = PROVIDERS.functions(note.provider) {
        functions.free(block);
    }
}

fn realloc(block: *mut u8, size: usize) -> Resized {
    let note = match look(block, |notes| notes.remove(block.addr())) {
        Some(Some(note)) => note,
        Some(None) => return realloc::realloc::<Fast>(block, size),
        None => return Resized::OutOfMemory,
    };
    let resized = PROVIDERS.functions(note.provider).and_then(|functions| {
        let _guest = Guest::enter();
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

/// Puts a note back. Where it has just been taken out there is room for it.
fn note_again(block: *mut u8, note: Note) {
    let _ = look(block, |notes| notes.insert(note));
}

/// Moves a block whose provider cannot resize it.
fn move_block(block: *mut u8, note: Note, size: usize) -> Resized {
    let moved = alloc(Request { size, align: 1, zero: false });
    if moved.is_null() {
        note_again(block, note);
        return Resized::OutOfMemory;
    }
    // SAFETY: two blocks, of which this call holds both, and no more bytes than either has.
    unsafe { memory::copy(block, moved, note.size.min(size)) };
    give_back(block, note);
    Resized::At(moved)
}

fn usable_size(block: *mut u8) -> usize {
    let Some(Some(note)) = look(block, |notes| notes.get(block.addr()).copied()) else {
        return realloc::usable_size::<Fast>(block);
    };
    let _guest = Guest::enter();
    PROVIDERS.functions(note.provider).and_then(|functions| functions.usable_size(block)).unwrap_or(note.size)
}

/// Prepares the mode, at start.
pub(crate) fn begin() {
    PROCESS.features.register(&FORK);
}

/// Has `functions` serve from now on; none for Spandrel itself. Only in modes `fast` and `custom`.
pub(crate) fn set_functions(functions: Option<Functions>) -> Result<(), Refusal> {
    if !PROCESS.is_ready() || PROCESS.has_pool() || table::in_force().is_some_and(|mode| !core::ptr::eq(mode, &CUSTOM)) {
        return Err(Refusal::Unsafe);
    }
    begin();
    // From now on every free is looked up, before there is a block that must not miss it.
    if !table::is_in_force(&CUSTOM) {
        table::put_into_force(Some(&CUSTOM));
        thread::follow_mode();
    }
    if PROVIDERS.choose(functions) { Ok(()) } else { Err(Refusal::TooMany) }
}
