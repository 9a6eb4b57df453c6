#![expect(unsafe_code, reason = "reads and writes bytes of blocks")]
//! Marks: a canary behind the bytes of a live block, and a pattern in the bytes of a freed one. A program may write the
//! bytes that it asked for and no others, so a canary that has changed tells of an overflow, and a pattern that has
//! changed of a use after free.

use super::note::Note;
use crate::sys::atomic::{AtomicU64, Ordering};

/// At least so many bytes lie between a block's bytes and the next block.
pub(crate) const CANARY_MIN: usize = 8;
/// At most so many of them are marked: an overflow begins there.
const CANARY_MAX: usize = 64;
/// Fills freed bytes, unless they are to be zero.
const FREED: u8 = 0xdb;

/// The values of the marks. Written at start.
pub(crate) struct Marks {
    /// Unknown to the program: to forge a canary, an attacker has to read one first.
    secret: AtomicU64,
    /// Fills freed bytes.
    freed: AtomicU64,
}

/// A mark that has changed: how far from the start of the block.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Overwritten(pub(crate) usize);

impl Marks {
    /// Before [`Marks::begin`].
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
        // Relaxed: the start barrier published it.
        self.freed.load(Ordering::Relaxed) as u8
    }

    /// The canary's bytes, in turn: the secret mixed with the address. None of them is zero, so the end of a string
    /// that runs on shows.
    fn canary(&self, note: &Note) -> impl Iterator<Item = u8> + use<> {
        // Relaxed: the start barrier published it.
        let mixed = (self.secret.load(Ordering::Relaxed) ^ note.address as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        mixed.to_le_bytes().map(|byte| byte | 1).into_iter().cycle()
    }

    /// Writes the canary of a block that is about to be handed out.
    ///
    /// # Safety
    /// - The note is that of a block that no other thread uses, and the program not any more or not yet.
    pub(crate) unsafe fn guard(&self, note: &Note) {
        // SAFETY: the bytes lie in the block, whose `whole` bytes end behind them, and the caller alone has the block.
        let bytes = unsafe { bytes_mut(note.address + note.size, canary_len(note)) };
        bytes.iter_mut().zip(self.canary(note)).for_each(|(byte, mark)| *byte = mark);
    }

    /// Checks the canary of a block.
    ///
    /// # Safety
    /// - The note is that of a block that is live, or in the quarantine.
    pub(crate) unsafe fn check_canary(&self, note: &Note) -> Result<(), Overwritten> {
        // SAFETY: the bytes lie in the block, behind those that the program may write.
        let bytes = unsafe { bytes(note.address + note.size, canary_len(note)) };
        match bytes.iter().zip(self.canary(note)).position(|(&byte, mark)| byte != mark) {
            Some(place) => Err(Overwritten(note.size + place)),
            None => Ok(()),
        }
    }

    /// Fills a block that was freed.
    ///
    /// # Safety
    /// - The note is that of a block that the program freed and that no other thread uses.
    pub(crate) unsafe fn fill(&self, note: &Note) {
        // SAFETY: the bytes are those of the block, which the caller alone has.
        unsafe { bytes_mut(note.address, note.size) }.fill(self.freed());
    }

    /// Checks the bytes of a block that was freed.
    ///
    /// # Safety
    /// - The note is that of a block that [`Marks::fill`] filled and that is in the quarantine, or just leaves it.
    pub(crate) unsafe fn check_fill(&self, note: &Note) -> Result<(), Overwritten> {
        let freed = self.freed();
        // SAFETY: the bytes are those of the block, which no thread may write while it is in the quarantine.
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
    // SAFETY: readable, and nobody writes them: the function's condition.
    unsafe { core::slice::from_raw_parts(core::ptr::with_exposed_provenance(address), len) }
}

/// # Safety
/// - The bytes are writable, and nobody else uses them.
unsafe fn bytes_mut(address: usize, len: usize) -> &'static mut [u8] {
    // SAFETY: writable, and nobody else uses them: the function's condition.
    unsafe { core::slice::from_raw_parts_mut(core::ptr::with_exposed_provenance_mut(address), len) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_of_a_mark_is_checked() {
        let marks = Marks::new();
        for zero in [false, true] {
            marks.begin(0x1234_5678_9abc_def0, zero);
            for size in [0, 1, 7, 8, 100] {
                let mut block = vec![0_u8; size + CANARY_MIN + 80];
                let whole = block.len();
                let address = block.as_mut_ptr().expose_provenance();
                let note = Note { address, size, whole, made_by: 1, freed_by: 0 };
                // SAFETY: the note is that of the vector, which this test alone has.
                unsafe { marks.guard(&note) };
                // SAFETY: as above.
                unsafe { marks.fill(&note) };
                for (place, byte) in block.iter_mut().enumerate().take(size + CANARY_MAX) {
                    *byte ^= 4;
                    // SAFETY: as above.
                    let canary = unsafe { marks.check_canary(&note) };
                    // SAFETY: as above.
                    let filled = unsafe { marks.check_fill(&note) };
                    let expected = [Err(Overwritten(place)), Ok(())];
                    assert_eq!([filled, canary], if place < size { expected } else { [expected[1], expected[0]] });
                    *byte ^= 4;
                }
            }
        }
    }
}
