#![expect(unsafe_code, reason = "touches memory that was just acquired")]
//! Prefault: the pages of a run are made present when the run is acquired, in one go, rather than one fault at a time when the
//! program first writes to them. They still read as zero.

use crate::config::Prefault;
use crate::sys::atomic::{AtomicU32, Ordering};
use crate::sys::call::Errno;
use crate::sys::memory;

/// The way in force. Written at start, and again when the kernel turns out not to know a call; read by any thread.
pub(super) struct Way(AtomicU32);

impl Way {
    /// No prefault.
    pub(super) const fn off() -> Self {
        Self(AtomicU32::new(Prefault::Off as u32))
    }

    /// Sets the way.
    pub(super) fn set(&self, way: Prefault) {
        // Relaxed: any value is valid at any time.
        self.0.store(way as u32, Ordering::Relaxed);
    }

    /// Makes `[address, address + len)` present. A refusal is no error: the pages come when they are touched.
    ///
    /// # Safety
    /// - The range is writable memory of ours, reads as zero, and nobody else uses it.
    #[inline]
    pub(super) unsafe fn make_present(&self, address: usize, len: usize, page: usize) {
        // Relaxed: see `set`.
        let way = self.0.load(Ordering::Relaxed);
        if way != Prefault::Off as u32 {
            // SAFETY: the caller vouches for the range.
            unsafe { self.make_present_slow(way, address, len, page) };
        }
    }

    #[cold]
    #[inline(never)]
    unsafe fn make_present_slow(&self, way: u32, address: usize, len: usize, page: usize) {
        if way == Prefault::Populate as u32 {
            // SAFETY: the caller vouches for the range.
            if unsafe { memory::populate(address, len) } != Err(Errno(libc::EINVAL)) {
                return;
            }
            // Kernels before 5.14 do not know the call.
            self.set(Prefault::Touch);
        }
        for place in (address..address + len).step_by(page) {
            // SAFETY: the byte lies in the range and is zero already.
            unsafe { memory::zero(core::ptr::with_exposed_provenance_mut(place), 1) };
        }
    }
}
