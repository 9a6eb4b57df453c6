//! An address in words, for reports of crashes: the block that it lies in, the thread of that, and whether the block is
//! live.
//!
//! For signal handlers that may have interrupted anything, the allocator included: takes no lock, and checks what it
//! reads. Must not know the static state.

use crate::base::class::Class;
use crate::base::text::Line;
use crate::base::units::REGION_BYTES;
use crate::central::{Place, Refused, Span};
use crate::heap::{Heap, Shared};
use crate::pages::Entry;

/// Bytes with which `SPANDREL_JUNK` fills freed and fresh blocks, eight times.
const FREED: usize = usize::from_ne_bytes([0x5a; 8]);
const FRESH: usize = usize::from_ne_bytes([0xa5; 8]);
/// Addresses below are those of members of a structure at null.
const NEAR_NULL: usize = 64 << 10;
/// The bits above these tell one kind of junk from the other.
const LOW_BITS: usize = 0xffff;

/// Adds a description of `address` to `line`; false, and `line` stays as it is, if it is none of Spandrel's.
pub(crate) fn describe(shared: Shared<'_>, address: usize, line: &mut Line) -> bool {
    let space = shared.central.pages.space();
    if (address ^ FREED) <= LOW_BITS {
        line.text("reads like freed memory (SPANDREL_JUNK)");
    } else if (address ^ FRESH) <= LOW_BITS {
        line.text("reads like memory that was never written (SPANDREL_JUNK)");
    } else if !space.reserves(address) {
        return false;
    } else {
        // Within the data area this takes no lock.
        match shared.central.resolve(address) {
            Place::Small { span, class, entry, offset } => describe_small(shared, line, span, (class, entry, offset)),
            Place::Large { span, .. } => {
                line.text("a large block of ").number(span.large_bytes() as u64).text(" bytes, live");
            }
            Place::Nowhere | Place::Direct(_) | Place::Foreign => describe_region(shared, line, address),
        }
    }
    true
}

/// As [`describe`], for the address of a fault, of which there is always something to say.
pub(crate) fn describe_fault(shared: Shared<'_>, address: usize, line: &mut Line) {
    if address < NEAR_NULL {
        line.text("null or a member of it");
    } else if !describe(shared, address, line) {
        line.text("none of Spandrel's");
    }
}

fn describe_small(shared: Shared<'_>, line: &mut Line, span: &Span, place: (Class, Entry, usize)) {
    let (class, entry, offset) = place;
    let geometry = class.geometry();
    let size = class.size();
    let start = offset / size * size;
    let state = span.is_out(geometry, start);
    if state == Err(Refused::Inside) || offset >= geometry.regions as usize * REGION_BYTES {
        line.text("behind the last block of a span of blocks of ").number(size as u64).text(" bytes");
        return;
    }
    line.number((offset - start) as u64).text(" bytes into block ").number((start / size) as u64);
    line.text(" of ").number(size as u64).text(" bytes, class ").number(class.index() as u64);
    let owner = entry.class().filter(|_| !entry.is_central()).map(|_| Heap::of_entry(entry));
    match owner {
        Some(heap) => line.text(", of thread ").number(u64::from(heap.thread.id.get())),
        None => line.text(", of no thread"),
    };
    if state.is_err() {
        line.text(": free, in its span");
        return;
    }
    let address = shared.central.pages.space().address(span.first()) + start;
    match shared.registry.find_unlocked(|heap| heap.bin_holds(class, address)) {
        Some(heap) => line.text(": free, in the bin of thread ").number(u64::from(heap.thread.id.get())),
        None => line.text(": live, or freed by another thread and on its way"),
    };
}

fn describe_region(shared: Shared<'_>, line: &mut Line, address: usize) {
    let why = shared.central.why_nowhere(address);
    let used = shared.central.pages.space().region_of(address).is_some();
    line.text(match (used, why) {
        (false, _) => "address space of Spandrel's that was never used",
        (true, Refused::Double) => "a run of regions that was freed",
        (true, Refused::Destroyed) => "memory of a heap that was destroyed",
        (true, Refused::Inside) => "inside a large block, or in regions that hold none",
    });
}
