//! Memory that a dump works in: mapped when the dump begins, unmapped when it ends, so that a dump allocates nothing
//! and needs little of the thread's stack.

use super::maps::{Map, NAME_BYTES};
use crate::sys::mapping::{Mapped, zeroed};

/// Executable mappings of which a dump can say the names.
const MAPS: usize = 1024;

/// The parts of the memory.
pub(super) struct Parts {
    /// A block of the file being written.
    pub(super) block: [u8; 48 << 10],
    /// A message, and one within it.
    pub(super) outer: [u8; 8 << 10],
    pub(super) inner: [u8; 4 << 10],
    /// Lines of `/proc/self/maps`.
    pub(super) lines: [u8; 4 << 10],
    pub(super) maps: [Map; MAPS],
    pub(super) names: [u8; NAME_BYTES],
}

zeroed!(Parts { block, outer, inner, lines, maps, names });

/// The memory of one dump.
pub(super) struct Scratch {
    parts: Mapped<Parts>,
    addresses: Mapped<usize>,
}

impl Scratch {
    /// Memory with room for `addresses` different addresses; `None` if the kernel has none.
    pub(super) fn map(addresses: usize) -> Option<Self> {
        // Half of the places stay free, so that searches are short.
        let addresses = addresses.max(1).checked_next_power_of_two()?.checked_mul(2)?;
        Some(Self { parts: Mapped::new(1)?, addresses: Mapped::new(addresses)? })
    }

    /// The parts, and the places for addresses.
    pub(super) fn parts(&mut self) -> Option<(&mut Parts, Addresses<'_>)> {
        Some((self.parts.first_mut()?, Addresses(&mut self.addresses)))
    }
}

pub(super) struct Addresses<'a>(&'a mut [usize]);

impl Addresses<'_> {
    /// Adds an address, which is not 0; true if it is new.
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
    fn an_address_is_new_once() {
        let mut scratch = Scratch::map(3).unwrap();
        let (parts, mut addresses) = scratch.parts().unwrap();
        assert_eq!(parts.block[0], 0);
        assert!(addresses.insert(8) && addresses.insert(16) && addresses.insert(1 << 40));
        assert!(!addresses.insert(8) && !addresses.insert(1 << 40));
    }
}
