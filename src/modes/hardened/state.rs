//! The state of a block: a byte in the shadow, at the granule where the block starts.
//!
//! ```text
//! never -> live -> freed  (by the thread that owns the span: a load and a store)
//!            ^      |
//!            |      v
//!            '---- bins and spans
//!          live -> remote (by any other thread: a compare-exchange) -> freed (when its batch arrives at the owner)
//! ```
//! The load and the store of the owner may enclose a remote free of the same block, which is a double free that both
//! calls miss. The block is not remote any more when its batch arrives then, so it is found there.
//! Must not know what lies in blocks.

use crate::sys::atomic::{AtomicU8, Ordering};

/// No block was handed out here since the memory came from the kernel.
pub(super) const NEVER: u8 = 0;
/// In the quarantine, in a bin, or in a span.
pub(super) const FREED: u8 = 1;
/// Freed by a thread that does not own the span, or inside the allocator, and on its way.
pub(super) const REMOTE: u8 = 2;
/// The program has it. The low bits are the slack: bytes between the canary behind the request and the block's end.
pub(super) const LIVE: u8 = 0x80;
/// Most slack that the state has room for.
pub(super) const SLACK_MAX: usize = 15;
/// The program has it, and the slack stands in the block's last word.
pub(super) const TAIL: u8 = LIVE + SLACK_MAX as u8 + 1;

/// Whether the program has a block of that state.
#[inline(always)]
pub(super) const fn is_live(state: u8) -> bool {
    state >= LIVE
}

/// Whether a block is in the quarantine, in a bin, or in a span.
pub(super) fn is_freed(unit: &AtomicU8) -> bool {
    // Relaxed: what the caller then does is right for a block that is being freed, too.
    unit.load(Ordering::Relaxed) == FREED
}

/// Frees a block of the calling thread's spans, which that thread found live.
#[inline(always)]
pub(super) fn free_own(unit: &AtomicU8) {
    // Relaxed: the owner's other accesses are this thread's. A remote free that comes between its load and this store
    // is found when its batch arrives.
    unit.store(FREED, Ordering::Relaxed);
}

/// Frees a block on a thread that does not own its span, if its state is `live`. Of several such callers one gets true.
#[inline(always)]
pub(super) fn free_remote(unit: &AtomicU8, live: u8) -> bool {
    // Relaxed: the exchange itself decides; the batch publishes the block.
    unit.compare_exchange(live, REMOTE, Ordering::Relaxed, Ordering::Relaxed).is_ok()
}

/// Notes that a block that was free already, or was never handed out, is sent to another owner: its span has one by
/// now. A live block stays live, so that it is found when it arrives.
pub(super) fn leave(unit: &AtomicU8) {
    for free in [FREED, NEVER] {
        // Relaxed: as above.
        let _ = unit.compare_exchange(free, REMOTE, Ordering::Relaxed, Ordering::Relaxed);
    }
}

/// Notes that a block has arrived at its owner; false if the owner has freed it, too.
pub(super) fn arrive(unit: &AtomicU8) -> bool {
    // Relaxed: as above.
    unit.compare_exchange(REMOTE, FREED, Ordering::Relaxed, Ordering::Relaxed).is_ok()
}

#[cfg(all(test, loom))]
mod models {
    use super::*;
    use loom::sync::Arc;
    use loom::thread;

    /// That the other free is found is for `tests`: loom does not know that an exchange follows at once what it read.
    #[test]
    fn loom_of_a_free_by_the_owner_and_one_by_another_thread_one_counts() {
        loom::model(|| {
            let unit = Arc::new(AtomicU8::new(0));
            unit.store(LIVE | 3, Ordering::Relaxed);
            let other = {
                let unit = unit.clone();
                thread::spawn(move || free_remote(&unit, LIVE | 3))
            };
            let own = is_live(unit.load(Ordering::Relaxed));
            if own {
                free_own(&unit);
            }
            let remote = other.join().expect("no panic");
            assert!(own || remote && arrive(&unit), "no block is lost");
        });
    }

    #[test]
    fn loom_of_two_remote_frees_one_counts() {
        loom::model(|| {
            let unit = Arc::new(AtomicU8::new(0));
            unit.store(TAIL, Ordering::Relaxed);
            let other = {
                let unit = unit.clone();
                thread::spawn(move || free_remote(&unit, TAIL))
            };
            let here = free_remote(&unit, TAIL);
            assert!(here != other.join().expect("no panic"));
            assert!(arrive(&unit) && !arrive(&unit));
        });
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    /// The threads share one byte alone, so the orders of the accesses to it are all that can happen.
    #[test]
    fn of_a_free_by_the_owner_and_one_by_another_thread_one_counts_in_every_order() {
        for steps_before in 0..=2 {
            let unit = AtomicU8::new(LIVE | 3);
            let remote_if = |steps| steps == steps_before && free_remote(&unit, LIVE | 3);
            let mut remote = remote_if(0);
            let own = is_live(unit.load(Ordering::Relaxed));
            remote |= remote_if(1);
            if own {
                free_own(&unit);
            }
            remote |= remote_if(2);
            let arrived = remote && arrive(&unit);
            assert_ne!(own, arrived, "{steps_before}");
            assert_eq!((own, remote), [(false, true), (true, true), (true, false)][steps_before]);
            assert_eq!(unit.load(Ordering::Relaxed), FREED);
        }
    }

    #[test]
    fn a_block_is_freed_once_on_every_way() {
        let by_owner = |unit: &AtomicU8, _: u8| {
            let live = is_live(unit.load(Ordering::Relaxed));
            if live {
                free_own(unit);
            }
            live
        };
        let ways: [fn(&AtomicU8, u8) -> bool; 2] = [by_owner, free_remote];
        for live in LIVE..=TAIL {
            for first in ways {
                for second in ways {
                    let unit = AtomicU8::new(live);
                    assert!(is_live(live) && first(&unit, live) && !second(&unit, live));
                    assert!(!is_live(unit.load(Ordering::Relaxed)));
                }
            }
        }
        for free in [NEVER, FREED, REMOTE] {
            assert!(!is_live(free));
            assert_eq!(arrive(&AtomicU8::new(free)), free == REMOTE);
            let sent = AtomicU8::new(free);
            leave(&sent);
            assert!(arrive(&sent), "what lay in a bin of another heap arrives");
        }
        let live = AtomicU8::new(LIVE);
        leave(&live);
        assert!(!arrive(&live));
    }
}
