//! Blocks of the allocator under test.
//!
//! Knows: the C functions, by their dynamic symbols. Must not know: workloads.
//! Invariants: a block is freed at most once, since freeing takes it. Its first and last byte carry a stamp made of its
//! address and size; every sixteenth free checks it (all of them would bring each block into the cache before it is
//! freed, which most of the published programs do not).
#![expect(unsafe_code, reason = "calls of malloc and free, and writes to what they return")]

use super::account::Account;
use super::clock;
use super::fail::fail;
use std::arch::asm;
use std::hint::black_box;
use std::ptr::{self, NonNull};

const PAGE: usize = 4096;
const WORD: usize = 8;
const TOUCH: u8 = 0xa5;
/// Bits of an address that are the same for most blocks.
const ALIGNED_BITS: usize = 4;

/// A block and its size; `Option<Block>` has 16 bytes.
#[derive(Debug)]
pub(crate) struct Block {
    start: NonNull<u8>,
    size: u32,
}

// SAFETY: malloc's blocks may be used and freed by any thread.
unsafe impl Send for Block {}
// SAFETY: a shared block can only be read.
unsafe impl Sync for Block {}

/// A block whose size its holder knows.
#[derive(Debug)]
pub(crate) struct Bare(NonNull<u8>);

// SAFETY: as of `Block`.
unsafe impl Send for Bare {}

impl Bare {
    /// The block again; `size` must be what it was allocated with.
    #[inline]
    pub(crate) fn with_size(self, size: u32) -> Block {
        Block { start: self.0, size }
    }
}

/// The same pointer, of which the compiler knows nothing more: it may not drop a malloc whose block is only freed.
#[inline(always)]
fn opaque(mut pointer: *mut libc::c_void) -> *mut libc::c_void {
    // SAFETY: no instruction at all.
    unsafe { asm!("/* {0} */", inout(reg) pointer, options(nostack, preserves_flags)) };
    pointer
}

impl Block {
    /// A new block of `size` bytes (at least 1), with its first and last byte written.
    #[inline]
    pub(crate) fn alloc(account: &mut Account, size: u32) -> Self {
        // SAFETY: malloc takes any size.
        let start = unsafe { libc::malloc(size as usize) };
        account.on_alloc(size);
        Self::adopt(start, size)
    }

    #[inline]
    fn adopt(start: *mut libc::c_void, size: u32) -> Self {
        let Some(start) = NonNull::new(opaque(start).cast()) else {
            fail(&format!("there was no block of {size} bytes"))
        };
        let mut block = Self { start, size };
        block.stamp();
        block
    }

    /// As [`Block::alloc`], at a multiple of `alignment`, which is a power of two and at least a word.
    #[inline]
    pub(crate) fn alloc_aligned(account: &mut Account, alignment: u32, size: u32) -> Self {
        let mut start = ptr::null_mut();
        // SAFETY: `start` is written only if there is a block.
        let refused = unsafe { libc::posix_memalign(&raw mut start, alignment as usize, size as usize) };
        if refused != 0 {
            fail(&format!("there was no block of {size} bytes at a multiple of {alignment}"));
        }
        if !start.addr().is_multiple_of(alignment as usize) {
            fail(&format!("{start:p} is not a multiple of {alignment}"));
        }
        account.on_alloc(size);
        Self::adopt(start, size)
    }

    /// Makes the block `size` bytes long, and checks that its first and (if it grows) last byte came along.
    #[inline]
    pub(crate) fn resize(self, account: &mut Account, size: u32) -> Self {
        self.check();
        let (stamp, before) = (self.stamp_value(), self.size);
        account.on_resize(before, size);
        // SAFETY: the block came from malloc and this is its only owner.
        let start = unsafe { libc::realloc(self.start.as_ptr().cast(), size as usize) };
        let Some(start) = NonNull::new(opaque(start).cast::<u8>()) else {
            fail(&format!("no block grew to {size} bytes"))
        };
        let kept = Self { start, size: before.min(size) };
        // SAFETY: the first byte was carried over.
        let first = unsafe { start.as_ptr().read_volatile() };
        // SAFETY: the last byte that both sizes have was carried over.
        let last = unsafe { kept.last().read_volatile() };
        if first != stamp || (size >= before && last != stamp) {
            fail(&format!("realloc from {before} to {size} bytes lost contents"));
        }
        let mut block = Self { start, size };
        block.stamp();
        block
    }

