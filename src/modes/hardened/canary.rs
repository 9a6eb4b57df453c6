#![expect(unsafe_code, reason = "reads and writes bytes of blocks")]
//! Canaries: what lies between the bytes that the program asked for and the end of its block.
//!
//! ```text
//! block            + size                              + whole
//! | the program's  | canary | slack ...   | last word  |
//! ```
//! The canary is a keyed hash of the address of the block's end. It stands behind the requested bytes and again in the
//! last word, so that writes that run on from this block are found by the first, and writes that begin before the next
//! block by the second. Byte `i` of the hash stands at addresses that are `i` modulo 8, so the two agree where they
//! overlap. Where the slack is too much for the state, the last word holds the hash with the slack mixed in.
//!
//! A program may write the bytes that it asked for and no others, so a canary that has changed shows a misuse. One
//! canary that leaks does not give away another one: two secret numbers go into the hash. Must not know where blocks
//! come from.

use super::state::{LIVE, SLACK_MAX, TAIL};
use crate::sys::processor;

/// Bytes of a canary, and the least that lies between a request and the end of its block.
pub(super) const CANARY: usize = size_of::<u64>();
/// No byte of a canary is zero, so the end of a string that runs on shows.
const ONES: u64 = 0x0101_0101_0101_0101;

/// The secrets.
#[derive(Clone, Copy)]
pub(super) struct Keys([u64; 3]);

/// A canary has changed: how far from the start of the block.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Overwritten(pub(super) usize);

impl Keys {
    /// The secrets that two random numbers make.
    pub(super) const fn new(mix: u64, factor: u64) -> Self {
        Self([mix, factor | 1, ONES])
    }

    /// The canary of a block that ends before `end`: both halves of a product, folded, so that every bit of it depends
    /// on both secrets.
    #[inline(always)]
    pub(super) fn canary(&self, end: usize) -> u64 {
        processor::keyed(&self.0, end as u64)
    }

    /// Writes the canaries of a block of `whole` bytes for a request of `size`; the state in which it is live.
    ///
    /// # Safety
    /// - The block starts at `block`, a multiple of 16, has `whole` bytes, a multiple of 16 and at least
    ///   `size + CANARY`, and is the caller's.
    #[inline(always)]
    pub(super) unsafe fn write(&self, block: usize, whole: usize, size: usize) -> u8 {
        let canary = self.canary(block + whole);
        let slack = whole - CANARY - size;
        let is_tail = slack > SLACK_MAX;
        // The last word first, and by one store: a free of the next block, on another thread, may look at it meanwhile.
        // The other canary leaves it as it is.
        // SAFETY: the last word of the block.
        unsafe { put(block + whole - CANARY, if is_tail { canary ^ slack as u64 } else { canary }) };
        // SAFETY: there are as many bytes behind the request. With so much slack the canary ends before the last word.
        unsafe { put(block + size, turned(canary, size)) };
        if is_tail { TAIL } else { LIVE | slack as u8 }
    }

    /// The requested size of a live block of `whole` bytes, if its canaries are whole.
    ///
    /// # Safety
    /// - The block starts at `block`, has `whole` bytes, and its state was `state`, a live one.
    pub(super) unsafe fn check(&self, block: usize, whole: usize, state: u8) -> Result<usize, Overwritten> {
        let canary = self.canary(block + whole);
        let last = whole - CANARY;
        // SAFETY: the last word of the block.
        let word = unsafe { get(block + last) };
        let slack = if state == TAIL { (word ^ canary) as usize } else { usize::from(state - LIVE) };
        if slack > last || state == TAIL && slack <= SLACK_MAX {
            return Err(Overwritten(last));
        }
        let size = last - slack;
        // SAFETY: there are as many bytes behind the request.
        let behind = unsafe { get(block + size) };
        if behind != turned(canary, size) {
            return Err(Overwritten(size + first_byte(behind ^ turned(canary, size))));
        }
        if state != TAIL && word != canary {
            return Err(Overwritten(last + first_byte(word ^ canary)));
        }
        Ok(size)
    }
}

/// The canary as it stands `size` bytes behind an aligned address.
#[inline(always)]
pub(super) fn turned(canary: u64, size: usize) -> u64 {
    canary.rotate_right((size as u32).wrapping_mul(8) & 63)
}

const fn first_byte(difference: u64) -> usize {
    (difference.trailing_zeros() / 8) as usize
}

/// The eight bytes at `address`.
///
/// # Safety
/// - They are readable.
#[inline(always)]
pub(super) unsafe fn get(address: usize) -> u64 {
    // SAFETY: readable: the function's condition.
    unsafe { core::ptr::with_exposed_provenance::<u64>(address).read_unaligned() }
}

/// Writes eight bytes at `address`.
///
/// # Safety
/// - They are writable, and the caller's.
#[inline(always)]
pub(super) unsafe fn put(address: usize, value: u64) {
    // SAFETY: writable, and the caller's: the function's condition.
    unsafe { core::ptr::with_exposed_provenance_mut::<u64>(address).write_unaligned(value) };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_between_request_and_end_of_a_block_without_slack_to_spare_is_checked() {
        let keys = Keys::new(0x1234_5678_9abc_def0, 0xfedc_ba98_7654_3211);
        for whole in [16, 32, 112, 1024, 4096_usize] {
            let mut memory = vec![0_u128; whole / 16];
            let block = memory.as_mut_ptr().expose_provenance();
            for size in 0..=whole - CANARY {
                // No canary of another size is left, as in a block that was freed.
                memory.fill(0);
                // SAFETY: the vector has `whole` bytes.
                let state = unsafe { keys.write(block, whole, size) };
                // SAFETY: as above.
                assert_eq!(unsafe { keys.check(block, whole, state) }, Ok(size));
                let slack = whole - CANARY - size;
                let marked = (size..size + CANARY).chain(whole - CANARY..whole);
                for place in marked.filter(|_| slack <= 24 || size % 16 == 0) {
                    for value in [0, 1, 0xff] {
                        let byte = core::ptr::with_exposed_provenance_mut::<u8>(block + place);
                        // SAFETY: a byte of the vector.
                        let before = unsafe { byte.read() };
                        // SAFETY: as above.
                        unsafe { byte.write(value) };
                        // SAFETY: as above.
                        let found = unsafe { keys.check(block, whole, state) };
                        assert_eq!(found.is_err(), before != value, "byte {place} of {size} in {whole}");
                        if let (Err(Overwritten(told)), true) = (found, state != TAIL) {
                            assert_eq!(told, place);
                        }
                        // SAFETY: as above.
                        unsafe { byte.write(before) };
                    }
                }
            }
        }
    }

    #[test]
    fn one_canary_does_not_give_away_the_next() {
        // With each of two secrets fixed the canary of one address says nothing of another's: their difference varies.
        let differences = |make: &dyn Fn(u64) -> Keys| {
            let mut seen: Vec<u64> = (1..2000_u64)
                .map(|turn| {
                    let keys = make(turn.wrapping_mul(0x9e37_79b9_7f4a_7c15));
                    keys.canary(0x7000_0000_1000) ^ keys.canary(0x7000_0000_1020)
                })
                .collect();
            seen.sort_unstable();
            seen.dedup();
            seen.len()
        };
        assert!(differences(&|random| Keys::new(random, 0x0123_4567_89ab_cdef)) > 1900);
        assert!(differences(&|random| Keys::new(0x0123_4567_89ab_cdef, random)) > 1900);
        assert!(
            (0..1 << 16).all(|step| Keys::new(7, 99).canary(step * 16).to_le_bytes().iter().all(|&byte| byte != 0))
        );
    }
}
