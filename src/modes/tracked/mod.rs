//! Mode `tracked`: every live block with its size, thread, age and call stack.
//!
//! A block is noted before the program gets it, and its note is removed before another thread can get the block, with
//! the heap held all the while: libc serves a signal handler that interrupts it, and libc's blocks have no notes.

mod block;

use core::ffi::CStr;

use self::block::{Block, Groups};
use crate::base::text::Line;
use crate::config::FRAMES_MAX;
use crate::heap::{Freed, Heap};
use crate::modes::ledger::Ledger;
use crate::process::feature::{Feature, Order};
use crate::process::state::PROCESS;
use crate::process::thread::{self, HeapAccess};
use crate::slow_path::mode::{self, Mode, Print};
use crate::slow_path::request::{Request, Resized};
use crate::slow_path::table::{IN_FORCE, ModeTable};
use crate::sys::clock::{self, Epoch};
use crate::sys::lock::Patience;
use crate::unwind::{self, Frames, Stacks};

static BLOCKS: Ledger<Block> = Ledger::new();
static STACKS: Stacks = Stacks::new();
static EPOCH: Epoch = Epoch::new();

/// The table of functions of the mode.
pub(crate) static TRACKED: ModeTable = ModeTable::of::<Tracked>();

struct Tracked;

impl Mode for Tracked {
    const NAME: &'static CStr = c"tracked";

    fn serve(heap: &Heap, request: Request) -> Option<*mut u8> {
        let block = mode::serve(heap, request)?;
        note(heap, block, request.size);
        Some(block)
    }

    fn free(heap: &Heap, block: *mut u8) -> Freed {
        let note = BLOCKS.shard(block.addr()).remove(block.addr());
        let freed = mode::free_on(heap, block);
        put_back_if(freed, note);
        freed
    }

    fn free_alone(block: *mut u8) -> Freed {
        let note = BLOCKS.shard(block.addr()).remove(block.addr());
        let freed = mode::free_alone(block);
        put_back_if(freed, note);
        freed
    }

    fn resize(block: *mut u8, old: usize, size: usize) -> Option<Resized> {
        let HeapAccess::Own(heap) = thread::access() else { return None };
        // While it may move, the old address may become another block's.
        let known = BLOCKS.shard(block.addr()).remove(block.addr());
        let resized = mode::resize(block, old, size);
        match (&resized, known) {
            (Some(Resized::At(moved)), _) => note(&heap, *moved, size),
            (_, Some(known)) => insert(known),
            (_, None) => {}
        }
        resized
    }

    fn report(print: Print<'_>) {
        report(print);
    }
}

/// The mode's locks for a fork.
static FORK: Feature =
    Feature { locks: Some((Order::AfterCentral, lock_for_fork, unlock_after_fork)), ..Feature::NONE };

fn lock_for_fork(patience: &Patience) {
    BLOCKS.lock_for_fork(patience);
}

fn unlock_after_fork() {
    BLOCKS.unlock_after_fork();
}

/// Prepares the mode, and begins to measure ages. Part of the start.
pub(crate) fn begin() {
    PROCESS.features.register(&FORK);
    EPOCH.begin();
}

fn insert(block: Block) {
    // Without memory for its note a block is missing in reports.
    let _ = BLOCKS.shard(block.address).insert(block);
}

/// Notes a block that the thread of `heap` has just allocated.
fn note(heap: &Heap, block: *mut u8, size: usize) {
    let mut frames = [0; FRAMES_MAX];
    let wanted = frames.get_mut(..PROCESS.options().tracked_frames).unwrap_or_default();
    let count = unwind::capture(0, wanted);
    let stack = STACKS.intern(frames.get(..count).unwrap_or_default());
    insert(Block { address: block.addr(), size, made: clock::ticks(), thread: heap.thread.id.get(), stack });
}

/// Notes a block again that could not be freed.
fn put_back_if(freed: Freed, note: Option<Block>) {
    if let (Freed::Misused, Some(note)) = (freed, note) {
        insert(note);
    }
}

const NAME: &str = "spandrel: tracked: ";

/// Hands `print` the live blocks by call stack, those of the most bytes first.
fn report(print: Print<'_>) {
    // While the heap is held, nothing that this thread allocates is noted.
    let _held = thread::access();
    let groups = Groups::of(&BLOCKS);
    let mut line = Line::new();
    line.text(NAME)
        .number(groups.blocks as u64)
        .text(" blocks of ")
        .number(groups.bytes as u64)
        .text(" bytes are live at exit, from ");
    print(line.number(groups.len() as u64).text(" call stacks").finish());
    for (index, group) in groups.largest().take(PROCESS.options().tracked_top).enumerate() {
        let mut line = Line::new();
        line.text(NAME).text("#").number(index as u64 + 1).text(" ").number(group.bytes as u64).text(" bytes in ");
        line.number(group.blocks as u64).text(" blocks, the oldest ").number(EPOCH.age(group.oldest)).text(" ms old");
        print(line.finish());
        for frame in STACKS.frames(group.stack()).iter() {
            let mut line = Line::new();
            unwind::describe(frame, line.text(NAME).text("   "));
            print(line.finish());
        }
    }
}

/// A live block, for programs.
#[derive(Clone, Copy)]
pub(crate) struct BlockInfo {
    pub(crate) address: usize,
    /// As asked for.
    pub(crate) size: usize,
    /// Milliseconds since it was allocated.
    pub(crate) age: u64,
    /// The thread that allocated it, by the kernel's number.
    pub(crate) thread: u32,
    /// The call stack of that.
    pub(crate) frames: Frames,
}

fn info_of(block: &Block) -> BlockInfo {
    let Block { address, size, made, thread, stack } = *block;
    BlockInfo { address, size, age: EPOCH.age(made), thread, frames: STACKS.frames(stack) }
}

/// Whether blocks are tracked.
pub(crate) fn is_tracking() -> bool {
    IN_FORCE.is(&TRACKED)
}

/// The live block that starts at `address`.
pub(crate) fn block_info(address: usize) -> Option<BlockInfo> {
    if !is_tracking() {
        return None;
    }
    let held = thread::access();
    let block = match held {
        HeapAccess::Own(_) => BLOCKS.shard(address).get(address).copied(),
        HeapAccess::Libc(_) => BLOCKS.try_shard(address)?.get(address).copied(),
    };
    block.as_ref().map(info_of)
}

/// Calls `visit` with each live block until it returns false; how many calls returned true. No lock is held meanwhile,
/// so `visit` may allocate and free; it gets copies of the notes, made one shard at a time.
pub(crate) fn walk(mut visit: impl FnMut(BlockInfo) -> bool) -> usize {
    let mut seen = 0;
    for index in 0..BLOCKS.len() {
        let copy = {
            let HeapAccess::Own(_held) = thread::access() else { return seen };
            BLOCKS.copy_shard(index)
        };
        let Some(copy) = copy else { continue };
        let blocks = copy.iter().map(info_of).take_while(|info| visit(*info)).count();
        let whole = blocks == copy.len();
        seen += blocks;
        if !whole {
            return seen;
        }
    }
    seen
}
