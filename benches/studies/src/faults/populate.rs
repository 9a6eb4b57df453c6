//! The ways to make pages resident before they are used.
#![expect(unsafe_code, reason = "system calls on memory of our own")]

use crate::mapping::PAGE;
use anyhow::{Result, bail};
use std::io;
use std::ptr;

/// Since Linux 5.14; older kernels answer EINVAL.
const MADV_POPULATE_WRITE: i32 = 23;

/// A way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    /// Not at all: each page faults when it is first written.
    Lazy,
    /// One write to each page of the batch.
    Touch,
    /// The batch is mapped anew with `MAP_POPULATE`.
    Map,
    /// `MADV_POPULATE_WRITE` on the batch, or writes where the kernel does not know it.
    Advise,
}

impl Way {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Lazy => "lazy",
            Self::Touch => "touch ahead",
            Self::Map => "MAP_POPULATE",
            Self::Advise => "MADV_POPULATE_WRITE",
        }
    }

    /// Makes `len` bytes from `start` on resident; both are multiples of a page, and nothing was written there before.
    ///
    /// # Safety
    /// - The bytes must be part of a private anonymous mapping of the caller's.
    pub(super) unsafe fn populate(self, start: usize, len: usize) -> Result<()> {
        match self {
            Self::Lazy => Ok(()),
            Self::Touch => {
                // SAFETY: as the caller vouches.
                unsafe { touch(start, len) };
                Ok(())
            }
            // SAFETY: as the caller vouches.
            Self::Map => unsafe { map(start, len) },
            // SAFETY: as the caller vouches.
            Self::Advise => unsafe { advise(start, len, MADV_POPULATE_WRITE) },
        }
    }
}

/// # Safety
/// - As of [`Way::populate`].
unsafe fn touch(start: usize, len: usize) {
    for page in (start..start + len).step_by(PAGE) {
        // SAFETY: as the caller vouches.
        unsafe { ptr::with_exposed_provenance_mut::<u8>(page).write_volatile(0) };
    }
}

/// # Safety
/// - As of [`Way::populate`].
unsafe fn map(start: usize, len: usize) -> Result<()> {
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE | libc::MAP_FIXED | libc::MAP_POPULATE;
    let at = ptr::with_exposed_provenance_mut(start);
    // SAFETY: the caller's own memory is replaced, where nothing was written.
    let mapped = unsafe { libc::mmap(at, len, libc::PROT_READ | libc::PROT_WRITE, flags, -1, 0) };
    if mapped == libc::MAP_FAILED {
        bail!("MAP_POPULATE: {}", io::Error::last_os_error());
    }
    Ok(())
}

/// # Safety
/// - As of [`Way::populate`].
unsafe fn advise(start: usize, len: usize, advice: i32) -> Result<()> {
    // SAFETY: advice on the caller's own memory.
    if unsafe { libc::madvise(ptr::with_exposed_provenance_mut(start), len, advice) } == 0 {
        return Ok(());
    }
    let error = io::Error::last_os_error();
    if error.raw_os_error() != Some(libc::EINVAL) {
        bail!("MADV_POPULATE_WRITE: {error}");
    }
    // SAFETY: as the caller vouches.
    unsafe { touch(start, len) };
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mapping::Mapping;

    const LEN: usize = 16 * PAGE;
    const UNKNOWN_ADVICE: i32 = 0x7fff;

    #[test]
    fn each_way_makes_its_batch_resident_and_nothing_else() {
        for way in [Way::Lazy, Way::Touch, Way::Map, Way::Advise] {
            let mapping = Mapping::new(2 * LEN, PAGE).unwrap();
            // SAFETY: within the mapping.
            unsafe { way.populate(mapping.start() + PAGE, LEN) }.unwrap();
            assert_eq!(mapping.resident(), if way == Way::Lazy { 0 } else { LEN }, "{}", way.name());
        }
    }

    #[test]
    fn a_kernel_that_does_not_know_the_advice_gets_writes() {
        let mapping = Mapping::new(LEN, PAGE).unwrap();
        // SAFETY: within the mapping.
        unsafe { advise(mapping.start(), LEN, UNKNOWN_ADVICE) }.unwrap();
        assert_eq!(mapping.resident(), LEN);
    }
}
