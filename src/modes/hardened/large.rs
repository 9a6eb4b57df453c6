#![expect(unsafe_code, reason = "takes access to blocks away, and gives it back")]
//! Large and direct blocks that the program has freed: their contents are dropped at once, and they wait without access
//! in a quarantine of the process, which they leave at random.

use super::quarantine::{Held, Quarantine};
use crate::process::state::PROCESS;
use crate::sys::lock::{Lock, Patience, Rank};
use crate::sys::memory;

static QUARANTINE: Lock<Quarantine> = Lock::new(Rank::Reserve, Quarantine::new());

/// Gives the quarantine room for `bytes` of address space, and seeds its random numbers.
pub(super) fn begin(bytes: usize, seed: u64) {
    QUARANTINE.lock().begin(bytes, seed);
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
    let wanted = QUARANTINE.lock().has_room_for(whole);
    // SAFETY: as above; nothing is to use it until `open`.
    if !wanted || unsafe { memory::protect(address, whole) }.is_err() {
        return release(address);
    }
    if !QUARANTINE.lock().add(block) {
        return release_held(block, &mut release);
    }
    loop {
        // The lock is not held while the block is freed.
        let due = QUARANTINE.lock().take_due();
        let Some(block) = due else { break };
        release_held(block, &mut release);
    }
}

/// Has all blocks leave.
pub(super) fn empty(mut release: impl FnMut(usize)) {
    loop {
        // The lock is not held while the block is freed.
        let block = QUARANTINE.lock().take();
        let Some(block) = block else { break };
        release_held(block, &mut release);
    }
}

/// Whether a block that starts at `address` waits.
pub(super) fn has(address: usize) -> bool {
    QUARANTINE.lock().blocks().iter().any(|block| block.address == address)
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