    /// Gives the block back.
    #[inline]
    pub(crate) fn free(self, account: &mut Account) {
        if account.on_free(self.size) {
            self.check();
        }
        // SAFETY: the block came from malloc and this is its only owner.
        unsafe { libc::free(self.start.as_ptr().cast()) };
    }

    /// Reads one byte of each word.
    #[inline]
    pub(crate) fn read(&self) {
        for offset in (0..self.size).step_by(WORD) {
            // SAFETY: the offset is within the block.
            let byte = unsafe { self.start.as_ptr().add(offset as usize) };
            // SAFETY: as above; what is there is not used, and the compiler cannot know what malloc returned.
            black_box(unsafe { byte.read_volatile() });
        }
    }

    /// Writes one byte of each page from offset `from` on.
    #[inline]
    pub(crate) fn touch(&mut self, from: u32) {
        for offset in (from..self.size).step_by(PAGE) {
            // SAFETY: the offset is within the block.
            let byte = unsafe { self.start.as_ptr().add(offset as usize) };
            // SAFETY: as above.
            unsafe { byte.write_volatile(TOUCH) };
        }
        self.stamp();
    }

    /// Writes the last byte and reads it again, `times` times.
    #[inline]
    pub(crate) fn hammer(&mut self, times: u64) {
        let byte = self.last();
        for value in 0..times {
            // SAFETY: the last byte is within the block.
            unsafe { byte.write_volatile(value as u8) };
            // SAFETY: it was just written.
            black_box(unsafe { byte.read_volatile() });
        }
        self.stamp();
    }

    /// Bytes asked for.
    #[inline]
    pub(crate) fn size(&self) -> u32 {
        self.size
    }

    /// As [`Block::alloc`]; also says how many ticks malloc alone took.
    #[inline]
    pub(crate) fn alloc_timed(account: &mut Account, size: u32) -> (Self, u64) {
        let before = clock::before();
        // SAFETY: malloc takes any size.
        let start = unsafe { libc::malloc(size as usize) };
        let ticks = clock::after() - before;
        account.on_alloc(size);
        (Self::adopt(start, size), ticks)
    }

    /// As [`Block::free`]; says how many ticks free alone took.
    #[inline]
    pub(crate) fn free_timed(self, account: &mut Account) -> u64 {
        account.on_free(self.size);
        self.check();
        let before = clock::before();
        // SAFETY: the block came from malloc and this is its only owner.
        unsafe { libc::free(self.start.as_ptr().cast()) };
        clock::after() - before
    }

    /// Writes the first `limit` bytes.
    #[inline]
    pub(crate) fn fill(&mut self, byte: u8, limit: u32) {
        let len = self.size.min(limit) as usize;
        // SAFETY: the block has at least that many bytes.
        unsafe { self.start.as_ptr().write_bytes(byte, len) };
        self.stamp();
    }

    /// Forgets the size, for programs that keep nothing but pointers.
    #[inline]
    pub(crate) fn into_bare(self) -> Bare {
        Bare(self.start)
    }

    #[inline]
    fn stamp_value(&self) -> u8 {
        (self.start.addr().get() >> ALIGNED_BITS) as u8 ^ self.size as u8
    }

    #[inline]
    fn last(&self) -> *mut u8 {
        // SAFETY: the block has `size` bytes, at least one.
        unsafe { self.start.as_ptr().add(self.size as usize - 1) }
    }

    #[inline]
    fn stamp(&mut self) {
        let stamp = self.stamp_value();
        // SAFETY: the first byte is within the block.
        unsafe { self.start.as_ptr().write_volatile(stamp) };
        // SAFETY: the last byte is within the block.
        unsafe { self.last().write_volatile(stamp) };
    }

    /// Ends the process if the stamp is gone.
    #[inline]
    pub(crate) fn check(&self) {
        // SAFETY: the first byte was written when the block was made.
        let first = unsafe { self.start.as_ptr().read_volatile() };
        // SAFETY: and so was the last.
        let last = unsafe { self.last().read_volatile() };
        if first != self.stamp_value() || last != self.stamp_value() {
            self.overwritten();
        }
    }

    #[cold]
    fn overwritten(&self) -> ! {
        fail(&format!("the block of {} bytes at {:p} was overwritten", self.size, self.start))
    }
}
