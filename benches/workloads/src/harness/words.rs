//! Blocks of words that say by themselves how long they are, and a place where threads swap them.
//!
//! Invariants: word `i` of a block of `n` words holds `(n - i) ^ COOKIE`; all of them are written when the block is
//! made and checked when it is freed.
#![expect(unsafe_code, reason = "calls of malloc and free, and access to what they return")]

use super::account::Account;
use super::fail::fail;
use std::hint::black_box;
use std::ptr::{self, NonNull};
use std::slice;
use std::sync::atomic::{AtomicPtr, Ordering::AcqRel};

const COOKIE: u64 = 0xbf58_476d_1ce4_e5b9;
const WORD: u32 = 8;

/// A block of at least one word; `Option<Words>` has 8 bytes.
#[derive(Debug)]
pub(crate) struct Words(NonNull<u64>);

// SAFETY: malloc's blocks may be used and freed by any thread.
unsafe impl Send for Words {}

impl Words {
    /// A block of `count` words, all written.
    #[inline]
    pub(crate) fn alloc(account: &mut Account, count: u32) -> Self {
        let size = count * WORD;
        // SAFETY: malloc takes any size.
        let start = unsafe { libc::malloc(size as usize) };
        account.on_alloc(size);
        let Some(start) = NonNull::new(black_box(start).cast::<u64>()) else {
            fail(&format!("there was no block of {size} bytes"))
        };
        for place in 0..count {
            // SAFETY: the block has `count` words.
            let to = unsafe { start.add(place as usize) };
            // SAFETY: as above, and malloc aligns to words.
            unsafe { to.write(u64::from(count - place) ^ COOKIE) };
        }
        Self(start)
    }

    /// Checks all words and gives the block back.
    #[inline]
    pub(crate) fn free(self, account: &mut Account) {
        // SAFETY: the first word was written when the block was made.
        let count = unsafe { self.0.read() } ^ COOKIE;
        let Ok(known) = u32::try_from(count) else { self.overwritten() };
        // SAFETY: all words were written when the block was made, and it has no other owner.
        let words = unsafe { slice::from_raw_parts(self.0.as_ptr(), known as usize) };
        if words.iter().zip((1..=count).rev()).any(|(&word, left)| word ^ COOKIE != left) {
            self.overwritten();
        }
        account.on_free(known * WORD);
        // SAFETY: the block came from malloc and this is its only owner.
        unsafe { libc::free(self.0.as_ptr().cast()) };
    }

    #[cold]
    fn overwritten(&self) -> ! {
        fail(&format!("the block of words at {:p} was overwritten", self.0))
    }
}

/// Holds a block or nothing.
#[derive(Debug, Default)]
pub(crate) struct Place(AtomicPtr<u64>);

impl Place {
    /// Puts `words` there and takes what was there.
    #[inline]
    pub(crate) fn swap(&self, words: Option<Words>) -> Option<Words> {
        let given = words.map_or(ptr::null_mut(), |words| words.0.as_ptr());
        NonNull::new(self.0.swap(given, AcqRel)).map(Words)
    }
}
