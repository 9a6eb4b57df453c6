//! Where reports at exit go: a duplicate of fd 2, because programs close theirs before the last destructors run
//! (coreutils do).
//!
//! The duplicate's number may have been closed and taken for another file meanwhile, so its identity is checked before
//! it is written to. Must not know what is written.

use super::atomic::{AtomicU32, AtomicU64, Ordering};
use super::call;

const STANDARD_ERROR: u32 = 2;
/// Programs that count on the lowest free numbers should not meet ours.
const LOWEST: usize = 200;

/// A copy of standard error. Written once at start, read at exit.
pub(crate) struct Stream {
    descriptor: AtomicU32,
    device: AtomicU64,
    inode: AtomicU64,
}

fn identity(descriptor: usize) -> Option<(u64, u64)> {
    call::status(descriptor).ok().map(|status| (status.st_dev, status.st_ino))
}

impl Stream {
    /// Standard error itself.
    pub(crate) const fn new() -> Self {
        Self { descriptor: AtomicU32::new(STANDARD_ERROR), device: AtomicU64::new(0), inode: AtomicU64::new(0) }
    }

    /// Duplicates fd 2. Where that fails, fd 2 itself stays the stream.
    pub(crate) fn open(&self) {
        let Ok(copy) = call::duplicate(STANDARD_ERROR as usize, LOWEST) else { return };
        if let Some((device, inode)) = identity(copy) {
            // Relaxed: read at exit, by which time all that happened at start is seen.
            self.device.store(device, Ordering::Relaxed);
            self.inode.store(inode, Ordering::Relaxed);
            self.descriptor.store(copy as u32, Ordering::Relaxed);
        }
    }

    /// Writes to the duplicate if it still is what it was, else to fd 2.
    pub(crate) fn write(&self, bytes: &[u8]) {
        // Relaxed: see `open`.
        let known = (self.device.load(Ordering::Relaxed), self.inode.load(Ordering::Relaxed));
        let descriptor = self.descriptor.load(Ordering::Relaxed);
        let target = if identity(descriptor as usize) == Some(known) { descriptor } else { STANDARD_ERROR };
        call::write(target as i32, bytes);
    }
}
