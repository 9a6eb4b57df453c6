#![expect(unsafe_code, reason = "hands out shared access to values whose owner is known by protocol")]
//! Cells for values that are shared by protocol rather than by type.
//!
//! Knows how to name the protocol; must not know the values.

use core::cell::UnsafeCell;
use core::mem::MaybeUninit;

use super::atomic::{AtomicBool, AtomicPtr, AtomicU32, AtomicUsize, Ordering};
#[cfg(not(loom))]
use super::atomic::{AtomicU8, AtomicU16};
#[cfg(not(loom))]
use super::processor;

/// A value written once, before another thread can reach it, and only read afterwards.
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
        // SAFETY: no reference to the value exists, and no other call is under way.
        unsafe { *self.0.get() = MaybeUninit::new(value) };
    }

    /// The value.
    ///
    /// # Safety
    /// - `set` has happened before.
    pub(crate) unsafe fn get(&self) -> &T {
        // SAFETY: nothing writes after `set`.
        let value = unsafe { &*self.0.get() };
        // SAFETY: `set` has happened.
        unsafe { value.assume_init_ref() }
    }
}

/// A reference to what lives for ever, or none. Any thread reads and writes; it may see the old one for a moment.
#[repr(transparent)]
pub(crate) struct StaticRef<T: Sync + 'static>(AtomicPtr<T>);

impl<T: Sync> StaticRef<T> {
    /// None.
    pub(crate) const fn none() -> Self {
        Self(AtomicPtr::new(core::ptr::null_mut()))
    }

    /// With a first referent.
    #[cfg(not(loom))]
    pub(crate) const fn to(referent: &'static T) -> Self {
        Self(AtomicPtr::new(core::ptr::from_ref(referent).cast_mut()))
    }

    /// The referent.
    #[inline(always)]
    pub(crate) fn get(&self) -> Option<&'static T> {
        // Acquire pairs with the Release in `set` and `fill`: what the referent needs is there before it is.
        let word = self.0.load(Ordering::Acquire);
        // SAFETY: only references for ever were stored.
        unsafe { word.as_ref() }
    }

    /// Replaces the referent.
    pub(crate) fn set(&self, referent: Option<&'static T>) {
        // Release pairs with the Acquire in `get`.
        self.0.store(
            referent.map_or(core::ptr::null_mut(), |referent| core::ptr::from_ref(referent).cast_mut()),
            Ordering::Release,
        );
    }

    /// Sets the referent where there is none; whether `referent` is the one now.
    pub(crate) fn fill(&self, referent: &'static T) -> bool {
        let word = core::ptr::from_ref(referent).cast_mut();
        // Release pairs with the Acquire in `get`. Relaxed: nothing is read through the failed exchange.
        match self.0.compare_exchange(core::ptr::null_mut(), word, Ordering::Release, Ordering::Relaxed) {
            Ok(_) => true,
            Err(there) => there == word,
        }
    }

    /// Whether `referent` is the one.
    pub(crate) fn is(&self, referent: &'static T) -> bool {
        self.get().is_some_and(|there| core::ptr::eq(there, referent))
    }
}

/// An atomic that is read and written as a whole and orders nothing: a `Cell` that other threads may look into. A
/// reader sees an old value or the new one; what else it may rely on, the field says.
#[repr(transparent)]
pub(crate) struct Relaxed<A>(A);

macro_rules! relaxed {
    ($($atomic:ident => $value:ty;)+) => {$(
        #[allow(dead_code, reason = "not each width is used in each way")]
        impl Relaxed<$atomic> {
            /// With a first value.
            pub(crate) const fn new(value: $value) -> Self {
                Self($atomic::new(value))
            }

            /// The value.
            #[inline(always)]
            pub(crate) fn get(&self) -> $value {
                // Relaxed: see the type.
                self.0.load(Ordering::Relaxed)
            }

            /// Replaces the value.
            #[inline(always)]
            pub(crate) fn set(&self, value: $value) {
                // Relaxed: see the type.
                self.0.store(value, Ordering::Relaxed);
            }
        }
    )+};
}

/// Counters that one thread writes.
macro_rules! counter {
    ($($atomic:ident => $value:ty;)+) => {$(
        impl Relaxed<$atomic> {
            /// Adds to a counter that no other thread writes meanwhile: a load and a store, not one operation.
            #[cfg_attr(loom, allow(dead_code, reason = "no model counts"))]
            #[inline(always)]
            pub(crate) fn add(&self, more: $value) {
                self.set(self.get().wrapping_add(more));
            }
        }
    )+};
}

counter! {
    AtomicU32 => u32;
    AtomicUsize => usize;
}

