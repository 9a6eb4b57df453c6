#![expect(unsafe_code, reason = "takes access to blocks away, and gives it back")]
//! Large and direct blocks that the program has freed. They wait in a quarantine of the process, which they leave at
//! random.
//!
//! | Blocks | Wait | Afterwards |
//! |---|---|---|
//! | up to a quarter of what may wait with its memory | filled with zeroes, tested when they leave | ready for a request that needs a run of as many regions; the guards stay |
//! | larger ones, and direct ones | without memory and access | freed |
//!
//! So a program that makes and frees large blocks of the first kind again and again causes no system call.

use super::blocks::{self, keys};
use super::quarantine::{Held, Quarantine, Ready};
use super::state::TAIL;
use crate::base::lane::Lane;
use crate::base::units::{REGION_BYTES, REQUEST_MAX, regions_for};
use crate::central::{Place, with_room};
use crate::heap::Heap;
use crate::process::state::PROCESS;
use crate::slow_path::inspect;
use crate::slow_path::mode;
use crate::slow_path::request::Request;
use crate::sys::atomic::Ordering;
use crate::sys::lock::{Lock, Patience, Rank};
use crate::sys::{memory, zeroes};

/// Blocks that wait without access at most: each may take two of the mappings that a process may have.
const SEALED: usize = 256;
/// Blocks that wait with their memory at most. Fewer than of small ones, so that their bytes stay in the processor's
/// caches.
const RESIDENT: usize = 16;
/// The bytes that wait with their memory are this part of those that wait without.
const RESIDENT_PART: usize = 64;
/// The bytes of blocks that are ready are this part of those that wait with their memory.
const READY_PART: usize = 1;

static QUARANTINE: Lock<FreedBlocks> = Lock::new(
    Rank::Reserve,
    FreedBlocks { sealed: Quarantine::new(), resident: Quarantine::new(), ready: Ready::new(), purged: 0 },
);

/// Blocks that the program has freed, and that are not free.
struct FreedBlocks {
    /// Without memory and access.
    sealed: Quarantine,
    /// Zeroes, unless the program wrote to them after it freed them.
    resident: Quarantine,
    /// Zeroes.
    ready: Ready,
    /// How many of the blocks of `resident` and `ready` have given back their memory since one came in.
    purged: usize,
}

/// Gives the quarantine room for `bytes` of address space, and seeds its random numbers.
pub(super) fn begin(bytes: usize, seeds: [u64; 2]) {
    let mut freed = QUARANTINE.lock();
    freed.sealed.begin(SEALED, bytes, seeds[0]);
    freed.resident.begin(RESIDENT, bytes / RESIDENT_PART, seeds[1]);
    freed.ready.begin(bytes / RESIDENT_PART / READY_PART);
}

/// A large or direct block for a request of `size` bytes; `padded` has room for the canaries, too.
pub(super) fn serve(heap: &Heap, padded: Request, size: usize) -> Option<*mut u8> {
    if padded.size > REQUEST_MAX {
        return None;
    }
    // Blocks of the quarantine are on no bill.
    let ready = if heap.bill().is_none() { take(padded) } else { None };
    let (block, whole) = match ready {
        Some((address, whole)) => {
            heap.attend(PROCESS.shared());
            inspect::count(Lane::Large, size);
            (core::ptr::with_exposed_provenance_mut(address), whole)
        }
        None => {
            let block = mode::serve(heap, padded)?;
            (block, blocks::whole_of(block)?)
        }
    };
    // SAFETY: the block was just allocated, with so many bytes; padding for a canary and so much slack is among them.
    let live = unsafe { keys().write(block.addr(), whole, size) };
    debug_assert_eq!(live, TAIL);
    if let Some(unit) = blocks::unit(block.addr()) {
        // Relaxed: see `state`.
        unit.store(live, Ordering::Relaxed);
    }
    Some(block)
}

/// A block that is ready for `request`, whose bytes are those of the block: where it is, and how many bytes it has.
fn take(request: Request) -> Option<(usize, usize)> {
    if request.align > REGION_BYTES {
        return None;
    }
    let regions = with_room(u32::try_from(regions_for(request.size)).ok()?);
    let address = QUARANTINE.lock().ready.take(regions)?.address;
    let whole = PROCESS.central.reuse_large(address, request.size)?;
    if request.zero {
        // The bytes behind the block were not filled when it was freed.
        // SAFETY: the block is the caller's alone, and is whole pages.
        unsafe { zeroes::clear(core::ptr::with_exposed_provenance_mut(address), whole) };
    }
    Some((address, whole))
}

