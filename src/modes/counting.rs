//! Mode `counting`: how many blocks and bytes are outstanding, at any moment.
//!
//! Threads use the fast path as in the default mode, which counts nothing: each heap knows how many blocks came into
//! its bins and how many are there, so the rest is with the program ([`Heap::net`]). Blocks that pass no bin count when
//! they are served: large blocks, blocks of other heaps, and frees of threads without a heap. Bytes are usable bytes.
//! Blocks that libc served are not counted.

use core::ffi::CStr;

use crate::base::text::Line;
use crate::central::Place;
use crate::heap::second_path::COUNTED;
use crate::heap::{Freed, Heap};
use crate::process::state::PROCESS;
use crate::process::thread::{self, HeapAccess};
use crate::slow_path::mode::{self, Mode, Paths, Print};
use crate::slow_path::request::{Request, Resized};
use crate::slow_path::table::{self, IN_FORCE, ModeTable};
use crate::sys::atomic::{AtomicIsize, Ordering};

/// Blocks and bytes. Each is read and written by any thread.
struct Pair([AtomicIsize; 2]);

impl Pair {
    const fn new() -> Self {
        Self([const { AtomicIsize::new(0) }; 2])
    }

    fn add(&self, more: [isize; 2]) {
        for (count, more) in self.0.iter().zip(more) {
            // Relaxed: a counter.
            count.fetch_add(more, Ordering::Relaxed);
        }
    }

    fn get(&self) -> [isize; 2] {
        // Relaxed: as above.
        [&self.0[0], &self.0[1]].map(|count| count.load(Ordering::Relaxed))
    }
}

/// The blocks that threads without a heap freed, below zero.
static WITHOUT_HEAP: Pair = Pair::new();
/// The blocks outstanding when counting began, below zero: so the count begins at 0.
static BEGIN: Pair = Pair::new();

/// The table of functions of the mode.
pub(crate) static COUNTING: ModeTable = ModeTable::of::<Counting>();

struct Counting;

impl Mode for Counting {
    const NAME: &'static CStr = c"counting";
    const PATHS: Paths = Paths::Second(&COUNTED);
    const PROFILED: bool = true;
    const NOTES: bool = false;

    fn serve(heap: &Heap, request: Request) -> Option<*mut u8> {
        let block = mode::serve(heap, request)?;
        if let Some(bytes) = bytes_without_bin(block) {
            heap.note_own(1, bytes);
        }
        Some(block)
    }

    fn free(heap: &Heap, block: *mut u8) -> Freed {
        let bytes = bytes_without_bin(block);
        let freed = mode::free_on(heap, block);
        if let (Some(bytes), Freed::Large | Freed::Direct | Freed::Sampled(_)) = (bytes, freed) {
            heap.note_own(-1, -bytes);
        }
        freed
    }

    fn free_alone(block: *mut u8) -> Freed {
        let bytes = bytes_of(block);
        let freed = mode::free_alone(block);
        if matches!(freed, Freed::Small | Freed::Large | Freed::Direct | Freed::Sampled(_)) {
            WITHOUT_HEAP.add([-1, -bytes]);
        }
        freed
    }

    fn resize(block: *mut u8, old: usize, size: usize) -> Option<Resized> {
        let resized = mode::resize(block, old, size)?;
        if let Resized::At(block) = resized
            && let Some(bytes) = bytes_without_bin(block)
        {
            let more = bytes - old as isize;
            match thread::access() {
                HeapAccess::Own(heap) => heap.note_own(0, more),
                HeapAccess::Libc(_) => WITHOUT_HEAP.add([0, more]),
            }
        }
        Some(resized)
    }

    fn report(print: Print<'_>) {
        let [blocks, bytes] = sum();
        let mut line = Line::new();
        line.text("spandrel: counting: outstanding blocks ").signed(blocks as i64);
        print(line.text(" bytes ").signed(bytes as i64).finish());
    }
}

/// Usable bytes of the block of ours at `block`, live or not; 0 if there is none.
fn bytes_of(block: *mut u8) -> isize {
    match PROCESS.central.resolve(block.addr()) {
        Place::Small { class, .. } => class.size() as isize,
        _ => bytes_without_bin(block).unwrap_or(0),
    }
}

/// Usable bytes of the large or direct block at `block`; `None` if there is none.
fn bytes_without_bin(block: *mut u8) -> Option<isize> {
    match PROCESS.central.resolve(block.addr()) {
        Place::Large { span, .. } => Some(span.large_bytes() as isize),
        Place::Direct(direct) => Some(direct.bytes as isize),
        Place::Small { .. } | Place::Nowhere | Place::Foreign => None,
    }
}

/// Outstanding blocks and bytes. Exact when no thread is inside the allocator; below zero where more was freed than
/// made since counting began.
fn sum() -> [isize; 2] {
    let heaps = core::iter::successors(PROCESS.registry.after(None), |heap| PROCESS.registry.after(Some(heap)));
    heaps.map(Heap::net).chain([WITHOUT_HEAP.get(), BEGIN.get()]).fold([0; 2], add)
}

fn add([blocks, bytes]: [isize; 2], [more_blocks, more_bytes]: [isize; 2]) -> [isize; 2] {
    [blocks.wrapping_add(more_blocks), bytes.wrapping_add(more_bytes)]
}

/// Outstanding blocks and bytes; `None` in other modes.
pub(crate) fn outstanding() -> Option<(i64, i64)> {
    IN_FORCE.is(&COUNTING).then(sum).map(|[blocks, bytes]| (blocks as i64, bytes as i64))
}

/// The live large block at `address` ends with its heap: no free will count it.
pub(crate) fn note_destroyed(address: usize) {
    if IN_FORCE.is(&COUNTING) {
        WITHOUT_HEAP.add([-1, -bytes_of(core::ptr::with_exposed_provenance_mut(address))]);
    }
}

/// Begins or ends counting in a process in the default mode.
pub(crate) fn switch(on: bool) {
    table::put_into_force(on.then_some(&COUNTING));
    thread::follow_mode();
    if on {
        BEGIN.add(sum().map(isize::wrapping_neg));
    }
}
