#![expect(unsafe_code, reason = "hands out shared access to values whose owner is known by protocol")]
//! Cells for values that are shared by protocol rather than by type.
//!
//! Knows how to name the protocol; must not know the values.

use core::cell::UnsafeCell;
use core::mem::MaybeUninit;

/// A value written once, before anyone else can see it, and read ever after.
///
/// # Invariants
/// - `set` happens before every `get`, through the barrier that publishes the owner of this value.
#[repr(transparent)]
pub(crate) struct SetOnce<T>(UnsafeCell<MaybeUninit<T>>);

// SAFETY: after `set` the value is only read; `set` happens before every read.
unsafe impl<T: Send + Sync> Sync for SetOnce<T> {}

impl<T> SetOnce<T> {
    /// A value still to be set.
    pub(crate) const fn new() -> Self {
        Self(UnsafeCell::new(MaybeUninit::uninit()))
    }

    /// Sets the value.
    ///
    /// # Safety
    /// - No other call on this value is under way, and none has returned a reference.
    pub(crate) unsafe fn set(&self, value: T) {
        // SAFETY: the caller vouches that nobody else looks.
        unsafe { *self.0.get() = MaybeUninit::new(value) };
    }

    /// The value.
    ///
    /// # Safety
    /// - `set` has happened before.
    pub(crate) unsafe fn get(&self) -> &T {
        // SAFETY: nobody writes after `set`.
        let value = unsafe { &*self.0.get() };
        // SAFETY: the caller vouches that it is set.
        unsafe { value.assume_init_ref() }
    }
}

/// A slot of a pointer array in metadata memory, by address.
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(transparent)]
pub(crate) struct Slots(pub(crate) *mut *mut u8);

impl Slots {
    /// Reads slot `index`.
    ///
    /// # Safety
    /// - The array has that slot, and nobody writes it meanwhile.
    #[inline(always)]
    pub(crate) unsafe fn get(self, index: usize) -> *mut u8 {
        // SAFETY: within the array, as the caller vouches.
        let slot = unsafe { self.0.add(index) };
        // SAFETY: as above.
        unsafe { slot.read() }
    }

    /// Writes slot `index`.
    ///
    /// # Safety
    /// - The array has that slot, and nobody else uses it meanwhile.
    #[inline(always)]
    pub(crate) unsafe fn set(self, index: usize, value: *mut u8) {
        // SAFETY: within the array, as the caller vouches.
        let slot = unsafe { self.0.add(index) };
        // SAFETY: as above.
        unsafe { slot.write(value) };
    }
}
