#![expect(unsafe_code, reason = "maps memory for the time of a dump")]
//! Memory that a dump works in: mapped when it begins, unmapped when it ends, so that nothing is allocated and no stack is filled.

use super::maps::{Map, NAME_BYTES};
use crate::sys::memory;

/// Executable mappings that are told; a process with more loses the names of the last ones.
const MAPS: usize = 1024;

/// The parts of the memory.
#[repr(C)]
pub(super) struct Parts {
    /// A block of the file being written.
    pub(super) block: [u8; 48 << 10],
    /// A message, and one within it.
    pub(super) outer: [u8; 8 << 10],
    pub(super) inner: [u8; 4 << 10],
    /// What is being read.
    pub(super) lines: [u8; 4 << 10],
    pub(super) maps: [Map; MAPS],
    pub(super) names: [u8; NAME_BYTES],
}

/// See the module. Freshly mapped memory is zero, which all parts may be.
pub(super) struct Scratch {
    address: usize,
    bytes: usize,
    addresses: usize,
}

impl Scratch {
    /// Memory with room for `addresses` different addresses; `None` if the kernel has none.
    pub(super) fn map(addresses: usize) -> Option<Self> {
        // Half of the places stay free, so that searches are short.
        let addresses = addresses.max(1).checked_next_power_of_two()?.checked_mul(2)?;
        let bytes = size_of::<Parts>().checked_add(addresses.checked_mul(size_of::<usize>())?)?;
        let address = memory::map(bytes).ok()?;
        Some(Self { address, bytes, addresses })
    }

    /// The parts, and the places for addresses.
    pub(super) fn parts(&mut self) -> (&mut Parts, Addresses<'_>) {
        let parts = core::ptr::with_exposed_provenance_mut::<Parts>(self.address);
        let places = core::ptr::with_exposed_provenance_mut::<usize>(self.address + size_of::<Parts>());
        // SAFETY: the mapping is this value's, large enough, aligned to a page, and zero bytes are valid parts.
        let parts = unsafe { &mut *parts };
        // SAFETY: the places lie behind the parts, and the mapping has so many.
        let places = unsafe { core::slice::from_raw_parts_mut(places, self.addresses) };
        (parts, Addresses(places))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // SAFETY: `map` made the mapping, and nobody has it any more.
        let _ = unsafe { memory::unmap(self.address, self.bytes) };
    }
}

/// A set of addresses.
pub(super) struct Addresses<'a>(&'a mut [usize]);

impl Addresses<'_> {
    /// Adds an address, which is not 0; whether it is new.
    pub(super) fn insert(&mut self, address: usize) -> bool {
        const FACTOR: usize = 0x9e37_79b9_7f4a_7c15;
        let mask = self.0.len() - 1;
        let mut index = address.wrapping_mul(FACTOR) >> 20;
        for _ in 0..self.0.len() {
            index &= mask;
            match self.0.get_mut(index) {
                Some(place) if *place == 0 => {
                    *place = address;
                    return true;
                }
                Some(place) if *place == address => return false,
                _ => index += 1,
            }
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_told_once() {
        let mut scratch = Scratch::map(3).unwrap();
        let (parts, mut addresses) = scratch.parts();
        assert_eq!(parts.block[0], 0);
        assert!(addresses.insert(8) && addresses.insert(16) && addresses.insert(1 << 40));
        assert!(!addresses.insert(8) && !addresses.insert(1 << 40));
    }
}
