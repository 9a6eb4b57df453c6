//! Leaks: the blocks that are live after all destructors, counted by size, and reported when the process ends.

use super::{Snapshot, with_snapshot};
use crate::base::class::{self, Class};
use crate::base::text::Line;
use crate::diag::{self, Code};
use crate::process::state::PROCESS;
use crate::sys::atomic::{AtomicU32, Ordering};
use crate::sys::{call, libc};

/// The exit status of a process that leaked and would have ended with 0.
const LEAK_STATUS: i32 = 23;

/// The status with which the process ends, once the C library has said so. One thread writes and reads.
static EXIT_STATUS: AtomicU32 = AtomicU32::new(0);

/// Has the C library call `keep_status` at exit: registered before any other handler, so called last.
pub(crate) fn watch_status() {
    libc::on_exit(keep_status);
}

extern "C" fn keep_status(status: i32, _: *mut core::ffi::c_void) {
    // Relaxed: the thread that ends the process reads it.
    EXIT_STATUS.store(status as u32, Ordering::Relaxed);
}

/// Reports the blocks that are live after all destructors, and ends the process.
pub(crate) fn end() {
    let Some(leaked) = with_snapshot(report) else { return };
    // Relaxed: this thread wrote it.
    let status = EXIT_STATUS.load(Ordering::Relaxed) as i32;
    call::exit(if leaked && status == 0 { LEAK_STATUS } else { status });
}

/// Reports the live blocks, then those of each named heap; false if there are none.
fn report(snapshot: &Snapshot) -> bool {
    let leaks = Leaks::of(snapshot);
    let print = |bytes: &[u8]| PROCESS.reports.write(bytes);
    if leaks.blocks() == 0 {
        return false;
    }
    diag::described(Code::ShutdownLeak, |line| leaks.describe(line), print);
    for heap in snapshot.bills.rows().filter(|heap| heap.is_heap() && heap.live_blocks > 0) {
        let describe = |line: &mut Line| {
            line.number(heap.live_blocks as u64).text(" of them, ").number(heap.live_bytes as u64);
            line.text(" bytes, are of heap \"").text(heap.shown()).text("\"");
        };
        diag::described(Code::ShutdownLeak, describe, print);
    }
    if let Some((heaps, sums)) = snapshot.bills.others().filter(|(_, sums)| sums.live_blocks > 0) {
        let describe = |line: &mut Line| {
            line.number(sums.live_blocks as u64).text(" of them, ").number(sums.live_bytes as u64);
            line.text(" bytes, are of ").number(heaps as u64).text(" more heaps");
        };
        diag::described(Code::ShutdownLeak, describe, print);
    }
    true
}

/// Blocks that are live.
struct Leaks {
    small: [usize; class::COUNT],
    large: usize,
    large_bytes: usize,
}

impl Leaks {
    /// Counts them, in a process at rest.
    fn of(snapshot: &Snapshot) -> Self {
        let large = &snapshot.large;
        Self {
            small: snapshot.classes.map(|figures| figures.live() as usize),
            large: large.large_blocks + large.direct_blocks,
            large_bytes: large.large_bytes + large.direct_bytes,
        }
    }

    /// How many there are.
    fn blocks(&self) -> usize {
        self.small.iter().sum::<usize>() + self.large
    }

    fn bytes(&self) -> usize {
        self.by_size().map(|(size, count)| size * count).sum::<usize>() + self.large_bytes
    }

    fn by_size(&self) -> impl Iterator<Item = (usize, usize)> {
        Class::all().map(Class::size).zip(self.small).filter(|(_, count)| *count > 0)
    }

    /// Adds to `line` how many blocks and bytes there are, and of which sizes, the smallest first.
    fn describe(&self, line: &mut Line) {
        line.number(self.blocks() as u64)
            .text(" blocks of ")
            .number(self.bytes() as u64)
            .text(" bytes are live at exit:");
        for (size, count) in self.by_size() {
            line.text(" ").number(count as u64).text("x").number(size as u64);
        }
        if self.large > 0 {
            line.text(" and ").number(self.large as u64).text(" large");
        }
    }
}
