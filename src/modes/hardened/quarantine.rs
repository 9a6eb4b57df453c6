#![expect(unsafe_code, reason = "keeps entries in a mapping")]
//! The quarantine: freed blocks that are not to be used again yet. It has room for so many bytes; when it is full, blocks leave it at
//! random, so nobody can tell when a block will be used again. Must not know what leaving means.

use crate::base::random::Random;
use crate::sys::memory;

/// A block in the quarantine.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Patient {
    pub(crate) address: usize,
    /// Bytes of the block that holds it.
    pub(crate) whole: usize,
}

/// Blocks that one quarantine holds at most.
const ENTRIES: usize = 64 << 10;

/// See the module.
pub(crate) struct Quarantine {
    /// Null before the first block.
    entries: *mut Patient,
    len: usize,
    bytes: usize,
    bytes_max: usize,
    random: Random,
}

// SAFETY: the mapping belongs to the quarantine, wherever it is.
unsafe impl Send for Quarantine {}

impl Quarantine {
    /// An empty one without room.
    pub(crate) const fn new() -> Self {
        Self { entries: core::ptr::null_mut(), len: 0, bytes: 0, bytes_max: 0, random: Random::UNSEEDED }
    }

    /// Gives it room, and chance a seed.
    pub(crate) fn begin(&mut self, bytes_max: usize, seed: u64) {
        self.bytes_max = bytes_max;
        self.random = Random::new(seed);
    }

    fn entries(&mut self) -> &mut [Patient] {
        if self.entries.is_null() {
            return &mut [];
        }
        // SAFETY: the mapping has that many entries, of which the first `len` were written.
        unsafe { core::slice::from_raw_parts_mut(self.entries, self.len) }
    }

    /// Whether a block of `whole` bytes may come in at all: not if it would fill more than an eighth of the quarantine.
    pub(crate) fn has_room_for(&self, whole: usize) -> bool {
        const SHARE: usize = 8;
        whole <= self.bytes_max / SHARE
    }

    /// Takes a block in; false if it may not come in, or there is no memory to note it.
    pub(crate) fn admit(&mut self, patient: Patient) -> bool {
        if !self.has_room_for(patient.whole) || self.len == ENTRIES {
            return false;
        }
        if self.entries.is_null() {
            let Ok(address) = memory::map(ENTRIES * size_of::<Patient>()) else { return false };
            self.entries = core::ptr::with_exposed_provenance_mut(address);
        }
        // SAFETY: there is room behind the entries that were written.
        unsafe { self.entries.wrapping_add(self.len).write(patient) };
        self.len += 1;
        self.bytes += patient.whole;
        true
    }

    /// A block that has to leave, drawn at random; none as long as there is room.
    pub(crate) fn discharge(&mut self) -> Option<Patient> {
        if self.bytes <= self.bytes_max && self.len < ENTRIES {
            return None;
        }
        let drawn = self.random.next() as usize % self.len;
        let last = self.len - 1;
        let entries = self.entries();
        entries.swap(drawn, last);
        let patient = *entries.last()?;
        self.len = last;
        self.bytes -= patient.whole;
        Some(patient)
    }

    /// A block that leaves although there is room; none if it is empty.
    pub(crate) fn leave(&mut self) -> Option<Patient> {
        let patient = *self.entries().last()?;
        self.len -= 1;
        self.bytes -= patient.whole;
        Some(patient)
    }

    /// All blocks in it.
    pub(crate) fn each(&mut self, mut see: impl FnMut(Patient)) {
        self.entries().iter().for_each(|patient| see(*patient));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn blocks_leave_at_random_when_there_is_no_room() {
        let mut quarantine = Quarantine::new();
        assert!(!quarantine.admit(Patient { address: 16, whole: 16 }));
        quarantine.begin(16_000, 5);
        let (mut inside, mut order) = (HashSet::new(), Vec::new());
        for address in (16..160_016).step_by(16) {
            assert!(quarantine.admit(Patient { address, whole: 16 }));
            inside.insert(address);
            while let Some(patient) = quarantine.discharge() {
                assert!(inside.remove(&patient.address));
                order.push(patient.address);
            }
            assert!(inside.len() <= 1000);
        }
        assert_eq!(inside.len(), 1000);
        assert!(order.windows(2).any(|pair| pair[0] > pair[1]));
        assert!(!quarantine.admit(Patient { address: 8, whole: 2001 }));
        let mut seen = 0;
        quarantine.each(|patient| seen += usize::from(inside.contains(&patient.address)));
        assert_eq!(seen, 1000);
    }
}
