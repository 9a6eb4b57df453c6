//! ModeTable `counting`: how many blocks and bytes are outstanding, at any moment.
//!
//! Bytes are usable bytes: what was added when a block was made can be taken off when it is freed without a note of it. Blocks that
//! libc served, for one of the reasons that are counted elsewhere, are not among them.

use core::ffi::CStr;

use super::counter::Counter;
use crate::base::class::Class;
use crate::base::text::Line;
use crate::central::Place;
use crate::heap::{Freed, Heap};
use crate::process::state::PROCESS;
use crate::process::thread;
use crate::slow_path::mode::{self, Mode, Print};
use crate::slow_path::request::{self, Request, Resized};
use crate::slow_path::table::{self, ModeTable};
use crate::sys::{processor, tls};

/// The counter.
static COUNTER: Counter = Counter::new();

/// The table.
pub(crate) static COUNTING: ModeTable = ModeTable::of::<Counting>();

/// See the module.
struct Counting;

impl Mode for Counting {
    const NAME: &'static CStr = c"counting";
    const PROFILED: bool = true;

    fn serve(heap: &Heap, request: Request) -> Option<*mut u8> {
        if let Some((block, class)) = pop(heap, request) {
            COUNTER.add(heap.address(), 1, class.size() as i64);
            return Some(block);
        }
        let block = mode::serve(heap, request)?;
        COUNTER.add(heap.address(), 1, bytes_of(block));
        Some(block)
    }

    fn free(heap: &Heap, block: *mut u8) -> Freed {
        if !PROCESS.inspects()
            && let Some(class) = heap.push_own(block)
        {
            COUNTER.add(heap.address(), -1, -(class.size() as i64));
            return Freed::Small;
        }
        let bytes = bytes_of(block);
        count_free(heap.address(), bytes, mode::free_on(heap, block))
    }

    fn free_alone(block: *mut u8) -> Freed {
        let bytes = bytes_of(block);
        count_free(processor::stack_pointer(), bytes, mode::free_alone(block))
    }

    fn resize(block: *mut u8, old: usize, size: usize) -> Option<Resized> {
        let resized = mode::resize(block, old, size)?;
        if let Resized::At(block) = resized {
            COUNTER.add(tls::own_heap(), 0, bytes_of(block) - old as i64);
        }
        Some(resized)
    }

    fn report(print: Print<'_>) {
        let (blocks, bytes) = COUNTER.sum();
        let mut line = Line::new();
        line.text("spandrel: counting: outstanding blocks ").signed(blocks);
        print(line.text(" bytes ").signed(bytes).finish());
    }
}

/// A block of the bin that `request` leads to, if it has one and nothing else wants to see the request.
#[inline]
fn pop(heap: &Heap, request: Request) -> Option<(*mut u8, Class)> {
    if request.zero || heap.is_sampled() || PROCESS.inspects() {
        return None;
    }
    let class = request::class_of(request)?;
    let block = heap.bin(class).pop();
    (!block.is_null()).then_some((block, class))
}

fn count_free(thread: usize, bytes: i64, freed: Freed) -> Freed {
    if matches!(freed, Freed::Small | Freed::Large | Freed::Direct | Freed::Sampled(_)) {
        COUNTER.add(thread, -1, -bytes);
    }
    freed
}

/// Usable bytes of what starts at `block`, if it is a block of ours at all; whether it is live is for others to say.
fn bytes_of(block: *mut u8) -> i64 {
    let bytes = match PROCESS.central.resolve(block.addr()) {
        Place::Small { class, .. } => class.size(),
        Place::Large { span, .. } => span.large_bytes(),
        Place::Direct(direct) => direct.bytes,
        Place::Nowhere | Place::Foreign => 0,
    };
    bytes as i64
}

/// Outstanding blocks and bytes; `None` in other modes.
pub(crate) fn outstanding() -> Option<(i64, i64)> {
    table::is_in_force(&COUNTING).then(|| COUNTER.sum())
}

/// Begins or ends counting in a process in the default mode.
pub(crate) fn switch(on: bool) {
    if on {
        COUNTER.reset();
    }
    table::put_into_force(on.then_some(&COUNTING));
    thread::follow_mode();
}
