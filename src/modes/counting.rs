//! Mode `counting`: how many blocks and bytes are outstanding, at any moment.
//!
//! Bytes are usable bytes, which a free can ask for again, so no note about a block is needed. Blocks that libc served
//! are not counted.

use core::ffi::CStr;

use crate::base::class::Class;
use crate::base::text::Line;
use crate::central::Place;
use crate::heap::{Freed, Heap};
use crate::process::state::PROCESS;
use crate::process::thread;
use crate::slow_path::mode::{self, Mode, Print};
use crate::slow_path::request::{Request, Resized};
use crate::slow_path::table::{self, IN_FORCE, ModeTable};
use crate::sys::atomic::{AtomicU64, Ordering};
use crate::sys::{processor, tls};

/// A power of two. More threads than that share parts, which lose no count by it.
const PARTS: usize = 64;
/// Heaps are this far apart.
const HEAP_SHIFT: u32 = 13;

/// A part, alone in its pair of cache lines (processors fetch them in pairs).
#[repr(align(128))]
struct Part {
    blocks: AtomicU64,
    bytes: AtomicU64,
}

/// Outstanding blocks and bytes, in parts: a thread adds to the part that its heap's address chooses, so that threads
/// do not fight for a cache line. A part may be below zero, for another thread frees than the one that allocates; their
/// sum is not.
struct Counter {
    parts: [Part; PARTS],
}

impl Counter {
    const fn new() -> Self {
        Self { parts: [const { Part { blocks: AtomicU64::new(0), bytes: AtomicU64::new(0) } }; PARTS] }
    }

    /// Adds `blocks` and `bytes`, either of which may be negative, to the part that `thread` chooses: the address of
    /// the thread's heap, or another word of its own.
    fn add(&self, thread: usize, blocks: i64, bytes: i64) {
        if let Some(part) = self.parts.get((thread >> HEAP_SHIFT) % PARTS) {
            // Relaxed: counters.
            part.blocks.fetch_add(blocks as u64, Ordering::Relaxed);
            part.bytes.fetch_add(bytes as u64, Ordering::Relaxed);
        }
    }

    /// Outstanding blocks and bytes. Exact when no thread allocates meanwhile; below zero where more was freed than
    /// made since the last [`Counter::reset`].
    fn sum(&self) -> (i64, i64) {
        // Relaxed: counters.
        let sum = |count: fn(&Part) -> &AtomicU64| {
            self.parts.iter().fold(0_u64, |sum, part| sum.wrapping_add(count(part).load(Ordering::Relaxed))) as i64
        };
        (sum(|part| &part.blocks), sum(|part| &part.bytes))
    }

    /// Counts from 0 again.
    fn reset(&self) {
        for part in &self.parts {
            // Relaxed: counters.
            part.blocks.store(0, Ordering::Relaxed);
            part.bytes.store(0, Ordering::Relaxed);
        }
    }
}

static COUNTER: Counter = Counter::new();

/// The table of functions of the mode.
pub(crate) static COUNTING: ModeTable = ModeTable::of::<Counting>();

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

/// A block of the bin that `request` leads to; `None` if it has none, or if another feature has to see the request.
#[inline]
fn pop(heap: &Heap, request: Request) -> Option<(*mut u8, Class)> {
    if request.zero || heap.is_sampled() || PROCESS.inspects() {
        return None;
    }
    let class = mode::class_of(request)?;
    let block = heap.bin(class).pop();
    (!block.is_null()).then_some((block, class))
}

fn count_free(thread: usize, bytes: i64, freed: Freed) -> Freed {
    if matches!(freed, Freed::Small | Freed::Large | Freed::Direct | Freed::Sampled(_)) {
        COUNTER.add(thread, -1, -bytes);
    }
    freed
}

/// Usable bytes of the block of ours at `block`, live or not; 0 if there is none.
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
    IN_FORCE.is(&COUNTING).then(|| COUNTER.sum())
}

/// Begins or ends counting in a process in the default mode.
pub(crate) fn switch(on: bool) {
    if on {
        COUNTER.reset();
    }
    table::put_into_force(on.then_some(&COUNTING));
    thread::follow_mode();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sum_is_right_whichever_thread_frees() {
        let counter = Counter::new();
        for thread in 0..200_usize {
            counter.add(thread << HEAP_SHIFT, 1, thread as i64);
        }
        assert_eq!(counter.sum(), (200, 199 * 100));
        counter.add(0, -200, -199 * 100);
        assert_eq!(counter.sum(), (0, 0));
        counter.add(7, -1, -8);
        assert_eq!(counter.sum(), (-1, -8));
        counter.reset();
        assert_eq!(counter.sum(), (0, 0));
    }
}
