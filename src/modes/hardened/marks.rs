#![expect(unsafe_code, reason = "reads and writes bytes of blocks")]
//! Marks: a canary behind the bytes of a live block, and a pattern in the bytes of a freed one. What was asked for is all that the program may
//! write, so a mark that has changed tells of a write that went too far, or came too late.

use super::note::Note;
use crate::sys::atomic::{AtomicU64, Ordering};

/// So many bytes at least lie between a block's bytes and the next block.
pub(crate) const CANARY_MIN: usize = 8;
/// No more than so many are marked: writes that go too far begin there.
const CANARY_MAX: usize = 64;
/// What freed bytes are filled with, unless they are to be zero.
const FREED: u8 = 0xdb;

/// See the module. Written at start.
pub(crate) struct Marks {
    /// What nobody outside knows: a canary cannot be forged without having been read.
    secret: AtomicU64,
    /// What freed bytes are filled with.
    freed: AtomicU64,
}

/// A mark that has changed: how far from the start of the block.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Overwritten(pub(crate) usize);

impl Marks {
    /// To be begun.
    pub(crate) const fn new() -> Self {
        Self { secret: AtomicU64::new(0), freed: AtomicU64::new(FREED as u64) }
    }

    /// Sets the secret, and whether freed bytes are zeroes.
    pub(crate) fn begin(&self, secret: u64, zero: bool) {
        // Relaxed: published by the start barrier.
        self.secret.store(secret, Ordering::Relaxed);
        self.freed.store(if zero { 0 } else { u64::from(FREED) }, Ordering::Relaxed);
    }

    fn freed(&self) -> u8 {
        // Relaxed: see `begin`.
        self.freed.load(Ordering::Relaxed) as u8
    }

    /// The canary's bytes, in turn: the secret mixed with the address, none of them zero, which is what strings end with.
    fn canary(&self, note: &Note) -> impl Iterator<Item = u8> + use<> {
        // Relaxed: see `begin`.
        let mixed = (self.secret.load(Ordering::Relaxed) ^ note.address as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        mixed.to_le_bytes().map(|byte| byte | 1).into_iter().cycle()
    }

    /// Writes the canary of a block that is about to be handed out.
    ///
    /// # Safety
    /// - The note is that of a block that nobody has yet.
    pub(crate) unsafe fn guard(&self, note: &Note) {
        // SAFETY: the caller vouches.
        let bytes = unsafe { bytes_mut(note.address + note.size, canary_len(note)) };
        bytes.iter_mut().zip(self.canary(note)).for_each(|(byte, mark)| *byte = mark);
    }

    /// Looks at the canary of a block.
    ///
    /// # Safety
    /// - The note is that of a block that is live, or in the quarantine.
    pub(crate) unsafe fn check_canary(&self, note: &Note) -> Result<(), Overwritten> {
        // SAFETY: the caller vouches; nobody may write these bytes.
        let bytes = unsafe { bytes(note.address + note.size, canary_len(note)) };
        match bytes.iter().zip(self.canary(note)).position(|(&byte, mark)| byte != mark) {
            Some(place) => Err(Overwritten(note.size + place)),
            None => Ok(()),
        }
    }

    /// Fills a block that was freed.
    ///
    /// # Safety
    /// - The note is that of a block that the program gave up.
    pub(crate) unsafe fn bury(&self, note: &Note) {
        // SAFETY: the caller vouches.
        unsafe { bytes_mut(note.address, note.size) }.fill(self.freed());
    }

    /// Looks at the bytes of a block that was freed.
    ///
    /// # Safety
    /// - The note is that of a block that was buried and is nobody's.
    pub(crate) unsafe fn check_buried(&self, note: &Note) -> Result<(), Overwritten> {
        let freed = self.freed();
        // SAFETY: the caller vouches.
        let bytes = unsafe { bytes(note.address, note.size) };
        let expected = u64::from_ne_bytes([freed; 8]);
        // Words first: blocks may be large.
        let (words, rest) = bytes.as_chunks::<8>();
        let wrong = words.iter().position(|word| u64::from_ne_bytes(*word) != expected).map(|at| at * 8);
        let from = wrong.unwrap_or(bytes.len() - rest.len());
        match bytes.get(from..).and_then(|bytes| bytes.iter().position(|&byte| byte != freed)) {
            Some(place) => Err(Overwritten(from + place)),
            None => Ok(()),
        }
    }
}

fn canary_len(note: &Note) -> usize {
    (note.whole - note.size).min(CANARY_MAX)
}

/// # Safety
/// - The bytes are readable, and nobody writes them.
unsafe fn bytes(address: usize, len: usize) -> &'static [u8] {
    // SAFETY: the caller vouches.
    unsafe { core::slice::from_raw_parts(core::ptr::with_exposed_provenance(address), len) }
}

/// # Safety
/// - The bytes are writable, and nobody else uses them.
unsafe fn bytes_mut(address: usize, len: usize) -> &'static mut [u8] {
    // SAFETY: the caller vouches.
    unsafe { core::slice::from_raw_parts_mut(core::ptr::with_exposed_provenance_mut(address), len) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_of_a_mark_is_looked_at() {
        let marks = Marks::new();
        for zero in [false, true] {
            marks.begin(0x1234_5678_9abc_def0, zero);
            for size in [0, 1, 7, 8, 100] {
                let mut block = vec![0_u8; size + CANARY_MIN + 80];
                let whole = block.len();
                let address = block.as_mut_ptr().expose_provenance();
                let note = Note { address, size, whole, made_by: 1, freed_by: 0 };
                // SAFETY: the note is that of the vector.
                unsafe { marks.guard(&note) };
                // SAFETY: as above.
                unsafe { marks.bury(&note) };
                for (place, byte) in block.iter_mut().enumerate().take(size + CANARY_MAX) {
                    *byte ^= 4;
                    // SAFETY: as above.
                    let canary = unsafe { marks.check_canary(&note) };
                    // SAFETY: as above.
                    let buried = unsafe { marks.check_buried(&note) };
                    let expected = [Err(Overwritten(place)), Ok(())];
                    assert_eq!([buried, canary], if place < size { expected } else { [expected[1], expected[0]] });
                    *byte ^= 4;
                }
            }
        }
    }
}
