#![expect(unsafe_code, reason = "passes on the blocks of callers")]
//! The calls that allocate, resize, measure and free, by jemalloc's flags.
//!
//! Alignment and zeroes count; caches and arenas (`MALLOCX_TCACHE`, `MALLOCX_ARENA`) have no counterpart and are
//! ignored. Sizes that a program names when it frees are not passed on: jemalloc allows any from the request to the
//! usable size, and libspandrel's sized free does not.

use core::ffi::{c_int, c_void};

use crate::foreign::{self, aligned_alloc, calloc, malloc, spandrel_good_size};

/// The bits of the flags that hold the logarithm of the alignment.
const LG_ALIGN: c_int = 0x3f;
/// `MALLOCX_ZERO`.
const ZERO: c_int = 0x40;
/// The alignment of blocks of at least so many bytes, without asking.
const NATURAL_ALIGN: usize = 16;
/// The alignment of smaller blocks.
const LEAST_ALIGN: usize = 8;

/// The wish of a call.
struct Wish {
    /// Bytes: at least 1, and a multiple of the alignment where malloc would not keep that.
    size: usize,
    /// The alignment, where malloc would not keep it.
    align: Option<usize>,
    zero: bool,
}

impl Wish {
    /// `None` for a size that no block can have.
    fn of(size: usize, flags: c_int) -> Option<Self> {
        let (size, align) = (size.max(1), 1_usize << (flags & LG_ALIGN));
        let zero = flags & ZERO != 0;
        if align <= LEAST_ALIGN || align == NATURAL_ALIGN && size > LEAST_ALIGN {
            return Some(Self { size, align: None, zero });
        }
        let size = size.checked_next_multiple_of(align)?;
        Some(Self { size, align: Some(align), zero })
    }

    fn alloc(&self) -> *mut c_void {
        match (self.align, self.zero) {
            (None, false) => malloc(self.size),
            (None, true) => calloc(1, self.size),
            (Some(align), false) => aligned_alloc(align, self.size),
            (Some(align), true) => self.zeroed(align),
        }
    }

    /// A zeroed block at a multiple of `align`. calloc knows which memory is zero already, and most of its blocks of a
    /// multiple of the alignment are aligned.
    fn zeroed(&self, align: usize) -> *mut c_void {
        let block = calloc(1, self.size);
        if block.addr().is_multiple_of(align) {
            return block;
        }
        // SAFETY: the block was made above, and nothing else has it.
        unsafe { foreign::free(block) };
        let block = aligned_alloc(align, self.size);
        if !block.is_null() {
            // SAFETY: the block was made above with that many bytes.
            unsafe { block.cast::<u8>().write_bytes(0, self.size) };
        }
        block
    }

    /// Whether a block of `usable` bytes at `address` does, and wastes at most half of itself.
    fn is_met_by(&self, address: usize, usable: usize) -> bool {
        self.align.is_some_and(|align| address.is_multiple_of(align)) && self.size <= usable && usable / 2 <= self.size
    }
}

/// A block of at least `size` bytes; null if there is none.
pub(crate) fn mallocx(size: usize, flags: c_int) -> *mut c_void {
    Wish::of(size, flags).map_or(core::ptr::null_mut(), |wish| wish.alloc())
}

/// The bytes of `block` that may be used; 0 for null.
///
/// # Safety
/// - `block` is null or a live block.
pub(crate) unsafe fn sallocx(block: *const c_void, _: c_int) -> usize {
    // SAFETY: the caller's condition.
    unsafe { foreign::malloc_usable_size(block.cast_mut()) }
}

/// The block, resized and perhaps moved; null leaves it as it was. With `MALLOCX_ZERO` the usable bytes that it did not
/// have before are zero.
///
/// # Safety
/// - `block` is null or a live block of the caller's.
pub(crate) unsafe fn rallocx(block: *mut c_void, size: usize, flags: c_int) -> *mut c_void {
    if block.is_null() {
        return mallocx(size, flags);
    }
    let Some(wish) = Wish::of(size, flags) else { return core::ptr::null_mut() };
    // SAFETY: the caller's condition.
    let before = unsafe { sallocx(block, 0) };
    // SAFETY: the caller's condition.
    let moved = unsafe { resize(block, before, &wish) };
    if wish.zero && !moved.is_null() {
        // SAFETY: the block is live.
        let now = unsafe { sallocx(moved, 0) };
        let fresh = moved.cast::<u8>().wrapping_add(before);
        // SAFETY: the block has `now` usable bytes; where it has no more than before, none are written.
        unsafe { fresh.write_bytes(0, now.saturating_sub(before)) };
    }
    moved
}

/// `block`, of `before` usable bytes, in a block that meets `wish`; null leaves it as it was.
///
/// # Safety
/// - `block` is a live block of the caller's.
unsafe fn resize(block: *mut c_void, before: usize, wish: &Wish) -> *mut c_void {
    if wish.align.is_none() {
        // SAFETY: the caller's condition.
        return unsafe { foreign::realloc(block, wish.size) };
    }
    if wish.is_met_by(block.addr(), before) {
        return block;
    }
    let moved = Wish { zero: false, ..*wish }.alloc();
    if !moved.is_null() {
        // SAFETY: the old block has `before` bytes and the new one, another block, `wish.size`.
        unsafe { block.cast::<u8>().copy_to_nonoverlapping(moved.cast(), before.min(wish.size)) };
        // SAFETY: the caller's condition.
        unsafe { foreign::free(block) };
    }
    moved
}

/// The usable bytes of `block`, which stays as it is: Spandrel resizes nothing in place that has another usable size
/// afterwards.
///
/// # Safety
/// - `block` is null or a live block.
pub(crate) unsafe fn xallocx(block: *mut c_void, _: usize, _: usize, flags: c_int) -> usize {
    // SAFETY: the caller's condition.
    unsafe { sallocx(block, flags) }
}

/// Frees `block`.
///
/// # Safety
/// - `block` is null or a live block of the caller's.
pub(crate) unsafe fn dallocx(block: *mut c_void, _: c_int) {
    // SAFETY: the caller's condition.
    unsafe { foreign::free(block) };
}

/// The usable bytes of a block from `mallocx(size, flags)`, or fewer; 0 where that returns null.
pub(crate) fn nallocx(size: usize, flags: c_int) -> usize {
    Wish::of(size, flags).map_or(0, |wish| spandrel_good_size(wish.size))
}
