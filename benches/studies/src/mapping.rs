//! Anonymous mappings.
#![expect(unsafe_code, reason = "mmap, and access to what it returned")]

use anyhow::{Result, bail};
use std::ptr;

/// Memory of the kernel's, zeroed, unmapped when dropped.
#[derive(Debug)]
pub(crate) struct Mapping {
    /// Where the kernel put it.
    mapped: usize,
    len: usize,
    /// Its first multiple of the alignment.
    start: usize,
}

impl Mapping {
    /// `len` bytes that become resident when they are touched, from a multiple of `alignment` on.
    pub(crate) fn new(len: usize, alignment: usize) -> Result<Self> {
        let whole = len + if alignment > PAGE { alignment } else { 0 };
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
        // SAFETY: a new private mapping touches no other memory.
        let start = unsafe { libc::mmap(ptr::null_mut(), whole, libc::PROT_READ | libc::PROT_WRITE, flags, -1, 0) };
        if start == libc::MAP_FAILED {
            bail!("no mapping of {whole} bytes");
        }
        // Huge pages would hide what is measured here.
        // SAFETY: advice on our own mapping.
        unsafe { libc::madvise(start, whole, libc::MADV_NOHUGEPAGE) };
        let start = start.expose_provenance();
        Ok(Self { mapped: start, len: whole, start: start.next_multiple_of(alignment.max(PAGE)) })
    }

    /// Address of its first byte.
    pub(crate) fn start(&self) -> usize {
        self.start
    }

    /// Whether the address lies in it.
    pub(crate) fn contains(&self, address: usize) -> bool {
        (self.mapped..self.mapped + self.len).contains(&address)
    }

    /// Bytes that are resident.
    pub(crate) fn resident(&self) -> usize {
        let mut pages = vec![0_u8; self.len.div_ceil(PAGE)];
        // SAFETY: one byte for each page of our own mapping.
        unsafe { libc::mincore(ptr::with_exposed_provenance_mut(self.mapped), self.len, pages.as_mut_ptr()) };
        pages.iter().filter(|page| **page & 1 == 1).count() * PAGE
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: the mapping is our own and nothing uses it any more.
        unsafe { libc::munmap(ptr::with_exposed_provenance_mut(self.mapped), self.len) };
    }
}

/// The smallest page of x86-64.
pub(crate) const PAGE: usize = 4096;

/// Reads a value.
///
/// # Safety
/// - `address` must be readable and aligned for `T`.
#[inline(always)]
pub(crate) unsafe fn read<T: Copy>(address: usize) -> T {
    // SAFETY: as the caller vouches.
    unsafe { ptr::with_exposed_provenance::<T>(address).read() }
}

/// Writes a value.
///
/// # Safety
/// - `address` must be writable and aligned for `T`.
#[inline(always)]
pub(crate) unsafe fn write<T>(address: usize, value: T) {
    // SAFETY: as the caller vouches.
    unsafe { ptr::with_exposed_provenance_mut::<T>(address).write(value) };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn touched_pages_are_resident() {
        let mapping = Mapping::new(1 << 20, 1 << 16).unwrap();
        assert!(mapping.start().is_multiple_of(1 << 16));
        assert_eq!(mapping.resident(), 0);
        // SAFETY: within the mapping.
        unsafe { write(mapping.start() + 5 * PAGE, 1_u8) };
        assert_eq!(mapping.resident(), PAGE);
        assert!(mapping.contains(mapping.start()) && !mapping.contains(mapping.start() + (2 << 20)));
    }
}