/// Has a large block of `whole` bytes, which the caller has, wait with its memory; false if it is too large for that.
/// Calls `release` with each block that is to be freed now, without a lock.
pub(super) fn keep(address: usize, whole: usize, mut release: impl FnMut(usize)) -> bool {
    if !QUARANTINE.lock().resident.has_room_for(whole) {
        return false;
    }
    // SAFETY: the program freed the block, and its bytes are whole pages.
    unsafe { zeroes::clear(core::ptr::with_exposed_provenance_mut(address), whole) };
    let added = {
        let mut freed = QUARANTINE.lock();
        freed.purged = 0;
        freed.resident.add(Held { address, whole })
    };
    if !added {
        release(address);
    }
    while let Some(block) = taken(|freed| freed.resident.take_due()) {
        test(block);
        let is_ready = match PROCESS.central.resolve(block.address) {
            Place::Large { span, .. } => {
                let mut freed = QUARANTINE.lock();
                // The test has read the block since it gave its memory back, perhaps.
                freed.purged = 0;
                freed.ready.add(block, span.large_regions())
            }
            _ => false,
        };
        if !is_ready {
            release(block.address);
        }
    }
    true
}

/// Reports a block that something wrote to while it waited.
fn test(block: Held) {
    if is_written(&block) {
        blocks::report_written(core::ptr::with_exposed_provenance_mut(block.address), block.whole);
    }
}

fn is_written(block: &Held) -> bool {
    let start = core::ptr::with_exposed_provenance(block.address);
    // SAFETY: blocks that wait with their memory are readable, and so is one that was just taken out.
    !unsafe { zeroes::is_clear(start, block.whole) }
}

/// Tests the blocks that wait with their memory.
pub(super) fn test_all() {
    while let Some(block) = taken(|freed| freed.resident.take_where(is_written)) {
        test(block);
        if !QUARANTINE.lock().resident.add(block) {
            return;
        }
    }
}

/// Gives back the memory of one of the blocks that wait with theirs or are ready: they are zeroes, and stay so. A block
/// that the program wrote to keeps it. Returns whether there is another one.
pub(super) fn purge_one() -> bool {
    // The lock is held throughout, so that no thread takes the block meanwhile.
    let mut freed = QUARANTINE.lock();
    let held = freed.resident.blocks().iter().chain(freed.ready.blocks()).nth(freed.purged).copied();
    let Some(block) = held else { return false };
    freed.purged += 1;
    if !is_written(&block) {
        // SAFETY: whole pages of a block that nothing uses, and that read as zero now as well as afterwards.
        let _ = unsafe { PROCESS.central.pages.discard(block.address, block.whole) };
    }
    true
}

/// A block that `take` takes out. The lock is not held when this returns.
fn taken(take: impl FnOnce(&mut FreedBlocks) -> Option<Held>) -> Option<Held> {
    take(&mut QUARANTINE.lock())
}

/// Drops the contents of a block of `whole` bytes, whole pages that the caller has, and has it wait. Calls `release`
/// with each block that is to be freed now, without a lock: with this one, if it cannot wait.
pub(super) fn hold(address: usize, whole: usize, mut release: impl FnMut(usize)) {
    let block = Held { address, whole };
    // SAFETY: the program freed the block, and its bytes are whole pages.
    if !unsafe { PROCESS.central.pages.discard(address, whole) } {
        // SAFETY: as above.
        unsafe { memory::zero(core::ptr::with_exposed_provenance_mut(address), whole) };
    }
    let wanted = QUARANTINE.lock().sealed.has_room_for(whole);
    // SAFETY: as above; nothing is to use it until `open`.
    if !wanted || unsafe { memory::protect(address, whole) }.is_err() {
        return release(address);
    }
    if !QUARANTINE.lock().sealed.add(block) {
        return release_held(block, &mut release);
    }
    while let Some(block) = taken(|freed| freed.sealed.take_due()) {
        release_held(block, &mut release);
    }
}

/// Has all blocks leave.
pub(super) fn empty(mut release: impl FnMut(usize)) {
    while let Some(block) = taken(|freed| freed.resident.take()) {
        test(block);
        release(block.address);
    }
    while let Some(block) = taken(|freed| freed.ready.take_any()) {
        release(block.address);
    }
    while let Some(block) = taken(|freed| freed.sealed.take()) {
        release_held(block, &mut release);
    }
}

/// Whether a block that starts at `address` waits.
pub(super) fn has(address: usize) -> bool {
    QUARANTINE.lock().sealed.blocks().iter().any(|block| block.address == address)
}

fn release_held(block: Held, release: &mut impl FnMut(usize)) {
    // SAFETY: the block is out of the quarantine, and is whole pages of ours. Refused, it stays as it is, and is lost.
    if unsafe { memory::commit(block.address, block.whole) }.is_ok() {
        release(block.address);
    }
}

/// Takes the lock for a fork.
pub(super) fn lock_for_fork(patience: &Patience) {
    QUARANTINE.lock_for_fork(patience);
}

/// Ends [`lock_for_fork`].
pub(super) fn unlock_after_fork() {
    QUARANTINE.unlock_after_fork();
}