relaxed! {
    AtomicBool => bool;
    AtomicU32 => u32;
    AtomicUsize => usize;
}

#[cfg(not(loom))]
relaxed! {
    AtomicU8 => u8;
    AtomicU16 => u16;
}

/// A bit of [`Flags`].
pub(crate) trait Flag: Copy {
    /// A word with that bit alone.
    fn bit(self) -> u32;
}

/// A word of bits that any thread sets and takes. A thread writes the data that a bit announces before it sets the bit.
pub(crate) struct Flags<F>(AtomicU32, core::marker::PhantomData<F>);

#[cfg_attr(loom, allow(dead_code, reason = "no model takes a flag"))]
impl<F: Flag> Flags<F> {
    /// No bit is set.
    pub(crate) const fn new() -> Self {
        Self(AtomicU32::new(0), core::marker::PhantomData)
    }

    /// Sets a bit. May be called by a signal handler.
    pub(crate) fn set(&self, flag: F) {
        // Release pairs with the Acquire in `take`.
        self.0.fetch_or(flag.bit(), Ordering::Release);
    }

    /// Whether any bit is set.
    #[inline(always)]
    pub(crate) fn any(&self) -> bool {
        // Relaxed: a hint; `take` decides.
        self.0.load(Ordering::Relaxed) != 0
    }

    /// Takes a bit; whether it was set.
    pub(crate) fn take(&self, flag: F) -> bool {
        // Relaxed: a hint. Acquire pairs with the Release in `set`.
        self.0.load(Ordering::Relaxed) & flag.bit() != 0
            && self.0.fetch_and(!flag.bit(), Ordering::Acquire) & flag.bit() != 0
    }
}

/// A place for a pointer in metadata memory. Atomic because another thread may look at a slot that its owner wrote
/// earlier.
pub(crate) type Slot = AtomicPtr<u8>;

/// The slots of an array in metadata memory, by the address of one of them.
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(transparent)]
pub(crate) struct Slots(pub(crate) *mut Slot);

impl Slots {
    /// Slot `index`.
    ///
    /// # Safety
    /// - The array has that slot.
    #[inline(always)]
    unsafe fn slot<'a>(self, index: usize) -> &'a Slot {
        // SAFETY: the array has that slot.
        let place = unsafe { self.0.add(index) };
        // SAFETY: as above; metadata is never unmapped.
        unsafe { &*place }
    }

    /// Reads slot `index`.
    ///
    /// # Safety
    /// - The array has that slot, and only the calling thread writes it, or another one in whose absence nobody needs
    ///   what it says.
    #[inline(always)]
    pub(crate) unsafe fn get(self, index: usize) -> *mut u8 {
        // SAFETY: the array has that slot.
        let slot = unsafe { self.slot(index) };
        // A plain load where the model checker does not look: the processor then compares it in one instruction.
        #[cfg(not(loom))]
        // SAFETY: no other thread writes the slot meanwhile.
        let value = unsafe { slot.as_ptr().read() };
        #[cfg(loom)]
        let value = slot.load(Ordering::Relaxed);
        value
    }

    /// Whether the slot below slot 0, which another thread may write meanwhile, holds `value`.
    ///
    /// # Safety
    /// - There is a slot below.
    #[inline(always)]
    pub(crate) unsafe fn is_below(self, value: *mut u8) -> bool {
        #[cfg(not(loom))]
        // SAFETY: that slot is an aligned word. The processor reads it as a whole, so this is a relaxed load.
        let is_below = unsafe { processor::is_at::<{ -(size_of::<Slot>() as isize) }>(value.addr(), self.0.cast()) };
        #[cfg(loom)]
        // SAFETY: as above.
        let is_below = unsafe { Self(self.0.sub(1)).get_shared(0) } == value;
        is_below
    }

    /// Reads slot `index`, which another thread may have written: an old value will do, or the caller orders the read
    /// after the write.
    ///
    /// # Safety
    /// - The array has that slot.
    pub(crate) unsafe fn get_shared(self, index: usize) -> *mut u8 {
        // SAFETY: the array has that slot.
        let slot = unsafe { self.slot(index) };
        // Relaxed: an old value will do, or the caller orders it.
        slot.load(Ordering::Relaxed)
    }

    /// Writes slot `index`.
    ///
    /// # Safety
    /// - The array has that slot, and no other thread writes it meanwhile.
    #[inline(always)]
    pub(crate) unsafe fn set(self, index: usize, value: *mut u8) {
        // SAFETY: the array has that slot.
        let slot = unsafe { self.slot(index) };
        // Relaxed: the owner's own order, or the lock of the spans, publishes it.
        slot.store(value, Ordering::Relaxed);
    }
}
