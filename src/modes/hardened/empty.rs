#![expect(unsafe_code, reason = "reserves address space")]
//! Requests of no bytes: addresses of their own, without access, so that any use of one faults. Each has a state, so a
//! second free is found. When all are in use, such requests get blocks. Takes no lock.

use super::state::{FREED, LIVE, is_live};
use crate::sys::atomic::{AtomicU8, AtomicUsize, Ordering};
use crate::sys::cell::Relaxed;
use crate::sys::mapping::{Mapped, Zeroed};
use crate::sys::memory;

/// How many addresses there are.
const COUNT: usize = 1 << 16;
/// The distance between them.
const STEP: usize = 16;
/// Addresses tried before a request gets a block.
const TRIES: usize = 16;

// SAFETY: an atomic has the bytes of its integer.
unsafe impl Zeroed for AtomicU8 {}

/// The addresses.
pub(super) struct Empty {
    /// Where they begin; 0 without any. Written at start, read by any thread.
    base: Relaxed<AtomicUsize>,
    /// Where their states are. Written at start, read by any thread.
    states: Relaxed<AtomicUsize>,
    /// The one to try next; any thread adds.
    next: AtomicUsize,
}

impl Empty {
    /// No addresses.
    pub(super) const fn new() -> Self {
        Self { base: Relaxed::<AtomicUsize>::new(0), states: Relaxed::<AtomicUsize>::new(0), next: AtomicUsize::new(0) }
    }

    /// Reserves the addresses; none if the kernel refuses.
    pub(super) fn begin(&self) {
        let Some(states) = Mapped::<AtomicU8>::new(COUNT) else { return };
        let Ok(base) = memory::reserve(COUNT * STEP) else { return };
        self.states.set(states.leak().as_ptr().expose_provenance());
        self.base.set(base);
    }

    /// An address for a request of no bytes; null if none is free.
    pub(super) fn alloc(&self) -> *mut u8 {
        for _ in 0..TRIES {
            // Relaxed: a number; the exchange decides.
            let index = self.next.fetch_add(1, Ordering::Relaxed) % COUNT;
            let Some(state) = self.state(index) else { break };
            // Relaxed: the state says all.
            let before = state.load(Ordering::Relaxed);
            if !is_live(before) && state.compare_exchange(before, LIVE, Ordering::Relaxed, Ordering::Relaxed).is_ok() {
                return core::ptr::without_provenance_mut(self.base.get() + index * STEP);
            }
        }
        core::ptr::null_mut()
    }

    /// Whether `block` lies among the addresses.
    #[inline]
    pub(super) fn has(&self, block: *mut u8) -> bool {
        block.addr().wrapping_sub(self.base.get()) < COUNT * STEP && self.base.get() != 0
    }

    /// Whether `block`, one of the addresses, is in use; `None` if it is no address that is handed out.
    pub(super) fn is_live(&self, block: *mut u8) -> Option<bool> {
        // Relaxed: as above.
        self.state_of(block).map(|state| is_live(state.load(Ordering::Relaxed)))
    }

    /// Frees one of the addresses; false if it is free already.
    pub(super) fn free(&self, block: *mut u8) -> bool {
        // Relaxed: as above.
        self.state_of(block)
            .is_some_and(|state| state.compare_exchange(LIVE, FREED, Ordering::Relaxed, Ordering::Relaxed).is_ok())
    }

    fn state_of(&self, block: *mut u8) -> Option<&AtomicU8> {
        let offset = block.addr().wrapping_sub(self.base.get());
        if offset.is_multiple_of(STEP) { self.state(offset / STEP) } else { None }
    }

    fn state(&self, index: usize) -> Option<&AtomicU8> {
        let start = core::ptr::with_exposed_provenance::<AtomicU8>(self.states.get());
        if start.is_null() || index >= COUNT {
            return None;
        }
        // SAFETY: there are so many states, in a mapping that stays.
        Some(unsafe { &*start.wrapping_add(index) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::call;

    #[test]
    fn each_address_is_in_use_once_and_is_freed_once() {
        let empty = Empty::new();
        assert!(empty.alloc().is_null() && !empty.has(core::ptr::null_mut()));
        empty.begin();
        let mut blocks: Vec<_> = std::iter::from_fn(|| Some(empty.alloc()).filter(|block| !block.is_null())).collect();
        assert_eq!(blocks.len(), COUNT);
        assert!(blocks.iter().all(|&block| empty.has(block) && empty.is_live(block) == Some(true)));
        assert!(!call::is_readable(blocks[0].addr()));
        assert_eq!(empty.is_live(blocks[0].wrapping_add(1)), None);
        assert!(!empty.free(blocks[0].wrapping_add(8)) && empty.free(blocks[0]) && !empty.free(blocks[0]));
        assert_eq!(empty.is_live(blocks[0]), Some(false));
        let first = blocks[0];
        blocks.sort_unstable();
        blocks.dedup();
        assert!(!empty.has(blocks[0].wrapping_sub(1)) && !empty.has(blocks[COUNT - 1].wrapping_add(STEP)));
        assert_eq!(blocks.len(), COUNT);
        while empty.alloc().is_null() {}
        assert_eq!(empty.is_live(first), Some(true), "a free address comes again");
    }
}
